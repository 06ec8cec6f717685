from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pytest
from handmade import NOW, asked, candidates, catalogue, history, interactions, profile, store_of
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import Config
from recsys.data.catalogue import Catalogue
from recsys.data.dataset import Dataset
from recsys.data.vocabulary import Vocabulary
from recsys.feature_config import OF_SOURCES, STATISTICS_OF
from recsys.features.store import FeatureStore
from recsys.types import STANDARD_EVENTS, Candidates, History, Interactions

Shop: TypeAlias = list[tuple[float, int, int, float]]

N_ITEMS = 6
PRICES = np.array([1, 2, 2, 5, np.nan, 9], np.float32)
ITEMS = catalogue(N_ITEMS, brands=[0, 0, 1, 1, -1, 2], categories=[[0, 1], [0, 1], [0, 2], [3, 4], [3, 4], [-1, -1]], prices=PRICES)
TABLE = pa.table(
    {
        "item_id": list(ITEMS.items.ids),
        "title": [""] * N_ITEMS,
        "brand": ["a", "a", "b", "b", None, "c"],
        "category": [["x", "y"], ["x", "y"], ["x", "z"], ["v", "w"], ["v", "w"], None],
        "available": [True] * N_ITEMS,
        "recommendable": [True] * N_ITEMS,
    }
)
"""The same items as a shop folder has them, without prices."""
EVERY_FEATURE = {
    f"{scope}_{statistic}_{by}": {
        "scope": scope,
        "statistic": statistic,
        "by": by,
        **({"half_life_days": 9} if statistic == "decayed" else {}),
        **({"source": "als"} if scope in OF_SOURCES else {}),
    }
    for scope, statistics in STATISTICS_OF.items()
    for statistic in statistics
    for by in (
        ("item",)
        if scope in ("query", "customer", *OF_SOURCES)
        else ("brand", "category")
        if statistic == "price"
        else ("item", "brand", "category")
    )
}
SHOPS = st.lists(
    st.tuples(
        st.integers(1, 400).map(lambda n: n / 4), st.integers(-1, 3), st.integers(0, N_ITEMS - 1), st.sampled_from([1.0, 2.5, np.nan])
    ),
    min_size=1,
    max_size=40,
)


def of_customer(lines: Interactions, customer: int) -> History:
    mine = lines.take(lines.customers == customer)
    return History(mine.items[::-1], mine.events[::-1], mine.times[::-1], mine.values[::-1])


def everything(lines: Interactions, items: Catalogue = ITEMS) -> FeatureStore:
    return store_of(EVERY_FEATURE, items, lines, segments=[0, 0, 1, -1], tiers=[0, 1, 2, -1], needs=[1, 0, 0, -1])


@settings(max_examples=60, deadline=None)
@given(shop=SHOPS, customer=st.integers(0, 3), chosen=st.permutations(range(N_ITEMS)), n=st.integers(1, N_ITEMS))
def test_a_row_does_not_depend_on_the_other_candidates(shop: Shop, customer: int, chosen: list[int], n: int) -> None:
    lines = interactions(*shop)
    store = everything(lines)
    query = asked(of_customer(lines, customer), who=profile(needs=["fit"]))
    of_all = store.rows(query, candidates(range(N_ITEMS), scores=[1.0] * N_ITEMS), {})
    of_some = store.rows(query, candidates(chosen[:n], scores=[1.0] * n), {})
    ranks = store.names.index("popular_rank")
    for row, item in enumerate(chosen[:n]):
        np.testing.assert_array_equal(np.delete(of_some[row], ranks), np.delete(of_all[item], ranks))


