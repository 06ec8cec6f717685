"""The contrastive loss, and the negatives that are hardest to tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.types import Flags, Floats

if TYPE_CHECKING:
    import torch

N_MINED = 20
"""Nearest wrong documents kept of each; a batch draws from them."""
_AT_ONCE = 1024


def info_nce(
    embeddings: torch.Tensor,
    means: sp.csr_matrix,
    documents: NDArray[np.intp],
    wanted: NDArray[np.intp],
    is_spared: Flags,
    temperature: float,
) -> torch.Tensor:
    """Mean over queries of -log softmax of the wanted document's cosine over the temperature; spared documents are left out.

    Args:
        embeddings: texts of a batch, unit norm; (n, dim).
        means: averages texts into queries, rows sum to 1; (q, n).
        documents: places of the documents among the texts; (c,).
        wanted: the column in `documents` of each query; (q,). Never spared.
        is_spared: (q, c).

    Source:
        van den Oord et al. (2018), with in-batch negatives and cosine over temperature as in Chen et al. (2020).
    """
    import torch

    device = embeddings.device
    averaging = torch.from_numpy(means.toarray().astype(np.float32)).to(device)
    queries = torch.nn.functional.normalize(averaging @ embeddings, dim=1)  # (q, dim)
    logits = queries @ embeddings[torch.from_numpy(documents).to(device)].T / temperature  # (q, c)
    logits = logits.masked_fill(torch.from_numpy(is_spared).to(device), -torch.inf)
    return torch.nn.functional.cross_entropy(logits, torch.from_numpy(wanted).long().to(device))


def hardest(embeddings: Floats, links: sp.csr_matrix) -> NDArray[np.int64]:
    """The nearest rows of each row, nearest first, without itself and what it is linked with.

    Args:
        embeddings: unit norm, (n, dim).
        links: true where two rows belong together, (n, n).

    Returns:
        int64, shape (n, min(N_MINED, n - 1)); a row with fewer unlinked ones repeats its nearest.

    Raises:
        ValueError: links and embeddings differ in length.
    """
    n = len(embeddings)
    if links.shape != (n, n):
        raise ValueError(f"links of shape {links.shape} do not fit {n} embeddings")
    n_kept = min(N_MINED, n - 1)
    nearest = np.empty((n, n_kept), np.int64)
    for start in range(0, n, _AT_ONCE):
        rows = np.arange(start, min(n, start + _AT_ONCE))
        cosines = embeddings[rows] @ embeddings.T  # (rows, n)
        cosines[links[rows].toarray().astype(bool)] = -np.inf
        cosines[np.arange(len(rows)), rows] = -np.inf
        best = np.argpartition(-cosines, n_kept - 1, axis=1)[:, :n_kept] if n_kept else np.empty((len(rows), 0), np.int64)
        found = np.take_along_axis(cosines, best, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        best, found = np.take_along_axis(best, order, axis=1), np.take_along_axis(found, order, axis=1)
        nearest[rows] = np.where(np.isfinite(found), best, best[:, :1])
    return nearest
