"""A feature of one's own is one line of TOML: it reaches training and requests without any Python."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from world import DAY, END

from recsys.bundle import Bundle
from recsys.config import Config, parse_config, to_json
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.training.pipeline import train
from recsys.training.rows import Rows
from recsys.types import Floats, Query, aware

AS_OF = END - 28 * DAY
LINE = 'features.item_rate_5d = { scope = "item", statistic = "rate", window_days = 5 }'


def rate_of_five_days(shop: Dataset, time: np.datetime64) -> Floats:
    """By hand: lines of each item in the five days before the time, per day."""
    lines = shop.between(time - 5 * DAY, time).interactions
    return (np.bincount(lines.items, minlength=len(shop.items)) / 5).astype(np.float32)


@pytest.fixture(scope="module")
def bundle_and_stages(
    small_bundle: Path, small_dataset: Dataset, small_config: Config, small_work: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, list[Path]]:
    """A bundle with the line added to the small configuration, and the stages that were made for it beside those of `small_bundle`."""
    before = set(small_work.iterdir())
    document = to_json(small_config)
    document["features"] |= tomllib.loads(LINE)["features"]
    folder = train(small_dataset, parse_config(document, "one line"), AS_OF, tmp_path_factory.mktemp("bundles"), work=small_work)
    return Bundle.load(folder), sorted(set(small_work.iterdir()) - before)


def test_only_what_depends_on_it_is_made_again(bundle_and_stages: tuple[Bundle, list[Path]]) -> None:
    names = {path.name.rpartition("-")[0] for path in bundle_and_stages[1]}
    assert names == {"features", "rows-home", "rows-discovery", "ranker-home", "ranker-discovery", "shift"}


def test_a_request_sees_its_value(bundle_and_stages: tuple[Bundle, list[Path]], small_dataset: Dataset) -> None:
    bundle, _ = bundle_and_stages
    query = Query(k=10, time=aware(AS_OF), customer_id="c4")
    answer = Engine(bundle).recommend(query, Snapshot.of(bundle))
    expected = rate_of_five_days(small_dataset, AS_OF)[bundle.catalogue.items.numbers(answer.item_ids)]
    assert answer.features[:, bundle.features.names.index("item_rate_5d")] == pytest.approx(expected)
    assert len(set(expected.tolist())) > 3


def test_the_ranker_learned_from_its_value_at_the_start_of_each_period(
    bundle_and_stages: tuple[Bundle, list[Path]], small_dataset: Dataset
) -> None:
    bundle, stages = bundle_and_stages
    column = bundle.features.names.index("item_rate_5d")
    seen = [set(Rows.load(path).features[:, column].tolist()) for path in stages if path.name.startswith("rows-home-")]
    by_hand = [set(rate_of_five_days(small_dataset, AS_OF - n * 28 * DAY).tolist()) for n in (1, 2)]
    assert len(seen) == 2
    assert all(len(values) > 3 for values in seen)
    assert all(any(values <= possible for possible in by_hand) for values in seen)
    model = bundle.rankers["home"].model  # type: ignore[attr-defined]
    assert "item_rate_5d" in model.split("feature_names=")[1].splitlines()[0]
