"""Features of candidates: fitted once for items, computed per query for customers and pairs, by the same code in training and serving."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.arrays import mapped
from recsys.config import Config
from recsys.data.catalogue import Catalogue
from recsys.feature_config import OF_SOURCES
from recsys.features.affinity import concentration, price_places, shrunk, usual_places
from recsys.features.grouped import CustomerLines, PairLines
from recsys.features.linked import OfSources
from recsys.features.moment import of_moment
from recsys.features.now import Calendar, calendars, load_calendars, save_calendars
from recsys.features.spec import GROUP_SCOPES, FeatureSpec, feature_names, feature_specs, half_life_weights
from recsys.protocols import CandidateSource, ResolvedQuery
from recsys.types import Candidates, Floats, Interactions, Ints
from segmentation.profile import TIERS

LIFT_PRIOR = 5.0


@dataclass(frozen=True)
class CustomerGroups:
    """A partition of the customers. names: of the groups; numbers: group of each customer, -1 = none; int32 (n_customers,)"""

    names: tuple[str, ...]
    numbers: Ints

    def of(self, customers: Ints) -> Ints:
        """Group of each line's customer, -1 = none; guests are -1 and have none."""
        if not len(self.names):
            return np.full(len(customers), -1, np.int32)
        return np.where(customers >= 0, self.numbers[customers], -1).astype(np.int32)


NO_GROUPS = CustomerGroups((), np.empty(0, np.int32))


