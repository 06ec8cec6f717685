"""The chat completions protocol of OpenAI, as many servers speak it: bodies of requests, and what answers mean.

Source: OpenAI API reference, "Create chat completion"; JSON schemas as its "Structured outputs".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segmentation.llm.language_model import DENIED, REJECTED, TOO_LONG, Prompt
from segmentation.llm.rendering import messages

ANSWER = "answer"
RETRY = "retry"
"""The failure of a request that may succeed when repeated."""

_RETRIED = frozenset({408, 409, 425, 429})
_DENIED = frozenset({401, 402, 403, 404, 405})
_TOO_LONG_WORDS = ("context_length", "context length", "context window", "maximum context", "too long", "too many tokens", "exceed_context")
_QUOTA_WORDS = ("insufficient_quota", "billing")
_BYTES_PER_TOKEN = 3


@dataclass(frozen=True)
class Form:
    """How an answer is asked for. schema: the endpoint holds the model to JSON of a schema; logprobs: it says how sure the model is."""

    schema: bool
    logprobs: bool


FORMS = (Form(schema=True, logprobs=True), Form(schema=True, logprobs=False), Form(schema=False, logprobs=False))
"""Tried in this order, since endpoints know different parts of the protocol; the last is known to all."""


@dataclass(frozen=True)
class Reply:
    """A completion. tokens_in, tokens_out: None = not said; logprobs: (token, log-probability) in order, () = not said."""

    text: str
    tokens_in: int | None
    tokens_out: int | None
    logprobs: tuple[tuple[str, float], ...]


def choice_schema(choices: Sequence[str]) -> dict[str, Any]:
    """An object whose only value is one of the choices."""
    answer = {"type": "string", "enum": list(choices)}
    return {"type": "object", "properties": {ANSWER: answer}, "required": [ANSWER], "additionalProperties": False}


def request_body(prompt: Prompt, model: str, form: Form, max_tokens: int, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The body of one request; `prompt.text` must be free of personal data by now."""
    body: dict[str, Any] = {"model": model, "messages": messages(prompt), "temperature": 0, "max_tokens": max_tokens}
    if form.schema and schema is not None:
        named = {"name": "answer", "strict": True, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    if form.logprobs:
        body["logprobs"] = True
    return body


def read_reply(payload: bytes) -> Reply | None:
    """The completion in a response; None where it is none."""
    try:
        found = json.loads(payload)
        choice = found["choices"][0]
        text = choice["message"].get("content") or ""
        counts = found.get("usage") or {}
        tokens = (_count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")))
        listed = (choice.get("logprobs") or {}).get("content") or ()
        logprobs = tuple((str(entry["token"]), float(entry["logprob"])) for entry in listed)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return Reply(text, *tokens, logprobs) if isinstance(text, str) else None


def failure(status: int, payload: bytes) -> str:
    """What a status other than 200 means: RETRY, DENIED, TOO_LONG or REJECTED."""
    words = payload[:2000].decode("utf-8", "replace").casefold()
    if status == 429 and any(word in words for word in _QUOTA_WORDS):
        return DENIED
    if status in _RETRIED or (status >= 500 and status != 501):
        return RETRY
    if status in _DENIED or status < 400:
        return DENIED
    too_long = status == 413 or any(word in words for word in _TOO_LONG_WORDS)
    return TOO_LONG if too_long else REJECTED


def confidence_of(label: str, logprobs: Sequence[tuple[str, float]]) -> float:
    """Probability of the tokens that spell the label, where it last occurs; NaN where that cannot be told."""
    written = "".join(token for token, _ in logprobs)
    start = written.rfind(json.dumps(label, ensure_ascii=False)[1:-1])
    if start < 0 or not label:
        return math.nan
    total, at = 0.0, 0
    for token, logprob in logprobs:
        if at < start + len(label) and at + len(token) > start:
            total += logprob
        at += len(token)
    return min(math.exp(min(total, 0.0)), 1.0)


def read_answer(reply: Reply, choices: Sequence[str]) -> tuple[str, float]:
    """The choice in an answer as `choice_schema` wants it, or the text as it was written; and how sure the model was, NaN = not said."""
    try:
        found = json.loads(reply.text)
    except (ValueError, RecursionError):
        found = reply.text
    said = found[ANSWER] if isinstance(found, dict) and list(found) == [ANSWER] else reply.text
    if said in choices:
        return said, confidence_of(said, reply.logprobs)
    return reply.text, math.nan


def choice_tokens(choices: Sequence[str]) -> int:
    """Room for the longest choice and what `choice_schema` puts around it."""
    return 32 + max(len(choice.encode()) for choice in choices)


def body_tokens(body: Mapping[str, Any]) -> int:
    """About how many tokens a body is, for limits and for endpoints that do not count."""
    return len(json.dumps(body, ensure_ascii=False).encode()) // _BYTES_PER_TOKEN + 1


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
