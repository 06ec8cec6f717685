"""What ranking 200 candidates costs on one core: features, trees, and LightGBM's own prediction of the same rows beside them.

    python -m benchmarks.ranking_cost bundles/ --queries 100
    python -m benchmarks.ranking_cost bundles/ --queries 100 --compiled

Known customers in random order, one after the other; of each the candidates that the strategy retrieves, cut or repeated to 200 rows.
Times are of the processor, not of the clock, so that other programs on the machine do not count. "bare" is `lightgbm.Booster.predict`
with one thread on the rows just made, in the same run; a ratio is that of the medians. The goals are 3 ms for features and trees
together, and 1.5 times bare.

With --compiled the trees are also compiled to machine code, which needs a C compiler and `pip install tl2cgen treelite`; the product
does not do that, and docs/ranking.md says why.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from recsys.bundle import Bundle
from recsys.engine import Engine, Snapshot
from recsys.protocols import Unlimited
from recsys.ranking.lambdamart import LambdaMart
from recsys.threads import limit_threads
from recsys.types import Floats, Query, aware
from segrec.console import output
from serving.bundles import newest_bundle

N_ROWS = 200
N_SHOWN = 10
SEED = 3

Predict = Callable[[Floats], Any]


def main() -> None:
    """Measure every ranker of a bundle and print medians and 95th percentiles in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="?", default=Path("bundles"))
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--compiled", action="store_true", help="also measure trees that were compiled to machine code")
    args = parser.parse_args()
    bundle = Bundle.load(newest_bundle(args.bundles))
    with limit_threads(1):
        for name in bundle.rankers:
            measured = measure(bundle, name, args.queries, args.compiled)
            ranker = bundle.rankers[name]
            assert isinstance(ranker, LambdaMart)
            output().print(_table(f"ranker {name}: {ranker.model.count('Tree=')} trees, {ranker.n_features} features", measured))


def measure(bundle: Bundle, name: str, n_queries: int, compiled: bool = False) -> dict[str, list[float]]:
    """Milliseconds of each query for one ranker, by what was done."""
    engine, snapshot, ranker = Engine(bundle), Snapshot.of(bundle), bundle.rankers[name]
    assert isinstance(ranker, LambdaMart)
    assert bundle.as_of is not None
    strategy = bundle.config.strategies[bundle.config.rankers[name].train_on]
    others: dict[str, Predict] = {f"bare LightGBM, {N_ROWS} rows": _bare(ranker)}
    if compiled:
        others[f"compiled trees, {N_ROWS} rows"] = _compiled(ranker)
    customers = np.random.default_rng(SEED).choice(np.array(bundle.customers.ids), n_queries).tolist()
    times: dict[str, list[float]] = defaultdict(list)
    for customer in customers:
        resolved, _ = engine.resolve(Query(k=N_SHOWN, time=aware(bundle.as_of), customer_id=customer), snapshot)
        found = engine.retrieve(resolved, strategy, snapshot, Unlimited()).candidates
        if not len(found):
            continue
        candidates = found.take(np.arange(N_ROWS) % len(found))
        features, spent = _timed(lambda: bundle.features.rows(resolved, candidates, bundle.sources))  # noqa: B023  called at once
        times[f"features, {N_ROWS} rows"].append(spent)
        times[f"trees, {N_ROWS} rows"].append(_timed(lambda: ranker.score(features))[1])  # noqa: B023
        times["features and trees"].append(times[f"features, {N_ROWS} rows"][-1] + times[f"trees, {N_ROWS} rows"][-1])
        for other, predict in others.items():
            times[other].append(_timed(lambda: predict(features))[1])  # noqa: B023
        times[f"contributions of {N_SHOWN} items"].append(_timed(lambda: ranker.contributions(features[:N_SHOWN]))[1])  # noqa: B023
    return times


def _bare(ranker: LambdaMart) -> Predict:
    import lightgbm

    booster = lightgbm.Booster(model_str=ranker.model)
    return lambda rows: booster.predict(rows, raw_score=True, num_threads=1)


def _compiled(ranker: LambdaMart) -> Predict:
    """The trees as a shared library of their own."""
    try:
        import tl2cgen
        import treelite
    except ImportError as error:
        raise SystemExit(f"{error}; --compiled needs `pip install tl2cgen treelite` and a C compiler") from error
    with tempfile.TemporaryDirectory() as folder:
        ranker.save(Path(folder))
        model = treelite.frontend.load_lightgbm_model(f"{folder}/model.txt")
        tl2cgen.export_lib(model, toolchain="gcc", libpath=f"{folder}/trees.so", params={"parallel_comp": 8})
        predictor = tl2cgen.Predictor(f"{folder}/trees.so", nthread=1)
    return lambda rows: predictor.predict(tl2cgen.DMatrix(rows), pred_margin=True)


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and the milliseconds that the processor worked for it."""
    start = time.process_time()
    found = call()
    return found, 1000 * (time.process_time() - start)


def _table(title: str, times: Mapping[str, list[float]]) -> Table:
    bare = float(np.median(times[f"bare LightGBM, {N_ROWS} rows"]))
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("what", "p50 ms", "p95 ms", "times bare"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for name, spent in times.items():
        middle = float(np.median(spent))
        table.add_row(name, f"{middle:.2f}", f"{np.quantile(spent, 0.95):.2f}", f"{middle / bare:.2f}")
    return table


if __name__ == "__main__":
    main()
