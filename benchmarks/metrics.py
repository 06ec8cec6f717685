"""How long metrics take for many lists, beside ranx on the same lists in the same run; and a whole evaluation beside the engine.

    python -m benchmarks.metrics
    python -m benchmarks.metrics --customers 20000 --repeats 1
    python -m benchmarks.metrics --bundle bundles/twins --shop shops/complete-journey

Lists of 100 of 12,000 items, 1 to 30 relevant ones each; NDCG@10, Recall@100, MAP@100, MRR@100. "prepare" turns ids into what each
library computes with (ours: `Judge`; ranx: `Qrels`, `Run`), "measure" is the rest; ranx is compiled before the clock starts. Medians of
some runs in seconds of the processor; give every library one thread (OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1). Needs ranx.

"evaluate" is all that an evaluation of a bundle against a second list does but ask for answers: queries, truth, metrics, intervals and
tests over all customers and in slices as many as a report has, categories apart. With --bundle the engine is asked too, for lists of 10 of
some hundred customers of its shop in the same run; what evaluating costs is then told as a multiple of what answering costs.
"""

from __future__ import annotations

import argparse
import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from offline_eval.answers import Judge
from offline_eval.evaluate import evaluate
from offline_eval.lists import Lists
from offline_eval.metrics import parse_metrics
from offline_eval.result import compare, summarise
from offline_eval.systems import EngineSystem
from recsys.bundle import Bundle
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.types import Query, aware
from serving.bundles import newest_bundle

DEPTH, N_ITEMS, SEED = 100, 12_000, 4
OURS, THEIRS = "NDCG@10,Recall@100,MAP@100,MRR@100", ["ndcg@10", "recall@100", "map@100", "mrr@100"]
CHUNK = 10_000
LABELS = {"segment": 8, "tier": 3, "stage": 5, "history": 7, "customer": 2}
"""Kinds of slices that a report has, and how many of each."""
ASKED = 300

Truth = dict[str, dict[str, float]]


def world(n: int) -> tuple[Truth, dict[str, list[str]]]:
    """Relevant items with gains and ranked lists of n customers."""
    rng = np.random.default_rng(SEED)
    names = np.array([f"item-{number}" for number in range(N_ITEMS)])
    truth, lists = {}, {}
    for row in range(n):
        drawn = rng.choice(N_ITEMS, DEPTH + 30, replace=False)
        wanted = np.concatenate([drawn[:10], drawn[DEPTH:]])[: rng.integers(1, 31)]
        truth[f"c{row}"] = dict.fromkeys(names[wanted].tolist(), 1.0)
        lists[f"c{row}"] = names[rng.permutation(drawn[:DEPTH])].tolist()
    return truth, lists


def clocked(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of the processor of a few runs: what else runs on the machine does not count."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return float(np.median(seconds))


def ours(truth: Truth, lists: dict[str, list[str]], repeats: int) -> tuple[float, float]:
    """Seconds to prepare the truth, and to lay the lists beside it and measure them."""
    customers, ranked = list(truth), list(lists.values())
    judge, metrics = Judge(truth, customers, DEPTH), parse_metrics(OURS)

    def measure() -> None:
        for first in range(0, len(ranked), CHUNK):
            judged = judge.judge(ranked[first : first + CHUNK], first)
            for metric in metrics:
                metric.of(judged)

    return clocked(lambda: Judge(truth, customers, DEPTH), repeats), clocked(measure, repeats)


def theirs(truth: Truth, lists: dict[str, list[str]], repeats: int) -> tuple[float, float]:
    """The same of ranx, whose preparation holds what we count as measuring: the ids of the lists."""
    import ranx  # not among the dependencies

    gains = {customer: dict.fromkeys(wanted, 1) for customer, wanted in truth.items()}

    def prepare() -> tuple[object, object]:
        return ranx.Qrels(gains), ranx.Run({name: _scores(ranked) for name, ranked in lists.items()})

    qrels, run = prepare()
    ranx.evaluate(qrels, run, THEIRS)
    return clocked(prepare, repeats), clocked(lambda: ranx.evaluate(qrels, run, THEIRS), repeats)


def evaluating(truth: Truth, lists: dict[str, list[str]]) -> float:
    """Seconds of an evaluation whose answers are already there: two systems, the report's metrics and slices."""
    systems = {
        name: Lists({customer: ranked[first : first + 10] for customer, ranked in lists.items()}) for name, first in (("a", 0), ("b", 1))
    }
    rng = np.random.default_rng(SEED)
    slices = {
        kind: {customer: f"{label}" for customer, label in zip(truth, rng.integers(0, n, len(truth)), strict=True)}
        for kind, n in LABELS.items()
    }

    def work() -> None:
        at = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
        measured = evaluate(systems, truth, at, parse_metrics("NDCG@10,Recall@10"), slices=slices)
        summarise(measured, np.random.default_rng(SEED))
        compare(measured, "a", "b", np.random.default_rng(SEED))

    return clocked(work, 1)


def answering(bundle: Bundle, dataset: Dataset, repeats: int) -> float:
    """Seconds of the engine for one customer."""
    assert bundle.as_of is not None
    known = dataset.before(bundle.as_of)
    customers = np.random.default_rng(SEED).permutation(len(known.customers))[: 2 * ASKED]
    queries = [Query(k=10, time=aware(bundle.as_of), customer_id=known.customers.ids[customer]) for customer in customers]
    system = EngineSystem(Engine(bundle), Snapshot.of(bundle), bundle.config.evaluation.strategy)
    system(queries[:ASKED])  # files are read when first needed
    return clocked(lambda: system(queries[ASKED:]), repeats) / len(queries[ASKED:])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the median counts; an evaluation runs once")
    parser.add_argument("--bundle", type=Path, help="a bundle, or a folder of them, to ask")
    parser.add_argument("--shop", type=Path, help="the imported shop that it was trained on")
    args = parser.parse_args(arguments)
    if (args.bundle is None) != (args.shop is None):
        parser.error("--bundle and --shop belong together")
    truth, lists = world(args.customers)
    rest = evaluating(truth, lists)
    print(f"evaluate {args.customers:,} customers without asking: {rest:.1f} s, {1000 * rest / args.customers:.3f} ms for each")
    if args.bundle is not None:
        bundle = Bundle.load(newest_bundle(args.bundle))
        asked = answering(bundle, Dataset.load(args.shop), args.repeats)
        share = 1 + rest / (asked * args.customers)
        print(f"the engine answers from {len(bundle.catalogue):,} items in {1000 * asked:.2f} ms each")
        print(f"an evaluation takes {share:.2f} times as long as the engine")
    found = {"ours": ours(truth, lists, args.repeats), "ranx": theirs(truth, lists, args.repeats)}
    for name, (prepare, measure) in found.items():
        print(f"{name}: prepare {prepare:.2f} s, measure {measure:.2f} s, together {prepare + measure:.2f} s")
    measured, whole = found["ours"][1] / found["ranx"][1], sum(found["ours"]) / sum(found["ranx"])
    print(f"ours takes {measured:.2f} times as long as ranx to measure, {whole:.2f} times from ids to figures")


def _scores(ranked: list[str]) -> dict[str, float]:
    return {item: float(len(ranked) - place) for place, item in enumerate(ranked)}


if __name__ == "__main__":
    main()