@settings(max_examples=60, deadline=None)
@given(shop=SHOPS, later=SHOPS, customer=st.integers(0, 3))
def test_what_happens_at_or_after_as_of_changes_no_feature(shop: Shop, later: Shop, customer: int) -> None:
    future = [(0.25 - days, *line) for days, *line in later]  # from now on
    rows = []
    for world in (shop, shop + future):
        known = Dataset(interactions(*world), Vocabulary(["c0", "c1", "c2", "c3"]), TABLE, STANDARD_EVENTS, Path()).before(NOW)
        past = of_customer(interactions(*world), customer).before(NOW)
        store = everything(known.interactions, known.catalogue())  # prices are those of the last lines
        rows.append(store.rows(asked(past, who=profile()), candidates(range(N_ITEMS)), {}))
    np.testing.assert_array_equal(rows[0], rows[1])


@settings(max_examples=40, deadline=None)
@given(shop=SHOPS, customer=st.integers(-1, 3))
def test_a_feature_is_a_finite_number_or_nan(shop: Shop, customer: int) -> None:
    lines = interactions(*shop)
    store = everything(lines)
    rows = store.rows(asked(of_customer(lines, customer) if customer >= 0 else None, who=profile()), candidates(range(N_ITEMS)), {})
    assert rows.dtype == np.float32
    assert not np.isinf(rows).any()
    shares = [at for at, name in enumerate(store.names) if any(word in name for word in ("share", "frequency", "repeat"))]
    known = rows[:, shares][np.isfinite(rows[:, shares])]
    assert ((known >= 0) & (known <= 1)).all()


def test_profile_columns_and_the_number_of_sources() -> None:
    store = store_of({}, ITEMS, interactions((1, 0, 0)))
    known = store.rows(asked(who=profile(tier="high", expected_value=12.5)), candidates([0, 1]), {})
    guest = store.rows(asked(), candidates([0, 1]), {})
    assert known[:, :4].tolist() == [[2, 12.5, 0.25, 1]] * 2
    assert np.isnan(guest[:, :3]).all()
    assert guest[:, 3].tolist() == [1, 1]


def test_source_columns_are_ranks_and_scores_as_shares_of_the_best() -> None:
    store = store_of({}, ITEMS, interactions((1, 0, 0)))
    scores = np.array([[8, np.nan], [2, -1], [np.nan, -3]], np.float32)
    ranks = np.array([[1, np.nan], [2, 1], [np.nan, 2]], np.float32)
    both = Candidates(np.array([0, 1, 2], np.int32), np.zeros(3, np.float32), scores, ranks, ("repurchase", "als"))
    rows = {name: values.tolist() for name, values in zip(store.names, store.rows(asked(), both, {}).T, strict=True)}
    assert rows["repurchase_score"] == pytest.approx([1, 0.25, np.nan], nan_ok=True)
    assert rows["als_score"] == pytest.approx([np.nan, -1, -3], nan_ok=True)
    assert rows["als_rank"] == pytest.approx([np.nan, 1, 2], nan_ok=True)
    assert rows["n_sources"] == [1, 2, 1]
    assert np.isnan(rows["popular_score"]).all()


def test_save_and_load_give_the_same_rows(tmp_path: Path) -> None:
    lines = interactions((3, 0, 0, 2.0), (2, 1, 3), (9, 2, 1), (30, 0, 0, 5.0), (1, -1, 5))
    store = everything(lines)
    store.save(tmp_path / "features")
    loaded = FeatureStore.load(tmp_path / "features", store.config, ITEMS)
    query = asked(history((3, 0, 2.0), (30, 0, 5.0)), who=profile("s1", "medium"))
    all_items = candidates(range(N_ITEMS))
    np.testing.assert_array_equal(loaded.rows(query, all_items, {}), store.rows(query, all_items, {}))


def test_no_candidates_give_no_rows() -> None:
    store = everything(interactions((1, 0, 0)))
    assert store.rows(asked(history((1, 0))), candidates([]), {}).shape == (0, len(store.names))


def test_the_default_features_work_for_a_shop_of_one_item_and_one_line() -> None:
    defaults = {name: feature.model_dump() for name, feature in Config().features.items()}
    store = store_of(defaults, catalogue(1), interactions((1, 0, 0)), segments=[0], tiers=[0])
    rows = store.rows(asked(history((1, 0)), who=profile()), candidates([0]), {})
    assert not np.isinf(rows).any()
