"""Linear readers of texts, taught by labelled ones and judged before they are believed.

A text is read by its embedding and by its words (TF-IDF): two logistic regressions, weighed against each other by what they predict of
texts that neither was taught by. Where the two together are worse than the words alone, by more than chance, the words alone read, and the
probe says so. What even the better of these cannot tell from chance is not read at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse import csgraph

from segmentation.purchases import Floats, Reals
from segmentation.words import Words, fit_words

EMBEDDING, WORDS, BOTH = "embedding", "words", "both"
N_FOLDS = 5
MIN_PER_CLASS = 10
"""Texts of a class, near-duplicates counted once, that it needs to be learnt."""
N_RESAMPLES, SURE = 200, 0.95
MIN_WEIGHT = 0.02
"""What the logits by embedding must count for, to be worth reading embeddings."""
ALIKE_LETTERS = 50
"""Texts that begin or end with so many equal letters, spaces and digits aside, are near-duplicates."""
_STRENGTHS = {EMBEDDING: (2.0, 10.0, 50.0), WORDS: (1.0, 5.0, 25.0)}
"""Inverse strengths of the L2 penalty that are tried."""

Features: TypeAlias = Floats | sp.csr_matrix


@dataclass(frozen=True)
class Probe:
    """Multinomial logistic regressions on embedding and words, added up; their probabilities are calibrated.

    shares:            of the classes among the labels, sum 1; float32 (n_classes,)
    bias:              float32 (n_classes,)
    word_weights:      float32 (n_terms, n_classes)
    embedding_weights: float32 (dim, n_classes); None = the words alone read
    """

    classes: tuple[str, ...]
    shares: Floats
    bias: Floats
    words: Words
    word_weights: Floats
    embedding_weights: Floats | None

    @property
    def by(self) -> str:
        """BOTH or WORDS."""
        return WORDS if self.embedding_weights is None else BOTH

    def read(self, texts: Sequence[str], embeddings: Floats | None) -> Floats:
        """Probabilities of the classes, for texts that are of these classes as often as the labels; rows sum to 1, (n, n_classes).

        embeddings: (n, dim); not looked at where the words alone read
        """
        logits = np.asarray(self.words.features(texts) @ self.word_weights) + self.bias
        if self.embedding_weights is not None:
            if embeddings is None:
                raise ValueError("this probe reads embeddings, and there are none")
            logits = logits + embeddings @ self.embedding_weights
        return softmax(logits)


@dataclass(frozen=True)
class Rivalry:
    """How another reader does beside a probe: believed where it tells something and no less than words that it did not hear of.

    difference: of macro F1, its own less that of the words alone: the bounds of SURE of the resamples; the rest as in `Verdict`
    """

    macro_f1: float
    difference: tuple[float, float]
    kappa: float
    kappa_low: float

    @property
    def is_believed(self) -> bool:
        """Told apart from chance, and no worse than words beyond it."""
        return self.kappa_low > 0 and self.difference[1] >= 0


@dataclass(frozen=True)
class Verdict:
    """How a probe was judged, by cross-validation over near-duplicates kept together.

    by:         what reads: BOTH, WORDS, or "" = refused
    reason:     why the embedding, or everything, was refused; "" = nothing was
    n_texts:    labelled texts by class; classes with too few are left out of all the rest
    macro_f1:   of each way of reading, every class counting alike
    difference: of macro F1, both less words alone: the bounds of SURE of the resamples
    kappa:      Cohen's, of what reads: 0 = as by chance; kappa_low: its lower bound
    calibration_error: mean distance of the highest probability from how often it is right (10 bins)
    rival:      another reader's, of the same texts and resamples
    """

    by: str
    reason: str
    n_texts: dict[str, int]
    macro_f1: dict[str, float]
    difference: tuple[float, float] | None = None
    kappa: float | None = None
    kappa_low: float | None = None
    calibration_error: float | None = None
    rival: Rivalry | None = None

    def facts(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)


def fit_probe(
    texts: Sequence[str],
    labels: NDArray[np.integer],
    classes: Sequence[str],
    embeddings: Floats,
    *,
    seed: int,
    n_threads: int,
    rival: NDArray[np.integer] | None = None,
) -> tuple[Probe | None, Verdict]:
    """What reads texts as the labelled ones were, and how it was judged; None = refused. The same for equal seed and threads.

    Args:
        texts: distinct, or near it; equal ones are one text with several labels.
        labels: rows of classes, (n,).
        embeddings: of the texts, (n, dim).
        rival: what another reader takes the texts for, rows of classes, (n,); it is judged beside the probe.
    """
    from threadpoolctl import threadpool_limits

    n_texts = {name: int((labels == row).sum()) for row, name in enumerate(classes)}
    rows, groups, lesson = _learnable(texts, labels, classes, embeddings)
    if len(lesson.classes) < 2:
        return None, Verdict("", f"fewer than two classes have {MIN_PER_CLASS} labelled texts that differ", n_texts, {})
    rng = np.random.default_rng(seed)
    with threadpool_limits(n_threads):
        trials = _try(lesson, _folds(groups, lesson.targets, rng))
        weights = _resamples(groups, rng)
        verdict = _judge(trials, lesson.targets, weights, n_texts)
        if rival is not None:
            number = {name: at for at, name in enumerate(lesson.classes)}
            decisions = np.array([number.get(classes[row], len(number)) for row in rival[rows].tolist()])
            verdict = replace(verdict, rival=_rivalry(decisions, trials[WORDS].decisions, lesson.targets, weights))
        return (_probe(lesson, trials[verdict.by]) if verdict.by else None), verdict


def words_macro_f1(texts: Sequence[str], labels: NDArray[np.integer], classes: Sequence[str], *, seed: int, n_threads: int) -> float:
    """Macro F1 that words alone reach on texts that they were not taught by, as `fit_probe` finds it; 0 = too few labels."""
    from threadpoolctl import threadpool_limits

    _, groups, lesson = _learnable(texts, labels, classes, np.zeros((len(texts), 0), np.float32))
    if len(lesson.classes) < 2:
        return 0.0
    with threadpool_limits(n_threads):
        trial = _try(lesson, _folds(groups, lesson.targets, np.random.default_rng(seed)), (WORDS,))[WORDS]
    return float(_macro_f1(_tables(trial.decisions, lesson.targets, np.ones((1, len(groups)))))[0])


def _learnable(
    texts: Sequence[str], labels: NDArray[np.integer], classes: Sequence[str], embeddings: Floats
) -> tuple[NDArray[np.intp], NDArray[np.intp], _Lesson]:
    """The rows of the texts whose class has enough of them, their near-duplicates by number, and what is learnt from these texts."""
    groups = near_duplicates(texts)
    kept = [row for row in range(len(classes)) if len(np.unique(groups[labels == row])) >= MIN_PER_CLASS]
    rows = np.flatnonzero(np.isin(labels, kept))
    names = tuple(classes[row] for row in kept)
    lesson = _Lesson([texts[row] for row in rows.tolist()], np.searchsorted(kept, labels[rows]), names, embeddings[rows])
    return rows, np.unique(groups[rows], return_inverse=True)[1], lesson


def macro_f1_bounds(decisions: NDArray[np.integer], targets: NDArray[np.integer], seed: int) -> tuple[float, float, float]:
    """Macro F1 of decisions about texts, over the classes of the targets' range, and the bounds of SURE of the resamples."""
    drawn = np.random.default_rng(seed).multinomial(len(targets), np.full(len(targets), 1 / len(targets)), N_RESAMPLES)
    found = _macro_f1(_tables(decisions, targets, np.vstack([np.ones(len(targets)), drawn])))
    low, high = np.quantile(found[1:], [(1 - SURE) / 2, (1 + SURE) / 2])
    return float(found[0]), float(low), float(high)


