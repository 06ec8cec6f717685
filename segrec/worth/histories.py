"""Histories by length: what each customer has, and all of them cut down to the last few baskets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.bundle import Bundle, Histories
from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.data.thinning import basket_numbers
from recsys.data.thinning import cut_down as thinned
from recsys.training.customers import purchases
from recsys.training.split import positive_lines
from recsys.training.stages import Progress
from recsys.types import Floats, Interactions
from segrec.segment_folder import open_fitted
from segrec.segment_reading import reader_by, voices_by

FIFTHS = ("1 (thinnest)", "2", "3", "4", "5 (longest)")


def n_baskets(lines: Interactions, n_customers: int) -> NDArray[np.int64]:
    """Baskets of each customer, (n_customers,)."""
    known = lines.customers >= 0
    most = np.zeros(n_customers, np.int64)
    np.maximum.at(most, lines.customers[known], basket_numbers(lines)[known] + 1)
    return most


def cut_down(dataset: Dataset, cut: np.datetime64, n: int, config: Config) -> Dataset:
    """The shop with every customer's past from the `n`-th last basket before the cut on; what guests did, and what came later, stays.

    Baskets are of positive events; views and the like before the first basket that is left are gone with the others.
    """
    bought = positive_lines(dataset.before(cut), config)
    return thinned(dataset, bought, np.full(len(dataset.customers), n))


def shortened(bundle: Bundle, path: Path, dataset: Dataset, lengths: Sequence[int], progress: Progress) -> Iterator[tuple[int, Bundle]]:
    """For each length n the bundle of a shop to which only the last `n` baskets of each customer are known.

    Its customers have the profiles that such customers would have been given, also by what they have written since. What all models were
    made of stays as it is. path: where the bundle was loaded from; dataset: the shop that it was trained on

    Raises:
        ValueError: the bundle has no time, so no basket is the last one.
    """
    if bundle.as_of is None:
        raise ValueError("a bundle from a split by position has no time before which baskets could be the last")
    fitted = open_fitted(path)
    reader = reader_by(fitted)
    remembering = None if reader is None else replace(reader, embed=_remembering(reader.embed))
    for n in lengths:
        known = cut_down(dataset, bundle.as_of, n, bundle.config).before(bundle.as_of)
        n_customers, lines = len(known.customers), purchases(known, bundle.config)
        voices = voices_by(fitted, known, bundle.as_of, remembering, progress)
        profiles = fitted.model.assign(lines, n_customers, bundle.as_of, voices=voices)
        yield n, replace(bundle, histories=Histories.of_interactions(known.interactions, n_customers), profiles=profiles)


def _remembering(embed: Callable[[Sequence[str]], Floats]) -> Callable[[Sequence[str]], Floats]:
    """The same, which is asked for each text once: a longer history has the texts of the shorter ones."""
    known: dict[str, Floats] = {}

    def remembered(texts: Sequence[str]) -> Floats:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, embed(new), strict=True))
        return np.stack([known[text] for text in texts])

    return remembered


def fifths(sizes: NDArray[np.int64]) -> list[str]:
    """The fifth that each of some customers is in by length of history; equal lengths share one."""
    edges = np.quantile(sizes, [0.2, 0.4, 0.6, 0.8])
    return [FIFTHS[fifth] for fifth in np.searchsorted(edges, sizes, side="left")]
