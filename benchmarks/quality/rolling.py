"""As a shop lives: at every cut a bundle of what was known by then, asked once for each customer who bought in the 28 days after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import benchmarks.quality
import offline_eval
from benchmarks.quality.rivals import ease_of
from offline_eval.evaluate import Measurements, Recommend, evaluate, pool
from offline_eval.result import EvaluationResult
from offline_eval.systems import EngineSystem, source_systems
from recsys.bundle import Bundle
from recsys.config import Config, StrategyConfig
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.strategy import StrategySet
from recsys.training.pipeline import train
from recsys.training.split import positive_lines
from recsys.training.stages import Progress, Stages, source_digest
from recsys.types import aware
from segrec.asking import ALL, DISCOVERY, Question
from segrec.evaluation import ENGINE, baselines_of, question_of, strategies_of
from segrec.worth.histories import n_baskets, shortened

METRICS = "NDCG@10,NDCG@20,Recall@10,Recall@20"
NEXT_BASKET = "next basket"
LENGTHS = (1, 2, 3, 5)
EASE = "EASE, the 10,000 items most bought"
DEPTH = 20
"""Items asked of what stands beside the engine, as many as the longest metric counts."""


@dataclass(frozen=True)
class Plan:
    """What to measure.

    n_cuts: rolling cuts, one evaluation period apart; skip: so many of the latest periods are left out, to choose settings on earlier data
    n_thin: customers measured at each length of shortened histories and each cut, at most; 0 = none
    """

    n_cuts: int
    skip: int
    n_thin: int


def measure_rolling(dataset: Dataset, config: Config, plan: Plan, work: Path, progress: Progress) -> dict[str, Measurements]:
    """Measurements of all cuts pooled, by title: all purchases, discovery, next basket, and the first two by length of history.

    The oldest cut comes first, and each later training is given the bundle before it, so that a segment keeps its name.
    """
    period = np.timedelta64(round(config.evaluation.period_days * 86_400), "s")
    end = dataset.interactions.times[-1] + np.timedelta64(1, "us")
    rankers = {name: ranker.model_copy(update={"calibrate": False}) for name, ranker in config.rankers.items()}
    config = config.model_copy(update={"rankers": rankers})  # a probability changes no list, and costs a second boosting
    former, by_title = None, dict[str, list[Measurements]]()
    for number in range(plan.skip + plan.n_cuts, plan.skip, -1):
        former = train(dataset, config, end - number * period, work / "twins", work=work / "stages", former=former, progress=progress)
        for part in _kept(former, dataset, plan, Stages(work / "stages", progress)):
            by_title.setdefault(part.title, []).append(part)
    return {title: pool(parts) for title, parts in by_title.items()}


def _kept(path: Path, dataset: Dataset, plan: Plan, stages: Stages) -> list[Measurements]:
    """What one bundle was measured to do, kept by bundle and shop: a run that was stopped goes on where it was."""

    def make(folder: Path) -> None:
        for number, part in enumerate(_measured(path, dataset, plan.n_thin, stages)):
            (folder / f"{number:02}.json").write_text(EvaluationResult(part, ()).to_json(), encoding="utf-8")

    code = source_digest(Path(offline_eval.__file__).parent, Path(benchmarks.quality.__file__).parent)
    inputs = {"bundle": path.name, "data": dataset.fingerprint, "metrics": METRICS, "thin": plan.n_thin, "code": code}
    folder = stages.run("rolling", inputs, make)
    return [EvaluationResult.from_json(part.read_text(encoding="utf-8")).measurements for part in sorted(folder.glob("*.json"))]


def _measured(path: Path, dataset: Dataset, n_thin: int, stages: Stages) -> Iterator[Measurements]:
    """Everything of one cut."""
    bundle = Bundle.load(path)
    asked = question_of(bundle, dataset, METRICS, stages.progress, in_full=True)
    beside = _with_ease(bundle, dataset)
    for title, strategy in strategies_of(bundle).items():
        answered = asked.ask(title, {**_systems(beside, strategy), **baselines_of(asked.period, title)})
        if answered is None:
            continue
        yield answered.measurements
        if title == ALL:  # the same queries: the lists that were answered are measured on less
            baskets = replace(asked, split="sessions").ask(ALL, answered.lists)
            assert baskets is not None, "who bought had a first occasion"
            yield replace(baskets.measurements, title=NEXT_BASKET)
    if n_thin:
        yield from _thin(path, bundle, asked, n_thin, stages)


def _thin(path: Path, bundle: Bundle, asked: Question, n_thin: int, stages: Stages) -> Iterator[Measurements]:
    """The engine and its sources where customers have only their last baskets; what is new to them is so by all that they bought."""
    dataset, cut, config = asked.period.dataset, asked.period.start, bundle.config
    sizes = n_baskets(positive_lines(dataset.before(cut), config), len(bundle.customers))
    for n, less in shortened(bundle, path, dataset, LENGTHS, stages):
        for title, strategy in strategies_of(bundle).items():
            truth = asked.period.wanted(title, "time").truth
            long = [id_ for id_ in truth if (number := bundle.customers.number(id_)) is not None and sizes[number] >= n]
            drawn = np.random.default_rng(n).permutation(long)[:n_thin].tolist()
            if drawn:
                wanted = {id_: truth[id_] for id_ in sorted(drawn)}
                yield evaluate(
                    _systems(less, strategy), wanted, aware(cut), asked.metrics, title=thin_title(title, n), progress=asked.progress
                )


def thin_title(title: str, n: int) -> str:
    """Of the table of histories of `n` baskets."""
    return f"{title}, last {n} basket{'s' if n > 1 else ''}"


def _systems(bundle: Bundle, strategy: str) -> dict[str, Recommend]:
    """The engine, and each source that the bundle has alone: those of the strategy, and what was put beside them."""
    engine, snapshot = Engine(bundle), Snapshot.of(bundle)
    systems: dict[str, Recommend] = {ENGINE: EngineSystem(engine, snapshot, strategy)}
    systems |= source_systems(engine, snapshot, strategy, DEPTH)
    if EASE in bundle.sources:
        whole, chosen = snapshot.strategies.strategies[strategy], snapshot.strategies
        alone = {EASE: StrategyConfig(sources={EASE: DEPTH}, filters=whole.filters)}
        systems[EASE] = EngineSystem(engine, replace(snapshot, strategies=StrategySet(alone, EASE, chosen.choices)), EASE)
    return systems


def _with_ease(bundle: Bundle, dataset: Dataset) -> Bundle:
    """The bundle with one source more that no strategy asks: what its own rankers see stays what it was."""
    assert bundle.as_of is not None  # it was trained as of a cut
    known = dataset.before(bundle.as_of)
    return replace(bundle, sources={**bundle.sources, EASE: ease_of(known, bundle.config)})


def titles(measured: Mapping[str, Measurements]) -> Sequence[str]:
    """Those of whole histories, in order of appearance."""
    return [title for title in measured if title in (ALL, DISCOVERY, NEXT_BASKET)]
