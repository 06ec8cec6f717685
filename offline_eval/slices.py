"""For whom: every customer of an evaluation under one label of each kind, and the wanted items by category.

Labels are of what was known when the queries were asked; `evaluate(slices=...)` takes them. A label that few customers have is a slice like
any other: its interval says how little it knows. What a comparison of a slice could have seen at all is `Comparison.detectable`.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from offline_eval.evaluate import Measurements, Recommend, evaluate
from offline_eval.facts import ItemFacts
from offline_eval.metrics import Metric
from offline_eval.relevance import Truth
from recsys.bundle import Bundle
from recsys.data.catalogue import Catalogue
from recsys.data.dataset import Dataset
from recsys.data.dated import read_dated
from recsys.feature_config import Attribute

HISTORY = ((0, "0"), (1, "1"), (2, "2-4"), (5, "5-9"), (10, "10-19"), (20, "20-49"), (50, "50+"))
"""Occasions on which a customer bought, from so many on, and their label."""
COLD, WARM = "cold", "warm"
CATEGORY, WITHOUT = "category", "none"


def customer_slices(bundle: Bundle, dataset: Dataset, time: np.datetime64, customers: Iterable[str]) -> dict[str, dict[str, str]]:
    """Labels of customers as of a time, for each kind of slice; who has none under a kind is not in it, and `evaluate` says "none".

    segment, tier, stage: the bundle's profile, which customers without a purchase do not have
    history:   occasions (baskets) on which the customer had bought, in the bins of HISTORY
    customer:  "cold" = had never bought, "warm"
    placement: where most of what the customer was shown had been shown; only where the shop has exposures
    """
    asked = list(customers)
    profiles = {customer: profile for customer in asked if (profile := bundle.profile(customer)) is not None}
    occasions = _occasions(dataset.before(time), bundle.config.data.positive_events, asked)
    slices = {
        "segment": {customer: profile.segment for customer, profile in profiles.items()},
        "tier": {customer: profile.tier for customer, profile in profiles.items()},
        "stage": {customer: profile.stage for customer, profile in profiles.items()},
        "history": {customer: _bin(n) for customer, n in occasions.items()},
        "customer": {customer: WARM if n else COLD for customer, n in occasions.items()},
    }
    placements = _placements(dataset.before(time), set(asked))
    return slices | ({"placement": placements} if placements else {})


def by_category(truth: Truth, catalogue: Catalogue, attribute: Attribute = "department") -> dict[str, Truth]:
    """The truth restricted to the items of one category at a time; a customer is under each category of which it wanted something.

    attribute: the level of the category path, or the brand. Items that have none are under "none".

    Returns:
        Truths by the name of the category, the one with most customers first.
    """
    names = catalogue.brand_names if attribute == "brand" else catalogue.category_names
    codes = dict(zip(catalogue.items.ids, catalogue.codes(attribute).tolist(), strict=True))
    parts: dict[str, dict[str, dict[str, float]]] = {}
    for customer, wanted in truth.items():
        for item, gain in wanted.items():
            code = codes.get(item, -1)
            parts.setdefault(names[code] if code >= 0 else WITHOUT, {}).setdefault(customer, {})[item] = gain
    return dict(sorted(parts.items(), key=lambda part: (-len(part[1]), part[0])))


def measure_categories(
    systems: Mapping[str, Recommend],
    truth: Truth,
    catalogue: Catalogue,
    time: dt.datetime,
    metrics: Sequence[Metric],
    *,
    facts: ItemFacts | None = None,
    attribute: Attribute = "department",
) -> dict[str, Measurements]:
    """Measure the same lists on the wanted items of one category at a time, by name of the category.

    A list is not made for one category, so a value says how much of what was wanted of it the list holds at its top, and is lower than
    that of all wanted items; compare systems, not categories. Metrics that do not look at what was wanted are means over the customers
    who wanted something of the category.

    systems: asked once per category; give lists that are kept, or systems that are quick.
    """
    parts = by_category(truth, catalogue, attribute)
    return {name: evaluate(systems, part, time, metrics, title=f"{CATEGORY}={name}", facts=facts) for name, part in parts.items()}


def _occasions(known: Dataset, positive_events: Sequence[str], customers: Sequence[str]) -> dict[str, int]:
    """On how many occasions each customer had bought."""
    lines = known.interactions
    rows = np.flatnonzero(np.isin(lines.events, known.event_codes(positive_events)) & (lines.customers >= 0))
    pairs = np.unique(np.stack([lines.customers[rows], lines.baskets[rows]]), axis=1)
    counts = np.bincount(pairs[0], minlength=len(known.customers))
    numbers = {customer: known.customers.number(customer) for customer in customers}
    return {customer: 0 if number is None else int(counts[number]) for customer, number in numbers.items()}


def _bin(n: int) -> str:
    return next(label for least, label in reversed(HISTORY) if n >= least)


def _placements(known: Dataset, customers: set[str]) -> dict[str, str]:
    """The placement at which each customer had been shown most items, of equals the first by name."""
    columns, _ = read_dated(known, "exposures", ("customer_id", "placement"))
    shown = Counter(pair for pair in zip(columns["customer_id"], columns["placement"], strict=True) if pair[0] in customers and pair[1])
    most: dict[str, str] = {}
    for customer, placement in sorted(shown, key=lambda pair: (-shown[pair], pair[1])):
        most.setdefault(customer, placement)
    return most
