"""A planted shop held against real ones, with the distance between the real ones as the yardstick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from benchmarks.realism.definitions import GROUPS, SHAPES, FigureDefinition, ShapeDefinition
from benchmarks.realism.measures import Measured
from benchmarks.realism.statistics import Distribution, curve_distance, total_variation

SHARE_TOLERANCE = 0.05
"""A share differs when it lies so far outside the real shops' range."""
RATIO_TOLERANCE = 1.25
"""Any other figure differs when it lies outside that range by such a factor."""


@dataclass(frozen=True)
class Shop:
    """A shop by name, and what was measured of it."""

    name: str
    measured: Measured
    is_planted: bool

    def figure(self, name: str) -> float:
        """The figure; NaN where the shop has none."""
        return self.measured.figures.get(name, float("nan"))


@dataclass(frozen=True)
class Difference:
    """A figure of the planted shop that lies outside the range of the real ones by more than is allowed.

    nearest: the figure of the real shop that comes nearest; severity: 1 = just outside of what is allowed, larger is further
    """

    definition: FigureDefinition
    planted: float
    nearest: float
    severity: float


@dataclass(frozen=True)
class ShapeDistance:
    """How far shapes lie apart, each in [0, 1]; NaN where a shop has none.

    to_real:      from the planted shop to each real one, in their order; empty without a planted shop
    between_real: between the two real shops that are nearest to each other; NaN with fewer than two
    """

    definition: ShapeDefinition
    to_real: tuple[float, ...]
    between_real: float

    @property
    def nearest(self) -> float:
        """From the planted shop to the real one nearest to it; NaN without any."""
        return smallest(self.to_real)

    @property
    def is_known(self) -> bool:
        """Whether there is something to compare and something to measure it by."""
        return bool(np.isfinite(self.nearest) and np.isfinite(self.between_real))

    @property
    def is_nearer(self) -> bool:
        """Whether the planted shop is as near to a real one as the real ones are to each other."""
        return self.is_known and self.nearest <= self.between_real


@dataclass(frozen=True)
class Comparison:
    """Shops, the planted one first where there is one, and what was found."""

    shops: tuple[Shop, ...]
    differences: tuple[Difference, ...]
    distances: tuple[ShapeDistance, ...]

    @property
    def planted(self) -> Shop | None:
        """The planted shop, if one was given."""
        return self.shops[0] if self.shops[0].is_planted else None

    @property
    def real(self) -> tuple[Shop, ...]:
        """The shops to compare with."""
        return tuple(shop for shop in self.shops if not shop.is_planted)

    @property
    def n_compared(self) -> int:
        """Figures that the planted shop and at least one real shop have."""
        return sum(definition.is_compared and bool(np.isfinite(gap(self.shops, definition.name)[0])) for definition in figure_definitions())


def compare(shops: Sequence[Shop]) -> Comparison:
    """All differences, the largest first, and all distances; at most one shop, the first, is planted."""
    found = [difference(shops, definition) for definition in figure_definitions() if definition.is_compared]
    differences = sorted((one for one in found if one is not None), key=lambda one: -one.severity)
    return Comparison(tuple(shops), tuple(differences), tuple(shape_distance(shops, shape) for shape in SHAPES))


def figure_definitions() -> tuple[FigureDefinition, ...]:
    """All figures, in the order in which they are shown."""
    return tuple(definition for group in GROUPS for definition in group.figures)


def gap(shops: Sequence[Shop], name: str) -> tuple[float, float]:
    """The planted shop's figure and the nearest figure inside the real shops' range; NaN where there is none."""
    real = [shop.figure(name) for shop in shops if not shop.is_planted and np.isfinite(shop.figure(name))]
    planted = shops[0].figure(name) if shops[0].is_planted else float("nan")
    if not real or not np.isfinite(planted):
        return float("nan"), float("nan")
    return planted, float(np.clip(planted, min(real), max(real)))


def difference(shops: Sequence[Shop], definition: FigureDefinition) -> Difference | None:
    """The difference in a figure; None where there is nothing to compare or the planted shop is near enough."""
    planted, nearest = gap(shops, definition.name)
    if planted == nearest or not np.isfinite(planted):
        return None
    if definition.kind == "share":
        severity = abs(planted - nearest) / SHARE_TOLERANCE
    else:
        low, high = sorted((abs(planted), abs(nearest)))
        severity = float(np.log(high / low) / np.log(RATIO_TOLERANCE)) if low > 0 else float("inf")
    return Difference(definition, planted, nearest, severity) if severity > 1 else None


def shape_distance(shops: Sequence[Shop], shape: ShapeDefinition) -> ShapeDistance:
    """Distances of one shape."""
    apart = _distances(shops, shape)
    real = [number for number, shop in enumerate(shops) if not shop.is_planted]
    to_real = tuple(apart(0, other) for other in real) if shops[0].is_planted else ()
    return ShapeDistance(shape, to_real, smallest([apart(one, other) for one, other in combinations(real, 2)]))


def _distances(shops: Sequence[Shop], shape: ShapeDefinition) -> Callable[[int, int], float]:
    if shape.measure == "KS":
        found = [distribution(shop, shape) for shop in shops]

        def apart(one: int, other: int) -> float:
            mine, theirs = found[one], found[other]
            return float("nan") if mine is None or theirs is None else mine.distance(theirs)

        return apart
    profiles = [shop.measured.profiles[shape.name] for shop in shops]
    if shape.measure == "TV":
        return lambda one, other: total_variation(profiles[one][1], profiles[other][1])
    return lambda one, other: curve_distance(profiles[one], profiles[other])


def distribution(shop: Shop, shape: ShapeDefinition) -> Distribution | None:
    """The shape of one shop; None where it has no values, or none that can be scaled."""
    values = shop.measured.samples.get(shape.name)
    if values is None or not len(values) or not np.median(values) > 0:
        return None
    return Distribution.of(values, shape.are_counts)


def smallest(values: Sequence[float]) -> float:
    """The smallest number; NaN where there is none."""
    known = [value for value in values if np.isfinite(value)]
    return min(known, default=float("nan"))
