"""BG/NBD and Gamma-Gamma against published values on the 1/10 sample of CDNOW, and on worlds drawn from the models themselves.

The sample, 2,357 customers of Fader & Hardie over 39 weeks, comes with the package lifetimes; what needs it is skipped without that.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.bgnbd import BgNbd, GammaGamma, Repeats, fit_bgnbd, fit_gamma_gamma

PUBLISHED = BgNbd(0.243, 4.414, 0.793, 2.426)


def repeats(*rows: tuple[float, float, float, float]) -> Repeats:
    return Repeats(*np.array(rows, np.float64).reshape(-1, 4).T)


@pytest.fixture(scope="module")
def sample() -> Repeats:
    datasets = pytest.importorskip("lifetimes.datasets", reason="the package lifetimes carries the sample: pip install lifetimes")
    rows = datasets.load_cdnow_summary_data_with_monetary_value()
    return Repeats(*rows[["frequency", "recency", "T", "monetary_value"]].to_numpy(np.float64).T)


@pytest.fixture(scope="module")
def fitted(sample: Repeats) -> BgNbd:
    return fit_bgnbd(sample)


def test_parameters_of_the_cdnow_sample_are_the_published_ones(fitted: BgNbd) -> None:
    assert (fitted.r, fitted.alpha, fitted.a, fitted.b) == pytest.approx((0.243, 4.414, 0.793, 2.426), abs=0.01)


def test_repeats_expected_of_a_new_customer_are_the_published_ones(fitted: BgNbd) -> None:
    new = repeats((0, 0, 0, 0))
    expected = [fitted.expected(new, weeks)[0] for weeks in (0.1429, 1, 3, 31.8571, 32, 78)]
    assert expected == pytest.approx([0.0078, 0.0532, 0.1506, 1.0405, 1.0437, 1.8576], abs=1e-3)


def test_conditional_expectation_and_chance_of_none_are_the_published_ones() -> None:
    assert PUBLISHED.expected(repeats((2, 30.43, 38.86, 0)), 39)[0] == pytest.approx(1.226, abs=1e-3)
    assert 1 - PUBLISHED.returns(repeats((0, 0, 0, 0)), 39)[0] == pytest.approx(0.5737864, abs=1e-6)


def test_without_repeats_nobody_has_left_and_who_is_silent_for_long_probably_has() -> None:
    alive = PUBLISHED.alive(repeats((0, 0, 39, 0), (20, 20, 20, 0), (20, 20, 39, 0)))
    assert alive[0] == 1
    assert alive[1] > 0.8
    assert alive[2] < 0.01


def test_gamma_gamma_of_the_cdnow_sample_is_the_published_one(sample: Repeats) -> None:
    fitted = fit_gamma_gamma(sample)
    assert (fitted.p, fitted.q, fitted.v) == pytest.approx((6.25, 3.74, 15.44), abs=0.01)
    first = [24.65, 18.91, 35.17, 35.17, 35.17, 71.46, 18.91, 35.17, 27.28, 35.17]
    np.testing.assert_allclose(fitted.expected(sample)[:10], first, atol=0.1)
    assert fitted.p * fitted.v / (fitted.q - 1) == pytest.approx(35.2, abs=0.1)


def test_chances_come_true_in_a_world_of_the_model() -> None:
    rng = np.random.default_rng(2)
    truth, n, age, horizon = BgNbd(0.8, 10.0, 1.2, 3.0), 6000, 50.0, 20.0
    rates, leaving = rng.gamma(truth.r, 1 / truth.alpha, n), rng.beta(truth.a, truth.b, n)
    times = [_purchases(rate, leave, age + horizon, rng) for rate, leave in zip(rates, leaving, strict=True)]
    past = [times_of[times_of < age] for times_of in times]
    known = repeats(*((len(seen), seen.max(initial=0.0), age, 0) for seen in past))
    later = np.array([len(times_of) - len(seen) for times_of, seen in zip(times, past, strict=True)])
    fitted = fit_bgnbd(known)
    assert fitted.expected(known, horizon).sum() == pytest.approx(later.sum(), rel=0.1)
    returns = fitted.returns(known, horizon)
    for low in (0.0, 0.25, 0.5):
        alike = (returns >= low) & (returns < low + 0.25)
        assert returns[alike].mean() == pytest.approx((later > 0)[alike].mean(), abs=0.05)


def _purchases(rate: float, leave: float, until: float, rng: np.random.Generator) -> np.ndarray:
    times, now = [], 0.0
    while (now := now + rng.exponential(1 / rate)) < until:
        times.append(now)
        if rng.random() < leave:
            break
    return np.array(times)


@given(st.integers(0, 10_000), st.floats(0, 1000), st.floats(0, 1000), st.floats(0.1, 1000))
def test_chances_are_chances_and_expectations_finite(x: int, t_x: float, silence: float, horizon: float) -> None:
    history = repeats((x, t_x if x else 0.0, t_x + silence, 0))
    for model in (PUBLISHED, BgNbd(0.7, 66.0, 3e-4, 186.0), BgNbd(0.5, 5.0, 1.0, 2.0)):
        assert 0 <= model.alive(history)[0] <= 1
        assert 0 <= model.returns(history, horizon)[0] <= 1
        assert 0 <= model.expected(history, horizon)[0] < np.inf


@pytest.mark.parametrize("history", [repeats((0, 0, 5, 0)), repeats((3, 40, 40, 2.0)), repeats(*[(10_000, 300, 300, 1e30)] * 3)])
def test_few_or_extreme_customers_give_finite_models(history: Repeats) -> None:
    assert np.isfinite(fit_bgnbd(history).expected(history, 28)).all()
    if history.money.any():
        assert np.isfinite(fit_gamma_gamma(history).expected(history)).all()


def test_money_is_drawn_to_the_mean_the_fewer_repeats_there_are() -> None:
    model = GammaGamma(6.25, 3.74, 15.44)
    none, once, often = model.expected(repeats((0, 0, 9, 0), (1, 5, 9, 100), (50, 5, 9, 100)))
    assert none < once < often < 100


def test_nothing_to_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one customer"):
        fit_bgnbd(repeats())
    with pytest.raises(ValueError, match="repeat purchase of some value"):
        fit_gamma_gamma(repeats((0, 0, 5, 0), (2, 3, 5, 0)))
