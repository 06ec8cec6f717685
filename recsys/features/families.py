"""What a shopper can be told of each feature: which reason it speaks for. Data, so that a feature of the configuration needs no code.

A feature that is the same for all candidates of a query (of the customer alone) explains no choice among them, and one that has no
plain words (how many sources agree, what a line of the item costs) is not told; both have no family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recsys.config import Config
from recsys.features.spec import GROUP_SCOPES, FeatureSpec, feature_names, feature_specs
from recsys.types import ReasonCode


@dataclass(frozen=True)
class Family:
    """Features that are told as one reason.

    scope: whose taste the reason POPULAR_IN_SEGMENT speaks of, "segment" or "tier"; "" for other reasons
    """

    code: ReasonCode
    scope: str = ""


BOUGHT, BRAND, CATEGORY = Family(ReasonCode.BOUGHT_BEFORE), Family(ReasonCode.SAME_BRAND), Family(ReasonCode.SAME_CATEGORY)
POPULAR, AGAIN = Family(ReasonCode.POPULAR), Family(ReasonCode.BOUGHT_AGAIN)

OF_PAIRS = {
    "item": BOUGHT,
    "group": BOUGHT,
    "brand": BRAND,
    "product_type": CATEGORY,
    "category": CATEGORY,
    "department": CATEGORY,
}
"""What the customer's own lines say, by what the item is widened to."""

OF_ITEMS = {
    "rate": POPULAR,
    "decayed": POPULAR,
    "recency": POPULAR,
    "customers": POPULAR,
    "age": POPULAR,
    "repeat": AGAIN,
    "interval": AGAIN,
}
"""What everybody's lines say, by statistic."""


@dataclass(frozen=True)
class Column:
    """Where a column of a feature matrix belongs. source: the source that says it; None = none does."""

    family: Family
    source: str | None = None


def columns_by_family(config: Config, of_sources: Mapping[str, Family]) -> tuple[Column | None, ...]:
    """The family of each column of a feature matrix; None = it is not told.

    of_sources: family of each source that is at hand; what others say is not told
    """
    told: dict[str, Column | None] = {}
    for spec in feature_specs(config):
        if spec.source is None:
            family = family_of(spec)
            told[spec.name] = None if family is None else Column(family)
        elif spec.source in of_sources:
            told[spec.name] = Column(of_sources[spec.source], spec.source)
    for source, family in of_sources.items():
        told |= {f"{source}_{what}": Column(family, source) for what in ("score", "rank")}
    return tuple(told.get(name) for name in feature_names(config))


def family_of(spec: FeatureSpec) -> Family | None:
    """The family of a declared feature that no source says."""
    if spec.scope == "need":
        return None  # nobody is told what their own words had them taken for
    if spec.statistic == "price":
        return None if spec.scope == "item" else Family(ReasonCode.USUAL_PRICE)
    if spec.scope in GROUP_SCOPES:
        return Family(ReasonCode.POPULAR_IN_SEGMENT, spec.scope)
    if spec.scope == "pair":
        return OF_PAIRS[spec.by]
    return OF_ITEMS.get(spec.statistic) if spec.scope in ("item", "now") else None
