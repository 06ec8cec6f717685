"""The one training path: data, a configuration and a time in; a bundle out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recsys.bundle import ENCODER, FORMAT, MANIFEST, MENTIONS, Bundle, manifest_sha256, sha256, verify
from recsys.config import Config, to_json
from recsys.data.dataset import Dataset
from recsys.errors import BundleError, ConfigError, DataError
from recsys.features.spec import feature_names
from recsys.text.encoder import load_encoder
from recsys.text.index_file import INDEX_FILE, unseal
from recsys.threads import limit_threads
from recsys.training.customers import Customers, fit_customers, llm_labels, profiles_of
from recsys.training.findings import customer_findings
from recsys.training.former import load_former
from recsys.training.lambdamart import fit_lambdamart
from recsys.training.leaks import check_leaks, check_times
from recsys.training.mentions import mentions_part
from recsys.training.parts import AsOf, BundleParts, Fitter, Seen
from recsys.training.reading import Reading, fit_reading, fit_review_weights, tuned_folder
from recsys.training.rows import Kept, Rows, make_rows
from recsys.training.runner import answering, library_versions
from recsys.training.shift import population_stability, sample_features
from recsys.training.split import JUST_AFTER, RankingPeriod, Split, split_by_time
from recsys.training.stages import UNFINISHED, Progress, Stages, alone, key_of, silent, stage_seed, sweep
from recsys.training.texts import ReviewWeights
from segmentation.llm.language_model import LanguageModel
from segmentation.profile import Profiles

N_SHIFT_CUSTOMERS = 200
N_IDLE_ROWS = 10
"""So many rows are kept of a query with no wanted candidate, where scores are to be told as probabilities."""
NO_REVIEWS = ReviewWeights(0.0, 0.0, {})

Evaluate = Callable[[Bundle], Mapping[str, Any]]
Places = dict[str, Path]


def train(
    dataset: Dataset,
    config: Config,
    as_of: np.datetime64,
    out: Path,
    *,
    work: Path,
    evaluate: Evaluate | None = None,
    language_model: LanguageModel | None = None,
    former: Path | None = None,
    provenance: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Path:
    """Train on everything before `as_of` and write a bundle; returns its folder, ``out / version``.

    Nothing is done twice: stages are kept in `work` by their inputs, and a run that was killed goes on where it was. With equal
    data, configuration, thread count, libraries and processor two runs write the same files.

    Args:
        evaluate: what to put into the manifest as the bundle's metrics; called with the finished bundle.
        language_model: labels a sample of what customers wrote, and names segments; None = there is none. What it answered is kept in
            `work` and not asked again. One that cannot be reached stops nothing: the manifest says what is missing, and the next training
            in `work` asks again.
        former: an earlier bundle of this shop. Segments in which most of its customers are keep its ids, and a customer leaves its
            segment there only for a likelier one. Not used by a training whose first ranking period begins before the former's did.
        provenance: who made it, for example the commit; into the manifest as it is.

    Raises:
        ConfigError: the configuration names a language model and none is given, or `former` is of another shop.
        DataError: the data are too short or too thin.
        LeakError: a source knew the ranker's labels.
    """
    rng = np.random.default_rng(stage_seed(config.training.seed, "split"))
    split = split_by_time(dataset, as_of, config, rng)
    return train_on(
        split,
        config,
        out,
        work=work,
        evaluate=evaluate,
        language_model=language_model,
        former=former,
        provenance=provenance,
        progress=progress,
    )


def train_on(
    split: Split,
    config: Config,
    out: Path,
    *,
    work: Path,
    evaluate: Evaluate | None = None,
    language_model: LanguageModel | None = None,
    former: Path | None = None,
    provenance: Mapping[str, str] | None = None,
    progress: Progress = silent,
    fitting: Callable[[Config, Stages], Fitter] = Fitter,
) -> Path:
    """`train` for any split. fitting: what makes the fitter of the parts; an experiment gives one that changes a part."""
    if split.as_of is None:
        raise DataError("a bundle from a split by position has no as_of and cannot be written; see train_by_position")
    with _fitter(split, config, work, language_model, progress, fitting) as fitter:
        ranking = _Ranking.fit(split, fitter, former)
        customers, reading, weights, before = ranking.customers, ranking.reading, ranking.weights, ranking.profiles
        rankers = {name: _fit_ranker(name, split, ranking.by_period, fitter) for name in config.rankers}
        profiles = profiles_of(fitter, split.known, split.as_of, customers, before)
        texts = fitter.texts(split.known, reading.encoder, weights)
        shipped = fitter.parts(AsOf(split.known, split.as_of, customers, profiles, texts))
        shift = _feature_shift(split, ranking.by_period[-1], shipped, fitter)
        shipped |= {f"rankers/{name}": folder for name, folder in rankers.items()}
        if reading.trunk is not None:
            shipped[ENCODER] = reading.trunk
        mentioned = mentions_part(fitter, split.known)
        if mentioned is not None:
            shipped[MENTIONS] = mentioned
        who = customer_findings(customers, fitter.language, split.known.customers, before, profiles)
        findings = {"feature_shift": shift, "texts": {**reading.facts(), "review_weights": asdict(weights)}, **who}
        return _write(split, shipped, findings, fitter, out, evaluate, provenance or {})


def ranking_rows(
    name: str,
    dataset: Dataset,
    config: Config,
    as_of: np.datetime64,
    *,
    work: Path,
    language_model: LanguageModel | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Folders of the rows that `train` with the same arguments would train a ranker on, one of each period, oldest first; see `Rows.load`.

    Raises:
        ConfigError, DataError, LeakError: as `train` does.
    """
    split = split_by_time(dataset, as_of, config, np.random.default_rng(stage_seed(config.training.seed, "split")))
    with _fitter(split, config, work, language_model, progress, Fitter) as fitter:
        return _ranker_rows(name, split, _Ranking.fit(split, fitter, None).by_period, fitter)


