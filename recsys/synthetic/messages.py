"""Messages to customer service with a planted intent, in English and Chinese, from the grammars in ``lexicon/messages_*.toml``."""

from __future__ import annotations

import random
from functools import cache

from recsys.synthetic.grammar import Grammar, compile_rules, expand
from recsys.synthetic.lexicon import read_toml
from recsys.synthetic.reviews import Language, finished, joined

INTENTS = ("buy", "hesitate", "leave", "service")
"""What a writer is up to: to buy, to think it over, to leave the shop, or merely to ask about an order, an invoice, a delivery."""

_ORDERS = (
    ("greeting", "scene", "intent", "detail", "farewell"),
    ("greeting", "intent", "scene", "detail", "farewell"),
    ("greeting", "detail", "scene", "intent"),
    ("greeting", "detail", "intent", "farewell"),
    ("scene", "intent", "detail", "farewell"),
    ("scene", "detail", "intent"),
    ("intent", "scene", "detail"),
)


def write_message(intent: str, noun: str, brand: str, language: Language, rng: random.Random) -> str:
    """One message with the given intent, one of INTENTS, about an item; `noun` is in the language of the message, "en" or "zh".

    A share of the messages names neither noun nor brand, as people do.
    """
    if intent not in INTENTS:
        raise ValueError(f"intent must be one of {', '.join(INTENTS)}, got {intent!r}")
    grammar, facts = _grammar(language), {"noun": noun, "brand": brand}
    sentences = []
    for part in rng.choice(_ORDERS):
        clause = expand(grammar, f"{part}_{intent}" if part in ("scene", "intent") else part, facts, rng)
        sentences.append(finished(clause, language, "."))
    return joined(sentences, language)


@cache
def _grammar(language: Language) -> Grammar:
    return compile_rules(read_toml(f"messages_{language}.toml"), facts=("noun", "brand"))
