"""Fitting EASE: linear weights between items in closed form."""

from __future__ import annotations

import numpy as np
from scipy import linalg, sparse

from recsys.candidates.covisit import CovisitSource
from recsys.errors import ConfigError
from recsys.features.spec import half_life_weights
from recsys.source_config import EaseConfig
from recsys.threads import limit_threads
from recsys.training.covisit import CHUNK_ITEMS, strongest_links
from recsys.training.stages import Progress, silent
from recsys.types import Floats, Interactions

MAX_ITEMS = 30_000
"""A dense matrix of so many items squared takes 3.6 GB, and its inverse as much time as patience has."""


def fit_ease(
    lines: Interactions, n_items: int, as_of: np.datetime64, config: EaseConfig, *, n_threads: int, progress: Progress = silent
) -> CovisitSource:
    """Weights B with a zero diagonal that minimise |X - XB|^2 + l2 |B|^2, the strongest of each item kept where they are positive.

    X is customers x items, the decayed number of lines of each at most 1.

    Raises:
        ConfigError: there are more items with a line than MAX_ITEMS.

    Source: Steck (2019), WWW, "Embarrassingly shallow autoencoders for sparse data", equation 8.
    """
    known = lines.customers >= 0
    bought, columns = np.unique(lines.items[known], return_inverse=True)
    if len(bought) > MAX_ITEMS:
        raise ConfigError(
            f"a source of kind 'ease' takes at most {MAX_ITEMS:,} bought items, this shop has {len(bought):,}; use 'covisit' in its place"
        )
    ages = ((as_of - lines.times[known]) / np.timedelta64(1, "D")).astype(np.float32)
    _, rows = np.unique(lines.customers[known], return_inverse=True)
    shape = (int(rows.max(initial=-1)) + 1, len(bought))
    taken = sparse.csr_matrix((half_life_weights(ages, config.half_life_days), (rows, columns)), shape)
    taken.data = np.minimum(taken.data, np.float32(1.0))
    progress(0, 1, "EASE")
    with limit_threads(n_threads):
        links = _weights((taken.T @ taken).toarray(), config.l2)
    progress(1, 1, "EASE")
    blocks = (_block(links, bought, first, n_items) for first in range(0, n_items, CHUNK_ITEMS))
    return CovisitSource(*strongest_links(blocks, n_items, np.ones(n_items), config.n_neighbours, silent), config)


def _weights(gram: Floats, l2: float) -> Floats:
    """B of the paper, rows are what was bought; the gram matrix is overwritten."""
    gram[np.diag_indices_from(gram)] += l2
    factor = linalg.cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
    inverse, failed = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise ConfigError(f"EASE: the matrix cannot be inverted with l2 = {l2:g}; set a larger one")
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    weights = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0.0
    return np.asarray(weights, np.float32)


def _block(links: Floats, bought: np.ndarray[tuple[int], np.dtype[np.int32]], first: int, n_items: int) -> sparse.csr_array:
    """Rows of the items from `first` on, as numbers of the catalogue; links that are not positive are left out."""
    here = np.flatnonzero((bought >= first) & (bought < first + CHUNK_ITEMS))
    rows, columns = np.nonzero(links[here] > 0)
    shape = (min(CHUNK_ITEMS, n_items - first), n_items)
    return sparse.csr_array((links[here][rows, columns], (bought[here[rows]] - first, bought[columns])), shape)
