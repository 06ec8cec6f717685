"""The one request path, used by the server and by offline evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from recsys.bundle import Bundle
from recsys.candidates.merge import merge
from recsys.config import StrategyConfig
from recsys.data.dataset import Dataset
from recsys.protocols import Budget, ResolvedQuery, Unlimited
from recsys.ranking.explain import Explainer
from recsys.ranking.reasons import LAST_RESORT, PINNED, reasons_by_source
from recsys.selection.eligibility import Eligible, eligible_items, on_sale
from recsys.selection.rules import rule_effects
from recsys.selection.select import Selection, select
from recsys.strategy import StrategySet
from recsys.types import (
    Candidates,
    Flags,
    Floats,
    History,
    Ints,
    Query,
    Reason,
    ReasonCode,
    Recommendation,
    RecommendedItem,
    Scored,
    Trace,
    utc64,
)


@dataclass(frozen=True)
class Snapshot:
    """All that may change while a bundle is served; immutable, replaced as a whole.

    live:       events since the bundle's as_of by customer id, newest first
    on_sale:    items that may be shown at all; bool (n_items,)
    strategies: the set in force
    """

    live: Mapping[str, History]
    on_sale: Flags
    strategies: StrategySet

    @staticmethod
    def of(bundle: Bundle) -> Snapshot:
        """Nothing has changed since the bundle was made."""
        return Snapshot({}, on_sale(bundle.catalogue), StrategySet.of(bundle.config))

    def without(self, items: Ints) -> Snapshot:
        """With items that have gone out of stock or were removed."""
        left = self.on_sale.copy()
        left[items] = False
        return replace(self, on_sale=left)

    def with_events(self, dataset: Dataset) -> Snapshot:
        """With the events of a dataset that has the bundle's item numbers, such as ``Dataset.between(bundle.as_of, time)``."""
        lines = dataset.interactions
        rows = np.flatnonzero(lines.customers >= 0)[::-1]
        rows = rows[np.argsort(lines.customers[rows], kind="stable")]
        customers, starts = np.unique(lines.customers[rows], return_index=True)
        live = {}
        for customer, part in zip(customers, np.split(rows, starts)[1:], strict=True):
            live[dataset.customers.ids[customer]] = History(lines.items[part], lines.events[part], lines.times[part], lines.values[part])
        return replace(self, live=live)


@dataclass(frozen=True)
class Ranked:
    """Candidates of one query with the features they were scored by, and what had to be left out."""

    candidates: Candidates
    features: Floats
    degraded: tuple[str, ...]
    eligible: Eligible

    def without(self, part: str) -> Ranked:
        """The same, with one more part named that was left out."""
        return replace(self, degraded=(*self.degraded, part))


