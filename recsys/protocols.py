"""What the engine asks of its parts. Each has at least two implementations; `tests/contracts` holds their promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from recsys.types import Flags, Floats, History, Ints, Query, ReasonCode, Scored
from segmentation.profile import CustomerProfile

Made = TypeVar("Made")


@dataclass(frozen=True)
class ResolvedQuery:
    """A query with its ids looked up and what is known of the customer beside it.

    profile:   None for a guest or a customer without a history
    history:   strictly before the query's time
    positives: the rows of the history whose event is one that the shop calls positive
    context:   items looked at or in the cart, newest first; int32
    time:      the query's time as datetime64[us]
    customer:  number of the customer in the bundle, -1 = a guest or a stranger
    """

    query: Query
    time: np.datetime64
    profile: CustomerProfile | None
    history: History
    positives: History
    context: Ints
    customer: int
    _made: dict[int, tuple[object, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, source: object, make: Callable[[], Made]) -> Made:
        """What `make` gives, made once by this source for this query: proposing and scoring ask for the same vector of the customer."""
        if id(source) not in self._made:
            self._made[id(source)] = source, make()  # the source is kept, lest another one get its id
        made: Made = self._made[id(source)][1]
        return made


class CandidateSource(Protocol):
    """Proposes items for a query, cheaply and with generous recall."""

    @property
    def reason(self) -> ReasonCode:
        """Why what it proposes may be wanted."""
        ...

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        """At most n eligible items with finite scores, best first; empty when the source knows nothing of this customer.

        eligible: one flag per item of the catalogue, shape (n_items,)
        """
        ...

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        """The item of the customer that each proposed item rests on most; -1 = none in particular. Shape as `items`."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """A source that can say of any item what it thinks of it, proposed or not."""

    def scores(self, resolved: ResolvedQuery, items: Ints) -> Floats:
        """A score for each item, higher is better; NaN where it knows nothing of the customer. Shape (n,)."""
        ...


@runtime_checkable
class Linker(Protocol):
    """A source that knows how near items are to each other."""

    def links(self, items: Ints, seeds: Ints) -> Floats:
        """How near each item is to each seed, higher is nearer; finite. Shape (n_items, n_seeds)."""
        ...


class Ranker(Protocol):
    """Orders candidates."""

    def score(self, features: Floats) -> Floats:
        """A score for each row of (n, n_features); higher is better, comparable within one query only. Shape (n,)."""
        ...

    def probabilities(self, scores: Floats) -> Floats:
        """How probable it is that a candidate of such a score is bought; never falls with the score. Shape (n,), NaN = nobody can tell."""
        ...

    def contributions(self, features: Floats) -> NDArray[np.float64]:
        """What each feature adds to the score of each row, beyond the mean of what was learned from; (n, n_features)."""
        ...


class Encoder(Protocol):
    """Reads texts."""

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embeddings of unit L2 norm, shape (len(texts), dim); equal texts give equal rows."""
        ...


class Budget(Protocol):
    """Time left for a query; the engine has no clock of its own."""

    def expired(self) -> bool:
        """True when what is still optional must be left out."""
        ...

    def finished(self, stage: str) -> None:
        """Told after each stage and source, by name, so that a caller may measure."""
        ...


class Unlimited:
    """The budget of offline evaluation: never expires, measures nothing."""

    def expired(self) -> bool:
        return False

    def finished(self, stage: str) -> None:
        return None
