"""One variant at one cut: trained as the product trains, asked as the product is asked, measured, and kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import offline_eval
from offline_eval.evaluate import Measurements, Recommend, evaluate
from offline_eval.metrics import parse_metrics
from offline_eval.relevance import NothingRelevant, Truth, new_items, relevant_items
from offline_eval.result import EvaluationResult
from offline_eval.systems import EngineSystem, source_systems
from recsys.bundle import Bundle, read_manifest
from recsys.config import Config, to_json
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.source_config import PopularConfig
from recsys.training.pipeline import train_on
from recsys.training.split import Split, positive_lines, split_by_time
from recsys.training.stages import Progress, Stages, source_digest, stage_seed
from recsys.types import Flags, aware
from segmentation.llm.language_model import LanguageModel
from segrec.asking import ALL, DISCOVERY
from segrec.worth.histories import fifths, n_baskets, shortened
from segrec.worth.prices import Took, took_of
from segrec.worth.remembering import Memory, sources_of
from segrec.worth.variants import WITH, RegroupingFitter, Variant

METRICS = "NDCG@10,NDCG@20"
K = 20
TruthOf = Callable[[Dataset, np.datetime64, np.datetime64, tuple[str, ...], Flags], Truth]


@dataclass(frozen=True)
class Study:
    """What is the same for all variants and cuts.

    lengths: baskets that histories are cut down to; n_thin: customers measured at each of them, at most
    n_whole: customers measured with their whole history at each cut, at most; None = all of them
    n_seeds: trainings of each variant at each cut, whose values are averaged for each query
    model:   the language model that the configuration names; None = it names none
    """

    dataset: Dataset
    config: Config
    work: Path
    lengths: tuple[int, ...]
    n_thin: int
    n_whole: int | None
    n_seeds: int
    model: LanguageModel | None
    progress: Progress


@dataclass(frozen=True)
class AtCut:
    """One cut of a study, and what is the same at it for all variants.

    memory: what sources without groups proposed, whichever variant asked first
    """

    study: Study
    cut: np.datetime64
    memory: Memory = field(default_factory=Memory)
    _splits: dict[int, Split] = field(default_factory=dict)

    def split(self, config: Config) -> Split:
        """What a training with the seed of this configuration learns from."""
        seed = config.training.seed
        if seed not in self._splits:
            rng = np.random.default_rng(stage_seed(seed, "split"))
            self._splits[seed] = split_by_time(self.study.dataset, self.cut, config, rng)
        return self._splits[seed]

    @cached_property
    def truths(self) -> dict[str, Truth]:
        """What was wanted in the period after the cut, by title; a title for which nobody wanted anything has no customer."""
        return {title: self._truth(truth_of) for title, truth_of in ((ALL, relevant_items), (DISCOVERY, new_items))}

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Baskets of each customer before the cut."""
        return n_baskets(positive_lines(self._known, self.study.config), len(self._known.customers))

    def _truth(self, truth_of: TruthOf) -> Truth:
        end, positive = self.cut + _period(self.study), self.study.config.data.positive_events
        try:
            return truth_of(self.study.dataset, self.cut, end, positive, self._known.catalogue().recommendable)
        except NothingRelevant:
            return {}

    @cached_property
    def _known(self) -> Dataset:
        return self.study.dataset.before(self.cut)


@dataclass(frozen=True)
class Found:
    """One variant at one cut.

    tables:  what was measured, the mean over all seeds
    bundles: version of the bundle of each seed
    took:    what each training says of the language model, see `segrec.worth.prices`
    """

    tables: list[Measurements]
    bundles: list[str]
    took: list[Took]


def found_by_cut(study: Study, n_cuts: int, variants: Sequence[Variant]) -> dict[tuple[str, str], Found]:
    """Every variant at every cut, by the time of the cut and the variant's name."""
    return {(str(at.cut), variant.name): found_of(at, variant) for at in cuts(study, n_cuts) for variant in variants}


def found_of(at: AtCut, variant: Variant) -> Found:
    """All tables of one variant at one cut; trained and measured once for each seed, then read from the work folder.

    Each title has the systems "engine, VARIANT" and each source alone: all of them where groups are as found, else as "SOURCE, VARIANT"
    those that count within a group.
    """
    folders = [_measured(at, variant, seed) for seed in range(at.study.n_seeds)]
    seeds = [[EvaluationResult.from_json(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))] for folder in folders]
    tables = []
    for of_seeds in zip(*seeds, strict=True):
        measured = [result.measurements for result in of_seeds]
        tables.append(replace(measured[0], values=np.mean([part.values for part in measured], axis=0)))
    about = [dict(results[0].about) for results in seeds]
    return Found(tables, [told["bundle"] for told in about], [Took.read(told["took"]) for told in about])


