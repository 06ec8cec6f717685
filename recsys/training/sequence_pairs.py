"""Which items customers buy one after the other, and how far apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys.source_config import CovisitConfig
from recsys.types import Floats, Interactions


def sequence_pairs(lines: Interactions, weights: Floats, n_items: int, config: CovisitConfig) -> sparse.csr_array:
    """Sum over customers of weight / distance from an earlier item to a later one, `backward` times that the other way.

    Two items of one time have no order: the mean of both ways counts either way, at the distance that two of so many items have
    on average. No pair is further apart than ``config.window`` items. Rows are what was bought, columns what goes with it.

    weights: of each line; a pair has that of its later one
    """
    rows, places, spans, moments = _placed(lines, n_items, config.max_unit)
    parts = []
    for step in range(1, 2 * config.window + 1):  # items of one time take up places of their own: look further than the window
        earlier, later = np.arange(len(rows) - step), np.arange(step, len(rows))
        same = lines.customers[rows[earlier]] == lines.customers[rows[later]]
        earlier, later = earlier[same], later[same]
        together = moments[earlier] == moments[later]
        distance = np.where(together, (spans[later] + 1) / 3, places[later] - places[earlier])
        near = distance <= config.window
        earlier, later, together, distance = (column[near] for column in (earlier, later, together, distance))
        onward = weights[rows[later]] / np.maximum(distance, 1.0)
        both = (1 + config.backward) / 2
        items = lines.items[rows[earlier]], lines.items[rows[later]]
        parts.append(sparse.csr_array((np.where(together, both, 1.0) * onward, items), (n_items, n_items)))
        parts.append(sparse.csr_array((np.where(together, both, config.backward) * onward, items[::-1]), (n_items, n_items)))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return sparse.csr_array(total)


def _placed(
    lines: Interactions, n_items: int, max_unit: int
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """The newest `max_unit` first purchases of each customer, oldest first; those of one time by item number, which means nothing.

    Returns:
        rows of the lines; the place of each in its customer's sequence, items of one time sharing their mean; how many share it; and a
        number for each time of each customer.
    """
    known = np.flatnonzero(lines.customers >= 0)
    pairs = lines.customers[known].astype(np.int64) * n_items + lines.items[known]
    rows = known[np.unique(pairs, return_index=True)[1]]
    rows = rows[np.lexsort((lines.items[rows], lines.times[rows], lines.customers[rows]))]
    ends = np.append(lines.customers[rows[1:]] != lines.customers[rows[:-1]], True) if len(rows) else np.zeros(0, np.bool_)
    last = np.flatnonzero(ends)
    from_end = np.repeat(last, np.diff(last, prepend=-1)) - np.arange(len(rows))
    rows = rows[from_end < max_unit]
    is_new = np.ones(len(rows), np.bool_)
    is_new[1:] = (lines.customers[rows[1:]] != lines.customers[rows[:-1]]) | (lines.times[rows[1:]] != lines.times[rows[:-1]])
    starts = np.flatnonzero(is_new)
    sizes = np.diff(starts, append=len(rows))
    places = np.repeat(starts + (sizes - 1) / 2, sizes)
    return rows, places, np.repeat(sizes, sizes), np.repeat(np.arange(len(starts)), sizes)
