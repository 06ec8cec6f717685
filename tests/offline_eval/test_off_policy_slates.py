"""Estimators per list: by hand, and over every list that could have been logged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from logged import logged

from offline_eval.off_policy.estimators import Terms
from offline_eval.off_policy.evaluation import evaluate_slates
from offline_eval.off_policy.slates import (
    DRAWS,
    independent_ips,
    pseudo_inverse,
    reward_interaction_ips,
    slate_estimators,
    slate_ips,
    slates_of,
)
from recsys.errors import DataError

LISTS = logged(
    propensities=[0.25, 0.5, 0.5, 0.25],
    policy=[0.5, 0.25, 0.5, 0.75],
    rewards=[1, 1, 0, 2],
    units=["a", "a", "b", "b"],
    slates=[7, 7, 9, 9],
    positions=[1, 2, 1, 2],
)
"""Weights 2, 1/2 and 1, 3."""
ITEMS = (0, 1, 2)
SCORES = {"log": np.array([1.0, 2.0, 4.0]), "policy": np.array([5.0, 2.0, 1.0])}


def value(terms: Terms) -> float:
    return float(terms.value(terms.columns.mean(axis=0)))


def test_every_estimator_by_hand() -> None:
    found = {terms.name: value(terms) for terms in slate_estimators(slates_of(LISTS), "independent")}
    assert found == pytest.approx(
        {
            "IIPS": (2.5 + 6) / 2,
            "RIPS": (3 + 6) / 2,
            "SIPS": (2 + 6) / 2,
            "PI": (3 + 6) / 2,
            "SN-IIPS": 2 / 3 + 13 / 7,
            "SN-RIPS": 2 / 3 + 7 / 4,
            "SN-SIPS": 1 / 4 + 7 / 4,
        }
    )


def test_only_what_holds_for_the_draws_is_estimated() -> None:
    names = {draws: {terms.name for terms in slate_estimators(slates_of(LISTS), draws)} for draws in DRAWS}
    assert names["marginal"] == {"IIPS", "SN-IIPS"}
    assert names["conditional"] == {"RIPS", "SN-RIPS", "SIPS", "SN-SIPS"}
    assert names["independent"] == names["marginal"] | names["conditional"] | {"PI"}


def test_a_shorter_list_earns_nothing_where_it_has_no_place() -> None:
    short = logged([0.25, 0.5, 0.5], [0.5, 0.25, 0.5], [1, 1, 3], slates=[0, 0, 1], positions=[1, 2, 1], units=["a", "a", "b"])
    slates = slates_of(short)
    assert slates.weights.tolist() == [[2, 0.5], [1, 1]]
    assert slates.rewards.tolist() == [[1, 1], [3, 0]]


def test_order_of_rows_changes_nothing() -> None:
    order = [3, 0, 2, 1]
    columns = {name: column[order] for name, column in vars(LISTS).items()}
    shuffled = slate_estimators(slates_of(type(LISTS)(**columns)), "independent")
    assert [value(terms) for terms in shuffled] == pytest.approx(
        [value(terms) for terms in slate_estimators(slates_of(LISTS), "independent")]
    )


def test_a_list_has_each_place_once_and_one_unit() -> None:
    with pytest.raises(DataError, match="rows 1 and 2 are the same place"):
        slates_of(logged([0.5, 0.5], [0.5, 0.5], [0, 0], slates=[1, 1], units=["a", "a"]))
    with pytest.raises(DataError, match="row 2: unit b is in a list of unit a"):
        slates_of(logged([0.5, 0.5], [0.5, 0.5], [0, 0], slates=[1, 1], positions=[1, 2], units=["a", "b"]))


@pytest.mark.parametrize(("positions", "message"), [([1, 3], "row 2: place 3 .* and place 2 is not"), ([2, 3], "row 1: place 2 .*place 1")])
def test_a_list_lacks_no_place_where_weights_are_multiplied(positions: list[int], message: str) -> None:
    gap = logged([0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 1], slates=[1, 1, 2], positions=[*positions, 1], units=["a", "a", "b"])
    for draws in ("conditional", "independent"):
        with pytest.raises(DataError, match=message):
            evaluate_slates(gap, draws, np.random.default_rng(0), n_resamples=10)
    assert evaluate_slates(gap, "marginal", np.random.default_rng(0), n_resamples=10).n == 2


def test_places_may_be_counted_from_0() -> None:
    log = logged([0.5] * 3, [0.5] * 3, [0, 0, 1], slates=[2, 1, 1], positions=[0, 1, 0], units=["b", "a", "a"])
    assert slates_of(log).rewards.tolist() == [[1, 0], [0, 0]]
    with pytest.raises(DataError, match=r"row 1: place 1 .* and place 0 is not"):
        slates_of(replace(log, positions=np.array([1, 1, 0])))


def conditional(scores: np.ndarray, chosen: tuple[int, ...]) -> list[float]:
    """Chances of drawing items one after another without repeats, each given those above it."""
    left = scores.copy()
    found = []
    for item in chosen:
        found.append(float(left[item] / left.sum()))
        left[item] = 0
    return found


def marginal(scores: np.ndarray, chosen: tuple[int, int]) -> list[float]:
    """Chances of each item in its place, whatever stands above it."""
    second = sum(np.prod(conditional(scores, (first, chosen[1]))) for first in ITEMS if first != chosen[1])
    return [float(scores[chosen[0]] / scores.sum()), float(second)]


def independent(scores: np.ndarray, chosen: tuple[int, int]) -> list[float]:
    """Chances where places are drawn without regard to each other."""
    return [float(scores[item] / scores.sum()) for item in chosen]


def expectation(
    lists: list[tuple[int, int]],
    chances: Callable[[np.ndarray, tuple[int, int]], list[float]],
    given: Callable[[np.ndarray, tuple[int, int]], list[float]],
    rewards: Callable[[tuple[int, int]], list[float]],
    estimate: Callable[[object], Terms],
) -> tuple[float, float]:
    """What an estimator gives on average over all lists that may be logged, and what the policy earns."""
    expected = truth = 0.0
    for chosen in lists:
        log = logged(
            given(SCORES["log"], chosen),
            given(SCORES["policy"], chosen),
            rewards(chosen),
            slates=[0, 0],
            positions=[1, 2],
            units=["a", "a"],
        )
        expected += np.prod(chances(SCORES["log"], chosen)) * value(estimate(slates_of(log)))
        truth += np.prod(chances(SCORES["policy"], chosen)) * sum(rewards(chosen))
    return float(expected), float(truth)


WITHOUT_REPEATS = list(permutations(ITEMS, 2))
ALL = list(product(ITEMS, repeat=2))


def by_place(chosen: tuple[int, int]) -> list[float]:
    """The reward of a place depends on its item."""
    return [[1.0, 3.0, 0.5][chosen[0]], [2.0, 0.2, 1.0][chosen[1]]]


def read_down(chosen: tuple[int, int]) -> list[float]:
    """The reward of a place depends on its item and those above it."""
    return [[1.0, 3.0, 0.5][chosen[0]], float(3 * chosen[0] + chosen[1] ** 2)]


def tangled(chosen: tuple[int, int]) -> list[float]:
    """Every reward depends on the whole list."""
    return [float(chosen[0] * chosen[1] + 1), float(3 * chosen[0] + chosen[1] ** 2)]


def as_a_sum(chosen: tuple[int, int]) -> list[float]:
    """All rewards show in the first place, as a sum of what the items add."""
    return [sum(by_place(chosen)), 0.0]


@pytest.mark.parametrize(
    ("lists", "chances", "given", "rewards", "estimate"),
    [
        (WITHOUT_REPEATS, conditional, marginal, by_place, independent_ips),
        (WITHOUT_REPEATS, conditional, conditional, read_down, reward_interaction_ips),
        (WITHOUT_REPEATS, conditional, conditional, tangled, slate_ips),
        (ALL, independent, independent, as_a_sum, pseudo_inverse),
        (ALL, independent, independent, tangled, slate_ips),
    ],
)
def test_where_its_assumption_holds_an_estimator_is_right_on_average(
    lists: list[tuple[int, int]],
    chances: Callable[[np.ndarray, tuple[int, int]], list[float]],
    given: Callable[[np.ndarray, tuple[int, int]], list[float]],
    rewards: Callable[[tuple[int, int]], list[float]],
    estimate: Callable[[object], Terms],
) -> None:
    expected, truth = expectation(lists, chances, given, rewards, estimate)
    assert expected == pytest.approx(truth)


@pytest.mark.parametrize(
    ("lists", "chances", "given", "rewards", "estimate"),
    [
        (WITHOUT_REPEATS, conditional, conditional, by_place, independent_ips),  # conditional chances where marginal ones belong
        (ALL, independent, independent, read_down, independent_ips),
        (ALL, independent, independent, tangled, reward_interaction_ips),
        (ALL, independent, independent, tangled, pseudo_inverse),
    ],
)
def test_where_it_does_not_hold_it_is_wrong(
    lists: list[tuple[int, int]],
    chances: Callable[[np.ndarray, tuple[int, int]], list[float]],
    given: Callable[[np.ndarray, tuple[int, int]], list[float]],
    rewards: Callable[[tuple[int, int]], list[float]],
    estimate: Callable[[object], Terms],
) -> None:
    expected, truth = expectation(lists, chances, given, rewards, estimate)
    assert abs(expected - truth) > 0.05
