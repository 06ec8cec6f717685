"""The probability beside each item: what the ranker's score means, and nothing where nobody can tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from asking import ask, with_strategy

from recsys.bundle import Bundle
from recsys.engine import Engine, Snapshot
from recsys.ranking.calibration import Calibration
from recsys.ranking.lambdamart import LambdaMart

CALIBRATION = Calibration(np.array([-4.0, 4.0]), np.array([0.001, 0.9]))


@pytest.fixture
def calibrated(loaded_bundle: Bundle) -> Engine:
    ranker = loaded_bundle.rankers["home"]
    assert isinstance(ranker, LambdaMart)
    return Engine(replace(loaded_bundle, rankers={**loaded_bundle.rankers, "home": LambdaMart(ranker.model, CALIBRATION)}))


def test_it_is_what_the_score_of_the_features_means(calibrated: Engine, plain: Snapshot) -> None:
    answer = calibrated.recommend(ask(), plain)
    expected = CALIBRATION.of(calibrated.bundle.rankers["home"].score(answer.features))
    assert [item.probability for item in answer.items] == pytest.approx(expected.tolist())
    assert [item.probability for item in answer.items] == sorted(expected.tolist(), reverse=True)


def test_rules_that_move_an_item_do_not_change_it(calibrated: Engine, plain: Snapshot) -> None:
    def said(**rules: object) -> dict[str, float | None]:
        home = {**plain.strategies.strategies["home"].model_dump(), **rules}
        answer = calibrated.recommend(ask(k=20), with_strategy(plain, **home))
        return {item.item_id: item.probability for item in answer.items}

    before, boosted = said(), said(boosts=[{"factor": 0.01, "item_ids": [next(iter(said()))]}])
    assert list(before) != list(boosted)
    assert all(boosted[id_] == chance for id_, chance in before.items() if id_ in boosted)


def test_what_no_ranker_scored_has_none(calibrated: Engine, plain: Snapshot) -> None:
    home = plain.strategies.strategies["home"].model_dump()
    pinned = with_strategy(plain, **{**home, "sources": {"repurchase": 5}, "pins": {1: "i60"}})
    items = calibrated.recommend(ask(k=20), pinned).items
    assert items[0].probability is None, "it was pinned, and nobody proposed it"
    assert any(item.probability is not None for item in items)
    assert all((item.probability is None) == (item.sources[-1] in ("pinned", "last_resort")) for item in items)
    unranked = calibrated.recommend(ask(), with_strategy(plain, **{**home, "ranker": None}))
    assert {item.probability for item in unranked.items} == {None}


def test_of_a_guest_nobody_can_tell(calibrated: Engine, plain: Snapshot) -> None:
    assert {item.probability for item in calibrated.recommend(ask(customer=None), plain).items} == {None}


def test_without_a_calibration_nobody_can_tell(loaded_bundle: Bundle, plain: Snapshot) -> None:
    assert {item.probability for item in Engine(loaded_bundle).recommend(ask(), plain).items} == {None}
