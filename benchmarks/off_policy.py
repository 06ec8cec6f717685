"""Off-policy estimates against published numbers, and their intervals against known truth.

    python -m benchmarks.off_policy open-bandit --data FOLDER [--obp FOLDER]
    python -m benchmarks.off_policy coverage [--repetitions 2000] [--only far rare]

`open-bandit`: campaign `all` as its publishers evaluated it, beside their figures, then what our limits say of it; campaigns men and women,
log of the Thompson sampler, the even policy evaluated, beside what the even policy really earned there.
`coverage`: how often the 95 % intervals cover the truth in drawn worlds, of all logs and of those that something was concluded from.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.off_policy_worlds import World
from benchmarks.open_bandit import (
    PUBLISHED,
    QUICK_START,
    as_chances,
    decisions_of_sample,
    find_obp,
    published_interval,
    published_predictions,
    resample,
    sample_of,
    sample_of_all,
    thompson_sampler,
)
from offline_eval.off_policy.chances import ActionProbabilities
from offline_eval.off_policy.decisions import Decisions
from offline_eval.off_policy.estimators import Terms, estimators, ips
from offline_eval.off_policy.evaluation import Estimate, OffPolicyResult, evaluate_policy, evaluate_slates
from offline_eval.off_policy.report import refusal_lines, result_table, verdict
from offline_eval.off_policy.rewards import features_of, fit_rewards
from offline_eval.significance import Interval

SEED, N_RUNS = 5, 30
SWITCH_AT = 10.0
USER_FEATURES = [f"user_feature_{number}" for number in range(4)]

WORLDS = {
    "near": World(n_units=500, visits=4, n_actions=10, level=-2, logging=0.5, evaluated=1.0),
    "far": World(n_units=500, visits=4, n_actions=10, level=-2, logging=0.0, evaluated=2.0),
    "rare": World(n_units=4_000, visits=1, n_actions=10, level=-4.6, logging=0.3, evaluated=1.2),
    "at the limit": World(n_units=100, visits=4, n_actions=20, level=-1, logging=-0.3, evaluated=1.5),
    "few customers": World(n_units=60, visits=20, n_actions=10, level=-1, logging=0.3, evaluated=1.2),
    "one large customer": World(n_units=60, visits=20, n_actions=10, level=-1, logging=0.3, evaluated=1.2, largest=600),
    "very unequal": World(n_units=60, visits=20, n_actions=10, level=-1, logging=0.3, evaluated=1.2, tail=1.0),
    "unequal": World(n_units=400, visits=2, n_actions=10, level=-1, logging=0.3, evaluated=1.2, tail=2.0),
    "no support": World(n_units=500, visits=4, n_actions=10, level=-2, logging=0.3, evaluated=1.2, absent=1),
    "lists": World(n_units=800, visits=2, n_actions=8, level=-2, logging=0.2, evaluated=0.8, n_places=3),
    "lists read down": World(n_units=800, visits=2, n_actions=8, level=-2, logging=0.2, evaluated=0.8, n_places=3, cascade=0.7),
}
WITH_MODEL = ("near", "far")
"""Worlds small enough to fit a reward model thousands of times."""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    published = commands.add_parser("open-bandit", help="beside published numbers")
    published.add_argument("--obp", type=Path, help="folder of the package obp 0.4.1; default: the installed one")
    published.add_argument(
        "--data", type=Path, required=True, help="folder with openbandit_random.parquet and openbandit_bts.parquet, one row per impression"
    )
    covering = commands.add_parser("coverage", help="of intervals, where the truth is known")
    covering.add_argument("--repetitions", type=int, default=2_000)
    covering.add_argument("--resamples", type=int, default=1_000)
    covering.add_argument("--only", nargs="+", choices=WORLDS, default=list(WORLDS))
    options = parser.parse_args()
    if options.command == "coverage":
        for name in options.only:
            Console(width=120).print(coverage(name, options.repetitions, options.resamples))
    else:
        open_bandit(options.obp or find_obp(), options.data)


def open_bandit(obp: Path | None, data: Path) -> None:
    """Both comparisons.

    Raises:
        SystemExit: a file is missing.
    """
    if obp is None:
        raise SystemExit("campaign `all` comes with the wheel obp 0.4.1: pip install --no-deps obp==0.4.1, or give its folder with --obp")
    for name in ("openbandit_random.parquet", "openbandit_bts.parquet"):
        if not (data / name).exists():
            raise SystemExit(f"{data / name} is missing; give the folder that holds it with --data")
    show_quick_start(obp)
    Console(width=120).print(published_table(obp))
    for campaign in ("men", "women"):
        truth = sample_of(data / "openbandit_random.parquet", campaign)["reward"].mean()
        result = evaluate_policy(decisions_of_sample(sample_of(data / "openbandit_bts.parquet", campaign)), np.random.default_rng(SEED))
        show(f"{campaign}: log of the Thompson sampler, the even policy evaluated; it really earned {truth:.4f}", result)


def show_quick_start(obp: Path) -> None:
    """The quick start's numbers, and what is to be concluded from its log."""
    log = sample_of_all(obp, "random")
    policy = as_chances(log, thompson_sampler(obp, 100_000))
    decisions = decisions_of_sample(log, policy)
    contributions = ips(decisions).columns[:, 0]
    low, high = published_interval(contributions)
    print(f"IPS {contributions.mean():.6f} [{low:.6f}, {high:.6f}], published {QUICK_START['IPS']:.6f} ", end="")
    print(f"[{QUICK_START['low']:.6f}, {QUICK_START['high']:.6f}]")
    rng = np.random.default_rng(SEED)
    predicted = fit_rewards(decisions, policy, rng, features_of(log, USER_FEATURES))
    truth = sample_of_all(obp, "bts")["reward"].mean()
    result = evaluate_policy(decisions, rng, predicted)
    show(f"all: even log, the Thompson sampler evaluated; it really earned {truth:.4f}", result)


