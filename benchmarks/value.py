"""How well spend, return and churn are predicted on real shops, against what is usual.

    python -m benchmarks.value --data ../shared/data
    python -m benchmarks.value --data ../shared/data --what churn --picture reliability.png

CDNOW, all 23,570 customers: 39 weeks known, the next 39 predicted. UCI Online Retail, lines with a customer, cancellations as negative
money: the last 13 weeks predicted from the 40 before them; and 4 weeks predicted at six cuts 4 weeks apart, pooled. Every system knows
only what was before its cut. Intervals are 95 %, from customers drawn anew, each with all of their cuts; differences are of the same
draws. Spend is net of refunds, at least 0; a return is a purchase that is not a refund. "Level put right": with all predictions of a system
multiplied by what was spent over their sum, which nobody could know (Online Retail holds one autumn only); what is left is shape.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from segmentation.features import Features, History, features_of
from segmentation.outlook import earlier_examples, fit_outlook
from segmentation.purchases import Orders, Purchases, Reals, duration, orders_of
from segmentation.rfm import orders_to_rfm, purchases_among
from segmentation.value import fit_faded_rate
from segrec.recovery.measures import auc, captured, rank_correlation

SEED, N_RESAMPLES = 20, 400
N_BINS = 10
OURS, STANDARD = "two-part trees", "BG/NBD + Gamma-Gamma"
Measure: TypeAlias = Callable[["Outcome", "Prediction"], float]


@dataclass(frozen=True)
class Prediction:
    """One system's answer of each customer. value: money; returns: in any unit, higher = likelier; NaN columns = not said.

    is_probability: whether `returns` claims to be one
    """

    value: Reals
    returns: Reals
    is_probability: bool = False

    def take(self, rows: NDArray[np.intp]) -> Prediction:
        """The given rows."""
        return Prediction(self.value[rows], self.returns[rows], self.is_probability)


@dataclass(frozen=True)
class Outcome:
    """What followed. spent: money, at least 0; returned: whether a purchase followed; customers: whose, for drawing anew."""

    customers: NDArray[np.intp]
    spent: Reals
    returned: NDArray[np.bool_]

    def take(self, rows: NDArray[np.intp]) -> Outcome:
        """The given rows."""
        return Outcome(self.customers[rows], self.spent[rows], self.returned[rows])


@dataclass(frozen=True)
class Trial:
    """A shop and the times at which its customers are predicted."""

    name: str
    purchases: Purchases
    n_customers: int
    horizon_days: float
    cuts: Sequence[np.datetime64] = field(default_factory=tuple)


def main() -> None:
    """Predict, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cdnow_master.parquet and uci_online_retail.parquet")
    parser.add_argument("--what", choices=("value", "churn", "all"), default="all")
    parser.add_argument("--resamples", type=int, default=N_RESAMPLES)
    parser.add_argument("--picture", type=Path, help="write the reliability plots to this PNG file")
    options = parser.parse_args()
    curves = {}
    for trial in trials(options.data):
        outcome, predictions = outcome_and_predictions(trial)
        returned = f"{outcome.returned.mean():.1%} returned, {outcome.spent.sum():,.0f} spent"
        print(f"\n{trial.name}: {len(outcome.spent):,} customers, {len(trial.cuts)} cut(s), {trial.horizon_days:g} days; {returned}")
        if options.what in ("value", "all"):
            print_table("value", VALUE_MEASURES, outcome, predictions, options.resamples)
        if options.what in ("churn", "all"):
            print_table("churn", CHURN_MEASURES, outcome, predictions, options.resamples)
            curves[trial.name] = reliability(outcome.returned, predictions[OURS].returns)
            print("reliability, predicted > happened: " + "  ".join(f"{said:.2f}>{came:.2f} ({n})" for said, came, n in curves[trial.name]))
    if options.picture is not None:
        draw(curves, options.picture)


