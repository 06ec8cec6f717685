"""One training path: the same bundle for equal inputs, nothing done twice, nothing from the future."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import SMALL
from filelock import FileLock
from world import DAY, END

from recsys.bundle import MANIFEST, Bundle, read_manifest
from recsys.config import Config, parse_config
from recsys.data.dataset import Dataset
from recsys.errors import ConfigError, DataError
from recsys.features.spec import feature_names
from recsys.training.pipeline import ranking_rows, train, train_on
from recsys.training.rows import Rows
from recsys.training.split import Split

AS_OF = END - 28 * DAY


def changed(section: str, **settings: Any) -> Config:
    """The small configuration with other settings in one section."""
    raw: dict[str, Any] = json.loads(json.dumps(SMALL))
    raw[section] = raw.get(section, {}) | settings
    return parse_config(raw, "test")


def stages_run(dataset: Dataset, config: Config, out: Path, work: Path, as_of: np.datetime64 = AS_OF) -> list[str]:
    """Names of the stages that a training really ran, in order."""
    run: list[str] = []

    def watch(done: int, total: int | None, what: str) -> None:
        if (done, total) == (0, 1):
            run.append(what)

    train(dataset, config, as_of, out, work=work, progress=watch)
    return run


# the same for equal inputs


def test_two_fresh_trainings_write_the_same_files(small_bundle: Path, small_shop: Path, small_config: Config, tmp_path: Path) -> None:
    again = train(Dataset.load(small_shop), small_config, AS_OF, tmp_path / "bundles", work=tmp_path / "work")
    assert again.name == small_bundle.name
    assert (again / MANIFEST).read_bytes() == (small_bundle / MANIFEST).read_bytes()
    files = sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert {str(file) for file in files} == {*read_manifest(again)["files"], MANIFEST}
    assert all((again / file).read_bytes() == (small_bundle / file).read_bytes() for file in files)


def test_the_rows_of_a_ranker_are_those_that_a_training_kept(
    small_bundle: Path, small_dataset: Dataset, small_config: Config, small_work: Path
) -> None:
    there = sorted(small_work.iterdir())
    folders = ranking_rows("home", small_dataset, small_config, AS_OF, work=small_work)
    assert sorted(small_work.iterdir()) == there, "nothing is made again"
    rows = [Rows.load(folder) for folder in folders]
    assert len(rows) == small_config.training.n_ranking_periods
    assert all(part.features.shape == (part.sizes.sum(), len(feature_names(small_config))) for part in rows)


def test_another_seed_gives_another_bundle(small_bundle: Path, small_dataset: Dataset, small_work: Path, tmp_path: Path) -> None:
    other = train(small_dataset, changed("training", seed=8), AS_OF, tmp_path, work=small_work)
    first, second = (read_manifest(path)["files"] for path in (small_bundle, other))
    differ = {name.split("/")[0] for name in first if first[name] != second[name]}
    assert other.name != small_bundle.name
    assert {"sources", "rankers"} <= differ
    assert not differ & {"catalogue", "history", "texts"}


# nothing is done twice


def test_an_unchanged_training_runs_no_stage(
    small_bundle: Path, small_dataset: Dataset, small_config: Config, small_work: Path, tmp_path: Path
) -> None:
    assert stages_run(small_dataset, small_config, tmp_path, small_work) == []
    assert [path.name for path in tmp_path.iterdir()] == [small_bundle.name]


@pytest.mark.parametrize(
    ("section", "settings", "reruns"),
    [
        (
            "rankers",
            {"home": {"train_on": "home", "n_trees": 31, "min_data_in_leaf": 5}},
            {"ranker-home"},
        ),
        (
            "sources",
            {"popular_7d": {"kind": "popular", "window_days": 8}},
            {"source-popular_7d", "rows-home", "rows-discovery", "ranker-home", "ranker-discovery", "shift"},
        ),
        (
            "features",
            {"item_rate_9d": {"scope": "item", "statistic": "rate", "window_days": 9}},
            {"features", "rows-home", "rows-discovery", "ranker-home", "ranker-discovery", "shift"},
        ),
    ],
    ids=["a ranker", "a source", "a feature"],
)
def test_a_change_reruns_what_depends_on_it_and_nothing_else(
    section: str,
    settings: dict[str, Any],
    reruns: set[str],
    small_bundle: Path,
    small_dataset: Dataset,
    small_work: Path,
    tmp_path: Path,
) -> None:
    assert set(stages_run(small_dataset, changed(section, **settings), tmp_path, small_work)) == reruns


def test_a_change_that_is_read_when_answering_reruns_nothing(
    small_bundle: Path, small_dataset: Dataset, small_work: Path, tmp_path: Path
) -> None:
    strategies = {"third": {"sources": {"popular": 10}}}
    assert stages_run(small_dataset, changed("strategies", **strategies), tmp_path, small_work) in ([], ["shift"])
    (bundle,) = tmp_path.iterdir()
    assert bundle.name != small_bundle.name
    assert "third" in Bundle.load(bundle).config.strategies


def test_the_order_of_features_is_kept_by_what_was_made_before(
    small_bundle: Path, loaded_bundle: Bundle, small_dataset: Dataset, small_config: Config, small_work: Path, tmp_path: Path
) -> None:
    turned = small_config.model_copy(update={"features": dict(reversed(small_config.features.items()))})
    bundle = Bundle.load(train(small_dataset, turned, AS_OF, tmp_path, work=small_work))
    columns = [[name for name, feature in config.features.items() if feature.scope == "item"] for config in (small_config, turned)]
    assert columns[0] == columns[1][::-1]
    np.testing.assert_array_equal(bundle.features.of_items[:, ::-1], loaded_bundle.features.of_items)


def test_a_later_time_renews_what_is_shipped_and_keeps_the_texts(
    small_bundle: Path, small_dataset: Dataset, small_config: Config, small_work: Path, tmp_path: Path
) -> None:
    run = stages_run(small_dataset, small_config, tmp_path, small_work, as_of=END)
    assert "texts" not in run
    assert run.count("history") == 2  # what is shipped, and the last period with some pasts cut down; the first one was there


def test_what_was_trained_before_is_replaced_as_a_whole(
    small_bundle: Path, small_dataset: Dataset, small_config: Config, small_work: Path, tmp_path: Path
) -> None:
    made = train(small_dataset, small_config, AS_OF, tmp_path, work=small_work)
    (made / "catalogue" / "prices.npy").write_bytes(b"damaged")
    (made / "stray").touch()
    again = train(small_dataset, small_config, AS_OF, tmp_path, work=small_work)
    assert again == made
    assert Bundle.load(again).version == small_bundle.name
    assert not (made / "stray").exists()
    assert [path.name for path in tmp_path.iterdir()] == [made.name]


# nothing from the future


def with_another_future(shop: Path, folder: Path, where: str) -> Path:
    """The shop with wholly other interactions at and after AS_OF, written before or after the true ones."""
    folder.mkdir()
    (folder / "items.parquet").write_bytes((shop / "items.parquet").read_bytes())
    lines = pq.read_table(shop / "interactions.parquet")
    past = lines.filter(pc.less(lines["event_time"], pa.scalar(AS_OF.item(), pa.timestamp("us", "UTC"))))
    n = 400
    rng = np.random.default_rng(1)
    times = AS_OF + rng.integers(0, 10**12, n).astype("timedelta64[us]")
    times[0] = AS_OF
    future = pa.table(
        {
            "item_id": [f"i{item}" for item in rng.integers(0, 64, n)],
            "customer_id": [f"new{customer}" if customer % 2 else f"c{customer}" for customer in rng.integers(0, 80, n)],
            "event": rng.choice(["view", "gift", "purchase"], n).tolist(),
            "event_time": pa.array(times, pa.timestamp("us", "UTC")),
            "basket_id": [f"other{basket}" for basket in rng.integers(0, 90, n)],
            "quantity": rng.random(n),
            "value": 1000 * rng.random(n),
        },
        schema=past.schema,
    )
    pq.write_table(pa.concat_tables([future, past] if where == "before" else [past, future]), folder / "interactions.parquet")
    return folder


@pytest.mark.parametrize("where", ["before", "after"])
def test_what_happens_at_as_of_or_later_changes_nothing(
    where: str, small_bundle: Path, small_shop: Path, small_config: Config, small_work: Path, tmp_path: Path
) -> None:
    shop = Dataset.load(with_another_future(small_shop, tmp_path / "shop", where))
    bundle = train(shop, small_config, AS_OF, tmp_path / "bundles", work=tmp_path / "work")
    assert (bundle / MANIFEST).read_bytes() == (small_bundle / MANIFEST).read_bytes()


# what the manifest says


def test_the_manifest_describes_the_training(small_bundle: Path, small_dataset: Dataset, small_config: Config) -> None:
    manifest = read_manifest(small_bundle)
    known = small_dataset.before(AS_OF)
    assert manifest["as_of"] == str(AS_OF)
    assert manifest["version"] == small_bundle.name
    assert manifest["data"] == {
        "fingerprint": known.fingerprint,
        "interactions": len(known.interactions),
        "customers": len(known.customers),
        "items": 64,
        "first_event": str(known.interactions.times[0]),
        "last_event": str(known.interactions.times[-1]),
    }
    assert Config.model_validate(manifest["config"]) == small_config
    assert {"numpy", "torch", "lightgbm", "implicit"} <= set(manifest["libraries"])
    assert all(entry["bytes"] == (small_bundle / name).stat().st_size for name, entry in manifest["files"].items())


def test_the_shift_of_every_feature_of_every_ranker_is_reported(small_bundle: Path, small_config: Config) -> None:
    shift = read_manifest(small_bundle)["feature_shift"]
    assert set(shift) == set(small_config.rankers)
    assert all(list(of_ranker) == list(feature_names(small_config)) for of_ranker in shift.values())
    assert all(np.isfinite(value) and value >= 0 for of_ranker in shift.values() for value in of_ranker.values())


def test_metrics_come_from_the_function_given_and_see_the_finished_bundle(
    small_bundle: Path, small_dataset: Dataset, small_config: Config, small_work: Path, tmp_path: Path
) -> None:
    def evaluate(bundle: Bundle) -> dict[str, Any]:
        return {"version": bundle.version, "rankers": sorted(bundle.rankers)}

    made = train(small_dataset, small_config, AS_OF, tmp_path, work=small_work, evaluate=evaluate, provenance={"commit": "abc"})
    manifest = Bundle.load(made).manifest
    assert manifest["metrics"] == {"version": small_bundle.name, "rankers": ["discovery", "home"]}
    assert manifest["provenance"] == {"commit": "abc"}


# what cannot be trained


def test_a_failing_evaluation_leaves_no_bundle(
    small_bundle: Path, small_dataset: Dataset, small_config: Config, small_work: Path, tmp_path: Path
) -> None:
    def fails(bundle: Bundle) -> dict[str, Any]:
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        train(small_dataset, small_config, AS_OF, tmp_path, work=small_work, evaluate=fails)
    assert list(tmp_path.iterdir()) == []


def test_two_trainings_never_share_a_work_folder(small_dataset: Dataset, small_config: Config, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(ConfigError, match="another training works in"):
        train(small_dataset, small_config, AS_OF, tmp_path / "out", work=tmp_path)


def test_a_split_by_position_cannot_be_shipped(small_dataset: Dataset, small_config: Config, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no as_of and cannot be written"):
        train_on(Split((), small_dataset, None), small_config, tmp_path, work=tmp_path / "work")


def test_the_manifest_says_how_each_index_searches_and_why(small_bundle: Path) -> None:
    indexes = read_manifest(small_bundle)["indexes"]
    assert set(indexes) == {"texts", "sources/als"}
    for facts in indexes.values():
        assert facts["kind"] == "exact"
        assert facts["stated_recall"] == 1
        assert facts["why"].startswith("exact: ")
