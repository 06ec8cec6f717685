"""How well classes are told, with intervals, and the classic reader of words to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from benchmarks.text.bench import SEED
from recsys.types import Floats
from segrec.console import output

N_RESAMPLES = 2000
Scores = dict[str, float]
Labels = NDArray[np.integer]


def tf_idf(texts: Iterable[str], labels: Labels, asked: Iterable[str]) -> Floats:
    """Probabilities by logistic regression on words and pairs of words; (len(asked), n_classes)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    return regression(words.fit_transform(texts), labels, words.transform(asked))


def regression(seen: Floats, labels: Labels, asked: Floats) -> Floats:
    """Probabilities by logistic regression; (len(asked), n_classes)."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10, max_iter=1000).fit(seen, labels)
    return np.asarray(model.predict_proba(asked), np.float32)


def class_scores(truth: Labels, told: Labels, n_classes: int, times: Labels | None = None) -> Scores:
    """Macro-F1, balanced accuracy (mean recall of the classes) and accuracy, in [0, 1].

    Args:
        times: how often each text counts; unset = once.
    """
    weight = np.ones(len(truth)) if times is None else times
    right = np.bincount(truth, weight * (truth == told), minlength=n_classes)
    there, claimed = np.bincount(truth, weight, minlength=n_classes), np.bincount(told, weight, minlength=n_classes)
    is_there = there > 0
    return {
        "macro-F1": float((2 * right[is_there] / (there + claimed)[is_there]).mean()),
        "balanced accuracy": float((right[is_there] / there[is_there]).mean()),
        "accuracy": float(right.sum() / there.sum()),
    }


def report(title: str, systems: Mapping[str, Callable[[Labels | None], Scores]], units: Sequence[object]) -> None:
    """Each system's scores with 95 % percentile intervals.

    Args:
        systems: scores, given how often each text counts (None = once).
        units: what each text belongs to; whole units are drawn.
    """
    _, unit_of = np.unique(np.asarray(units), return_inverse=True)
    rng = np.random.default_rng(SEED)
    n_units = int(unit_of.max()) + 1
    draws = [np.bincount(rng.integers(0, n_units, n_units), minlength=n_units)[unit_of] for _ in range(N_RESAMPLES)]
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for at, (name, score) in enumerate(systems.items()):
        found, drawn = score(None), [score(times) for times in draws]
        if not at:
            for heading in ("reader", *(f"{measure} (95 %)" for measure in found)):
                table.add_column(heading, justify="left" if heading == "reader" else "right")
        cells = []
        for measure, value in found.items():
            low, high = np.quantile([scores[measure] for scores in drawn], [0.025, 0.975])
            cells.append(f"{value:.4f} ({low:.4f} to {high:.4f})")
        table.add_row(name, *cells)
    output().print(table)


def by_class(truth: Labels, told: Labels, n_classes: int) -> Callable[[Labels | None], Scores]:
    """What `report` asks of a system that names a class for each text."""
    return lambda times: class_scores(truth, told, n_classes, times)


def by_order(truth: Floats, told: Floats) -> Callable[[Labels | None], Scores]:
    """What `report` asks of a system that orders texts: Spearman's correlation with the truth, and the AUC of its sign."""
    from scipy.stats import rankdata, spearmanr
    from sklearn.metrics import roc_auc_score

    def scores(times: Labels | None) -> Scores:
        rows = np.arange(len(truth)) if times is None else np.repeat(np.arange(len(truth)), times)
        is_clear = truth[rows] != 0
        auc = roc_auc_score(truth[rows][is_clear] > 0, told[rows][is_clear])
        return {"Spearman": float(spearmanr(rankdata(truth[rows]), told[rows]).statistic), "AUC": float(auc)}

    return scores
