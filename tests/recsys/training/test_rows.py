"""What the ranker learns from: candidates as a request would see them, labelled with what followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from world import NEVER_BOUGHT

from recsys.bundle import Bundle
from recsys.config import StrategyConfig
from recsys.engine import Engine, Snapshot
from recsys.errors import DataError
from recsys.protocols import ResolvedQuery, Unlimited
from recsys.training.rows import Kept, Rows, make_rows
from recsys.training.split import LabelledQuery
from recsys.training.stages import silent
from recsys.types import Candidates, Ints, Query, aware

N_IDLE_ROWS = 6
STRATEGY = StrategyConfig(sources={"repurchase": 5, "popular": 10}, filters=())


def query(bundle: Bundle, customer: int, wanted: Sequence[int], context: tuple[int, ...] = ()) -> LabelledQuery:
    assert bundle.as_of is not None
    return LabelledQuery(customer, bundle.as_of, context, np.array(sorted(wanted), np.int32))


def rows(
    bundle: Bundle,
    *queries: LabelledQuery,
    later: dict[int, Ints] | None = None,
    n_negatives: int = 100,
    n_idle: int = N_IDLE_ROWS,
    strategy: StrategyConfig = STRATEGY,
) -> Rows:
    kept = Kept(n_negatives, n_idle)
    return make_rows(lambda: bundle, bundle.config, strategy, queries, later or {}, kept, np.random.default_rng(1), silent)


def seen(bundle: Bundle, customer: int | None, context: tuple[int, ...] = ()) -> tuple[ResolvedQuery, Candidates]:
    """What the engine itself makes of the query."""
    assert bundle.as_of is not None
    engine, snapshot, ids = Engine(bundle), Snapshot.of(bundle), bundle.catalogue.items.ids
    customer_id = None if customer is None else bundle.customers.ids[customer]
    asked = Query(1, aware(bundle.as_of), customer_id, context_item_ids=tuple(ids[item] for item in context))
    resolved, _ = engine.resolve(asked, snapshot)
    return resolved, engine.retrieve(resolved, STRATEGY, snapshot, Unlimited()).candidates


def test_rows_are_the_candidates_of_the_request_path_labelled_with_what_was_wanted(loaded_bundle: Bundle) -> None:
    resolved, candidates = seen(loaded_bundle, 3)
    wanted = candidates.items[[0, 4]].tolist()
    made = rows(loaded_bundle, query(loaded_bundle, 3, wanted))
    assert made.sizes.tolist() == [len(candidates)]
    assert np.flatnonzero(made.labels).tolist() == [0, 4]
    np.testing.assert_array_equal(made.features, loaded_bundle.features.rows(resolved, candidates, loaded_bundle.sources))


def test_all_wanted_rows_are_kept_and_no_more_others_than_allowed(loaded_bundle: Bundle) -> None:
    resolved, candidates = seen(loaded_bundle, 3)
    made = rows(loaded_bundle, query(loaded_bundle, 3, candidates.items[[2, 7]].tolist()), n_negatives=4)
    assert made.sizes.tolist() == [6]
    full = loaded_bundle.features.rows(resolved, candidates, loaded_bundle.sources)
    np.testing.assert_array_equal(made.features[made.labels == 1], full[[2, 7]])
    others = [row.tobytes() for row in full]
    places = [others.index(row.tobytes()) for row in made.features]
    assert places == sorted(places)


def test_queries_that_teach_nothing_come_last_with_few_rows_or_not_at_all(loaded_bundle: Bundle) -> None:
    _, candidates = seen(loaded_bundle, 3)
    nothing = query(loaded_bundle, 3, [loaded_bundle.catalogue.items.ids.index(NEVER_BOUGHT)])
    everything = query(loaded_bundle, 3, candidates.items.tolist())
    made = rows(loaded_bundle, nothing, query(loaded_bundle, 3, candidates.items[:1].tolist()), everything)
    assert made.sizes.tolist() == [len(candidates), N_IDLE_ROWS]
    assert made.n_candidates.tolist() == [len(candidates)] * 2
    taught, idle = made.parted()
    assert (taught.sizes.tolist(), taught.labels.sum(), len(taught.features)) == ([len(candidates)], 1, len(candidates))
    assert (idle.sizes.tolist(), idle.labels.sum(), len(idle.features)) == ([N_IDLE_ROWS], 0, N_IDLE_ROWS)
    taught, idle = rows(loaded_bundle, nothing).parted()
    assert (len(taught.labels), taught.features.shape) == (0, (0, len(loaded_bundle.features.names)))
    assert idle.sizes.tolist() == [N_IDLE_ROWS]
    assert not len(rows(loaded_bundle, nothing, n_idle=0).sizes)
    empty = rows(loaded_bundle, everything)
    assert (len(empty.labels), empty.features.shape) == (0, (0, len(loaded_bundle.features.names)))
    assert [len(part.sizes) for part in empty.parted()] == [0, 0]


def test_idle_queries_change_nothing_of_those_that_teach(loaded_bundle: Bundle) -> None:
    _, candidates = seen(loaded_bundle, 3)
    nothing = query(loaded_bundle, 3, [loaded_bundle.catalogue.items.ids.index(NEVER_BOUGHT)])
    telling = query(loaded_bundle, 3, candidates.items[:2].tolist())
    among = rows(loaded_bundle, nothing, telling, nothing, telling, n_negatives=4).parted()[0]
    alone = rows(loaded_bundle, telling, telling, n_negatives=4)
    for name in ("features", "labels", "sizes", "customers", "n_candidates"):
        np.testing.assert_array_equal(getattr(among, name), getattr(alone, name))


def test_positions_are_those_of_what_was_shown_and_no_feature_knows_them(loaded_bundle: Bundle) -> None:
    _, candidates = seen(loaded_bundle, 3)
    asked = query(loaded_bundle, 3, candidates.items[[0, 4]].tolist())
    made = rows(loaded_bundle, replace(asked, shown={int(candidates.items[4]): 3, int(candidates.items[6]): 1, 9_999: 2}))
    assert {row: position for row, position in enumerate(made.positions.tolist()) if position} == {4: 3, 6: 1}
    plain = rows(loaded_bundle, asked)
    np.testing.assert_array_equal(made.features, plain.features)
    assert not plain.positions.any()


def test_guests_are_asked_about_what_they_look_at_and_say_nothing_of_leaks(loaded_bundle: Bundle) -> None:
    resolved, candidates = seen(loaded_bundle, None, context=(5,))
    made = rows(loaded_bundle, query(loaded_bundle, -1, candidates.items[:1].tolist(), context=(5,)))
    np.testing.assert_array_equal(made.features, loaded_bundle.features.rows(resolved, candidates, loaded_bundle.sources))
    assert 5 not in candidates.items
    assert made.recalls.shape == (0, 2)


def test_a_customer_who_first_came_later_is_a_stranger_to_the_bundle(loaded_bundle: Bundle) -> None:
    resolved, candidates = seen(loaded_bundle, None)
    made = rows(loaded_bundle, query(loaded_bundle, len(loaded_bundle.customers), candidates.items[:1].tolist()))
    np.testing.assert_array_equal(made.features, loaded_bundle.features.rows(resolved, candidates, loaded_bundle.sources))


def test_recall_counts_items_that_are_new_to_the_customer_but_not_to_the_shop(loaded_bundle: Bundle) -> None:
    resolved, candidates = seen(loaded_bundle, 3)
    had = np.unique(resolved.positives.items)
    strangers_own = np.setdiff1d(np.unique(loaded_bundle.histories.lines.items), had)
    found = np.intersect1d(candidates.items, strangers_own)
    missed = np.setdiff1d(strangers_own, candidates.items)
    never_sold = loaded_bundle.catalogue.items.ids.index(NEVER_BOUGHT)
    assert len(found) >= 2
    wanted = [*found[:2], missed[0], had[0], never_sold]
    made = rows(loaded_bundle, query(loaded_bundle, 3, wanted), later={3: np.array([found[0], missed[1], missed[2], had[1]], np.int32)})
    np.testing.assert_allclose(made.recalls, [[0, 2 / 3]])  # what is new to the customer cannot come from repurchase
    np.testing.assert_allclose(made.later, [[0, 1 / 3]])


def test_recall_is_unknown_where_nothing_new_was_wanted(loaded_bundle: Bundle) -> None:
    resolved, _ = seen(loaded_bundle, 3)
    made = rows(loaded_bundle, query(loaded_bundle, 3, [int(resolved.positives.items[0])]))
    assert np.isnan(made.recalls).all()
    assert np.isnan(made.later).all()


def test_a_ranker_never_learns_to_do_without_a_source_that_fails(loaded_bundle: Bundle) -> None:
    broken = replace(loaded_bundle, failed_sources={"popular": "OSError: gone"})
    with pytest.raises(DataError, match="training stops, for source popular: OSError: gone"):
        rows(broken, query(broken, 3, [0]))


def test_rows_survive_saving(loaded_bundle: Bundle, tmp_path: Path) -> None:
    made = rows(loaded_bundle, *(query(loaded_bundle, customer, [0, 1]) for customer in range(6)))
    made.save(tmp_path)
    loaded = Rows.load(tmp_path)
    for name, column in vars(made).items():
        np.testing.assert_array_equal(getattr(loaded, name), column)


def test_what_was_cut_from_a_past_is_no_candidate_of_a_strategy_of_new_items(loaded_bundle: Bundle) -> None:
    _, candidates = seen(loaded_bundle, 3)
    forgotten, wanted = candidates.items[:3], candidates.items[:5].tolist()
    asked = replace(query(loaded_bundle, 3, wanted), forgotten=forgotten)
    anything = rows(loaded_bundle, asked)
    new = rows(loaded_bundle, asked, strategy=STRATEGY.model_copy(update={"filters": ("bought",)}))
    assert anything.labels.sum() == 5
    assert new.labels.sum() <= 2


def test_several_processes_make_the_same_rows(small_bundle: Path, loaded_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.training.rows.AT_ONCE", 3)
    monkeypatch.setattr("recsys.training.rows.LEAST_TASKS", 2)
    wanted = seen(loaded_bundle, 3)[1].items[:4].tolist()
    queries = [query(loaded_bundle, customer, wanted[: customer % 3]) for customer in range(20)]
    later = {customer: np.array(wanted[2:], np.int32) for customer in range(0, 20, 2)}
    asked = loaded_bundle.config, STRATEGY, queries, later, Kept(5, 6)
    one, two = (make_rows(partial(Bundle.load, small_bundle), *asked, np.random.default_rng(1), silent, n) for n in (1, 2))
    assert len(one.sizes) == 20
    for name, array in vars(one).items():
        np.testing.assert_array_equal(array, getattr(two, name), err_msg=name)
