"""A shop whose customers say in plain words what they think, a reader that knows words, and a language model that reads them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.llm.language_model import UNREACHABLE, Answer, Answers, Prompt
from segmentation.llm.usage import Usage
from segmentation.words import tokens
from segmentation.writings import Writings

START = np.datetime64("2024-01-01", "us")
AS_OF = np.datetime64("2025-01-01", "us")

FEELINGS = {
    "negative": ("awful", "broken", "dreadful", "hopeless"),
    "neutral": ("ordinary", "average", "passable", "middling"),
    "positive": ("lovely", "splendid", "superb", "delightful"),
}
STARS = {"negative": 1, "neutral": 3, "positive": 5}
THINGS = ("delivery", "quality", "price")
_FILLING = "river window candle garden pencil marble orange silver ribbon copper velvet ginger meadow walnut lantern saddle"
FILLING = tuple(_FILLING.split())
ASKING = {
    "buy": "please put two in my basket today",
    "hesitate": "still unsure whether it suits us",
    "leave": "please cancel and erase my account",
    "other": "where can I find the invoice",
}


class WordReader:
    """Embeds a text as the sum of its words' vectors. n_encoded: texts it was asked about."""

    def __init__(self, dim: int = 32) -> None:
        self.dim, self.n_encoded = dim, 0
        self.classes: Mapping[str, tuple[str, ...]] = {}
        self._vectors: dict[str, NDArray[np.float64]] = {}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.n_encoded += len(texts)
        vectors = np.array([sum((self._vector(word) for word in tokens(text)), np.full(self.dim, 1e-3)) for text in texts])
        vectors = vectors.reshape(len(texts), self.dim)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def classify(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        return {}

    def _vector(self, word: str) -> NDArray[np.float64]:
        if word not in self._vectors:
            self._vectors[word] = np.random.default_rng(zlib.crc32(word.encode())).normal(size=self.dim)
        return self._vectors[word]


class HeadReader(WordReader):
    """One that was trained with a head for sentiment: it looks for the words of FEELINGS."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = {"sentiment": tuple(FEELINGS)}

    def classify(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        counts = np.array([[sum(text.count(word) for word in words) for words in FEELINGS.values()] for text in texts], np.float32)
        likely = counts.reshape(len(texts), len(FEELINGS)) * 10 + 1
        return {"sentiment": likely / likely.sum(axis=1, keepdims=True)}


class Judge:
    """A language model that knows FEELINGS, THINGS and ASKING. fails_from: number of the first prompt that it does not answer."""

    model = "judge"

    def __init__(self, fails_from: int | None = None, *, is_contrary: bool = False, is_rambling: bool = False) -> None:
        self.fails_from, self.is_contrary, self.is_rambling = fails_from, is_contrary, is_rambling
        self.n_asked = 0
        self.asked: list[Prompt] = []

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Answers:
        for number, prompt in enumerate(prompts):
            yield number, self._answer(prompt, self._choice(prompt.text, choices))

    def write(self, prompts: Sequence[Prompt], max_tokens: int, schema: Mapping[str, Any] | None = None) -> Answers:
        for number, prompt in enumerate(prompts):
            feeling = feeling_of(prompt.text)
            said = [{"aspect": thing, "polarity": feeling} for thing in THINGS if thing in prompt.text]
            yield number, self._answer(prompt, json.dumps({"opinions": said}))

    def _choice(self, text: str, choices: Sequence[str]) -> str:
        if "buy" in choices:
            return next((name for name, words in ASKING.items() if words in text), "other")
        feeling = feeling_of(text)
        return {"negative": "positive", "positive": "neutral", "neutral": "negative"}[feeling] if self.is_contrary else feeling

    def _answer(self, prompt: Prompt, text: str) -> Answer:
        self.n_asked += 1
        self.asked.append(prompt)
        if self.fails_from is not None and self.n_asked > self.fails_from:
            return Answer(failure=UNREACHABLE, detail="nobody there", usage=Usage(calls=1))
        return Answer("well, who knows" if self.is_rambling else text, 0.9, usage=Usage(calls=1))


def feeling_of(text: str) -> str:
    """The feeling whose words the text has; neutral where it has none."""
    return next((name for name, words in FEELINGS.items() if any(word in text for word in words)), "neutral")


def review(feeling: str, rng: np.random.Generator) -> str:
    """What somebody with a feeling writes of one or two things."""
    things = rng.permutation(THINGS)[: rng.integers(1, 3)]
    said = [f"The {thing} was {rng.choice(FEELINGS[feeling])}" for thing in things]
    return ". ".join([*said, " ".join(rng.choice(FILLING, 4))]) + "."


def message(intent: str, rng: np.random.Generator) -> str:
    """What somebody asks who is up to something."""
    return f"Hello, {ASKING[intent]}, {' '.join(rng.choice(FILLING, 4))}."


def shop(n_customers: int = 36, per_customer: int = 5, n_messages: int = 96, seed: int = 0) -> Writings:
    """Customer n always feels the (n % 3)th of FEELINGS and, where it writes messages, is up to the (n % 4)th of ASKING."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(n_customers), per_customer)
    feelings = [tuple(FEELINGS)[owner % 3] for owner in owners]
    askers = rng.integers(0, n_customers, n_messages)
    texts = [review(feeling, rng) for feeling in feelings] + [message(tuple(ASKING)[asker % 4], rng) for asker in askers]
    days = rng.integers(0, 360, len(texts)).astype("timedelta64[D]")
    stars = [*(STARS[feeling] for feeling in feelings), *[np.nan] * n_messages]
    return Writings.in_order([*owners, *askers], texts, START + days, stars, [*[0] * len(owners), *[1] * n_messages])