def _measured(at: AtCut, variant: Variant, seed: int) -> Path:
    """The folder with the tables of one training."""
    study, cut = at.study, at.cut

    def make(folder: Path) -> None:
        path = _trained(at, variant, seed)
        about = {"bundle": path.name, "took": asdict(took_of(read_manifest(path)))}
        for number, part in enumerate(_tables(at, variant, path)):
            (folder / f"{number:02}.json").write_text(EvaluationResult(part, (), about).to_json(), encoding="utf-8")
        shutil.rmtree(path)

    code = source_digest(Path(offline_eval.__file__).parent, Path(__file__).parent)
    inputs = {
        "data": study.dataset.fingerprint,
        "config": to_json(_seeded(study, variant, seed)),
        "cut": str(cut),
        "variant": variant.name,
        "thin": (study.lengths, study.n_thin, study.n_whole),
        "code of the study": code,
    }
    name = f"{str(cut)[:10]}-{variant.name.replace(' ', '-')}-{seed}"
    return Stages(study.work / "measured", study.progress).run(name, inputs, make)


def _seeded(study: Study, variant: Variant, seed: int) -> Config:
    config = variant.configured(study.config)
    training = config.training.model_copy(update={"seed": config.training.seed + seed})
    return config.model_copy(update={"training": training})


def cuts(study: Study, n: int) -> Iterator[AtCut]:
    """`n` cuts, one evaluation period apart, the latest first and one period before the end of the data."""
    end = study.dataset.interactions.times[-1] + np.timedelta64(1, "us")
    return (AtCut(study, end - (number + 1) * _period(study)) for number in range(n))


def _period(study: Study) -> np.timedelta64:
    return np.timedelta64(round(study.config.evaluation.period_days * 86_400), "s")


def _trained(at: AtCut, variant: Variant, seed: int) -> Path:
    study, config = at.study, _seeded(at.study, variant, seed)
    fitting = partial(RegroupingFitter, variant=variant, memory=at.memory)
    out = study.work / "bundles" / variant.name.replace(" ", "-")
    model = study.model if config.llm.is_set else None
    work, progress = study.work / "stages", study.progress
    return train_on(at.split(config), config, out, work=work, language_model=model, progress=progress, fitting=fitting)


def _tables(at: AtCut, variant: Variant, path: Path) -> list[Measurements]:
    """Whole histories, then each length; all purchases, then discovery."""
    study = at.study
    bundle = at.memory.of(Bundle.load(path), sources_of(path))
    tables = [_table(at, variant, bundle, title, None) for title in (ALL, DISCOVERY)]
    for n, less in shortened(bundle, path, study.dataset, study.lengths, Stages(study.work / "stages", study.progress)):
        regrouped = replace(less, profiles=variant.regrouped(less.profiles))
        tables += [_table(at, variant, regrouped, title, n) for title in (ALL, DISCOVERY)]
    return [table for table in tables if table is not None]


def _table(at: AtCut, variant: Variant, bundle: Bundle, title: str, length: int | None) -> Measurements | None:
    """None where nobody has a relevant item. What is new to a customer is so by the whole history, also where the engine is shown less."""
    study = at.study
    truth: Truth = {customer: gains for customer, gains in at.truths[title].items() if bundle.profile(customer) is not None}
    size_of = {customer: int(at.sizes[bundle.customers.number(customer)]) for customer in truth}
    if length is None:
        truth = _drawn(truth, study.n_whole, 0)
    else:
        truth = _drawn({customer: gains for customer, gains in truth.items() if size_of[customer] >= length}, study.n_thin, length)
        title = f"{title}, last {length} basket{'s' if length > 1 else ''}"
    if not truth:
        return None
    systems = _systems(bundle, study.config, variant, title)
    slices = _slices(bundle, truth, size_of) if length is None else {}
    return evaluate(systems, truth, aware(at.cut), parse_metrics(METRICS), title=title, slices=slices, progress=study.progress)


def _drawn(truth: Truth, n: int | None, seed: int) -> Truth:
    """At most `n` customers, the same for every variant; None = all."""
    customers = sorted(truth)
    chosen = np.random.default_rng(seed).permutation(len(customers))[:n]
    return {customers[at]: truth[customers[at]] for at in sorted(chosen)}


def _systems(bundle: Bundle, config: Config, variant: Variant, title: str) -> dict[str, Recommend]:
    engine, snapshot = Engine(bundle), Snapshot.of(bundle)
    strategy = config.evaluation.strategy if title.startswith(ALL) else config.evaluation.discovery_strategy or config.evaluation.strategy
    systems: dict[str, Recommend] = {f"engine, {variant.name}": EngineSystem(engine, snapshot, strategy)}
    for name, system in source_systems(engine, snapshot, strategy, K).items():
        source = config.sources[name]
        if variant.kind == WITH:
            systems[name] = system
        elif isinstance(source, PopularConfig) and source.within != "shop":
            systems[f"{name}, {variant.name}"] = system
    return systems


def _slices(bundle: Bundle, truth: Truth, size_of: Mapping[str, int]) -> dict[str, dict[str, str]]:
    profiles = {customer: profile for customer in truth if (profile := bundle.profile(customer)) is not None}
    histories = fifths(np.array([size_of[customer] for customer in truth]))
    return {
        "segment": {customer: profile.segment for customer, profile in profiles.items()},
        "tier": {customer: profile.tier for customer, profile in profiles.items()},
        "history": dict(zip(truth, histories, strict=True)),
    }