def trials(data: Path) -> Iterator[Trial]:
    """The shops and their cuts.

    Raises:
        SystemExit: a file is missing.
    """
    for file in ("cdnow_master.parquet", "uci_online_retail.parquet"):
        if not (data / file).exists():
            raise SystemExit(f"{data / file} is missing; give the folder of the public data sets with --data")
    music, n_customers = cdnow(data / "cdnow_master.parquet")
    yield Trial("CDNOW, 39 weeks after 39", music, n_customers, 273.0, [np.datetime64("1997-10-01", "us")])
    gifts, n_customers = online_retail(data / "uci_online_retail.parquet")
    end = np.datetime64("2011-12-10", "us")
    yield Trial("Online Retail, last 13 weeks", gifts, n_customers, 91.0, [end - duration(91)])
    rolling = [end - duration(28 * number) for number in range(1, 7)]
    yield Trial("Online Retail, 4 weeks at six cuts", gifts, n_customers, 28.0, rolling)


def cdnow(path: Path) -> tuple[Purchases, int]:
    """All purchases; those of one day are one order."""
    table = pd.read_parquet(path)
    customers, ids = pd.factorize(table["customer_id"])
    times = table["date"].to_numpy("datetime64[us]")
    return _purchases(customers, times, table["dollar_value"], times.astype("datetime64[D]").astype(np.int64), None), len(ids)


def online_retail(path: Path) -> tuple[Purchases, int]:
    """Lines with a customer; invoices are orders, cancellations have negative value, stock codes are topics."""
    table = pd.read_parquet(path, columns=["CustomerID", "InvoiceNo", "InvoiceDate", "StockCode", "Quantity", "UnitPrice"])
    table = table[table["CustomerID"].notna() & (table["CustomerID"] > 0)]
    customers, ids = pd.factorize(table["CustomerID"])
    invoices, _ = pd.factorize(table["InvoiceNo"])
    values = table["Quantity"] * table["UnitPrice"]
    return _purchases(customers, table["InvoiceDate"].to_numpy("datetime64[us]"), values, invoices, table["StockCode"]), len(ids)


def _purchases(
    customers: NDArray[np.intp], times: NDArray[np.datetime64], values: pd.Series, baskets: NDArray[np.integer], topics: pd.Series | None
) -> Purchases:
    codes, names = (np.full(len(customers), -1), ()) if topics is None else pd.factorize(topics)
    return Purchases(
        customers.astype(np.int32),
        times,
        values.to_numpy(np.float32),
        baskets.astype(np.int32),
        codes.astype(np.int32),
        tuple(map(str, names)),
    )


def outcome_and_predictions(trial: Trial) -> tuple[Outcome, dict[str, Prediction]]:
    """What followed each cut, and what each system had said of it; all cuts below one another."""
    outcomes, predictions = [], []
    orders = orders_of(trial.purchases)
    for cut in trial.cuts:
        known = trial.purchases.before(cut)
        customers = np.flatnonzero(orders_to_rfm(orders_of(known), trial.n_customers, cut).has_bought)
        outcomes.append(_outcome(orders.since(cut).before(cut + duration(trial.horizon_days)), customers, trial.n_customers))
        predictions.append(predict(known, customers, trial.n_customers, cut, trial.horizon_days))
    joined = {name: _below([part[name] for part in predictions]) for name in predictions[0]}
    columns = (np.concatenate([getattr(part, column) for part in outcomes]) for column in ("customers", "spent", "returned"))
    return Outcome(*columns), joined


def _below(parts: Sequence[Prediction]) -> Prediction:
    value, returns = np.concatenate([part.value for part in parts]), np.concatenate([part.returns for part in parts])
    return Prediction(value, returns, parts[0].is_probability)


def _outcome(followed: Orders, customers: NDArray[np.intp], n_customers: int) -> Outcome:
    spent = np.maximum(followed.sum_per_customer(followed.values, n_customers)[customers], 0.0)
    return Outcome(customers, spent, np.isin(customers, purchases_among(followed).customers))


