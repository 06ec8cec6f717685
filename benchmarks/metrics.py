"""How long metrics take for many lists, beside ranx on the same lists in the same run.

    python -m benchmarks.metrics
    python -m benchmarks.metrics --customers 20000

Lists of 100 of 12,000 items, 1 to 30 relevant ones each; NDCG@10, Recall@100, MAP@100, MRR@100. "prepare" turns ids into what each
library computes with (ours: `Judge`; ranx: `Qrels`, `Run`), "measure" is the rest; ranx is compiled before the clock starts. Medians of
3 runs. Needs ranx.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from offline_eval.answers import Judge
from offline_eval.metrics import parse_metrics

DEPTH, N_ITEMS, SEED, REPEATS = 100, 12_000, 4, 3
OURS, THEIRS = "NDCG@10,Recall@100,MAP@100,MRR@100", ["ndcg@10", "recall@100", "map@100", "mrr@100"]
CHUNK = 10_000


def world(n: int) -> tuple[dict[str, dict[str, int]], dict[str, list[str]]]:
    """Relevant items with gains and ranked lists of n customers."""
    rng = np.random.default_rng(SEED)
    names = np.array([f"item-{number}" for number in range(N_ITEMS)])
    truth, lists = {}, {}
    for row in range(n):
        drawn = rng.choice(N_ITEMS, DEPTH + 30, replace=False)
        wanted = np.concatenate([drawn[:10], drawn[DEPTH:]])[: rng.integers(1, 31)]
        truth[f"c{row}"] = dict.fromkeys(names[wanted].tolist(), 1)
        lists[f"c{row}"] = names[rng.permutation(drawn[:DEPTH])].tolist()
    return truth, lists


def clocked(work: Callable[[], object]) -> float:
    """Median seconds of a few runs."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def ours(truth: dict[str, dict[str, int]], lists: dict[str, list[str]]) -> tuple[float, float]:
    """Seconds to prepare the truth, and to lay the lists beside it and measure them."""
    customers, ranked = list(truth), list(lists.values())
    judge, metrics = Judge(truth, customers, DEPTH), parse_metrics(OURS)

    def measure() -> None:
        for first in range(0, len(ranked), CHUNK):
            judged = judge.judge(ranked[first : first + CHUNK], first)
            for metric in metrics:
                metric.of(judged)

    return clocked(lambda: Judge(truth, customers, DEPTH)), clocked(measure)


def theirs(truth: dict[str, dict[str, int]], lists: dict[str, list[str]]) -> tuple[float, float]:
    """The same of ranx, whose preparation holds what we count as measuring: the ids of the lists."""
    import ranx  # not among the dependencies

    def prepare() -> tuple[object, object]:
        return ranx.Qrels(truth), ranx.Run({name: _scores(ranked) for name, ranked in lists.items()})

    qrels, run = prepare()
    ranx.evaluate(qrels, run, THEIRS)
    return clocked(prepare), clocked(lambda: ranx.evaluate(qrels, run, THEIRS))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=100_000)
    truth, lists = world(parser.parse_args(arguments).customers)
    found = {"ours": ours(truth, lists), "ranx": theirs(truth, lists)}
    for name, (prepare, measure) in found.items():
        print(f"{name}: prepare {prepare:.2f} s, measure {measure:.2f} s, together {prepare + measure:.2f} s")
    print(f"ours takes {sum(found['ours']) / sum(found['ranx']):.2f} times as long as ranx from ids to figures")


def _scores(ranked: list[str]) -> dict[str, float]:
    return {item: float(len(ranked) - place) for place, item in enumerate(ranked)}


if __name__ == "__main__":
    main()
