"""The words of the planted shop: item types, attributes, brands and personas, read once from ``lexicon/catalogue.toml``."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

NEEDS = (
    "vegan",
    "kids",
    "small flat",
    "hosting",
    "sensitive skin",
    "training",
    "home office",
    "pets",
    "back pain",
    "travel",
    "gift",
    "cold weather",
)
"""What a customer can need; a persona has one of them, and the grammars of reviews have words for each."""


@dataclass(frozen=True)
class ItemType:
    """A leaf of the category tree.

    noun:        singular or a mass noun ("shampoo"); unique
    noun_zh:     the same in Chinese
    path:        department and shelf
    price:       median, EUR
    cycle_days:  how long one lasts a customer; None = durable, not bought again
    season_peak: month 1-12 in which it sells best; None = no season
    complement:  noun of the type that is bought with it
    attributes:  names of the groups in which items of this type differ, at least one
    """

    noun: str
    noun_zh: str
    path: tuple[str, str]
    price: float
    attributes: tuple[str, ...]
    cycle_days: float | None = None
    season_peak: int | None = None
    complement: str | None = None

    @property
    def name(self) -> str:
        """The noun as it heads a shelf or ends a title: "Face Cream"."""
        return capitalised(self.noun)

    @property
    def category(self) -> tuple[str, str, str]:
        """The whole path in the category tree: department, shelf, leaf."""
        return (*self.path, self.name)


@dataclass(frozen=True)
class AttributeGroup:
    """Ways in which items differ: for each word what a description says of an item that has it, as predicates of "it"."""

    name: str
    clauses: Mapping[str, tuple[str, ...]]

    @property
    def words(self) -> tuple[str, ...]:
        """The attribute words of this group, in their order."""
        return tuple(self.clauses)


@dataclass(frozen=True)
class Persona:
    """A kind of customer, the planted segment.

    likes:       attribute words, of several groups
    departments: the two or three where most is bought
    need:        one of NEEDS
    price_sensitivity, visits, churn: multiply the shop's average; > 0
    """

    name: str
    description: str
    likes: tuple[str, ...]
    departments: tuple[str, ...]
    need: str
    price_sensitivity: float
    visits: float
    churn: float


@dataclass(frozen=True)
class Lexicon:
    """All words, consistent: every name that one part uses is there in the other.

    attributes: groups by name; a word stands in one group only
    brands:     names by department; a name stands in one department only
    clauses:    what descriptions say, by attribute word
    """

    types: tuple[ItemType, ...]
    attributes: Mapping[str, AttributeGroup]
    brands: Mapping[str, tuple[str, ...]]
    personas: tuple[Persona, ...]

    def __post_init__(self) -> None:
        _require_unique("noun", (kind.noun for kind in self.types))
        _require_unique("Chinese noun", (kind.noun_zh for kind in self.types))
        _require_unique("attribute word", (word for group in self.attributes.values() for word in group.words))
        _require_unique("brand", (brand for names in self.brands.values() for brand in names))
        _require_unique("persona", (persona.name for persona in self.personas))
        for kind in self.types:
            self._check_type(kind)
        for persona in self.personas:
            self._check_persona(persona)

    @property
    def departments(self) -> tuple[str, ...]:
        """The departments, in their order."""
        return tuple(self.brands)

    @property
    def clauses(self) -> dict[str, tuple[str, ...]]:
        """What descriptions say of an item, by attribute word."""
        return {word: clauses for group in self.attributes.values() for word, clauses in group.clauses.items()}

    def _check_type(self, kind: ItemType) -> None:
        where = f"type {kind.noun!r}"
        _require_known(where, "attribute group", kind.attributes, self.attributes)
        _require_known(where, "department", kind.path[:1], self.brands)
        if kind.complement is not None:
            _require_known(where, "complement", [kind.complement], {other.noun for other in self.types} - {kind.noun})
        if kind.price <= 0 or (kind.cycle_days is not None and kind.cycle_days <= 0):
            raise ValueError(f"{where}: price {kind.price} and cycle_days {kind.cycle_days} must be above 0")
        if kind.season_peak is not None and not 1 <= kind.season_peak <= 12:
            raise ValueError(f"{where}: season_peak is a month from 1 to 12, not {kind.season_peak}")

    def _check_persona(self, persona: Persona) -> None:
        where = f"persona {persona.name!r}"
        _require_known(where, "attribute word", persona.likes, self.clauses)
        _require_known(where, "department", persona.departments, self.brands)
        _require_known(where, "need", [persona.need], NEEDS)
        if min(persona.price_sensitivity, persona.visits, persona.churn) <= 0:
            raise ValueError(f"{where}: price_sensitivity, visits and churn must be above 0")


def capitalised(words: str) -> str:
    """Each word with a capital first letter, the rest as it is: "plastic-free T-shirt" -> "Plastic-free T-shirt"."""
    return " ".join(word[:1].upper() + word[1:] for word in words.split(" "))


@cache
def load_lexicon() -> Lexicon:
    """The words of the planted shop, read once from the package."""
    return lexicon_from(read_toml("catalogue.toml"))


def read_toml(name: str) -> dict[str, Any]:
    """A file of ``recsys/synthetic/lexicon``."""
    return tomllib.loads(resources.files("recsys.synthetic").joinpath("lexicon", name).read_text(encoding="utf-8"))


def lexicon_from(table: Mapping[str, Any]) -> Lexicon:
    """A lexicon from a table as in ``catalogue.toml``; ``ValueError`` names what one part uses and another does not have."""
    return Lexicon(
        types=tuple(ItemType(**_with_tuples(row)) for row in table["types"]),
        attributes={name: AttributeGroup(name, _with_tuples(values)) for name, values in table["attributes"].items()},
        brands=_with_tuples(table["brands"]),
        personas=tuple(Persona(**_with_tuples(row)) for row in table["personas"]),
    )


def _with_tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _require_unique(what: str, names: Iterable[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{what} occurs more than once: {', '.join(repeated)}")


def _require_known(where: str, what: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"{where} uses an unknown {what}: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