def predict(
    known: Purchases, customers: NDArray[np.intp], n_customers: int, cut: np.datetime64, horizon_days: float
) -> dict[str, Prediction]:
    """Every system's answer for the customers, who have bought, by rising number."""
    history = History.of(known, n_customers)
    model = fit_outlook(known, n_customers, cut, horizon_days, seed=SEED, n_threads=1)
    ours = model.of(known, n_customers, cut)
    if model.population is None:
        raise SystemExit(f"there is too little history before {cut} to compare anything")
    features = features_of(history, cut, model.population, None, ())
    standard = model.population.orders
    orders, returns = standard.expected(features.repeats, horizon_days), standard.returns(features.repeats, horizon_days)
    recent = history.orders.since(cut - duration(horizon_days))
    rfm = orders_to_rfm(history.orders, n_customers, cut)
    last_spend = recent.sum_per_customer(recent.values, n_customers)[customers]
    faded = fit_faded_rate(history.orders, n_customers, cut, horizon_days).expected(history.orders, n_customers, cut)[customers]
    unsaid = np.full(len(customers), np.nan)
    return {
        OURS: Prediction(ours.expected_value[customers], 1 - ours.churn_probability[customers], is_probability=True),
        STANDARD: Prediction(orders * model.population.money.expected(features.repeats), returns, is_probability=True),
        "last period's spend": Prediction(last_spend, last_spend),
        "all spend so far": Prediction(rfm.spend[customers], rfm.spend[customers]),
        "faded spend rate": Prediction(faded, faded),
        "recency alone": Prediction(unsaid, -rfm.recency_days[customers]),
        "RFM logistic regression": Prediction(unsaid, _logistic(history, features, cut, model.population.period_days), is_probability=True),
    }


def _logistic(history: History, features: Features, cut: np.datetime64, period_days: float) -> Reals:
    """Probability of a return by logistic regression on recency, frequency and money, taught by the same earlier cuts as the trees."""
    examples = earlier_examples(history, cut, period_days)
    if examples is None:
        return np.full(len(features.customers), np.nan)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    regression.fit(_rfm_of(examples.features), examples.returned)
    return np.asarray(regression.predict_proba(_rfm_of(features))[:, 1], np.float64)


def _rfm_of(features: Features) -> Reals:
    """Logarithms of recency, frequency and money, (n, 3)."""
    columns = [features.columns[:, features.names.index(name)] for name in ("recency_days", "n_orders", "paid")]
    columns[2] = columns[2] * features.giant
    return np.log1p(np.stack(columns, axis=1))


def decile_error(spent: Reals, predicted: Reals) -> float:
    """Mean over ten groups of equal size, by prediction, of |mean predicted - mean spent| / mean spent, where any was spent."""
    groups = np.array_split(np.argsort(predicted, kind="stable"), N_BINS)
    means = [(predicted[group].mean(), spent[group].mean()) for group in groups if len(group)]
    errors = [abs(said - came) / came for said, came in means if came > 0]
    return float(np.mean(errors)) if errors else np.nan


def share_in_top(spent: Reals, predicted: Reals, share: float) -> float:
    """Share of the spend that the best predicted customers, so many of all, account for."""
    best = np.argsort(-predicted, kind="stable")[: round(share * len(predicted))]
    return float(spent[best].sum() / spent.sum()) if spent.sum() > 0 else np.nan


def reliability(happened: NDArray[np.bool_], said: Reals) -> list[tuple[float, float, int]]:
    """Mean probability, share that happened and number of rows, per tenth of the unit interval; empty tenths are left out."""
    tenths = np.minimum((said * N_BINS).astype(np.int64), N_BINS - 1)
    rows = [np.flatnonzero(tenths == tenth) for tenth in range(N_BINS)]
    return [(float(said[bin_].mean()), float(happened[bin_].mean()), len(bin_)) for bin_ in rows if len(bin_)]


def calibration_error(happened: NDArray[np.bool_], said: Reals) -> float:
    """Expected calibration error: |said - happened| over the tenths of the unit interval, weighted by their rows."""
    return sum(n * abs(mean - share) for mean, share, n in reliability(happened, said)) / len(said)


