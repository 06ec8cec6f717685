"""Leaks planted in a shop's tables and in how it is trained are named; the shop as it is passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trunks import write_trunk
from world import COLOURS, DAY, END, THINGS, write_world

from offline_eval.leaks import Check
from recsys.config import Config, defaults, parse_config
from recsys.data.dataset import Dataset
from recsys.data.importers import open_shop
from recsys.data.importing import import_shop
from recsys.errors import DataError
from recsys.text.encoder import TextEncoder
from recsys.text.finetune import REPORT
from recsys.training.customers import fit_customers, profiles_of
from recsys.training.parts import AsOf, Fitter
from recsys.training.split import Split, split_by_time
from recsys.training.stages import Stages, silent
from recsys.training.texts import ReviewWeights
from segmentation.model import SegmentationModel
from segrec import cli
from segrec.leaks import find_leaks

AS_OF = END - 28 * DAY
FIRST = AS_OF - 56 * DAY
LATER = 28 * DAY
WORDS = ("lovely", "awful", "quick", "broken", "warm", "cheap")

Tables: TypeAlias = dict[str, pd.DataFrame]
Leaks: TypeAlias = Callable[..., dict[str, list[str]]]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """A shop's tables as it would hand them over: what was bought, items with prices since a time, and reviews of days after buying."""
    folder = write_world(tmp_path_factory.mktemp("raw"))
    tables = {name: pq.read_table(folder / f"{name}.parquet").to_pandas() for name in ("items", "interactions")}
    rng = np.random.default_rng(3)
    items, lines = _with_rarities(tables["items"], tables["interactions"], rng)
    items["price"] = 2 + np.arange(len(items)) / 10
    items["valid_from"] = pd.Timestamp("2023-01-01", tz="UTC")
    items.loc[::4, "valid_from"] = pd.Timestamp((AS_OF + DAY).item(), tz="UTC")
    reviews = lines.sample(400, random_state=4)[["customer_id", "item_id", "event_time"]].reset_index(drop=True)
    reviews["event_time"] += pd.to_timedelta(rng.integers(1, 5, len(reviews)), "D")
    reviews["text"] = [" ".join(rng.choice(WORDS, 6)) for _ in range(len(reviews))]
    return {"items": items, "interactions": lines, "reviews": reviews}


def _with_rarities(items: pd.DataFrame, lines: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Besides, each customer buys five things that nobody else does, an hour after something else."""
    bought = lines.groupby("customer_id").sample(5, random_state=6)
    names = [f"r{number}" for number in rng.permutation(len(bought))]
    own = bought.assign(item_id=names, event_time=bought["event_time"] + pd.Timedelta("1h"), basket_id=[f"of {name}" for name in names])
    rare = pd.DataFrame({"item_id": sorted(names), "title": "Rare thing", "available": True, "recommendable": True})
    return pd.concat([items, rare], ignore_index=True), pd.concat([lines, own], ignore_index=True)


def imported(tables: Mapping[str, pd.DataFrame], folder: Path) -> Path:
    """The tables through the product's importer."""
    (folder / "tables").mkdir(parents=True)
    for name, frame in tables.items():
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / "tables" / f"{name}.parquet")
    import_shop(open_shop("tables", folder / "tables"), folder / "shop")
    return folder / "shop"


