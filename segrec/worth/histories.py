"""Histories by length: what each customer has, and all of them cut down to the last few baskets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.data.thinning import basket_numbers
from recsys.data.thinning import cut_down as thinned
from recsys.training.split import positive_lines
from recsys.types import Interactions

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


def fifths(sizes: NDArray[np.int64]) -> list[str]:
    """The fifth that each of some customers is in by length of history; equal lengths share one."""
    edges = np.quantile(sizes, [0.2, 0.4, 0.6, 0.8])
    return [FIFTHS[fifth] for fifth in np.searchsorted(edges, sizes, side="left")]