def near_duplicates(texts: Sequence[str]) -> NDArray[np.intp]:
    """A number for each text, the same for texts that begin or end alike (ALIKE_LETTERS), also by way of others; (n,)."""
    keys: dict[str, int] = {}
    pairs = []
    for row, text in enumerate(texts):
        letters = "".join(filter(str.isalpha, text.casefold())) or text
        pairs += [(row, keys.setdefault(key, len(keys))) for key in (f"< {letters[:ALIKE_LETTERS]}", f"> {letters[-ALIKE_LETTERS:]}")]
    rows, columns = np.array(pairs, np.intp).reshape(-1, 2).T
    n = len(texts) + len(keys)
    links = sp.coo_matrix((np.ones(len(rows)), (rows, columns + len(texts))), (n, n))
    return np.asarray(csgraph.connected_components(links, directed=False)[1][: len(texts)], np.intp)


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Rows that sum to 1; (n, n_classes)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return _floats(powers / powers.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class _Lesson:
    """What is learnt from. targets: rows of classes."""

    texts: list[str]
    targets: NDArray[np.intp]
    classes: tuple[str, ...]
    embeddings: Floats

    @property
    def shares(self) -> Reals:
        return np.bincount(self.targets) / len(self.targets)


@dataclass(frozen=True)
class _Trial:
    """One way of reading, as it did in cross-validation.

    strengths:     the inverse penalties that predicted best, by way
    weights:       what the logits of each way are multiplied by, so that together they predict best
    probabilities: of the held-out texts; decisions: the likeliest classes, were all classes equally frequent
    """

    strengths: dict[str, float]
    weights: dict[str, float]
    probabilities: Floats
    decisions: NDArray[np.intp]


def _folds(groups: NDArray[np.intp], targets: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """A fold for each row: groups stay together, and those of each class are dealt out evenly."""
    _, first = np.unique(groups, return_index=True)
    order = rng.permutation(len(first))
    order = order[np.argsort(targets[first][order], kind="stable")]
    fold = np.empty(len(first), np.intp)
    fold[order] = np.arange(len(first)) % N_FOLDS
    return fold[groups]


_WAYS = {EMBEDDING: (EMBEDDING,), WORDS: (WORDS,), BOTH: (EMBEDDING, WORDS)}


def _try(lesson: _Lesson, folds: NDArray[np.intp], tried: Sequence[str] = tuple(_WAYS)) -> dict[str, _Trial]:
    known = [np.flatnonzero(folds != fold).tolist() for fold in range(N_FOLDS)]
    by_words: list[Features] = [fit_words([lesson.texts[row] for row in rows]).features(lesson.texts) for rows in known]
    features: dict[str, Sequence[Features]] = {EMBEDDING: [lesson.embeddings] * N_FOLDS, WORDS: by_words}
    strengths, logits = {}, {}
    for way in sorted({way for name in tried for way in _WAYS[name]}):
        found = {strength: _held_out(features[way], lesson, folds, strength) for strength in _STRENGTHS[way]}
        strengths[way] = min(found, key=lambda strength: _log_loss(found[strength], lesson.targets))
        logits[way] = found[strengths[way]]
    return {name: _mixed({way: logits[way] for way in _WAYS[name]}, strengths, lesson) for name in tried}


def _held_out(features: Sequence[Features], lesson: _Lesson, folds: NDArray[np.intp], strength: float) -> Reals:
    """Logits of each text by what was taught by the other folds; (n, n_classes)."""
    logits = np.empty((len(folds), len(lesson.classes)))
    for fold, columns in enumerate(features):
        weights, bias = _fit(columns[folds != fold], lesson.targets[folds != fold], len(lesson.classes), strength)
        logits[folds == fold] = np.asarray(columns[folds == fold] @ weights) + bias
    return logits


def _mixed(logits: dict[str, Reals], strengths: dict[str, float], lesson: _Lesson) -> _Trial:
    """The ways together, each weighted as predicts best; of one way, this is temperature scaling (Guo et al. 2017)."""
    from scipy.optimize import minimize

    columns = list(logits.values())

    def loss(weights: Reals) -> float:
        return _log_loss(sum((weight * own for weight, own in zip(weights, columns, strict=True)), np.zeros(1)), lesson.targets)

    start = np.full(len(columns), 1 / len(columns))
    best = minimize(loss, start, method="L-BFGS-B", bounds=[(0.0, 5.0)] * len(columns)).x
    found = softmax(sum((weight * own for weight, own in zip(best, columns, strict=True)), np.zeros(1)))
    weights = {way: float(weight) for way, weight in zip(logits, best, strict=True)}
    return _Trial(strengths, weights, found, (found / lesson.shares).argmax(axis=1))


def _probe(lesson: _Lesson, trial: _Trial) -> Probe:
    """Taught by all the labelled texts, as was best in the trial."""
    words = fit_words(lesson.texts)
    n_classes = len(lesson.classes)
    weights, bias = _fit(words.features(lesson.texts), lesson.targets, n_classes, trial.strengths[WORDS])
    word_weights, bias = trial.weights[WORDS] * weights, trial.weights[WORDS] * bias
    embedding_weights = None
    if (share := trial.weights.get(EMBEDDING)) is not None:
        weights, own = _fit(lesson.embeddings, lesson.targets, n_classes, trial.strengths[EMBEDDING])
        embedding_weights, bias = _floats(share * weights), bias + share * own
    return Probe(lesson.classes, _floats(lesson.shares), _floats(bias), words, _floats(word_weights), embedding_weights)


def _fit(features: Features, targets: NDArray[np.intp], n_classes: int, strength: float) -> tuple[Reals, Reals]:
    """Weights (n_features, n_classes) and bias (n_classes,) of a logistic regression; every class is among the targets."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=2_000, tol=1e-3).fit(features, targets)
    weights, bias = model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64)
    if n_classes == 2:  # scikit-learn has one column then, of the second class against the first
        return np.hstack([np.zeros_like(weights), weights]), np.concatenate([[0.0], bias])
    return weights, bias


def _log_loss(logits: Reals, targets: NDArray[np.intp]) -> float:
    highest = logits.max(axis=1, keepdims=True)
    normal = highest[:, 0] + np.log(np.exp(logits - highest).sum(axis=1))
    return float((normal - logits[np.arange(len(targets)), targets]).mean())


def _resamples(groups: NDArray[np.intp], rng: np.random.Generator) -> Reals:
    """How often each text counts, near-duplicates together: first every one once, then in each resample; (1 + N_RESAMPLES, n)."""
    n = groups.max() + 1
    return np.vstack([np.ones(len(groups)), rng.multinomial(n, np.full(n, 1 / n), N_RESAMPLES)[:, groups]])


def _rivalry(decisions: NDArray[np.integer], by_words: NDArray[np.intp], targets: NDArray[np.intp], weights: Reals) -> Rivalry:
    """Decisions beyond the targets' classes are wrong, and their class counts for nothing else."""
    n_classes = int(targets.max()) + 1
    tables = _tables(decisions, targets, weights)
    scores = _macro_f1(tables) * tables.shape[1] / n_classes  # a class without targets has an F1 of 0
    low, high = np.quantile((scores - _macro_f1(_tables(by_words, targets, weights)))[1:], [(1 - SURE) / 2, (1 + SURE) / 2])
    kappa = _kappa(tables)
    return Rivalry(float(scores[0]), (float(low), float(high)), float(kappa[0]), float(np.quantile(kappa[1:], (1 - SURE) / 2)))


def _judge(trials: dict[str, _Trial], targets: NDArray[np.intp], weights: Reals, n_texts: dict[str, int]) -> Verdict:
    """Which way of reading is used; weights: of the texts, in each of the resamples."""
    tables = {by: _tables(trial.decisions, targets, weights) for by, trial in trials.items()}
    scores = {by: _macro_f1(table) for by, table in tables.items()}
    low, high = np.quantile((scores[BOTH] - scores[WORDS])[1:], [(1 - SURE) / 2, (1 + SURE) / 2])
    reason = ""
    if high < 0:
        reason = "the words alone tell more than with the embedding, by more than chance"
    elif trials[BOTH].weights[EMBEDDING] < MIN_WEIGHT:
        reason = "the embedding adds nothing to the words"
    by = WORDS if reason else BOTH
    kappa = _kappa(tables[by])
    kappa_low = float(np.quantile(kappa[1:], (1 - SURE) / 2))
    if kappa_low <= 0:
        by, reason = "", f"the classes are not told apart beyond chance: kappa {kappa[0]:.2f}, at least {kappa_low:.2f}"
    return Verdict(
        by,
        reason,
        n_texts,
        {way: float(values[0]) for way, values in scores.items()},
        (float(low), float(high)),
        float(kappa[0]),
        kappa_low,
        _calibration_error(trials[by].probabilities, targets) if by else None,
    )


def _tables(decisions: NDArray[np.integer], targets: NDArray[np.integer], weights: Reals) -> Reals:
    """Texts by class (rows) and decision (columns), for each row of weights; (n_weights, n_classes, n_classes)."""
    n = int(max(targets.max(), decisions.max())) + 1
    cells = np.zeros((len(targets), n * n))
    cells[np.arange(len(targets)), targets * n + decisions] = 1.0
    return (weights @ cells).reshape(-1, n, n)


def _macro_f1(tables: Reals) -> Reals:
    right = np.einsum("tcc->tc", tables)
    return np.asarray((2 * right / np.maximum(tables.sum(axis=1) + tables.sum(axis=2), 1e-12)).mean(axis=1))


def _kappa(tables: Reals) -> Reals:
    """Cohen's kappa of each table; 0 where it is not defined."""
    total = tables.sum(axis=(1, 2))
    agreed = np.einsum("tcc->t", tables) / total
    by_chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / total**2
    return np.asarray((agreed - by_chance) / np.maximum(1 - by_chance, 1e-12))


def _calibration_error(probabilities: Floats, targets: NDArray[np.intp]) -> float:
    surest = probabilities.max(axis=1).astype(np.float64)
    gap = surest - (probabilities.argmax(axis=1) == targets)
    bins = np.minimum((surest * 10).astype(np.intp), 9)
    return float(np.abs(np.bincount(bins, gap, 10)).sum() / len(targets))


def _floats(values: NDArray[np.floating]) -> Floats:
    return np.asarray(values, np.float32)