def brier_skill(happened: NDArray[np.bool_], said: Reals) -> float:
    """1 - Brier score / that of saying the base rate, which only hindsight knows, to everybody."""
    base = happened.mean()
    return float(1 - np.mean((said - happened) ** 2) / (base * (1 - base))) if 0 < base < 1 else np.nan


VALUE_MEASURES: dict[str, Measure] = {
    "Gini": lambda outcome, said: captured(outcome.spent, said.value),
    "decile error": lambda outcome, said: decile_error(outcome.spent, said.value),
    "same, level put right": lambda outcome, said: decile_error(outcome.spent, said.value * (outcome.spent.sum() / said.value.sum())),
    "Spearman": lambda outcome, said: rank_correlation(outcome.spent, said.value),
    "top 10 %": lambda outcome, said: share_in_top(outcome.spent, said.value, 0.1),
    "top 20 %": lambda outcome, said: share_in_top(outcome.spent, said.value, 0.2),
    "predicted / spent": lambda outcome, said: float(said.value.sum() / outcome.spent.sum()),
}
CHURN_MEASURES: dict[str, Measure] = {
    "AUC": lambda outcome, said: auc(outcome.returned, said.returns),
    "calibration error": lambda outcome, said: calibration_error(outcome.returned, said.returns) if said.is_probability else np.nan,
    "Brier skill": lambda outcome, said: brier_skill(outcome.returned, said.returns) if said.is_probability else np.nan,
}


def print_table(title: str, measures: dict[str, Measure], outcome: Outcome, predictions: dict[str, Prediction], n_resamples: int) -> None:
    """Every system's measures, then ours less each other's, with intervals."""
    said = {name: one for name, one in predictions.items() if np.isfinite(one.value if title == "value" else one.returns).all()}
    whole = table_of(measures, outcome, said)
    draws = np.stack([table_of(measures, *drawn) for drawn in redraws(outcome, said, n_resamples)])  # (n_resamples, n_systems, n_measures)
    print(f"\n{title:40s}" + "".join(f"{name:>26s}" for name in measures))
    for number, name in enumerate(said):
        print(f"{name:40s}" + _cells(whole[number], draws[:, number]))
    for number, name in enumerate(list(said)[1:], 1):
        print(f"{'difference to ' + name:40s}" + _cells(whole[0] - whole[number], draws[:, 0] - draws[:, number]))


def table_of(measures: dict[str, Measure], outcome: Outcome, predictions: dict[str, Prediction]) -> Reals:
    """All measures of all systems; shape (n_systems, n_measures)."""
    return np.array([[measure(outcome, said) for measure in measures.values()] for said in predictions.values()])


def redraws(outcome: Outcome, predictions: dict[str, Prediction], n_resamples: int) -> Iterator[tuple[Outcome, dict[str, Prediction]]]:
    """The same with customers drawn anew with replacement, each with all of their rows."""
    rng = np.random.default_rng(SEED)
    order = np.argsort(outcome.customers, kind="stable")
    _, first, counts = np.unique(outcome.customers[order], return_index=True, return_counts=True)
    for _ in range(n_resamples):
        drawn = rng.integers(len(first), size=len(first))
        lengths = counts[drawn]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows = order[np.repeat(first[drawn], lengths) + within]
        yield outcome.take(rows), {name: said.take(rows) for name, said in predictions.items()}


def _cells(whole: Reals, draws: Reals) -> str:
    low, high = np.quantile(draws, (0.025, 0.975), axis=0)
    cells = (
        f"{value:.3f} [{bottom:.3f}, {top:.3f}]" if np.isfinite(value) else "-" for value, bottom, top in zip(whole, low, high, strict=True)
    )
    return "".join(f"{cell:>26s}" for cell in cells)


def draw(curves: dict[str, list[tuple[float, float, int]]], path: Path) -> None:
    """Reliability plots of all trials in one picture."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 6), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="as predicted")
    for name, points in curves.items():
        axes.plot(*zip(*((said, came) for said, came, _ in points), strict=True), marker="o", label=name)
    axes.set(xlabel="predicted probability of a return", ylabel="share that returned", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
