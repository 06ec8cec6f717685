"""How often a gate sees a fall of one slice among thirty, and how often it cries wolf, by several methods.

    python -m benchmarks.gate
    python -m benchmarks.gate --runs 200

18,000 customers, 30 promises with margin 0 at 5 % together. "separate": 30 slices of 600. "crossed": five ways to cut the same customers
into six slices of 40, 25, 15, 10, 6.7 and 3.3 % (600), so every customer is in five. Planted is a fall of 0.2 standard deviations of the
paired difference in one slice of 600; a method catches it when it alarms on that very slice. A false alarm is any alarm where nothing fell.
Differences are normal; "list-like": exactly 0 for seven customers in ten; or exponential, whose long tail is of losses or of gains.

    t, Bonferroni       one-sided t-test at 0.05 / 30; Holm alarms exactly when it does, for only the smallest p decides whether any is
    BCa, Bonferroni     upper end of the bias-corrected bootstrap interval at 0.05 / 30 below 0; 10,000 resamples; separate slices only
    flips, Holm         sign flips of each slice on its own
    flips, max-t        sign flips of all slices together, as `segrec eval gate` does by default
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from offline_eval.gate import limits
from offline_eval.hypotheses import flipped
from offline_eval.significance import bootstrap

N_SLICES, SIZE, FALL, ALPHA = 30, 600, 0.2, 0.05
N_CUSTOMERS = N_SLICES * SIZE
CUTS = (0.4, 0.25, 0.15, 0.1, 0.2 / 3, 0.1 / 3)
SEED = 30
N_FLIPS, N_RESAMPLES, BATCH = 2000, 10_000, 20

Doubles: TypeAlias = NDArray[np.float64]
Draw: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], Doubles]

DIFFERENCES: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "list-like": lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.3) / np.sqrt(0.3),
    "tail of losses": lambda rng, shape: 1 - rng.exponential(size=shape),
    "tail of gains": lambda rng, shape: rng.exponential(size=shape) - 1,
}
"""Of customers, with mean 0 and standard deviation 1."""


Share: TypeAlias = tuple[float, float, float]
"""An estimated share and its 95 % interval."""


@dataclass(frozen=True)
class Tally:
    """In how many of the runs there was a false alarm without a fall, and in how many the fall was caught."""

    method: str
    layout: str
    differences: str
    runs: int
    false_alarms: Share
    caught: Share


def separate() -> NDArray[np.bool_]:
    """Which customers are in which slice, (n_customers, n_slices); the planted slice is the last."""
    return np.equal.outer(np.arange(N_CUSTOMERS) // SIZE, np.arange(N_SLICES))


def crossed(rng: np.random.Generator) -> NDArray[np.bool_]:
    """The same for customers cut in five ways, each time shuffled; the last slice has 600."""
    sizes = np.round(np.array(CUTS) * N_CUSTOMERS).astype(int)
    labels = np.repeat(np.arange(len(CUTS)), sizes)
    return np.concatenate([rng.permutation(labels)[:, None] == np.arange(len(CUTS)) for _ in range(N_SLICES // len(CUTS))], axis=1)


def tests(layout: str, differences: str, n_runs: int, rng: np.random.Generator) -> Iterator[Tally]:
    """The t-test and both kinds of sign flips on the same shops."""
    members = separate() if layout == "separate" else crossed(rng)
    alarms = {name: np.zeros((n_runs, 2, N_SLICES), np.bool_) for name in ("t, Bonferroni", "flips, Holm", "flips, max-t")}
    for first in range(0, n_runs, BATCH):
        runs = range(first, min(first + BATCH, n_runs))
        columns = np.concatenate([_shops(members, DIFFERENCES[differences], rng) for _ in runs], axis=1)  # (n_customers, runs * 2 * slices)
        found = _alarms(columns, members, rng)
        for name, alarmed in found.items():
            alarms[name][runs.start : runs.stop] = alarmed.reshape(len(runs), 2, N_SLICES)
    for name, alarmed in alarms.items():
        yield Tally(name, layout, differences, n_runs, share_of(np.asarray(alarmed[:, 0].any(axis=1))), share_of(alarmed[:, 1, -1]))


def bca(differences: str, n_runs: int, rng: np.random.Generator) -> Tally:
    """The bootstrap on slices one by one: separate slices are independent, so 1 - (1 - alarms per slice) ** 30 have one."""
    n = n_runs * N_SLICES // 2
    highs = np.empty(n)
    customers = [str(row) for row in range(SIZE)]
    for first in range(0, n, 300):  # slices that share resamples
        values = DIFFERENCES[differences](rng, (SIZE, min(300, n - first)))
        resampled = bootstrap(customers, values, rng, N_RESAMPLES, 1 - 2 * ALPHA / N_SLICES)
        highs[first : first + values.shape[1]] = [resampled.mean(column).high for column in range(values.shape[1])]
    alarmed, low, high = (1 - (1 - share) ** N_SLICES for share in share_of(highs < 0))
    family = alarmed, low, high
    return Tally("BCa, Bonferroni", "separate", differences, n // N_SLICES, family, share_of(highs < FALL))  # it moves with the mean


def share_of(flags: NDArray[np.bool_]) -> Share:
    """How many are set, with Wilson's interval."""
    found = binomtest(int(flags.sum()), len(flags)).proportion_ci(method="wilson")
    return float(flags.mean()), float(found.low), float(found.high)