@dataclass(frozen=True)
class Engine:
    """Answers queries from a bundle. Synchronous, without a clock, safe to share between threads."""

    bundle: Bundle

    def recommend(self, query: Query, snapshot: Snapshot, budget: Budget | None = None) -> Recommendation:
        """Answer one query.

        Raises:
            ConfigError: the query names an unknown strategy.
            ValueError: the query is earlier than the bundle, which would look into the query's future.
        """
        budget = Unlimited() if budget is None else budget
        resolved, missing = self.resolve(query, snapshot)
        name, strategy = snapshot.strategies.choose(query, resolved.profile)
        ranked = self.rank(self.retrieve(resolved, strategy, snapshot, budget), resolved, strategy, budget)
        pinned = self._pinned(strategy, query.k, ranked.eligible.flags)
        for n in (query.k, len(self.bundle.catalogue)):  # limits per brand and the like may need more than k to choose from
            candidates = self._completed(ranked, pinned, n)
            selection = select(candidates, query.k, strategy, pinned, self.bundle.catalogue, self.bundle.texts)
            if len(selection.chosen) == query.k:
                break
        budget.finished("select")
        rows = _rows_of(selection.chosen.items, ranked)
        features = _taken(ranked.features, rows)
        reasons, unexplained = self._reasons(selection.chosen, features, resolved, strategy, budget)
        items = self._items(selection, pinned, reasons, self._probabilities(ranked, rows, query, strategy))
        budget.finished("explain")
        profile = resolved.profile
        trace = Trace(
            strategy=name,
            strategy_version=snapshot.strategies.version,
            bundle_version=self.bundle.version,
            segment=None if profile is None else profile.segment,
            segment_name=None if profile is None else profile.segment_name,
            tier=None if profile is None else profile.tier,
            stage=None if profile is None else profile.stage,
            degraded=ranked.degraded + unexplained,
            missing_item_ids=missing,
            is_known_customer=len(resolved.history) > 0,
            rules=rule_effects(strategy, selection.acted, {**ranked.eligible.left_out, **selection.left_out}),
        )
        return Recommendation(query, items, trace, features)

    def recommend_many(self, queries: Sequence[Query], snapshot: Snapshot, budget: Budget | None = None) -> list[Recommendation]:
        """Answer several queries against the same snapshot, in their order."""
        return [self.recommend(query, snapshot, budget) for query in queries]

    def resolve(self, query: Query, snapshot: Snapshot) -> tuple[ResolvedQuery, tuple[str, ...]]:
        """The query with ids looked up, and the item ids that the catalogue does not have."""
        time = utc64(query.time)
        if self.bundle.as_of is not None and time < self.bundle.as_of:
            raise ValueError(
                f"query_time {query.time.isoformat()} is earlier than bundle {self.bundle.version} (as of {self.bundle.as_of}), "
                "which knows what happened after it; ask with a later time or load an older bundle"
            )
        history = self.bundle.history(query.customer_id).before(time)
        if query.customer_id is not None and query.customer_id in snapshot.live:
            history = _joined(snapshot.live[query.customer_id].before(time), history)
        items = self.bundle.catalogue.items
        named = dict.fromkeys((*query.context_item_ids, *query.cart_item_ids, *query.excluded_item_ids))
        missing = tuple(id_ for id_ in named if items.number(id_) is None)
        context = items.numbers(dict.fromkeys((*query.context_item_ids, *query.cart_item_ids)))
        profile = None if query.customer_id is None else self.bundle.profile(query.customer_id)
        number = None if query.customer_id is None else self.bundle.customers.number(query.customer_id)
        positives = history.of_events(self.bundle.positive_events)
        return ResolvedQuery(query, time, profile, history, positives, context, -1 if number is None else number), missing

    def retrieve(self, resolved: ResolvedQuery, strategy: StrategyConfig, snapshot: Snapshot, budget: Budget) -> Ranked:
        """Candidates of every source that works and has time, merged."""
        excluded = np.concatenate([resolved.context, self.bundle.catalogue.items.numbers(resolved.query.excluded_item_ids)])
        eligible = eligible_items(self.bundle.catalogue, snapshot.on_sale, strategy, resolved, excluded.astype(np.int32))
        budget.finished("eligibility")
        proposals: dict[str, Scored] = {}
        degraded: list[str] = []
        for name, n in strategy.sources.items():
            scored, problem = self._propose(name, n, resolved, eligible.flags, budget)
            proposals[name] = scored
            if problem:
                degraded.append(problem)
            budget.finished(f"retrieve {name}")
        merged = merge(proposals)
        return Ranked(merged, np.empty((len(merged), 0), np.float32), tuple(degraded), eligible)

    def rank(self, retrieved: Ranked, resolved: ResolvedQuery, strategy: StrategyConfig, budget: Budget) -> Ranked:
        """Candidates scored by the strategy's ranker; in merged order when there is none, it fails, or there is no time for it."""
        if strategy.ranker is None or not len(retrieved.candidates):
            return retrieved
        if budget.expired():
            return retrieved.without(f"ranker {strategy.ranker}: out of time")
        try:
            features = self.bundle.features.rows(resolved, retrieved.candidates, self.bundle.sources)
            budget.finished("features")
            scores = self.bundle.rankers[strategy.ranker].score(features)
            budget.finished("rank")
        except Exception as error:  # noqa: BLE001  the merged order still answers; the trace says what failed
            return retrieved.without(f"ranker {strategy.ranker}: {type(error).__name__}: {error}")
        if not np.isfinite(scores).all():
            return retrieved.without(f"ranker {strategy.ranker}: scores are not finite")
        return replace(retrieved, candidates=retrieved.candidates.with_scores(scores), features=features)

    def _propose(self, name: str, n: int, resolved: ResolvedQuery, eligible: Flags, budget: Budget) -> tuple[Scored, str | None]:
        """A source's proposal, or nothing and why; one that fails must not take the answer with it."""
        if budget.expired():
            return Scored.empty(), f"source {name}: out of time"
        if name in self.bundle.failed_sources:
            return Scored.empty(), f"source {name}: {self.bundle.failed_sources[name]}"
        try:
            scored = self.bundle.sources[name].retrieve(resolved, n, eligible)
            if not eligible[scored.items].all():
                return Scored.empty(), f"source {name}: it proposed what is not eligible"
        except Exception as error:  # noqa: BLE001  whatever a source raises, the others still answer; the trace names it
            return Scored.empty(), f"source {name}: {type(error).__name__}: {error}"
        if not np.isfinite(scored.scores).all():
            return Scored.empty(), f"source {name}: scores are not finite"
        return scored, None

    def _pinned(self, strategy: StrategyConfig, k: int, eligible: Flags) -> dict[int, int]:
        """Item number by rank, ascending, of the strategy's pins that may be shown in a list of k."""
        numbers = ((rank, self.bundle.catalogue.items.number(id_)) for rank, id_ in sorted(strategy.pins.items()) if rank <= k)
        return {rank: item for rank, item in numbers if item is not None and eligible[item]}

    def _completed(self, ranked: Ranked, pinned: Mapping[int, int], n: int) -> Candidates:
        """The candidates, then pinned items that nobody proposed, then, up to n, the most bought of what else is eligible."""
        candidates, others = ranked.candidates, ranked.eligible.flags.copy()
        others[candidates.items] = False
        unproposed = np.array([item for item in pinned.values() if others[item]], np.int32)
        if len(unproposed):
            candidates = candidates.followed_by(Scored(unproposed, np.ones(len(unproposed), np.float32)), PINNED)
            others[unproposed] = False
        if len(candidates) < n and others.any():
            candidates = candidates.followed_by(self.bundle.last_resort(others, n - len(candidates)), LAST_RESORT)
        return candidates

    def _probabilities(self, ranked: Ranked, rows: Ints, query: Query, strategy: StrategyConfig) -> Floats:
        """What the ranker's scores of some rows mean, see `RecommendedItem`; NaN = nobody can tell.

        Guests are among nobody whom scores were compared with.
        """
        if strategy.ranker is None or query.customer_id is None or not ranked.features.shape[1]:
            return np.full(len(rows), np.nan, np.float32)
        return self.bundle.rankers[strategy.ranker].probabilities(_taken(ranked.candidates.scores[:, None], rows)[:, 0])

    def _items(
        self, selection: Selection, pinned: Mapping[int, int], reasons: list[list[Reason]], probabilities: Floats
    ) -> tuple[RecommendedItem, ...]:
        """The answer's lines."""
        chosen = selection.chosen
        names, proposed = np.array(chosen.sources), np.isfinite(chosen.source_ranks)
        lines = []
        for row, item in enumerate(chosen.items):
            if item in pinned.values():
                reasons[row].insert(0, Reason(ReasonCode.PINNED))
            id_, score, sources = self.bundle.catalogue.items.ids[item], float(chosen.scores[row]), tuple(names[proposed[row]].tolist())
            why, chance = tuple(dict.fromkeys(reasons[row])), float(probabilities[row])
            lines.append(RecommendedItem(id_, score, row + 1, sources, why, selection.acted[row], None if np.isnan(chance) else chance))
        return tuple(lines)

    def _reasons(
        self, chosen: Candidates, features: Floats, resolved: ResolvedQuery, strategy: StrategyConfig, budget: Budget
    ) -> tuple[list[list[Reason]], tuple[str, ...]]:
        """Reasons of each chosen item, and what could not say why.

        They come from the ranker where the query asks for that; from the sources for items that it did not rank, or if it cannot tell.
        """
        by_source = reasons_by_source(chosen, resolved, self.bundle.sources, self.bundle.catalogue.items)
        ranked = np.flatnonzero(np.isfinite(features).any(axis=1))
        if not resolved.query.explain or strategy.ranker is None or not len(ranked):
            return by_source
        reasons, failed = by_source
        if budget.expired():
            return reasons, (*failed, "reasons of the ranker: out of time")
        try:
            contributions = self.bundle.rankers[strategy.ranker].contributions(features[ranked])
            told, untold = self._explainer.reasons(contributions, features[ranked], chosen.items[ranked], resolved)
        except Exception as error:  # noqa: BLE001  the reasons of the sources still stand; the trace says what failed
            return reasons, (*failed, f"reasons of ranker {strategy.ranker}: {type(error).__name__}: {error}")
        for row, of_row in zip(ranked.tolist(), told, strict=True):
            reasons[row] = of_row
        return reasons, tuple(dict.fromkeys((*failed, *untold)))

    @cached_property
    def _explainer(self) -> Explainer:
        bundle = self.bundle
        return Explainer(bundle.config, bundle.catalogue, bundle.sources, bundle.popular, bundle.buyers, bundle.mentions)


def _rows_of(items: Ints, ranked: Ranked) -> Ints:
    """Where some items are among the candidates that the ranker saw, -1 = they are not."""
    row_of = {int(item): row for row, item in enumerate(ranked.candidates.items)}
    return np.array([row_of.get(int(item), -1) for item in items], np.int32)


def _taken(table: Floats, rows: Ints) -> Floats:
    """Rows of a table; NaN for -1."""
    taken = np.full((len(rows), table.shape[1]), np.nan, np.float32)
    taken[rows >= 0] = table[rows[rows >= 0]]
    return taken


def _joined(newer: History, older: History) -> History:
    if not len(newer):
        return older
    pairs = zip(vars(newer).values(), vars(older).values(), strict=True)
    return History(*(np.concatenate(pair) for pair in pairs))
