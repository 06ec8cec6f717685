"""Why ranked items stand where they do: what each family of features added to the ranker's score, with its evidence.

Contributions are TreeSHAP values: together with the mean score of the training rows they add up to the item's score. Those of the
features of one family (`recsys.features.families`) are summed. A family is told of an item when its sum is one of the three highest,
above 0, and its evidence holds: what it says of the customer must be true. So what the ranker did not use is not told, nor is what
only correlates with something untrue; an item may have no reason at all.

Of items that read alike, the reason is told as what customers mention of both, where there is such a thing.

Source: Lundberg et al. (2020), Nature Machine Intelligence 2, path-dependent TreeSHAP; by LightGBM.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.data.buyers import Buyers
from recsys.data.catalogue import Catalogue
from recsys.feature_config import Attribute
from recsys.features.families import Family, columns_by_family
from recsys.features.spec import GROUP_SCOPES, FeatureSpec, feature_specs
from recsys.protocols import CandidateSource, ResolvedQuery
from recsys.ranking.mentions import Mentions
from recsys.ranking.reasons import seeds_of
from recsys.source_config import PopularConfig
from recsys.types import Flags, Floats, Ints, Reason, ReasonCode

TOP = 3
LEVELS: tuple[Attribute, ...] = ("product_type", "category", "department")
NEAR = 0.25
"""A price is usual when its place in its category, 0 = cheapest to 1 = dearest, is at most so far from the customer's mean place."""
OFTEN = 0.1
"""An item is often bought again when this share of its lines is of customers who had bought it before."""
NEED_A_SEED = (
    ReasonCode.BOUGHT_BEFORE,
    ReasonCode.BOUGHT_TOGETHER,
    ReasonCode.SIMILAR_TEXT,
    ReasonCode.SIMILAR_CUSTOMERS,
    ReasonCode.OFTEN_NEXT,
)
"""Reasons that say nothing without the item that they rest on."""
OF_OTHERS = (ReasonCode.BOUGHT_TOGETHER, ReasonCode.SIMILAR_CUSTOMERS, ReasonCode.OFTEN_NEXT)
"""Reasons that say what other customers do: one of them at least bought the item and the one that it rests on."""

Table = NDArray[np.float64]


class Explainer:
    """Tells reasons from contributions; one serves all queries of a bundle.

    sources:    those at hand; features of others are not told
    families:   all that can be told
    members:    1 where a column of the feature matrix is of a family; (n_features, n_families)
    of_sources: of each family, by source, the columns of what it says
    prices:     columns that compare an item's price with the customer's usual one
    repeats:    columns that tell how much of an item is bought again
    lifts:      columns that tell how much more of an item a segment or tier buys than others, by scope
    popular:    which items may be called so; bool (n_items,)
    buyers:     of every item
    mentions:   what reviewers mention of items; None = it is not known
    """

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        sources: Mapping[str, CandidateSource],
        popular: Flags,
        buyers: Buyers,
        mentions: Mentions | None = None,
    ) -> None:
        self.catalogue, self.sources, self.popular, self.buyers, self.mentions = catalogue, sources, popular, buyers, mentions
        columns = columns_by_family(config, {name: _family(name, source, config) for name, source in sources.items()})
        self.families = tuple(dict.fromkeys(column.family for column in columns if column is not None))
        self.of_sources: dict[Family, dict[str, list[int]]] = {family: {} for family in self.families}
        self.members = np.zeros((len(columns), len(self.families)))
        for at, column in enumerate(columns):
            if column is not None:
                self.members[at, self.families.index(column.family)] = 1.0
                if column.source is not None:
                    self.of_sources[column.family].setdefault(column.source, []).append(at)
        specs = list(enumerate(feature_specs(config)))
        self.prices = [(at, spec) for at, spec in specs if spec.scope == "pair" and spec.statistic == "price"]
        of_item = [(at, spec) for at, spec in specs if spec.by == "item" and spec.window_days is None]
        self.repeats = [at for at, spec in of_item if spec.scope == "item" and spec.statistic == "repeat"]
        self.lifts = {scope: [at for at, spec in of_item if spec.scope == scope and spec.statistic == "lift"] for scope in GROUP_SCOPES}

    def reasons(
        self, contributions: Table, features: Floats, items: Ints, resolved: ResolvedQuery
    ) -> tuple[list[list[Reason]], tuple[str, ...]]:
        """At most three reasons of each item, the strongest first; and which sources could not say why.

        contributions, features: of each item, float64 and float32 (n, n_features)
        """
        sums = contributions @ self.members  # (n, n_families)
        speaking = np.maximum(sums, 0.0).sum(axis=1)
        evidence = _Evidence(self, contributions, features, items, resolved)
        told = []
        for row, of_row in enumerate(sums):
            best = [at for at in np.argsort(-of_row, kind="stable")[:TOP] if of_row[at] > 0]
            found = [evidence.reason(self.families[at], row, float(of_row[at] / speaking[row])) for at in best]
            told.append([reason for reason in found if reason is not None])
        return told, tuple(evidence.failed)


