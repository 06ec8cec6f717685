"""A shop that asks for a sequence source gets it through training, bundle and engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from world import DAY, END

from recsys.config import parse_config
from recsys.data.dataset import Dataset
from recsys.training.pipeline import train
from recsys.training.sequence import CHECKPOINT, METRICS

CUT = END - 28 * DAY
ANSWER = """
import datetime, sys
from pathlib import Path
from recsys.bundle import Bundle
from recsys.engine import Engine, Snapshot
from recsys.types import Query
bundle = Bundle.load(Path(sys.argv[1]))
query = Query(k=5, time=datetime.datetime(2024, 7, 1, tzinfo=datetime.UTC), customer_id="c4", strategy="next")
answer = Engine(bundle).recommend(query, Snapshot.of(bundle))
assert answer.trace.degraded == (), answer.trace
assert len(answer.items) == 5, answer
for item in answer.items:
    print(int(item.item_id[1:]) % 2, *(reason.code.value for reason in item.reasons))
heavy = [name for name in ("torch", "transformers") if name in sys.modules]
sys.exit(", ".join(heavy) or None)
"""


@pytest.fixture(scope="module")
def bundle(small_dataset: Dataset, small_work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small shop's bundle with a strategy of a sequence source alone."""
    source = {"kind": "sequence", "dim": 16, "n_blocks": 1, "n_epochs": 12, "learning_rate": 0.01, "batch_items": 400}
    settings: dict[str, Any] = json.loads(json.dumps(SMALL))
    settings["sources"]["next"] = source
    settings["strategies"] = {"next": {"sources": {"next": 20}}}
    return train(small_dataset, parse_config(settings, "tests"), CUT, tmp_path_factory.mktemp("bundles"), work=small_work)


def test_it_answers_without_torch_and_says_why(bundle: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ANSWER, str(bundle)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [parity for parity, *_ in lines].count("0") >= 4  # customer c4 buys even items
    assert all("often_next" in reasons for _, *reasons in lines)


def test_every_period_has_a_fit_of_its_own_and_leaves_no_checkpoint(bundle: Path, small_work: Path) -> None:
    works = sorted(small_work.glob("learning-next-*"))
    assert len(works) == 3  # two ranking periods and the bundle
    for work in works:
        assert (work / METRICS).is_file()
        assert not (work / CHECKPOINT).exists()
    assert (bundle / "sources" / "next" / "transformer").is_dir()
