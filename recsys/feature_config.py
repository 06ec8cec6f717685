"""Settings of the features: which there can be, and what each needs."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from recsys.keys import Section

Attribute = Literal["item", "group", "brand", "product_type", "category", "department"]
"""What features may group items by: the item itself, its variant group, its brand, the last, second or first level of its category path."""


FeatureScope = Literal["item", "now", "query", "customer", "pair", "segment", "tier", "need", "source", "link"]
FeatureStatistic = Literal[
    "rate",
    "decayed",
    "recency",
    "customers",
    "value",
    "interval",
    "due",
    "passed",
    "frequency",
    "repeat",
    "share",
    "lift",
    "affinity",
    "price",
    "age",
    "score",
    "sum",
    "mean",
    "max",
    "last",
    "hour",
    "weekday",
    "context",
]

STATISTICS_OF: dict[str, tuple[str, ...]] = {
    "item": ("rate", "decayed", "recency", "customers", "value", "interval", "repeat", "price"),
    "customer": ("rate", "recency", "value", "repeat"),
    "pair": ("rate", "decayed", "recency", "value", "interval", "due", "passed", "frequency", "share", "affinity", "price"),
    "now": ("rate", "recency", "age"),
    "query": ("hour", "weekday", "context"),
    "segment": ("lift", "rate", "affinity", "price"),
    "tier": ("lift", "rate", "affinity", "price"),
    "need": ("lift", "rate", "affinity", "price"),
    "source": ("score",),
    "link": ("sum", "mean", "max", "last"),
}
"""Which statistics each scope has; what they mean is in `recsys.features.spec`."""

OF_SOURCES = {"source": ("als", "content", "sequence"), "link": ("als", "covisit", "ease", "content")}
"""Scopes of what sources say, and the kinds of source that can say it."""


class FeatureConfig(Section):
    scope: FeatureScope = Field(
        description="whose lines are counted: the item's until the bundle was made, or until now, the customer's, this customer's with the "
        "item, those of its segment or tier, or of customers with its need; or what a source says of the item, or of how it goes with the "
        "customer's items; or when the query is asked and what is looked at"
    )
    statistic: FeatureStatistic = Field(description="what is made of them; recsys/features/spec.py defines each")
    by: Attribute = Field("item", description="widen the item to its group, brand, category or department")
    window_days: float | None = Field(None, gt=0, description="only interactions this recent count; unset = all")
    half_life_days: float | None = Field(None, gt=0, description="for statistic = 'decayed': an interaction this old counts half")
    half_life_items: float | None = Field(
        None, gt=0, description="for scope = 'link': so many items later an item of the customer counts half; unset = all count the same"
    )
    source: str | None = Field(None, description="for scopes 'source' and 'link': which source says it")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.statistic not in STATISTICS_OF[self.scope]:
            raise ValueError(f"scope {self.scope!r} has no statistic {self.statistic!r}; it has: {', '.join(STATISTICS_OF[self.scope])}")
        if (self.statistic == "decayed") != (self.half_life_days is not None):
            raise ValueError("half_life_days belongs to statistic = 'decayed', and only to it")
        if self.window_days is not None and self.statistic in ("recency", "interval", "due", "passed", "age"):
            raise ValueError(f"statistic {self.statistic!r} looks at all interactions and has no window_days")
        if (self.scope in OF_SOURCES) != (self.source is not None):
            raise ValueError(f"'source' belongs to the scopes {' and '.join(map(repr, OF_SOURCES))}, and they need it")
        if self.half_life_items is not None and self.statistic not in ("sum", "mean"):
            raise ValueError("half_life_items belongs to the statistics 'sum' and 'mean' of scope 'link'")
        if self.by != "item" and self.scope in ("query", "customer", *OF_SOURCES):
            raise ValueError(f"'by' has no meaning for scope {self.scope!r}")
        if self.window_days is not None and self.scope in ("query", *OF_SOURCES):
            raise ValueError(f"window_days has no meaning for scope {self.scope!r}")
        if self.by == "item" and self.statistic == "price":
            raise ValueError("statistic 'price' compares the prices of items that share something: set 'by', for example to 'category'")
        return self
