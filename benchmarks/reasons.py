"""What reasons are told with `explain`, whether what they say is true, and whether the ranker's order rests on them.

    python -m benchmarks.reasons bundles/ --data shops/mine
    python -m benchmarks.reasons bundles/ --data shops/mine --customers 500 --strategy discovery

Told: the share of shown items with each reason. True: what a reason says, looked up in the shop's tables as they were at the bundle's
as_of, not in the bundle. Rests on it: the features behind a told reason are set to the median of the query's candidates, and the item
falls by so many ranks; beside it the same for the families that were not told of the item, on average and for the one that spoke most
for it. False ones: each list's reasons are asked for again with the history of a customer who has none of their items, and with sources
that name items which the customer did not buy; nothing untrue may be told. Intervals are 95 %, from customers drawn anew.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from benchmarks.reason_evidence import Evidence
from offline_eval.significance import Bootstrap, Interval, bootstrap
from recsys.bundle import Bundle
from recsys.config import StrategyConfig
from recsys.data.dataset import Dataset
from recsys.engine import Engine, Snapshot
from recsys.features.families import Family
from recsys.protocols import CandidateSource, ResolvedQuery, Unlimited
from recsys.ranking.explain import Explainer
from recsys.types import Candidates, Flags, Floats, Ints, Query, Reason, ReasonCode, Scored, aware
from segrec.console import output, steps
from serving.bundles import newest_bundle

K = 10
SEED = 4
TOLD_FALL, OTHERS_FALL, NEXT_FALL = range(3)
CODES = tuple(ReasonCode)
ANOTHER, LIARS = "another customer's history", "sources that name what the customer did not buy"


@dataclass(frozen=True)
class Liar:
    """A source that names items as the customer's which the customer does not have. items: what nobody asked of has"""

    source: CandidateSource
    items: Ints

    @property
    def reason(self) -> ReasonCode:
        """Of the true source."""
        return self.source.reason

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        """Nothing: only its evidence is asked for."""
        return Scored.empty()

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        """Never the customer's."""
        others = np.setdiff1d(self.items, resolved.positives.items)
        return np.resize(others, len(items)).astype(np.int32)


@dataclass(frozen=True)
class Shown:
    """The ranked items of one list, as the explainer saw them.

    proposed: all candidates of the query; rows: the places of the shown ones among them; reasons: told of each
    candidates, scores: features and scores of all; contributions: to those that are shown
    """

    resolved: ResolvedQuery
    items: Ints
    rows: NDArray[np.intp]
    proposed: Candidates
    candidates: Floats
    scores: Floats
    contributions: NDArray[np.float64]
    reasons: list[list[Reason]]


class Asker:
    """Asks one strategy of a bundle, and its explainer directly."""

    def __init__(self, bundle: Bundle, name: str) -> None:
        self.bundle, self.engine, self.snapshot, self.name = bundle, Engine(bundle), Snapshot.of(bundle), name
        self.strategy: StrategyConfig = bundle.config.strategies[name]
        assert self.strategy.ranker is not None
        self.ranker = bundle.rankers[self.strategy.ranker]
        self.explainer = self.with_sources(bundle.sources)

    def with_sources(self, sources: Mapping[str, CandidateSource]) -> Explainer:
        """An explainer that trusts other sources."""
        bundle = self.bundle
        return Explainer(bundle.config, bundle.catalogue, sources, bundle.popular, bundle.buyers, bundle.mentions)

    def resolved(self, customer: str) -> ResolvedQuery:
        """A query at the bundle's as_of."""
        assert self.bundle.as_of is not None
        query = Query(K, aware(self.bundle.as_of), customer, strategy=self.name, explain=True)
        return self.engine.resolve(query, self.snapshot)[0]

    def shown(self, customer: str) -> Shown | None:
        """What a customer is shown; None where the ranker scored none of it."""
        resolved = self.resolved(customer)
        answer = self.engine.recommend(resolved.query, self.snapshot)
        if answer.trace.degraded:
            raise SystemExit(f"reasons cannot be measured where parts fail: {'; '.join(answer.trace.degraded)}")
        ranked = self.engine.rank(
            self.engine.retrieve(resolved, self.strategy, self.snapshot, Unlimited()), resolved, self.strategy, Unlimited()
        )
        row_of = {int(item): row for row, item in enumerate(ranked.candidates.items)}
        numbers = self.bundle.catalogue.items.numbers(answer.item_ids)
        told = [(row_of[int(number)], list(item.reasons)) for number, item in zip(numbers, answer.items, strict=True) if number in row_of]
        if not told:
            return None
        rows = np.array([row for row, _ in told])
        contributions = self.ranker.contributions(ranked.features[rows])
        scores = ranked.candidates.scores
        reasons = [[reason for reason in own if reason.strength is not None] for _, own in told]
        return Shown(resolved, ranked.candidates.items[rows], rows, ranked.candidates, ranked.features, scores, contributions, reasons)

    def told(self, shown: Shown, explainer: Explainer, other: Shown | None) -> list[list[Reason]]:
        """The reasons of the same contributions by another explainer, or where all that is known is of another customer."""
        features, resolved = shown.candidates[shown.rows], shown.resolved
        if other is not None:
            features, resolved = self._features(other, shown.items), other.resolved
        return explainer.reasons(shown.contributions, features, shown.items, resolved)[0]

    def _features(self, shown: Shown, items: Ints) -> Floats:
        """Features of any items for a customer, whether they were proposed to it or not."""
        proposed = shown.proposed
        order = np.argsort(proposed.items)
        at = order[np.minimum(np.searchsorted(proposed.items[order], items), len(order) - 1)]
        is_proposed = (proposed.items[at] == items)[:, None]
        scores, ranks = (np.where(is_proposed, table[at], np.nan) for table in (proposed.source_scores, proposed.source_ranks))
        candidates = replace(proposed.take(at), items=items, source_scores=scores, source_ranks=ranks)
        return self.bundle.features.rows(shown.resolved, candidates, self.bundle.sources)