def expected_power() -> float:
    """What no valid test at 0.05 / 30 can do better for normal differences: the chance that z is beyond its limit."""
    return float(norm.cdf(FALL * np.sqrt(SIZE) - norm.ppf(1 - ALPHA / N_SLICES)))


def _shops(members: NDArray[np.bool_], draw: Draw, rng: np.random.Generator) -> Doubles:
    """One shop without and with the fall, (n_customers, 2 * n_slices); 0 outside of a slice."""
    differences = draw(rng, (len(members),))
    fallen = differences - FALL * members[:, -1]
    return np.concatenate([members * differences[:, None], members * fallen[:, None]], axis=1)


def _alarms(columns: Doubles, members: NDArray[np.bool_], rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """Alarms of each method; one flag per column. Shops of a batch share flips; slices of a shop do where they share customers."""
    sizes = np.tile(members.sum(axis=0), columns.shape[1] // N_SLICES)
    scaled = columns / np.sqrt((columns**2).sum(axis=0))
    observed, flips = scaled.sum(axis=0), _flips(scaled, members, rng)
    shops = flips.reshape(N_FLIPS, -1, N_SLICES)
    together = np.concatenate([limits(shops[:, shop], ALPHA, "max-t") for shop in range(shops.shape[1])])
    alone = limits(flips, ALPHA * flips.shape[1] / N_SLICES, "holm")
    t = observed * np.sqrt((sizes - 1) / (sizes - observed**2))
    return {
        "t, Bonferroni": t < -student.ppf(1 - ALPHA / N_SLICES, sizes - 1),
        "flips, Holm": -observed > alone,
        "flips, max-t": -observed > together,
    }


def _flips(scaled: Doubles, members: NDArray[np.bool_], rng: np.random.Generator) -> Doubles:
    """Flipped sums, (N_FLIPS, columns); slices that share no customer are flipped one by one, which is quicker and the same."""
    if (members.sum(axis=1) > 1).any():
        return np.concatenate(list(flipped(scaled, rng, N_FLIPS)))
    sums = np.empty((N_FLIPS, scaled.shape[1]))
    for number, slice_ in enumerate(members.T):
        sums[:, number::N_SLICES] = np.concatenate(list(flipped(scaled[slice_, number::N_SLICES], rng, N_FLIPS)))
    return sums


def report(tallies: Iterator[Tally]) -> None:
    """Print each as it comes, with 95 % intervals of the shares."""
    print(f"normal differences, 0.05 / 30 one-sided, by arithmetic: {expected_power():.1%} caught")
    print(f"{'method':<16} {'layout':<9} {'differences':<15} {'runs':>5}  {'false alarms':<22} caught")
    for tally in tallies:
        alarms, caught = (f"{share:.1%} [{low:.1%}, {high:.1%}]" for share, low, high in (tally.false_alarms, tally.caught))
        print(f"{tally.method:<16} {tally.layout:<9} {tally.differences:<15} {tally.runs:>5}  {alarms:<22} {caught}", flush=True)


def _tallies(n_runs: int) -> Iterator[Tally]:
    for number, name in enumerate(DIFFERENCES):
        yield bca(name, n_runs, np.random.default_rng([SEED, number]))
        yield from tests("separate", name, n_runs, np.random.default_rng([SEED, number, 1]))
    for number, name in enumerate(DIFFERENCES):
        yield from tests("crossed", name, n_runs // 5, np.random.default_rng([SEED, number, 2]))


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="simulated releases; crossed slices get a fifth")
    report(_tallies(parser.parse_args(arguments).runs))


if __name__ == "__main__":
    main()