@contextmanager
def _fitter(
    split: Split,
    config: Config,
    work: Path,
    language_model: LanguageModel | None,
    progress: Progress,
    fitting: Callable[[Config, Stages], Fitter],
) -> Iterator[Fitter]:
    """What fits the parts, alone in its work folder."""
    if config.llm.is_set and language_model is None:
        raise ConfigError(
            "the configuration names a language model under [llm], but the training was given none; leave [llm] out, or give one"
        )
    for period in split.periods:
        check_times(period)
    with alone(work), limit_threads(config.training.n_threads), answering(language_model, work) as asked:
        sweep(work)
        yield replace(fitting(config, Stages(work, progress)), language=asked)


@dataclass(frozen=True)
class _Ranking:
    """What is fitted for the ranking periods, and once for all of them. profiles: of the last one; by_period: all other parts of each"""

    weights: ReviewWeights
    reading: Reading
    customers: Customers
    profiles: Path
    by_period: list[Places]

    @staticmethod
    def fit(split: Split, fitter: Fitter, former: Path | None) -> _Ranking:
        first, config = split.periods[0], fitter.config
        base = load_encoder(config.text, config.training.n_threads)
        weights = fit_review_weights(fitter, first.known, base)
        reading = fit_reading(fitter, first.known, base, llm_labels(fitter, first.known, first.start))
        customers = fit_customers(fitter, first.known, first.start, reading, None if former is None else load_former(former))
        by_period: list[Places] = []
        profiles = None
        for period in split.periods:
            profiles = profiles_of(fitter, period.known, period.start, customers, profiles)
            texts = fitter.texts(period.known, reading.encoder, weights)
            cut = period.seen is not period.known
            seen = Seen(period.seen, profiles_of(fitter, period.seen, period.start, customers, None)) if cut else None
            by_period.append(fitter.parts(AsOf(period.known, period.start, customers, profiles, texts, seen)))
        assert profiles is not None  # there is one period at least
        return _Ranking(weights, reading, customers, profiles, by_period)


def train_by_position(split: Split, config: Config, *, work: Path, progress: Progress = silent) -> BundleParts:
    """A bundle of a split by position: to be opened and measured, never written, never served.

    By position nobody's past ends at one time, so nothing that describes customers as of a time is fitted: no profiles, segments or
    tiers; no reviews are read, and no trunk is fine-tuned.

    Raises:
        ConfigError: the configuration asks for fine-tuning.
        DataError: no ranking query has a wanted item among its candidates.
        LeakError: a source knew the ranker's labels, or the trunk was fine-tuned on what came after a query.
    """
    end = split.known.interactions.times[-1] + JUST_AFTER
    with alone(work), limit_threads(config.training.n_threads):
        fitter = Fitter(config, Stages(work, progress))
        nobody, texts, by_period = _fit_by_position(split, fitter, end)
        rankers = {f"rankers/{name}": _fit_ranker(name, split, by_period, fitter) for name in config.rankers}
        return fitter.bundle(fitter.parts(AsOf(split.known, end, None, nobody, texts)) | rankers, split.known, None)


