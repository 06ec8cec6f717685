from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segmentation.errors import SegmentationError
from segmentation.llm.cache import Known, LabelCache, cache_key


def test_answers_come_back_as_they_were_given(tmp_path: Path) -> None:
    with LabelCache(tmp_path / "new" / "answers.sqlite") as cache:
        cache.keep("a", Known("positive", 0.75))
        cache.keep("b", Known("差评\n", math.nan))
    with LabelCache(tmp_path / "new" / "answers.sqlite") as cache:
        known = cache.known(["a", "b", "c"])
    assert known["a"] == Known("positive", 0.75)
    assert (known["b"].text, math.isnan(known["b"].confidence)) == ("差评\n", True)
    assert set(known) == {"a", "b"}


def test_the_first_of_two_answers_stays() -> None:
    with LabelCache(None) as cache:
        assert cache.keep("a", Known("positive", 0.5)).text == "positive"
        assert cache.keep("a", Known("negative", 0.9)).text == "positive"


def test_more_keys_than_one_statement_takes_are_found() -> None:
    with LabelCache(None) as cache:
        for number in range(1200):
            cache.keep(str(number), Known(str(number), 1.0))
        assert len(cache.known(map(str, range(2000)))) == cache.n_answers == 1200


def test_keys_tell_apart_who_what_and_about_which_text() -> None:
    keys = {cache_key(*parts) for parts in [("m", "1", "ab"), ("m", "1a", "b"), ("m1", "", "ab"), ("m", "1", "ab "), ("", "m", "1ab")]}
    assert len(keys) == 5
    assert cache_key("m", "1", "ab") == cache_key("m", "1", "ab")


def test_no_text_of_a_customer_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with LabelCache(path) as cache:
        cache.keep(cache_key("m", "1", "my secret words"), Known("positive", 1.0))
    assert b"secret" not in path.read_bytes()


@pytest.mark.parametrize("content", [b"this is no database, whatever its name says" * 50, b"SQLite format 3\0" + b"\xff" * 500])
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(content)
    with pytest.raises(SegmentationError, match=r"answers\.sqlite cannot be used"):
        LabelCache(path)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    LabelCache(path).close()
    import sqlite3

    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(SegmentationError, match="format 99"):
        LabelCache(path)


WRITER = """
import os, signal, sys
from pathlib import Path
from segmentation.llm.cache import Known, LabelCache
path, name, n, killed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
cache = LabelCache(path)
for number in range(n):
    cache.keep(f"{name}{number}", Known("positive", 1.0))
    cache.keep(f"both{number}", Known(name, 1.0))
if killed:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _writer(path: Path, name: str, n: int, *, killed: bool) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[3]
    arguments = [sys.executable, "-c", WRITER, str(path), name, str(n), str(int(killed))]
    return subprocess.Popen(arguments, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})


def test_a_killed_process_leaves_every_answer_it_was_given(tmp_path: Path) -> None:
    assert _writer(tmp_path / "answers.sqlite", "a", 5, killed=True).wait(60) == -signal.SIGKILL
    with LabelCache(tmp_path / "answers.sqlite") as cache:
        assert cache.n_answers == 10


def test_two_processes_share_one_file_and_say_the_same(tmp_path: Path) -> None:
    writers = [_writer(tmp_path / "answers.sqlite", name, 40, killed=False) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with LabelCache(tmp_path / "answers.sqlite") as cache:
        assert cache.n_answers == 120
