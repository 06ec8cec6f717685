"""What sets a segment apart, in sentences that each stand on one statistic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.purchases import Reals
from segmentation.rfm import WINDOWS_DAYS, Rfm

N_FACTS = 3
MIN_LEAD = 0.1
"""Deviations of a coin thrown once per customer that a fact's share must lie above that of all customers."""
DAYS_OF_MONTH = 365.25 / 12


@dataclass(frozen=True)
class Statement:
    """A sentence and what backs it: the named statistic of the segment, and the same of all customers."""

    sentence: str
    statistic: str
    value: float
    everybody: float


@dataclass(frozen=True)
class Facts:
    """How common each of some things is: in [0, 1], shape (n_segments, n_names), and among all customers, (n_names,).

    statistic: name of the statistic, before the thing; sentence: with places for {value}, {name} and {everybody}
    """

    statistic: str
    sentence: str
    names: Sequence[str]
    shares: Reals
    everybody: Reals

    def telling(self, segment: int, n: int = N_FACTS) -> tuple[Statement, ...]:
        """The n whose share leads that of all customers most, or as many as lead by MIN_LEAD; ties go to the earlier."""
        own, all_ = self.shares[segment], self.everybody
        return tuple(
            Statement(
                self.sentence.format(value=_percent(own[row]), name=self.names[row], everybody=_percent(all_[row])),
                f"{self.statistic}: {self.names[row]}",
                float(own[row]),
                float(all_[row]),
            )
            for row in self._best(segment, n)
        )

    def telling_names(self, segment: int) -> tuple[str, ...]:
        """What those are about."""
        return tuple(self.names[row] for row in self._best(segment, N_FACTS))

    def _best(self, segment: int, n: int) -> list[int]:
        own, all_ = self.shares[segment], self.everybody
        lead = (own - all_) / np.sqrt(np.clip(all_ * (1 - all_), 1e-6, None))
        return [int(row) for row in np.argsort(-lead, kind="stable")[:n] if lead[row] >= MIN_LEAD]


def shares_of_customers(
    segments: NDArray[np.integer],
    n_segments: int,
    rows: NDArray[np.integer],
    things: NDArray[np.integer],
    names: Sequence[str],
    statistic: str,
    sentence: str,
) -> Facts:
    """Facts from distinct pairs of a customer's row and a thing's: the share of customers who have the thing."""
    flat = np.bincount(segments[rows].astype(np.int64) * len(names) + things, minlength=n_segments * len(names))
    counts = flat.reshape(n_segments, len(names))
    sizes = np.bincount(segments, minlength=n_segments)
    return Facts(statistic, sentence, names, counts / np.maximum(sizes, 1)[:, None], counts.sum(axis=0) / max(len(segments), 1))


def shares_of_lines(segments: NDArray[np.integer], n_segments: int, counts: NDArray[np.floating], names: Sequence[str]) -> Facts:
    """Facts from lines per customer and topic, shape (n, n_topics): the share of all lines that are about the topic."""
    lines = np.stack([counts[segments == segment].sum(axis=0, dtype=np.float64) for segment in range(n_segments)])
    everybody = lines.sum(axis=0)
    shares = lines / np.maximum(lines.sum(axis=1, keepdims=True), 1)
    sentence = "{value} of their purchase lines are {name}; of everybody's {everybody}."
    return Facts("lines", sentence, names, shares, everybody / max(everybody.sum(), 1))


def habits(
    members: NDArray[np.bool_], customers: NDArray[np.integer], rfm: Rfm, price_levels: Reals, in_money: bool
) -> tuple[Statement, ...]:
    """Size, rhythm, money and prices of a segment against all customers.

    members: which of the customers are in it; customers: their numbers; price_levels: one per customer, NaN = unknown
    """
    monthly = DAYS_OF_MONTH * rfm.n_orders[customers] / np.maximum(rfm.tenure_days[customers], WINDOWS_DAYS[0])
    recent = (rfm.recency_days[customers] <= WINDOWS_DAYS[0]).astype(np.float64)
    order_values = rfm.order_value[customers]
    share = float(members.mean())
    found = [
        Statement(f"{share:.0%} of all customers are in this segment.", "share of customers", share, 1.0),
        _middle(
            "Half of them order at least {value:.1f} times a month; of everybody, {everybody:.1f}.", "orders a month", monthly, members
        ),
        _mean("{value:.0%} of them bought in the last 28 days; of everybody {everybody:.0%}.", "bought in 28 days", recent, members),
    ]
    if in_money:
        found.append(
            _middle(
                "Half of their orders are worth at least {value:.2f} on average; everybody's {everybody:.2f}.",
                "order value",
                order_values,
                members,
            )
        )
        found.append(
            _middle(
                "They pay {value:.2f} times the usual price of what they buy; everybody {everybody:.2f}.",
                "price level",
                price_levels,
                members,
            )
        )
    return tuple(statement for statement in found if np.isfinite(statement.value))


def as_text(terms: Sequence[str], statements: Sequence[Statement]) -> str:
    """The evidence for a segment, for whoever names it."""
    return "\n".join([f"Set apart by: {', '.join(terms) or 'nothing'}.", *(statement.sentence for statement in statements)])


def _middle(sentence: str, statistic: str, values: Reals, members: NDArray[np.bool_]) -> Statement:
    return _statement(sentence, statistic, _median(values[members]), _median(values))


def _mean(sentence: str, statistic: str, values: Reals, members: NDArray[np.bool_]) -> Statement:
    return _statement(sentence, statistic, float(values[members].mean()) if members.any() else float("nan"), float(values.mean()))


def _statement(sentence: str, statistic: str, value: float, everybody: float) -> Statement:
    return Statement(sentence.format(value=value, everybody=everybody), statistic, value, everybody)


def _percent(share: float) -> str:
    """Whole percents, and tenths of small ones."""
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def _median(values: Reals) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