class _Evidence:
    """What is true of one customer and some items; contributions and features as in `Explainer.reasons`."""

    def __init__(self, explainer: Explainer, contributions: Table, features: Floats, items: Ints, resolved: ResolvedQuery) -> None:
        self.explainer, self.catalogue = explainer, explainer.catalogue
        self.contributions, self.features, self.items, self.resolved = contributions, features, items, resolved
        self.seeds: dict[str, Ints] = {}
        self.failed: list[str] = []

    def reason(self, family: Family, row: int, strength: float) -> Reason | None:
        """The reason that a family gives for one item; None where it would not be true or says nothing."""
        code = family.code
        if code in _ALONE:
            return Reason(code, strength=strength) if _ALONE[code](self, row) else None
        if code in _NAMED:
            name = _NAMED[code](self, family, row)
            return None if name is None else Reason(code, name=name, strength=strength)
        seed = self._bought(row) if code is ReasonCode.BOUGHT_BEFORE else self._seed(family, row)
        if seed < 0 and code in NEED_A_SEED:
            return None
        if code in OF_OTHERS and not self.explainer.buyers.share_another(int(self.items[row]), seed, self.resolved.customer):
            return None
        if code is ReasonCode.SIMILAR_TEXT and (mentioned := self._mentioned(seed, row, strength)) is not None:
            return mentioned
        return Reason(code, None if seed < 0 else self.catalogue.items.ids[seed], strength=strength)

    def _is_popular(self, row: int) -> bool:
        return bool(self.explainer.popular[self.items[row]])

    def _is_bought_again(self, row: int) -> bool:
        return bool((self.features[row, self.explainer.repeats] >= OFTEN).any())  # NaN: never bought

    def _bought(self, row: int) -> int:
        """The item itself or another of its variants, whichever the customer bought last; -1 = neither."""
        bought, codes = self.resolved.positives.items, self.catalogue.codes("group")
        item = self.items[row]
        same = bought == item if codes[item] < 0 else (bought == item) | (codes[bought] == codes[item])
        return int(bought[np.argmax(same)]) if same.any() else -1

    def _mentioned(self, seed: int, row: int, strength: float) -> Reason | None:
        """What customers mention both of the item and of the one of this customer that it reads like."""
        mentions = self.explainer.mentions
        at = None if mentions is None else mentions.shared(int(self.items[row]), seed)
        if mentions is None or at is None:
            return None
        return Reason(ReasonCode.MENTIONED, self.catalogue.items.ids[seed], mentions.term(at), strength, mentions.mention(at))

    def _brand(self, family: Family, row: int) -> str | None:
        code = self._shared("brand", row)
        return None if code < 0 else self.catalogue.brand_names[code]

    def _category(self, family: Family, row: int) -> str | None:
        """The narrowest category of the item that the customer bought from."""
        code = next((code for level in LEVELS if (code := self._shared(level, row)) >= 0), -1)
        return None if code < 0 else self.catalogue.category_names[code]

    def _priced(self, family: Family, row: int) -> str | None:
        """Where the price is as the customer's usual one: the brand or category that it was compared in."""
        near = (spec for at, spec in self.explainer.prices if abs(self.features[row, at]) <= NEAR)  # NaN: not known, not near
        spec = next(near, None)
        return None if spec is None else self._name_of(spec, row)

    def _name_of(self, spec: FeatureSpec, row: int) -> str | None:
        code = self._shared(spec.by, row)
        if code < 0 or spec.by == "group":
            return None
        return (self.catalogue.brand_names if spec.by == "brand" else self.catalogue.category_names)[code]

    def _group(self, family: Family, row: int) -> str | None:
        """The customer's segment or tier, where it buys the item more than others do, or a source found it among its most bought."""
        profile, columns = self.resolved.profile, self.explainer.of_sources[family].values()
        is_more = bool((self.features[row, self.explainer.lifts[family.scope]] > 0).any()) and self._is_popular(row)
        if profile is None or not (is_more or any(np.isfinite(self.features[row, of_source]).any() for of_source in columns)):
            return None
        return profile.group(family.scope)

    def _shared(self, attribute: Attribute, row: int) -> int:
        """The item's code, where the customer bought something that has it; else -1."""
        codes = self.catalogue.codes(attribute)
        code = int(codes[self.items[row]])
        return code if code >= 0 and (codes[self.resolved.positives.items] == code).any() else -1

    def _seed(self, family: Family, row: int) -> int:
        """The item of the customer that the source of the family which added most rests on; -1 = none, or not the customer's."""
        columns = self.explainer.of_sources[family]
        name = max(columns, key=lambda name: self.contributions[row, columns[name]].sum())
        if name not in self.seeds:
            found, problem = seeds_of(name, self.explainer.sources[name], self.resolved, self.items)
            own = np.concatenate([self.resolved.context, self.resolved.positives.items])
            self.seeds[name] = np.where(np.isin(found, own), found, -1).astype(np.int32)
            self.failed += [] if problem is None else [problem]
        return int(self.seeds[name][row])


_ALONE = {ReasonCode.POPULAR: _Evidence._is_popular, ReasonCode.BOUGHT_AGAIN: _Evidence._is_bought_again}
"""Reasons of the item alone, which rest on nothing of the customer."""

_NAMED = {
    ReasonCode.SAME_BRAND: _Evidence._brand,
    ReasonCode.SAME_CATEGORY: _Evidence._category,
    ReasonCode.USUAL_PRICE: _Evidence._priced,
    ReasonCode.POPULAR_IN_SEGMENT: _Evidence._group,
}
"""Reasons that speak of something with a name."""


def _family(name: str, source: CandidateSource, config: Config) -> Family:
    """The family of what a source says."""
    entry = config.sources.get(name)
    within = entry.within if isinstance(entry, PopularConfig) and source.reason is ReasonCode.POPULAR_IN_SEGMENT else ""
    return Family(source.reason, within)