def show(title: str, result: OffPolicyResult) -> None:
    """A result with its refusals; refused numbers too, for they are to be compared here."""
    console = Console(width=160, highlight=False)
    console.print(f"\n{title}")
    console.print(result_table(result, insist=True))
    console.print(verdict(result))
    for line in refusal_lines(result):
        console.print(f"  refused: {line}")


def published_table(obp: Path) -> Table:
    """Relative errors over the publishers' 30 resamples."""
    log = sample_of_all(obp, "random")
    truth = sample_of_all(obp, "bts")["reward"].mean()
    sampler = thompson_sampler(obp, 1_000_000)
    policy = as_chances(log, sampler)
    decisions = decisions_of_sample(log, policy)
    features = features_of(log, USER_FEATURES)
    errors: dict[str, list[list[float]]] = {name: [] for name in PUBLISHED}
    for number in range(N_RUNS):
        rows = resample(len(log), number)
        drawn = taken(decisions, rows)
        theirs = estimators(drawn, published_predictions(obp, log, rows, sampler), SWITCH_AT)
        chances = ActionProbabilities(policy.actions, policy.table, policy.rows[rows])
        ours = estimators(drawn, fit_rewards(drawn, chances, np.random.default_rng(number), features[rows]), SWITCH_AT)
        for name, pair in errors.items():
            pair.append([relative_error(terms, name, truth) for terms in (theirs, ours)])
    table = Table(title=f"relative error over {N_RUNS} resamples, mean (std); truth {truth:.4f}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("estimator", "published", "ours, their model again", "ours, our model"):
        table.add_column(heading, justify="left" if heading == "estimator" else "right")
    for name, pair in errors.items():
        means, spreads = np.mean(pair, axis=0), np.std(pair, axis=0, ddof=1)
        cells = [PUBLISHED[name], *zip(means, spreads, strict=True)]
        table.add_row(name, *(f"{mean:.6f} ({spread:.6f})" for mean, spread in cells))
    return table


def taken(log: Decisions, rows: np.ndarray) -> Decisions:
    """The given rows of a log."""
    return Decisions(**{name: column[rows] for name, column in vars(log).items()})


def relative_error(terms: Sequence[Terms], name: str, truth: float) -> float:
    """Of the estimator of that name."""
    found = next(term for term in terms if term.name == name)
    return abs(float(found.value(found.columns.mean(axis=0))) / truth - 1)


def coverage(name: str, n_repetitions: int, n_resamples: int) -> Table:
    """How often each estimator's intervals cover the truth in logs drawn from a world."""
    world, rng = WORLDS[name], np.random.default_rng(SEED)
    truth, logged = world.value(world.policy), world.value(world.log_policy)
    found: dict[str, list[list[float]]] = {}
    for _ in range(n_repetitions):
        for estimate in drawn_result(name, rng, n_resamples).estimates:
            found.setdefault(estimate.estimator, []).append(said_of(estimate, truth, logged))
    title = f"{name}: policy {truth:.4f}, log {logged:.4f}, {n_repetitions} logs of {world.n_units} customers"
    return coverage_table(title, found)


def drawn_result(name: str, rng: np.random.Generator, n_resamples: int) -> OffPolicyResult:
    """One log of a world, evaluated."""
    world = WORLDS[name]
    log, chances, features = world.draw(rng)
    if world.n_places > 1:
        return evaluate_slates(log, "independent", rng, n_resamples=n_resamples)
    predicted = fit_rewards(log, chances, rng, features) if name in WITH_MODEL else None
    return evaluate_policy(log, rng, predicted, n_resamples=n_resamples)


def said_of(estimate: Estimate, truth: float, logged: float) -> list[float]:
    """Error, whether each interval covers, whether something is concluded, whether that is wrong, effective size."""
    gain = truth - logged
    wrong = (estimate.word == "better" and gain < 0) or (estimate.word == "worse" and gain > 0)
    size = np.nan if estimate.weights is None else estimate.weights.effective_size
    covered = [covers(estimate.value, truth), covers(estimate.normal, truth), covers(estimate.against_log, gain)]
    return [estimate.value.estimate - truth, *covered, not estimate.refusals, wrong, size]


def covers(interval: Interval, truth: float) -> bool:
    """Whether the truth is in it."""
    return interval.low <= truth <= interval.high


def coverage_table(title: str, found: dict[str, list[list[float]]]) -> Table:
    """A row per estimator; the standard error of a share of 95 % of 2,000 is half a point."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    headings = ("bias", "value", "normal", "against log", "concluded", "value if concl.", "against log if concl.", "wrong", "eff. size")
    for heading in ("estimator", *headings):
        table.add_column(heading, justify="left" if heading == "estimator" else "right")
    for name, rows in found.items():
        values = np.array(rows, np.float64)
        concluded = values[:, 4] > 0
        after = values[concluded][:, [1, 3, 5]].mean(axis=0) if concluded.any() else np.full(3, np.nan)
        bias, value, normal, gain, share, _, size = values.mean(axis=0)
        shares = (value, normal, gain, share, *after)
        table.add_row(name, f"{bias:+.4f}", *("-" if np.isnan(part) else f"{part:.1%}" for part in shares), f"{size:,.0f}")
    return table


if __name__ == "__main__":
    main()
