from __future__ import annotations

from handmade import asked


def test_what_a_source_makes_of_a_query_is_made_once_and_apart_for_each_source() -> None:
    resolved, calls = asked(), list[str]()

    def make(name: str) -> str:
        calls.append(name)
        return name

    for source in ("first", "second", "first"):
        assert resolved.once(source, lambda source=source: make(source)) == source  # type: ignore[misc]
    assert calls == ["first", "second"]
    assert asked().once("first", lambda: "anew") == "anew"
