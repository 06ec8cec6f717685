"""Shares shrunk to wider shares, and places of prices: what a customer's own lines are too few to say."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.types import Floats, Ints

Doubles: TypeAlias = NDArray[np.float64]

LEAST_LINES, MOST_LINES = 1.0, 1e6
"""Bounds of a concentration; the upper one stands for units that are all alike."""
PRICE_LINES = 5.0
"""So many lines at the mean place in the whole shop are added to those of one category."""


def concentration(counts: Doubles, sizes: Doubles, alike: Doubles) -> float:
    """How many lines of the expected shares weigh as much as what is a unit's own, if its shares are a Dirichlet draw around them.

    Two different lines of one unit (a customer, a segment) are of one code more often than its expected shares say: with
    concentration K by a part of 1 / (K + 1) of what is missing to certainty.

    Args:
        counts: lines of each unit with each code; zeros may be left out; any shape
        sizes:  lines of each unit, (n_units,)
        alike:  probability that two lines drawn by the unit's expected shares are of one code, (n_units,)

    Returns:
        Lines, within LEAST_LINES and MOST_LINES; the latter where no unit has two lines, or they do not differ from what is expected.

    Source:
        Moments of the Dirichlet-multinomial: Mosimann (1962), Biometrika 49(1/2).
    """
    pairs = sizes * (sizes - 1)
    n_pairs, n_alike, n_expected = pairs.sum(), (counts * (counts - 1)).sum(), (pairs * alike).sum()
    if n_alike <= n_expected:
        return MOST_LINES
    return float(np.clip((n_pairs - n_alike) / (n_alike - n_expected), LEAST_LINES, MOST_LINES))


def shrunk(counts: Doubles, wider: Doubles, strength: float) -> Doubles:
    """Shares of each row of `counts` with `strength` lines of the wider shares added; (n_units, n_codes)."""
    return np.asarray((counts + strength * wider) / (counts.sum(axis=1, keepdims=True) + strength), np.float64)


def price_places(prices: Floats, codes: Ints) -> Floats:
    """Place of each price among the known ones of its code, strictly within 0 (cheapest) and 1; equal prices share one.

    NaN without a price or a code; 0.5 for a code with one price. float32 (n_items,)
    """
    places = np.full(len(prices), np.nan, np.float32)
    known = np.isfinite(prices) & (codes >= 0)
    code, price = codes[known], prices[known]
    order = np.lexsort((price, code))
    code, price = code[order], price[order]
    is_other = np.append(True, (code[1:] != code[:-1]) | (price[1:] != price[:-1]))[: len(code)]
    equal = np.cumsum(is_other) - 1  # number of each set of equal prices
    rank = (np.bincount(equal, np.arange(len(code))) / np.bincount(equal))[equal]
    first, size = np.searchsorted(code, code), np.bincount(code)[code]
    places[np.flatnonzero(known)[order]] = (rank - first + 0.5) / size
    return places


def usual_places(places: Floats, keys: NDArray[np.integer], n_keys: int) -> Doubles:
    """Mean place of the lines of each key, PRICE_LINES at the mean of all lines added; NaN where no line has a place. (n_keys,)

    places: of each line, NaN = none; keys: of each line
    """
    known = np.isfinite(places)
    if not known.any():
        return np.full(n_keys, np.nan)
    total = np.bincount(keys[known], places[known], minlength=n_keys)
    n = np.bincount(keys[known], minlength=n_keys)
    return np.asarray((total + PRICE_LINES * places[known].mean(dtype=np.float64)) / (n + PRICE_LINES), np.float64)
