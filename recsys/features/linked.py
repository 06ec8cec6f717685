"""What candidate sources say of candidates, proposed by them or not: scores, and links to the customer's items summed up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recsys.features.recent import newest_of_each, places
from recsys.features.spec import FeatureSpec, half_life_weights
from recsys.protocols import CandidateSource, Linker, ResolvedQuery, Scorer
from recsys.types import Floats, Ints

MAX_SEEDS = 50
"""So many of the customer's newest items are looked at."""


class LinkedItems:
    """The newest distinct items of a customer, and what they are to the candidates by one source."""

    def __init__(self, resolved: ResolvedQuery, items: Ints, source: Linker) -> None:
        lines = resolved.positives
        newest = newest_of_each(lines.items)
        apart = newest[~np.isin(lines.items[newest], resolved.context)][: max(0, MAX_SEEDS - len(resolved.context))]
        seeds = np.concatenate([resolved.context, lines.items[apart]])[:MAX_SEEDS].astype(np.int32)
        n_context = len(seeds) - len(apart)
        self.places = np.concatenate([np.zeros(n_context, np.float32), n_context + places(lines.times[apart])]).astype(np.float32)
        self.n_items = len(items)
        self.links = source.links(items, seeds)

    def statistic(self, spec: FeatureSpec) -> Floats:
        """One number per candidate, float32 (n,); NaN without an item."""
        if not len(self.places):
            return np.full(self.n_items, np.nan, np.float32)
        if spec.statistic == "max":
            return np.asarray(self.links.max(axis=1), np.float32)
        if spec.statistic == "last":
            return np.asarray(self.links[:, self.places == self.places[0]].max(axis=1), np.float32)
        weights = half_life_weights(self.places, spec.half_life_items)
        total = self.links @ weights
        return np.asarray(total if spec.statistic == "sum" else total / weights.sum(), np.float32)


class OfSources:
    """What each source says of the candidates of one query; asked once, whatever the number of features."""

    def __init__(self, resolved: ResolvedQuery, items: Ints, sources: Mapping[str, CandidateSource]) -> None:
        self.resolved = resolved
        self.items = items
        self.sources = sources
        self.linked: dict[str, LinkedItems] = {}

    def statistic(self, spec: FeatureSpec) -> Floats:
        """One number per candidate, float32 (n,); NaN where the source is missing or knows nothing of the customer."""
        name = str(spec.source)
        source = self.sources.get(name)
        if spec.scope == "source" and isinstance(source, Scorer):
            return source.scores(self.resolved, self.items)
        if spec.scope == "link" and isinstance(source, Linker):
            if name not in self.linked:
                self.linked[name] = LinkedItems(self.resolved, self.items, source)
            return self.linked[name].statistic(spec)
        return np.full(len(self.items), np.nan, np.float32)