def rows_by_position(split: Split, config: Config, ranker: str, *, work: Path, progress: Progress = silent) -> Rows:
    """The rows that `train_by_position` trains a ranker on, of all periods, one after the other. Raises as that does."""
    end = split.known.interactions.times[-1] + JUST_AFTER
    with alone(work), limit_threads(config.training.n_threads):
        fitter = Fitter(config, Stages(work, progress))
        _, _, by_period = _fit_by_position(split, fitter, end)
        return Rows.stacked([Rows.load(folder) for folder in _ranker_rows(ranker, split, by_period, fitter)])


def _fit_by_position(split: Split, fitter: Fitter, end: np.datetime64) -> tuple[Path, Path, list[Places]]:
    """Profiles of nobody, the texts, and the parts of each period."""
    if fitter.config.finetune.n_steps:
        raise ConfigError(
            f"finetune.n_steps is {fitter.config.finetune.n_steps}, but by position there is no time before which everything is known, and "
            "reviews are of all times; set it to 0"
        )
    tuned_folder(fitter.config.text.trunk, min((query.time for period in split.periods for query in period.queries), default=end))
    texts = fitter.texts(split.known, load_encoder(fitter.config.text, fitter.config.training.n_threads), NO_REVIEWS)
    nobody = fitter.run("nobody", {"at": str(end)}, lambda folder: Profiles.nobody(end).save(folder))
    ends = [AsOf(period.known, period.start, None, nobody, texts, Seen(period.seen, nobody)) for period in split.periods]
    by_period = [fitter.parts(at) for at in ends]
    return nobody, texts, by_period


def _fit_ranker(name: str, split: Split, by_period: list[Places], fitter: Fitter) -> Path:
    """The folder of one ranker, trained on the rows of all periods."""
    config = fitter.config.rankers[name]
    folders = _ranker_rows(name, split, by_period, fitter)

    def make(folder: Path) -> None:
        names, rows = feature_names(fitter.config), [Rows.load(folder) for folder in folders]
        seed, n_threads = fitter.seed(f"ranker-{name}"), fitter.config.training.n_threads
        fit_lambdamart(rows, names, config, seed=seed, n_threads=n_threads, progress=fitter.stages.progress).save(folder)

    return fitter.run(f"ranker-{name}", {"rows": [folder.name for folder in folders], "ranker": config.model_dump()}, make)


def _ranker_rows(name: str, split: Split, by_period: list[Places], fitter: Fitter) -> list[Path]:
    """Folders of one ranker's rows by period, after the leak alarm kept silent."""
    by_time, sources = split.as_of is not None, tuple(fitter.config.strategies[fitter.config.rankers[name].train_on].sources)
    folders = [
        _rows(name, period, period.start if by_time else None, places, fitter)
        for period, places in zip(split.periods, by_period, strict=True)
    ]
    for period, folder in zip(split.periods, folders, strict=True):
        part = Rows.load(folder)
        check_leaks(sources, part.recalls, part.later, str(period.start))
    return folders


def _rows(name: str, period: RankingPeriod, as_of: np.datetime64 | None, places: Places, fitter: Fitter) -> Path:
    ranker = fitter.config.rankers[name]
    strategy = fitter.config.strategies[ranker.train_on]
    kept = Kept(ranker.negatives_per_query, N_IDLE_ROWS if ranker.calibrate else 0)
    queries = [
        (query.customer, str(query.time), query.context, query.wanted.tolist(), query.forgotten.tolist(), sorted(query.shown.items()))
        for query in period.queries
    ]
    later = {customer: items.tolist() for customer, items in period.later.items()}
    inputs = {
        "parts": sorted(folder.name for folder in places.values()),
        "strategy": strategy.model_dump(include={"sources", "filters", "exclude"}),
        "kept": (kept.n_negatives, kept.n_idle),
        "queries": key_of({"queries": queries, "later": later}),
    }

    def make(folder: Path) -> None:
        make_rows(
            fitter.bundle(places, period.known, as_of).open,
            fitter.config,
            strategy,
            period.queries,
            period.later,
            kept,
            np.random.default_rng(fitter.seed(f"rows-{name}-{period.start}")),
            fitter.stages.progress,
            fitter.n_processes,
        ).save(folder)

    return fitter.run(f"rows-{name}", inputs, make)


