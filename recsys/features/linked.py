"""What candidate sources say of candidates, proposed by them or not: scores, and links to the customer's items summed up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys.features.recent import newest_lines, places
from recsys.features.spec import FeatureSpec, half_life_weights
from recsys.protocols import CandidateSource, Linker, ResolvedQuery, Scorer
from recsys.types import Floats, Ints

MAX_SEEDS = 50
"""So many of the customer's newest items are looked at."""


@dataclass(frozen=True)
class Seeds:
    """The newest distinct items of a customer, those looked at first. items: int32 (n,); places: 0 = the newest, float32 (n,)"""

    items: Ints
    places: Floats

    @staticmethod
    def of(resolved: ResolvedQuery) -> Seeds:
        """At most `MAX_SEEDS` of a query."""
        lines = resolved.positives
        newest = newest_lines(resolved)
        apart = newest[~np.isin(lines.items[newest], resolved.context)][: max(0, MAX_SEEDS - len(resolved.context))]
        items = np.concatenate([resolved.context, lines.items[apart]])[:MAX_SEEDS].astype(np.int32)
        n_context = len(items) - len(apart)
        of_context = np.zeros(n_context, np.float32)
        return Seeds(items, np.concatenate([of_context, n_context + places(lines.times[apart])]).astype(np.float32))

    def statistic(self, spec: FeatureSpec, links: Floats) -> Floats:
        """One number per candidate, float32 (n,), from its links to the seeds, (n, n_seeds); NaN without a seed."""
        if not len(self.places):
            return np.full(len(links), np.nan, np.float32)
        if spec.statistic == "max":
            return np.asarray(links.max(axis=1), np.float32)
        if spec.statistic == "last":
            return np.asarray(links[:, self.places == self.places[0]].max(axis=1), np.float32)
        weights = half_life_weights(self.places, spec.half_life_items)
        with np.errstate(invalid="ignore"):  # some builds of OpenBLAS raise the flag on finite numbers
            total = links @ weights
        return np.asarray(total if spec.statistic == "sum" else total / weights.sum(), np.float32)


class OfSources:
    """What each source says of the candidates of one query; asked once, whatever the number of features."""

    def __init__(self, resolved: ResolvedQuery, items: Ints, sources: Mapping[str, CandidateSource]) -> None:
        self.resolved = resolved
        self.items = items
        self.sources = sources
        self.links: dict[str, Floats] = {}

    @cached_property
    def seeds(self) -> Seeds:
        """What the candidates are linked to, whichever source is asked."""
        return Seeds.of(self.resolved)

    def statistic(self, spec: FeatureSpec) -> Floats:
        """One number per candidate, float32 (n,); NaN where the source is missing or knows nothing of the customer."""
        name = str(spec.source)
        source = self.sources.get(name)
        if spec.scope == "source" and isinstance(source, Scorer):
            return source.scores(self.resolved, self.items)
        if spec.scope == "link" and isinstance(source, Linker):
            if name not in self.links:
                self.links[name] = source.links(self.items, self.seeds.items)
            return self.seeds.statistic(spec, self.links[name])
        return np.full(len(self.items), np.nan, np.float32)
