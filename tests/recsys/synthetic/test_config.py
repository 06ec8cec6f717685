"""The settings of a planted world: refused where they are wrong, and what the null world turns off."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from recsys.errors import ConfigError
from recsys.synthetic.config import Behaviour, Mess, Signals, WorldConfig, load_world_config


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "world.toml"
    path.write_text("n_items = 300\nstart = 2023-05-01\n[signals]\nprice = 0\n[mess]\nbots = 0.1\n", encoding="utf-8")
    default = WorldConfig().model_dump()
    changed = load_world_config(path).model_dump()
    assert changed["n_items"] == 300
    assert str(changed["start"]) == "2023-05-01"
    assert changed["signals"] == default["signals"] | {"price": 0.0}
    assert changed["mess"] == default["mess"] | {"bots": 0.1}
    assert changed["behaviour"] == default["behaviour"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[signals]\nsegmnt = 1\n", r"unknown key 'signals.segmnt'; did you mean 'segment'\?.*`segrec synthetic config`"),
        ("[signals]\nsegment = 1.5\n", r"signals.segment: .*less than or equal to 1 \(got 1.5\)"),
        ("n_customers = 5\n", r"n_customers: .*greater than or equal to 20 \(got 5\)"),
        ("[behaviour]\nseason = nan\n", "behaviour.season: .*finite"),
        ("n_customers = \n", "is not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "world.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as caught:
        load_world_config(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*none\.toml"):
        load_world_config(tmp_path / "none.toml")


def test_settings_cannot_be_changed_once_made() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        WorldConfig().seed = 2  # type: ignore[misc]


def test_the_null_world_turns_off_what_carries_something_and_nothing_else() -> None:
    config = WorldConfig(seed=9, n_items=70, signals=Signals(taste=2.0, hidden=0.1), behaviour=Behaviour(loyalty=0.5), mess=Mess(bots=0.2))
    null = config.null()
    assert null.signals == Signals(segment=0, text=0, tier=0, price=0, value=0, taste=2.0, hidden=0.1)
    assert null.behaviour == Behaviour(loyalty=0.5, promotion=0)
    rest = {"signals", "behaviour"}
    assert null.model_dump(exclude=rest) == config.model_dump(exclude=rest)
    assert null.null() == null