def _feature_shift(split: Split, learned: Places, shipped: Places, fitter: Fitter) -> dict[str, dict[str, float]]:
    """Population stability index of every feature, by ranker: the last period's sources against the refitted ones."""
    period = split.periods[-1]
    rng = np.random.default_rng(fitter.seed("shift"))
    n_lines, n_seen = (np.bincount(view.interactions.customers + 1)[1:] for view in (period.known, period.seen))
    customers = np.flatnonzero((n_lines > 0) & (n_lines == np.pad(n_seen, (0, len(n_lines) - len(n_seen)))))  # of whole pasts
    customers = np.sort(rng.choice(customers, min(N_SHIFT_CUSTOMERS, len(customers)), replace=False))

    def make(folder: Path) -> None:
        before = fitter.bundle(learned, period.known, period.start).open()
        after = fitter.bundle(shipped, split.known, split.as_of).open()
        shift = {}
        for name, ranker in fitter.config.rankers.items():
            strategy = fitter.config.strategies[ranker.train_on]
            with limit_threads(1):
                old = sample_features(before, strategy, customers, period.start)
                new = sample_features(after, strategy, customers, split.as_of)  # type: ignore[arg-type]  # None was refused
            columns = enumerate(after.features.names)
            shift[name] = {feature: round(population_stability(old[:, at], new[:, at]), 4) for at, feature in columns}
        (folder / "shift.json").write_text(json.dumps(shift))

    places = [sorted(folder.name for folder in parts.values()) for parts in (learned, shipped)]
    strategies = {name: strategy.model_dump() for name, strategy in fitter.config.strategies.items()}
    rankers = {name: ranker.train_on for name, ranker in fitter.config.rankers.items()}
    folder = fitter.run("shift", {"places": places, "strategies": strategies, "rankers": rankers}, make)
    shift: dict[str, dict[str, float]] = json.loads((folder / "shift.json").read_text())
    return shift


def _write(
    split: Split,
    places: Places,
    findings: Mapping[str, Any],
    fitter: Fitter,
    out: Path,
    evaluate: Evaluate | None,
    provenance: Mapping[str, str],
) -> Path:
    """Copy the parts into a temporary folder, add the manifest last, and rename."""
    out.mkdir(parents=True, exist_ok=True)
    sweep(out)
    temporary = out / f"{UNFINISHED}{os.getpid()}"
    try:
        for place, folder in places.items():
            shutil.copytree(folder, temporary / place)
        manifest = _manifest(split, temporary, findings, fitter.config, provenance)
        codes = split.known.event_codes(fitter.config.data.positive_events)
        written = BundleParts({place: temporary / place for place in places}, fitter.config, split.as_of, codes)
        bundle = replace(written.open(), manifest=manifest)
        manifest["metrics"] = dict(evaluate(bundle)) if evaluate is not None else {}
        manifest["sha256"] = manifest_sha256(manifest)
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
        target = out / str(manifest["version"])
        if target.is_dir() and _is_same(target, manifest):
            return target
        if target.exists():  # a kill between these renames leaves no bundle of this version, never half of one
            target.rename(out / f"{UNFINISHED}{os.getpid()}-replaced")
        temporary.rename(target)
        return target
    finally:
        sweep(out)


def _is_same(target: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether a bundle is there already, undamaged and equal in all that its manifest says."""
    try:
        return bool(verify(target)["sha256"] == manifest["sha256"])
    except BundleError:
        return False


def _manifest(split: Split, folder: Path, findings: Mapping[str, Any], config: Config, provenance: Mapping[str, str]) -> dict[str, Any]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listed = {path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size} for path in files}
    known, lines = split.known, split.known.interactions
    contents = {"files": listed, "config": to_json(config), "as_of": str(split.as_of)}
    return {
        "format": FORMAT,
        "version": f"{str(split.as_of)[:10].replace('-', '')}-{key_of(contents)[:8]}",
        **contents,
        "positive_events": known.event_codes(config.data.positive_events).tolist(),
        "data": {
            "fingerprint": known.fingerprint,
            "interactions": len(lines),
            "customers": len(np.unique(lines.customers[lines.customers >= 0])),
            "items": len(known.items),
            "first_event": str(lines.times[0]),
            "last_event": str(lines.times[-1]),
        },
        "indexes": {_part(path, folder): asdict(unseal(path)) for path in files if path.name == INDEX_FILE},
        **findings,
        "libraries": dict(library_versions()),
        "provenance": dict(provenance),
    }


def _part(index: Path, folder: Path) -> str:
    """The part of a bundle that an index file, ``PART/index/index.faiss``, belongs to."""
    return index.parent.parent.relative_to(folder).as_posix()
