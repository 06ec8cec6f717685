"""What each feature statistic means. A feature is data: (name, scope, statistic, by, window or half-life).

All statistics are of positive interactions ("lines": what ``data.positive_events`` names) before the query's time. ``by``
widens the item to all items that share its group, brand, product type, category or department.

    statistic   scope item (all customers)          scope pair (this customer)               scope customer (all items)
    ---------   ---------------------------------   --------------------------------------   -----------------------------
    rate        lines per day                       lines per day                            occasions per day
    decayed     sum of 0.5 ** (age / half-life)     sum of 0.5 ** (age / half-life)
    recency     days since the last line            days since the last line                 days since the last line
    customers   distinct customers per day
    value       mean money of a line                mean money of a line                     mean money of a line
    interval    mean days between a customer's      mean days between occasions
                lines of the item
    due                                             recency / interval: 1 = about now
    passed                                          occasions since the last line
    frequency                                       share of occasions with a line
    repeat      share of lines that some customer                                            share of lines that repeat an
                bought again                                                                 item
    share                                           share of the customer's lines
    affinity                                        log(share of the customer's
                                                    lines, shrunk / share of all lines)
    price       place of its price among those      the item's place minus the mean
                that share its `by`: 0 = cheapest,  place of what the customer buys of
                1 = dearest                         that `by`

    Scopes segment, tier and need, over the customers of the asking customer's segment or tier, or who speak most of the same need:
    rate        lines of the item per day and customer
    lift        log((lines of the item in the group + 5) / (lines expected from the group's size + 5))
    affinity    as of a pair, but the customer's share is shrunk to that of the group, and the group's to that of all
    price       as of a pair, but of what the group buys

    Scope now, of all customers, until the day of the query: rate, recency, and age, the days since the item's first line.

    Scope query, the same for all candidates:
    hour        of the day in UTC, 0 to 24
    weekday     0 = Monday to 6 = Sunday, in UTC
    context     how many items are looked at or in the cart

A share is shrunk by as many lines of the wider share as the data ask for: see `recsys.features.affinity`. A customer of whom little is
known has the affinities of its segment, one of whom much is known has its own. Of a mean place of few lines of a `by`, five lines at
the customer's or group's mean place in the whole shop are part.

An occasion is a distinct time. A window counts only lines of its last days; a rate divides by the days of the window (of all
customers' lines: at most by the days that there are data of), or without one by the days since the first line. Of a pair without
a line rate, decayed, share and frequency are 0; else what is not defined (no such line, a guest) is NaN, never a made-up number.
No statistic is a raw count or a coordinate: sources are refitted between training and serving, and features must survive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.config import Config
from recsys.feature_config import Attribute, FeatureConfig, FeatureScope, FeatureStatistic
from recsys.types import Floats, Times

GROUP_SCOPES = ("segment", "tier", "need")
PRIORS = ("affinity", "price")
"""Statistics of pairs that need to know something of all customers or items."""
PROFILE_FEATURES = ("profile_tier", "profile_expected_value", "profile_churn_probability", "n_sources")


@dataclass(frozen=True)
class FeatureSpec:
    """One feature; see the table above."""

    name: str
    scope: FeatureScope
    statistic: FeatureStatistic
    by: Attribute
    window_days: float | None
    half_life_days: float | None
    half_life_items: float | None
    source: str | None

    @property
    def has_table(self) -> bool:
        """Whether a value per item is fitted for each group of customers, or once for all."""
        return self.scope in GROUP_SCOPES or (self.scope == "pair" and self.statistic in PRIORS)

    @staticmethod
    def of(name: str, config: FeatureConfig) -> FeatureSpec:
        """The spec that a table of the configuration describes."""
        return FeatureSpec(name, **config.model_dump())


def feature_specs(config: Config) -> tuple[FeatureSpec, ...]:
    """All features of a configuration, in its order."""
    return tuple(FeatureSpec.of(name, entry) for name, entry in config.features.items())


def feature_names(config: Config) -> tuple[str, ...]:
    """Columns of a feature matrix: declared features, what the profile says, then score and rank from each source."""
    of_sources = [f"{source}_{what}" for source in config.sources for what in ("score", "rank")]
    return (*config.features, *PROFILE_FEATURES, *of_sources)


def ages_in_days(times: Times, now: np.datetime64) -> Floats:
    """Days from each time to now, float32; never negative, for nothing later is known."""
    ages = np.asarray((now - times) / np.timedelta64(1, "D"), np.float32)
    return np.maximum(ages, np.float32(0))


def half_life_weights(ages: Floats, half_life_days: float | None) -> Floats:
    """0.5 ** (age / half-life); all ones without a half-life."""
    if half_life_days is None:
        return np.ones_like(ages)
    return np.asarray(np.exp2(-ages / np.float32(half_life_days)), np.float32)
