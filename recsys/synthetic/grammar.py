"""A small context-free grammar that writes texts: names with alternatives, in which ``{name}`` stands for another name or a given fact."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_REFERENCE = re.compile(r"\{([^{}]*)\}")


@dataclass
class _Rule:
    """Alternatives, each a sequence of literal text, facts and further rules."""

    alternatives: list[tuple[str | _Fact | _Rule, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class _Fact:
    name: str


Grammar = Mapping[str, _Rule]
"""Compiled rules by name; made by `compile_rules`, read by `expand`."""


def compile_rules(rules: Mapping[str, Sequence[str]], facts: Iterable[str] = ()) -> Grammar:
    """Parse rules once, so that expanding them takes well under a microsecond per name.

    Args:
        rules: name -> alternatives, equally likely; ``{other}`` in an alternative stands for one of the other's alternatives.
        facts: names that each call of `expand` gives a text for.

    Raises:
        ValueError: a name that is neither a rule nor a fact, one that is both, a rule without alternatives, or one that contains itself.
    """
    given = set(facts)
    _check(rules, given)
    compiled = {name: _Rule() for name in rules}
    for name, alternatives in rules.items():
        compiled[name].alternatives.extend(_parse(text, compiled, given) for text in alternatives)
    return compiled


def expand(grammar: Grammar, start: str, facts: Mapping[str, str], rng: random.Random) -> str:
    """One text of the rule `start`, drawn alternative by alternative; `facts` holds a text for every fact of the grammar."""
    parts: list[str] = []
    _expand(grammar[start], facts, rng.random, parts)
    return "".join(parts)


def _expand(rule: _Rule, facts: Mapping[str, str], draw: Callable[[], float], parts: list[str]) -> None:
    alternatives = rule.alternatives
    for part in alternatives[int(draw() * len(alternatives))]:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, _Rule):
            _expand(part, facts, draw, parts)
        else:
            parts.append(facts[part.name])


def _parse(text: str, compiled: Mapping[str, _Rule], facts: set[str]) -> tuple[str | _Fact | _Rule, ...]:
    pieces = _REFERENCE.split(text)  # literal, name, literal, name, ..., literal
    named = (piece if position % 2 == 0 else _named(piece, compiled, facts) for position, piece in enumerate(pieces))
    return tuple(part for part in named if part != "")


def _named(name: str, compiled: Mapping[str, _Rule], facts: set[str]) -> _Fact | _Rule:
    return _Fact(name) if name in facts else compiled[name]


def _check(rules: Mapping[str, Sequence[str]], facts: set[str]) -> None:
    ambiguous = sorted(facts & rules.keys())
    if ambiguous:
        raise ValueError(f"names that are both a rule and a fact: {', '.join(ambiguous)}")
    for name, alternatives in rules.items():
        if not alternatives:
            raise ValueError(f"rule {name!r} has no alternatives")
        unknown = sorted(set(_names(alternatives)) - rules.keys() - facts)
        if unknown:
            raise ValueError(f"rule {name!r} uses {', '.join(unknown)}, which is neither a rule nor a fact")
    done: set[str] = set()
    for name in rules:
        _refuse_cycles(name, rules, (), done)


def _refuse_cycles(name: str, rules: Mapping[str, Sequence[str]], path: tuple[str, ...], done: set[str]) -> None:
    if name in path:
        raise ValueError(f"rule {name!r} contains itself: {' > '.join((*path, name))}")
    if name in done or name not in rules:
        return
    for inner in _names(rules[name]):
        _refuse_cycles(inner, rules, (*path, name), done)
    done.add(name)


def _names(alternatives: Sequence[str]) -> list[str]:
    return [name for text in alternatives for name in _REFERENCE.findall(text)]
