"""The planted customers: what their persona gives them, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.synthetic.config import Behaviour, Signals, WorldConfig
from recsys.synthetic.customers import BLOCK, Customers
from recsys.synthetic.world import World


def customers(signals: Signals | None = None, behaviour: Behaviour | None = None) -> Customers:
    """A full block."""
    config = WorldConfig(n_customers=BLOCK, n_items=60, n_days=100, signals=signals or Signals(), behaviour=behaviour or Behaviour())
    return World.build(config).customers(0)


def share_between(values: np.ndarray, groups: np.ndarray) -> float:
    """Share of the second moment of the columns that the groups' means explain, without what means of noise explain."""
    centres = np.stack([values[groups == group].mean(axis=0) for group in range(groups.max() + 1)])
    explained, total = (centres[groups] ** 2).sum(), (values**2).sum()
    by_chance = len(centres) / len(values)
    return float((explained / total - by_chance) / (1 - by_chance))


@pytest.mark.parametrize("segment", [0.0, 0.5, 0.8])
def test_the_persona_explains_its_share_of_taste(segment: float) -> None:
    made = customers(Signals(segment=segment))
    assert share_between(made.tastes, made.personas) == pytest.approx(segment, abs=0.03)
    assert (made.tastes**2).mean() == pytest.approx(1, abs=0.05)


def test_without_segments_nothing_depends_on_the_persona() -> None:
    made = customers(Signals(segment=0))
    for name in ("sensitivity", "visits", "churn_rate"):
        logs = np.log(getattr(made, name).astype(np.float64))
        assert share_between((logs - logs.mean())[:, None], made.personas) == pytest.approx(0, abs=0.01), name


def test_with_segments_alone_the_persona_is_all_there_is_of_taste_and_sensitivity() -> None:
    made = customers(Signals(segment=1))
    for persona in np.unique(made.personas):
        mine = made.personas == persona
        assert (made.tastes[mine] == made.tastes[mine][0]).all()
        assert (made.sensitivity[mine] == made.sensitivity[mine][0]).all()


def test_value_makes_customers_come_and_look_more_often() -> None:
    made = customers(Signals(value=0.7, segment=0))
    for name, slope, spread in (("visits", 0.8, 0.6), ("missions", 0.4, 0.3)):
        logs = np.log(getattr(made, name).astype(np.float64))
        assert np.polyfit(made.value, logs, 1)[0] == pytest.approx(0.7 * slope, abs=0.03)
        assert logs.std() == pytest.approx(0.7 * np.hypot(slope, spread), rel=0.05)


def test_without_value_and_segments_all_customers_are_as_active_as_each_other() -> None:
    made = customers(Signals(value=0, segment=0), Behaviour(visits_per_month=6, missions_per_visit=3))
    np.testing.assert_allclose(made.visits, 0.2, rtol=1e-6)
    np.testing.assert_allclose(made.missions, 3, rtol=1e-6)


def test_shares_and_rates_are_as_asked() -> None:
    made = customers(Signals(segment=0), Behaviour(newcomers=0.3, chinese=0.1, churn_per_year=2))
    assert (made.arrival >= 0).mean() == pytest.approx(0.3, abs=0.03)
    assert made.is_chinese.mean() == pytest.approx(0.1, abs=0.02)
    assert np.median(made.churn_rate) * 365 == pytest.approx(2, rel=0.1)
    lifetime = made.churn - np.maximum(made.arrival, 0)
    assert lifetime.min() > 0
    assert (lifetime * made.churn_rate).mean() == pytest.approx(1, abs=0.06)