def main() -> None:
    """Measure the ranked strategies of a bundle and print tables of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of the imported shop that the bundle was trained on")
    parser.add_argument("--customers", type=int, default=300, help="so many customers, drawn at random from those with a history")
    parser.add_argument("--strategy", default=None, help="one strategy; default: all with a ranker")
    args = parser.parse_args()
    if not args.data.is_dir():
        raise SystemExit(f"there is no folder {args.data}; `segrec import` makes one")
    bundle, dataset = Bundle.load(newest_bundle(args.bundles)), Dataset.load(args.data)
    assert bundle.as_of is not None
    evidence = Evidence.of(dataset.before(bundle.as_of), bundle.config, bundle.profiles)
    customers = _drawn(bundle, args.customers)
    for name, strategy in bundle.config.strategies.items():
        if strategy.ranker is not None and args.strategy in (None, name):
            for table in _measured(Asker(bundle, name), customers, evidence):
                output().print(table)


def _drawn(bundle: Bundle, n: int) -> list[str]:
    known = np.flatnonzero(np.diff(bundle.histories.offsets) > 0)
    drawn = np.sort(np.random.default_rng(SEED).choice(known, min(n, len(known)), replace=False))
    return [bundle.customers.ids[customer] for customer in drawn.tolist()]


def _measured(asker: Asker, customers: Sequence[str], evidence: Evidence) -> list[Table]:
    lists: dict[str, Shown] = {}
    with steps() as progress:
        for done, customer in enumerate(customers):
            progress(done, len(customers), f"asking {asker.name}")
            found = asker.shown(customer)
            if found is not None:
                lists[customer] = found
    if not lists:
        raise SystemExit(f"the ranker of strategy {asker.name} scored nothing that was shown")
    values = np.array([[*_shares(shown), *_falls(asker, shown)] for shown in lists.values()])
    draws = bootstrap(list(lists), values, np.random.default_rng(SEED))
    holds = Counter[tuple[ReasonCode, bool]]()
    for customer, shown in lists.items():
        for item, own in zip(shown.items.tolist(), shown.reasons, strict=True):
            holds.update((reason.code, evidence.holds(reason, item, customer, shown.resolved.profile)) for reason in own)
    n_items = sum(len(shown.items) for shown in lists.values())
    return [
        _told_table(f"strategy {asker.name}: {n_items:,} items shown to {len(lists):,} customers", draws, holds),
        _fall_table(draws),
        _false_table(_falsified(asker, lists, evidence)),
    ]


def _shares(shown: Shown) -> list[float]:
    """Of a list: the share of items with each reason, the share with any, and reasons per item."""
    codes = [{reason.code for reason in own} for own in shown.reasons]
    by_code = [float(np.mean([code in own for own in codes])) for code in CODES]
    return [*by_code, float(np.mean([bool(own) for own in codes])), float(np.mean([len(own) for own in shown.reasons]))]


def _falls(asker: Asker, shown: Shown) -> list[float]:
    """Ranks that items lose, on average: without a told reason, without another family, without the strongest that was not told."""
    families, members = asker.explainer.families, asker.explainer.members
    sums, usual = shown.contributions @ members, _medians(shown.candidates)
    found: tuple[list[float], list[float], list[float]] = ([], [], [])
    for at, (row, own) in enumerate(zip(shown.rows.tolist(), shown.reasons, strict=True)):
        changed = np.where(members.T > 0, usual, shown.candidates[row]).astype(np.float32)  # a row per family
        falls = _ranks(asker.ranker.score(changed), shown.scores, row) - _ranks(shown.scores[[row]], shown.scores, row)
        told = {families.index(_family(reason, shown.resolved)) for reason in own}
        others = [family for family in range(len(families)) if family not in told]
        if told and others:
            found[TOLD_FALL].append(float(falls[list(told)].mean()))
            found[OTHERS_FALL].append(float(falls[others].mean()))
            found[NEXT_FALL].append(float(falls[max(others, key=lambda family: sums[at, family])]))
    return [float(np.mean(values)) if values else np.nan for values in found]


def _medians(candidates: Floats) -> Floats:
    """Of each feature, over the candidates that have it; NaN where none has."""
    known = (column[~np.isnan(column)] for column in candidates.T)
    return np.array([np.median(column) if len(column) else np.nan for column in known], np.float32)


def _ranks(scores: Floats, among: Floats, row: int) -> NDArray[np.float64]:
    """1 is best: the rank that a candidate would have with each of some scores, all others as they are."""
    rest = np.sort(np.delete(among, row))
    return np.asarray(1.0 + len(rest) - np.searchsorted(rest, scores, side="right"), np.float64)


def _family(reason: Reason, resolved: ResolvedQuery) -> Family:
    """The family that a reason was told of."""
    if reason.code is ReasonCode.MENTIONED:
        return Family(ReasonCode.SIMILAR_TEXT)
    if reason.code is ReasonCode.POPULAR_IN_SEGMENT:
        return Family(reason.code, "segment" if resolved.profile is not None and reason.name == resolved.profile.segment else "tier")
    return Family(reason.code)


def _falsified(asker: Asker, lists: Mapping[str, Shown], evidence: Evidence) -> dict[str, tuple[int, int]]:
    """By way of falsifying: how many reasons with evidence were asked for without it, and how many untrue ones were told."""
    everything = np.arange(len(asker.bundle.catalogue), dtype=np.int32)
    liars = asker.with_sources({name: Liar(source, everything) for name, source in asker.bundle.sources.items()})
    asked, untrue = Counter[str](), Counter[str]()
    for at, (customer, shown) in enumerate(lists.items()):
        after = [*list(lists)[at + 1 :], *list(lists)[:at]]
        other = next((name for name in after if _has_none(lists[name], shown)), None)
        ways: dict[str, tuple[Explainer, str | None]] = {LIARS: (liars, None)}
        if other is not None:
            ways[ANOTHER] = asker.explainer, other
        for way, (explainer, who) in ways.items():
            resolved = lists[who or customer].resolved
            told = zip(shown.items.tolist(), asker.told(shown, explainer, None if who is None else lists[who]), strict=True)
            asked[way] += sum(reason.because_item_id is not None or reason.name is not None for own in shown.reasons for reason in own)
            untrue[way] += sum(not evidence.holds(reason, item, who or customer, resolved.profile) for item, own in told for reason in own)
    return {way: (asked[way], untrue[way]) for way in (ANOTHER, LIARS)}


def _has_none(other: Shown, shown: Shown) -> bool:
    """Whether another customer bought nothing of what a customer bought."""
    return not np.isin(other.resolved.positives.items, shown.resolved.positives.items).any()


def _told_table(title: str, draws: Bootstrap, holds: Counter[tuple[ReasonCode, bool]]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("reason", "% of items", "told", "not true"):
        table.add_column(heading, justify="left" if heading == "reason" else "right")
    for at, code in enumerate(CODES):
        told, untrue = holds[code, True] + holds[code, False], holds[code, False]
        if told:
            table.add_row(code.value, _figure(draws.mean(at), 100), f"{told:,}", f"{untrue:,}")
    n_untrue = sum(n for (_, is_true), n in holds.items() if not is_true)
    table.add_row("any", _figure(draws.mean(len(CODES)), 100), f"{sum(holds.values()):,}", f"{n_untrue:,}")
    table.add_row("reasons per item", _figure(draws.mean(len(CODES) + 1)), "", "")
    return table


def _fall_table(draws: Bootstrap) -> Table:
    table = Table(title="ranks that an item falls without", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("the features of", "fall", "less than a told reason's by"):
        table.add_column(heading, justify="left" if heading == "the features of" else "right")
    first = len(CODES) + 2
    names = {TOLD_FALL: "a told reason", OTHERS_FALL: "a family that is not told", NEXT_FALL: "the strongest of these"}
    for at, name in names.items():
        less = "" if at == TOLD_FALL else _figure(draws.difference(first + TOLD_FALL, first + at))
        table.add_row(name, _figure(draws.mean(first + at)), less)
    return table


def _false_table(found: Mapping[str, tuple[int, int]]) -> Table:
    table = Table(title="reasons asked for without their evidence", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("instead", "reasons with evidence", "untrue ones told"):
        table.add_column(heading, justify="left" if heading == "instead" else "right")
    for way, (asked, untrue) in found.items():
        table.add_row(way, f"{asked:,}", f"{untrue:,}")
    return table


def _figure(interval: Interval, times: float = 1.0) -> str:
    estimate, low, high = (times * number for number in (interval.estimate, interval.low, interval.high))
    return f"{estimate:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