@dataclass(frozen=True)
class FeatureStore:
    """Item-side statistics as of a time, and how to complete them for a query.

    of_items:  scope "item", one row per item; float32 (n_items, n_item_features)
    of_groups: by feature name, scopes of groups, and what pairs need of all; float32 (n_groups, n_items).
               Of an affinity: the share of the item's code in each group, one row more for all customers; of a pair's price: its place
    strengths: by feature name, for affinities: how many lines of the group's shares are added to a customer's own
    calendars: by attribute, scope "now": when lines of it fell
    """

    config: Config
    catalogue: Catalogue
    of_items: Floats
    of_groups: Mapping[str, Floats]
    group_names: Mapping[str, tuple[str, ...]]
    strengths: Mapping[str, float]
    calendars: Mapping[str, Calendar]

    def rows(self, resolved: ResolvedQuery, candidates: Candidates, sources: Mapping[str, CandidateSource]) -> Floats:
        """The ranker's view of each candidate: float32 (n, n_features), columns as `names`.

        sources: those that features of scopes "source" and "link" name; one that is missing leaves them NaN
        """
        specs = self.specs
        table = np.empty((len(candidates), len(self.names)), np.float32)
        items = np.asarray(candidates.items)
        lines = CustomerLines(resolved)
        pairs: dict[str, PairLines] = {}
        of_sources = OfSources(resolved, items, sources)
        item_columns = iter(range(self.of_items.shape[1]))
        of_items = self.of_items[items]
        for column, spec in enumerate(specs):
            if spec.scope == "item":
                table[:, column] = of_items[:, next(item_columns)]
            elif spec.scope == "customer":
                table[:, column] = lines.statistic(spec)
            elif spec.scope == "query":
                table[:, column] = of_moment(spec, resolved)
            elif spec.scope == "now":
                table[:, column] = self.calendars[spec.by].statistic(spec, self.catalogue.codes(spec.by)[items], resolved.time)
            elif spec.scope in OF_SOURCES:
                table[:, column] = of_sources.statistic(spec)
            elif spec.scope in GROUP_SCOPES and spec.statistic != "affinity":
                table[:, column] = self._of_group(spec, resolved, items)
            else:
                if spec.by not in pairs:
                    codes = self.catalogue.codes(spec.by)
                    pairs[spec.by] = PairLines(lines, codes[resolved.positives.items], codes[items])
                table[:, column] = self._of_pair(spec, pairs[spec.by], resolved, items)
        table[:, len(specs) :] = _request_columns(resolved, candidates, tuple(self.config.sources))
        return table

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of `rows`."""
        return feature_names(self.config)

    @cached_property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """The declared features, which are the first columns of `rows`."""
        return feature_specs(self.config)

    def _of_pair(self, spec: FeatureSpec, lines: PairLines, resolved: ResolvedQuery, items: Ints) -> Floats | float:
        if spec.statistic == "price":
            places = self.of_groups[spec.name][0]
            return lines.price(spec, places[items], places[resolved.positives.items])
        if spec.statistic != "affinity":
            return lines.statistic(spec)
        if resolved.profile is None and not len(resolved.positives):
            return np.nan
        table = self.of_groups[spec.name]
        of_group, of_all = (table[row, items].astype(np.float64) for row in (self._group(spec, resolved), -1))
        return lines.affinity(spec, of_group, of_all, self.strengths[spec.name])

    def _of_group(self, spec: FeatureSpec, resolved: ResolvedQuery, items: Ints) -> Floats | float:
        group = self._group(spec, resolved)
        return np.nan if group < 0 else np.asarray(self.of_groups[spec.name][group, items], np.float32)

    def _group(self, spec: FeatureSpec, resolved: ResolvedQuery) -> int:
        """Row of the customer's segment, tier or need; the last one without any."""
        if spec.scope == "pair" or resolved.profile is None:
            return -1
        name = resolved.profile.group(spec.scope)
        return -1 if name is None else self.group_names[spec.scope].index(name)

    def save(self, folder: Path) -> None:
        """Write into a folder of its own; config and catalogue are saved by the bundle."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "items.npy", self.of_items)
        for name, table in self.of_groups.items():
            np.save(folder / f"group_{name}.npy", table)
        for scope, names in self.group_names.items():
            np.save(folder / f"names_{scope}.npy", np.array(names, np.str_))
        (folder / "strengths.json").write_text(json.dumps(dict(self.strengths)))
        save_calendars(self.calendars, folder)

    @staticmethod
    def load(folder: Path, config: Config, catalogue: Catalogue) -> FeatureStore:
        """Read what `save` wrote; arrays are memory-mapped."""
        groups = [spec.name for spec in feature_specs(config) if spec.has_table]
        return FeatureStore(
            config=config,
            catalogue=catalogue,
            of_items=mapped(folder / "items.npy"),
            of_groups={name: mapped(folder / f"group_{name}.npy") for name in groups},
            group_names={scope: tuple(np.load(folder / f"names_{scope}.npy").tolist()) for scope in GROUP_SCOPES},
            strengths=json.loads((folder / "strengths.json").read_text()),
            calendars=load_calendars(feature_specs(config), folder),
        )


def _request_columns(resolved: ResolvedQuery, candidates: Candidates, sources: tuple[str, ...]) -> Floats:
    """Profile columns, then score (divided by the source's best of this query) and rank from every source."""
    profile = resolved.profile
    known = (np.nan,) * 3 if profile is None else (TIERS.index(profile.tier), profile.expected_value, profile.churn_probability)
    table = np.full((len(candidates), 4 + 2 * len(sources)), np.nan, np.float32)
    table[:, :3] = known
    table[:, 3] = np.isfinite(candidates.source_ranks).sum(axis=1)
    for column, source in enumerate(candidates.sources):
        scores = candidates.source_scores[:, column]
        best = np.nanmax(scores, initial=0.0)
        at = 4 + 2 * sources.index(source)
        table[:, at] = scores / best if best > 0 else scores
        table[:, at + 1] = candidates.source_ranks[:, column]
    return table


def fit_features(
    lines: Interactions, catalogue: Catalogue, groups: Mapping[str, CustomerGroups], config: Config, as_of: np.datetime64
) -> FeatureStore:
    """Item-side statistics of the positive lines, all before `as_of`.

    groups: the partitions of the customers by the scopes of groups
    """
    fitted = _ItemLines(lines, catalogue, as_of)
    columns = [fitted.statistic(spec) for spec in feature_specs(config) if spec.scope == "item"]
    of_groups, strengths = {}, {}
    for spec in (spec for spec in feature_specs(config) if spec.has_table):
        partition = groups.get(spec.scope, NO_GROUPS)
        if spec.statistic == "affinity":
            of_groups[spec.name], strengths[spec.name] = fitted.shares(spec, partition)
        elif spec.statistic == "price":
            of_groups[spec.name] = fitted.prices(spec, partition)
        else:
            of_groups[spec.name] = fitted.of_groups(spec, partition)
    return FeatureStore(
        config=config,
        catalogue=catalogue,
        of_items=np.stack(columns, axis=1) if columns else np.empty((len(catalogue), 0), np.float32),
        of_groups=of_groups,
        group_names={scope: group.names for scope, group in groups.items()},
        strengths=strengths,
        calendars=calendars(feature_specs(config), lines, catalogue),
    )


class _ItemLines:
    """Positive lines of all customers; answers item-, segment- and tier-scope features."""

    def __init__(self, lines: Interactions, catalogue: Catalogue, as_of: np.datetime64) -> None:
        self.lines = lines
        self.catalogue = catalogue
        self.ages = ((as_of - lines.times) / np.timedelta64(1, "D")).astype(np.float32)  # descending: oldest first

    def statistic(self, spec: FeatureSpec) -> Floats:
        """One number per item, float32 (n_items,)."""
        codes = self.catalogue.codes(spec.by)
        if spec.statistic == "price":
            return price_places(self.catalogue.prices, codes)
        rows = self._rows(spec, codes)
        n_codes = int(codes.max(initial=-1)) + 2  # the last one stands for -1: no code
        keys = codes[self.lines.items[rows]]
        per_code = self._per_code(spec, rows, keys, n_codes)
        per_code[-1] = np.nan
        return np.asarray(per_code[codes], np.float32)

    def _per_code(self, spec: FeatureSpec, rows: NDArray[np.intp], keys: Ints, n_codes: int) -> NDArray[np.float64]:
        count = np.bincount(keys, minlength=n_codes).astype(np.float64)
        if spec.statistic == "rate":
            return count / self._days(spec)
        if spec.statistic == "decayed":
            weights = half_life_weights(self.ages[rows], spec.half_life_days)
            return np.bincount(keys, weights, minlength=n_codes).astype(np.float64)
        if spec.statistic == "recency":
            last = np.full(n_codes, np.nan)
            last[keys] = self.ages[rows]  # in time order: the newest line stays
            return last
        with np.errstate(invalid="ignore", divide="ignore"):
            if spec.statistic == "value":
                values = self.lines.values[rows]
                known = np.isfinite(values)
                return np.bincount(keys[known], values[known], minlength=n_codes) / np.bincount(keys[known], minlength=n_codes)
            return self._per_customer(spec, rows, keys, n_codes)

    def _per_customer(self, spec: FeatureSpec, rows: NDArray[np.intp], keys: Ints, n_codes: int) -> NDArray[np.float64]:
        """Statistics that ask which customer each line is of; lines without one do not count."""
        known = self.lines.customers[rows] >= 0
        keys, ages = keys[known], self.ages[rows][known]
        pairs = self.lines.customers[rows][known].astype(np.int64) * n_codes + keys
        if spec.statistic == "interval":
            order = np.lexsort((ages, pairs))
            gaps, is_gap = np.diff(ages[order]), np.diff(pairs[order]) == 0
            is_gap &= gaps > 0
            of_code = keys[order][1:][is_gap]
            return np.bincount(of_code, gaps[is_gap], minlength=n_codes) / np.bincount(of_code, minlength=n_codes)
        n_customers = np.bincount(np.unique(pairs) % n_codes, minlength=n_codes).astype(np.float64)
        if spec.statistic == "customers":
            return n_customers / self._days(spec)
        return 1.0 - n_customers / np.bincount(keys, minlength=n_codes)

    def of_groups(self, spec: FeatureSpec, groups: CustomerGroups) -> Floats:
        """Lift or rate in each group of customers, float32 (n_groups, n_items)."""
        codes = self.catalogue.codes(spec.by)
        count = self._counts(spec, groups)
        if spec.statistic == "lift":
            expected = count.sum(axis=1, keepdims=True) * count.sum(axis=0) / max(count.sum(), 1.0)
            table = np.log((count + LIFT_PRIOR) / (expected + LIFT_PRIOR))
        else:
            size = np.bincount(groups.numbers[groups.numbers >= 0], minlength=len(groups.names))
            table = count / (self._days(spec) * np.maximum(size, 1)[:, None])
        table[:, -1] = np.nan
        return np.asarray(table[:, codes], np.float32)

    def shares(self, spec: FeatureSpec, groups: CustomerGroups) -> tuple[Floats, float]:
        """Share of the item's code in each group's lines, shrunk to that in all lines, which is the last row; (n_groups + 1, n_items).

        And how many lines of it weigh as much as a customer's own.
        """
        codes = self.catalogue.codes(spec.by)
        rows = self._rows(spec, codes)
        keys, n_codes = codes[self.lines.items[rows]], int(codes.max(initial=-1)) + 1
        total = np.bincount(keys, minlength=n_codes) + 1.0  # what nobody bought is not impossible
        overall = total / max(total.sum(), 1.0)
        count = self._counts(spec, groups)[:, :-1]
        alike = np.full(len(groups.names), (overall**2).sum())
        shares = np.vstack([shrunk(count, overall, concentration(count, count.sum(axis=1), alike)), overall])
        group = groups.of(self.lines.customers[rows])
        strength = self._own_strength(rows, keys, (shares**2).sum(axis=1)[group])  # -1, no group: the last row
        table = np.column_stack([shares, np.full(len(shares), np.nan)])
        return np.asarray(table[:, codes], np.float32), strength

    def _own_strength(self, rows: NDArray[np.intp], keys: Ints, alike: NDArray[np.float64]) -> float:
        """The concentration of customers. keys: code of each line; alike: of each line's customer, see `concentration`."""
        known = self.lines.customers[rows] >= 0
        _, first, of_row, sizes = np.unique(self.lines.customers[rows][known], return_index=True, return_inverse=True, return_counts=True)
        pairs = of_row.astype(np.int64) * (int(keys.max(initial=0)) + 1) + keys[known]
        counts = np.unique(pairs, return_counts=True)[1]
        return concentration(counts.astype(np.float64), sizes.astype(np.float64), alike[known][first])

    def prices(self, spec: FeatureSpec, groups: CustomerGroups) -> Floats:
        """Place of each item's price, one row; or minus the mean place of what each group buys of its code, float32 (n_groups, n_items)."""
        codes = self.catalogue.codes(spec.by)
        places = price_places(self.catalogue.prices, codes)
        if spec.scope == "pair":
            return places[None, :]
        rows = self._rows(spec, codes)
        group, items = groups.of(self.lines.customers[rows]), self.lines.items[rows]
        n_codes = int(codes.max(initial=-1)) + 2
        usual = [usual_places(places[items[group == row]], codes[items[group == row]], n_codes) for row in range(len(groups.names))]
        return np.asarray([places - of_group[codes] for of_group in usual], np.float32).reshape(len(groups.names), len(places))

    def _counts(self, spec: FeatureSpec, groups: CustomerGroups) -> NDArray[np.float64]:
        """Lines of each group by code, (n_groups, n_codes + 1); the last column stands for no code and is 0."""
        codes = self.catalogue.codes(spec.by)
        rows = self._rows(spec, codes)
        group = groups.of(self.lines.customers[rows])
        rows, group = rows[group >= 0], group[group >= 0]
        n_codes, n_groups = int(codes.max(initial=-1)) + 2, len(groups.names)
        flat = group.astype(np.int64) * n_codes + codes[self.lines.items[rows]]
        return np.bincount(flat, minlength=n_groups * n_codes).reshape(n_groups, n_codes).astype(np.float64)

    def _rows(self, spec: FeatureSpec, codes: Ints) -> NDArray[np.intp]:
        first = 0 if spec.window_days is None else int(np.searchsorted(-self.ages, -spec.window_days))
        rows = np.arange(first, len(self.lines))
        return rows[codes[self.lines.items[rows]] >= 0]

    def _days(self, spec: FeatureSpec) -> float:
        observed = max(float(self.ages.max(initial=0.0)), 1.0)
        return observed if spec.window_days is None else min(spec.window_days, observed)
