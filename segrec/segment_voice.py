"""By what customers' texts are read, in words: from the facts of a voice model, as a fit and a bundle's manifest keep them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

READ = {"sentiment": "moods", "intent": "intents"}
NEEDS = "needs"
WAYS = {"both": "words and embeddings", "words": "words alone", "embedding": "embeddings", "encoder": "the fine-tuned encoder"}
BY_MODEL = "language model"
"""What found the aspects, where no terms had to do."""


def voice_lines(facts: Mapping[str, Any]) -> list[str]:
    """A sentence each for moods, intents and needs: by what they are read, or why they are not."""
    missing = facts["problems"]
    heads = [f"{what} {_head(facts[name])}{_problem(missing, name)}." for name, what in READ.items()]
    return [line[0].upper() + line[1:] for line in (*heads, f"needs {_needs(facts)}{_problem(missing, NEEDS)}.")]


def is_by_terms(facts: Mapping[str, Any] | None) -> bool:
    """Whether what customers write of is told by terms of their texts, for no language model found it."""
    return facts is not None and facts[NEEDS].get("by") == "terms"


def _head(said: Mapping[str, Any]) -> str:
    """By what a head reads; labels of a language model may have been judged on the way."""
    judged = said.get("language_model", {})
    refused = f"; the language model's labels were refused: {judged['refused']}" if judged.get("refused") else ""
    ignored = f"; not used: {said['ignored']}" if said.get("ignored") else ""
    reason = said.get("reason", "")
    if not said["by"]:
        return f"are not read: {reason}{ignored}{refused}"
    return f"are read by {WAYS.get(said['by'], said['by'])}{f' ({reason})' if reason else ''}{ignored}{refused}"


def _needs(facts: Mapping[str, Any]) -> str:
    said = facts[NEEDS]
    if "by" not in said:
        return f"are not read: {said['reason']}"
    if said["by"] == BY_MODEL:
        return f"are read by aspects that the language model found: {', '.join(said['names'])}"
    if facts["language_model"] is None:
        why = "there was no language model"
    else:
        why = f"the language model found none: {said.get('language_model', 'no reason is known')}"
    found = ", ".join(said["names"]) or "nothing is written of often enough"
    return f"are read by terms of the texts ({why}): {found}"


def _problem(problems: Mapping[str, str], name: str) -> str:
    return f"; the language model did not answer all, {problems[name]}" if name in problems else ""