@pytest.fixture(scope="module")
def shop(raw: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported(raw, tmp_path_factory.mktemp("imported"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings that train within a second, with reviews among what embeddings are made of."""
    trunk = write_trunk(tmp_path_factory.mktemp("trunk"), [*WORDS, *THINGS, *COLOURS])
    sources = {"als": 80, "content": 40, "popular": 60, "popular_segment": 60}
    own: dict[str, dict[str, Any]] = {
        "sources": {
            "als": {"kind": "als", "factors": 8, "iterations": 5},
            **{name: defaults()["sources"][name] for name in list(sources)[1:]},
        },
        "features": {
            "item_rate": {"scope": "item", "statistic": "rate"},
            "item_recency": {"scope": "item", "statistic": "recency"},
            "segment_lift": {"scope": "segment", "statistic": "lift"},
        },
        "strategies": {"home": {"sources": sources, "ranker": "home"}, "discovery": {"sources": sources}},
        "rankers": {"home": {"train_on": "home"}},
    }
    without = {table: dict.fromkeys(defaults()[table], False) for table in own}
    return {
        **{table: without[table] | entries for table, entries in own.items()},
        "training": {"ranking_period_days": 28, "n_ranking_periods": 2, "n_threads": 1},
        "segmentation": {"n_segments": 2},
        "text": {"trunk": str(trunk), "max_tokens": 16},
        "reviews": {"item_weight": 0.4, "customer_weight": 0.0},
        "default_strategy": "home",
        "choose": [],
    }


@pytest.fixture(scope="module")
def config(settings: dict[str, Any]) -> Config:
    return parse_config(settings, "test")


@pytest.fixture
def leaks(config: Config, tmp_path: Path) -> Leaks:
    """What `find_leaks` says of a shop, by the name of the check: where leaks are, for checks that have some."""

    def find(shop: Path, **how: Any) -> dict[str, list[str]]:
        shutil.rmtree(tmp_path / "work", ignore_errors=True)
        checks = find_leaks(Dataset.load(shop), config, AS_OF, tmp_path / "work", silent, **how)
        return where(checks)

    return find


def where(checks: list[Check]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for check in checks:
        found.setdefault(check.name, []).extend(finding.where for finding in check.findings)
    return {name: places for name, places in found.items() if places}


# in how it is trained


@dataclass(frozen=True)
class Peeking(Fitter):
    """Fits as the product does, but for some parts, which it fits on what is known four weeks later."""

    peeked: frozenset[str]

    def _later(self, known: Dataset) -> Dataset:
        return Dataset.load(known.folder).before(known.end + LATER)

    def texts(self, known: Dataset, encoder: TextEncoder, weights: ReviewWeights) -> Path:
        return super().texts(self._later(known) if "texts" in self.peeked else known, encoder, weights)

    def parts(self, at: AsOf) -> dict[str, Path]:
        known, later = at.known, self._later(at.known)
        if at.customers is not None and "segmentation" in self.peeked:
            who = fit_customers(self, later, later.end, None, None)
            model = replace(SegmentationModel.load(who.segmentation), fitted_as_of=known.end)  # as of later it would not be assigned
            segmentation = self.run("backdated", {"of": who.segmentation.name, "as_of": known.end}, model.save)
            customers = replace(at.customers, segmentation=segmentation)
            at = replace(at, customers=customers, profiles=profiles_of(self, known, at.time, customers, None), seen=None)
        places = super().parts(at)
        if not self.peeked & places.keys():
            return places
        peeked = super().parts(replace(at, known=later))
        return {part: peeked[part] if part in self.peeked else folder for part, folder in places.items()}


def peeking(*parts: str) -> Callable[[Config, Stages], Fitter]:
    return lambda config, stages: Peeking(config, stages, peeked=frozenset(parts))


def test_segments_fitted_after_the_ranking_period_began_are_named(shop: Path, leaks: Leaks) -> None:
    found = leaks(shop, fitting=peeking("segmentation"))["what is fitted"]
    assert found[:2] == ["segmentation", "profiles"]
    assert set(found[2:]) <= {"features", "sources/popular_segment"}


def test_features_a_source_and_prices_of_later_are_named_with_file_and_column(shop: Path, config: Config, tmp_path: Path) -> None:
    checks = find_leaks(Dataset.load(shop), config, AS_OF, tmp_path, silent, fitting=peeking("features", "sources/als", "catalogue"))
    catalogue, features, als = checks[0].findings
    assert (catalogue.where, features.where, als.where) == ("catalogue", "features", "sources/als")
    assert "prices.npy (" in catalogue.what
    assert "knows what came after 2024-03-27, 2024-05-22: items.npy (" in features.what
    assert "rows differ, in item_recency, item_rate), group_segment_lift.npy (" in features.what
    assert "Dataset.before(time)" in features.mend


def test_a_split_that_knows_its_labels_is_named(shop: Path, leaks: Leaks) -> None:
    def leaky(dataset: Dataset, as_of: np.datetime64, config: Config, rng: np.random.Generator) -> Split:
        split = split_by_time(dataset, as_of, config, rng)
        return replace(split, periods=tuple(replace(period, known=dataset.before(period.start + LATER)) for period in split.periods))

    assert "training as of 2024-03-27" in leaks(shop, splitting=leaky)["what is fitted"]


def test_sources_that_find_labels_far_better_than_what_follows_are_named(shop: Path, leaks: Leaks) -> None:
    def strange(dataset: Dataset, as_of: np.datetime64, config: Config, rng: np.random.Generator) -> Split:
        """The product's split, but nobody goes on as before: after the labels customers want what one other customer once bought."""
        split = split_by_time(dataset, as_of, config, rng)
        rare = np.flatnonzero(np.bincount(split.periods[0].known.interactions.items, minlength=len(dataset.items)) == 1).astype(np.int32)
        later = {query.customer: rare for query in split.periods[0].queries}
        return replace(split, periods=(replace(split.periods[0], later=later), *split.periods[1:]))

    assert leaks(shop, splitting=strange) == {"sources and labels": ["sources of strategy 'home'"]}


def late_labels(dataset: Dataset, as_of: np.datetime64, config: Config, rng: np.random.Generator) -> Split:
    """The product's split, but customers of the last ranking period are said to want what they bought after it."""
    whole = split_by_time(dataset, as_of + LATER, config, np.random.default_rng(0))
    later = {query.customer: query.wanted for query in whole.periods[-1].queries}
    split = split_by_time(dataset, as_of, config, rng)
    period = split.periods[-1]
    queries = tuple(replace(query, wanted=later.get(query.customer, query.wanted)) for query in period.queries)
    return replace(split, periods=(*split.periods[:-1], replace(period, queries=queries)))


def test_labels_and_reviews_of_later_are_named(shop: Path, leaks: Leaks) -> None:
    found = leaks(shop, fitting=peeking("texts"), splitting=late_labels)
    assert found == {"what is fitted": ["labels/1-2024-04-24", "texts", "sources/content"]}


def test_a_trunk_that_was_tuned_on_what_came_later_is_named(shop: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    trunk = Path(shutil.copytree(settings["text"]["trunk"], tmp_path / "trunk"))
    (trunk / REPORT).write_text(json.dumps({"known_until": str(AS_OF)}))
    config = parse_config({**settings, "text": {**settings["text"], "trunk": str(trunk)}}, "test")
    checks = find_leaks(Dataset.load(shop), config, AS_OF, tmp_path / "work", silent)
    assert where(checks) == {"what is fitted": ["training as of 2024-03-27", "training as of 2024-05-22"]}
    assert "it would know the answers" in checks[0].findings[0].what


# in its tables


def written_again(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines of the day after the cut stand in the table a second time, a day earlier: two exports, two clocks."""
    times = lines["event_time"]
    twice = lines[(times >= pd.Timestamp(AS_OF, tz="UTC")) & (times < pd.Timestamp(AS_OF + DAY, tz="UTC"))]
    return pd.concat([lines, twice.assign(event_time=twice["event_time"] - pd.Timedelta("1D"))])


def numbered_as_bought(lines: pd.DataFrame) -> dict[str, str]:
    """New ids of items, by the order in which they come up when the lines are read customer by customer."""
    read = lines.sort_values(["customer_id", "event_time"], kind="stable")["item_id"].drop_duplicates()
    return {item: f"n{place}" for place, item in enumerate(read)}


@pytest.fixture
def leaky_shop(raw: Tables, tmp_path: Path) -> Path:
    numbers = numbered_as_bought(raw["interactions"])
    renamed = {name: frame.replace({"item_id": numbers}) for name, frame in raw.items()}
    exported = renamed["reviews"].assign(event_time=raw["interactions"]["event_time"].min())  # the dates were lost
    return imported({"items": renamed["items"], "interactions": written_again(renamed["interactions"]), "reviews": exported}, tmp_path)


# the command


@pytest.fixture
def segrec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["segrec", "eval", "leaks", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def config_file(settings: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(toml(settings))
    return path


def toml(settings: Mapping[str, Any], above: str = "") -> str:
    """The settings as a file."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if not isinstance(value, dict)]
    tables = [f"[{above}{name}]\n{toml(value, f'{above}{name}.')}" for name, value in settings.items() if isinstance(value, dict)]
    return "\n".join([*lines, *tables])


def test_a_clean_shop_and_training_pass(segrec: Callable[..., tuple[int, str, str]], shop: Path, config_file: Path) -> None:
    code, out, _ = segrec(shop, "--config", config_file, "--every")
    assert (code, "PASS: 9 checks, nothing knew the future" in out) == (0, True)


def test_each_leak_in_the_tables_is_named(segrec: Callable[..., tuple[int, str, str]], leaky_shop: Path, config_file: Path) -> None:
    code, out, _ = segrec(leaky_shop, "--config", config_file, "--as-of", "2024-05-22", "--json")
    told = json.loads(out)
    assert (code, told["passed"], told["about"]["as_of"][:10]) == (1, False, "2024-05-22")
    assert told["about"]["data"]["fingerprint"] == Dataset.load(leaky_shop).fingerprint
    assert told["about"]["command"].startswith(f"segrec eval leaks {leaky_shop}")
    found = {check["name"]: [finding["where"] for finding in check["findings"]] for check in told["checks"] if check["findings"]}
    assert found == {"repeated lines": ["interactions"], "order of ids": ["item_id"], "dates of reviews": ["reviews"]}


def test_where_nothing_follows_nothing_can_be_checked(shop: Path, config: Config, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="could leak; choose an earlier"):
        find_leaks(Dataset.load(shop), config, END + DAY, tmp_path, silent)
