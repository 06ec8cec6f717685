"""What customers like and complain of: aspects are discovered in a sample of a shop's texts, then every text is read against the list.

1. `find_aspects` asks for the aspects of each text of a sample, in the model's own words.
2. `merge_aspects` puts together what means the same, and drops what few texts mention.
3. `label_aspects` asks about every text again, with the merged list as the only aspects there are.

Names of aspects come from what customers wrote and go into later prompts, so they are held to a few words of letters only, and one text
alone cannot make one.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segmentation.llm.asking import REASONS, Parsed, Task, ask
from segmentation.llm.cache import LabelCache
from segmentation.llm.commands import without_commands
from segmentation.llm.labels import Question
from segmentation.llm.language_model import LanguageModel, Progress, Prompt
from segmentation.llm.rendering import VERSION
from segmentation.llm.repair import label_of, unwrapped
from segmentation.llm.usage import Usage

POLARITIES = ("negative", "neutral", "positive")
ABSENT = "not mentioned"
MAX_ASPECTS_PER_TEXT = 8
MAX_WORDS, MAX_LETTERS = 4, 30
SAME_MEANING = 0.8
_MAX_TOKENS = 300
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")


class TextEncoder(Protocol):
    """What knows which words mean the same."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of unit norm, shape (n, dim)."""
        ...


@dataclass(frozen=True)
class Opinion:
    """One aspect of one text; polarity: row of POLARITIES."""

    aspect: str
    polarity: int


@dataclass(frozen=True)
class Opinions:
    """What each text says. by_text: one tuple per text, in order; reason: rows of `asking.REASONS`, 0 = was read; int8."""

    by_text: tuple[tuple[Opinion, ...], ...]
    reason: NDArray[np.int8]
    usage: Usage


@dataclass(frozen=True)
class Aspects:
    """The aspects of a shop. names: those that most texts mention first; synonyms: every wording that was found, to its name."""

    names: tuple[str, ...]
    synonyms: Mapping[str, str]


@dataclass(frozen=True)
class AspectLabels:
    """Polarity of each aspect in each text.

    polarity:  rows of POLARITIES, -1 = not mentioned, or the text was not read; int8, shape (n_texts, n_aspects)
    reason:    rows of `asking.REASONS`, 0 = was read; int8, shape (n_texts,)
    n_dropped: opinions on something that is not among the aspects
    """

    aspects: tuple[str, ...]
    polarity: NDArray[np.int8]
    reason: NDArray[np.int8]
    n_dropped: int
    usage: Usage


def find_aspects(model: LanguageModel, texts: Sequence[str], cache: LabelCache, *, progress: Progress) -> Opinions:
    """The opinions of each text, in the model's words. Raises as `label_texts`."""
    instruction = (
        "List what this customer praises or complains about in a product or a shop, such as quality, price, delivery or fit, "
        f"in one to three words each, with how the customer finds it. At most {MAX_ASPECTS_PER_TEXT}; none is possible."
    )
    return _opinions(model, "finding aspects", instruction, None, texts, cache, progress)


def merge_aspects(
    found: Opinions, reader: TextEncoder, *, min_texts: int = 3, max_aspects: int = 20, same: float = SAME_MEANING
) -> Aspects:
    """One name for wordings that mean the same; the wording of most texts is the name.

    Wordings are taken from the most frequent down; one joins the nearest name so far if their embeddings' cosine is at least `same`, and is
    a new name otherwise. Kept are at most `max_aspects`, each mentioned in at least `min_texts` texts.
    """
    counts = Counter(aspect for opinions in found.by_text for aspect in {opinion.aspect for opinion in opinions})
    wordings = sorted(counts, key=lambda wording: (-counts[wording], wording))
    if not wordings:
        return Aspects((), {})
    vectors = np.asarray(reader.encode(wordings), np.float32)
    names: list[int] = []
    name_of: dict[str, str] = {}
    for at, wording in enumerate(wordings):
        likeness = vectors[names] @ vectors[at]
        nearest = int(likeness.argmax()) if names else -1
        if nearest < 0 or likeness[nearest] < same:
            names.append(at)
        name_of[wording] = wording if nearest < 0 or likeness[nearest] < same else wordings[names[nearest]]
    texts_of = Counter(name for opinions in found.by_text for name in {name_of[opinion.aspect] for opinion in opinions})
    kept = [name for name, n in sorted(texts_of.items(), key=lambda entry: (-entry[1], entry[0])) if n >= min_texts][:max_aspects]
    return Aspects(tuple(kept), {wording: name for wording, name in name_of.items() if name in kept})


def label_aspects(model: LanguageModel, aspects: Aspects, texts: Sequence[str], cache: LabelCache, *, progress: Progress) -> AspectLabels:
    """The polarity of each aspect in each text; an aspect named twice keeps the first. Raises as `label_texts`; ValueError: no aspects."""
    if not aspects.names:
        raise ValueError("there are no aspects to label; find_aspects and merge_aspects found none that enough texts mention")
    listed = ", ".join(aspects.names)
    instruction = f"Which of these does this customer give an opinion on, and how is it: {listed}? None of them is possible."
    opinions = _opinions(model, "labelling aspects", instruction, aspects.names, texts, cache, progress)
    polarity = np.full((len(texts), len(aspects.names)), -1, np.int8)
    n_dropped = 0
    for row, said in enumerate(opinions.by_text):
        for opinion in said:
            name = opinion.aspect if opinion.aspect in aspects.names else aspects.synonyms.get(opinion.aspect)
            if name is None:
                n_dropped += 1
            elif polarity[row, column := aspects.names.index(name)] < 0:
                polarity[row, column] = opinion.polarity
    return AspectLabels(aspects.names, polarity, opinions.reason, n_dropped, opinions.usage)


def aspect_question(aspect: str) -> Question:
    """One aspect as a question of its own, for models that choose better than they write JSON: a call per text and aspect."""
    return Question(f"aspect {aspect}", f"How does this customer find the {aspect}?", (*POLARITIES, ABSENT))


def normal_aspect(text: str) -> str | None:
    """An aspect as it is compared and shown: small letters, single spaces; None where it is no few words of letters."""
    plain = unicodedata.normalize("NFKC", text).casefold().strip()
    words = _WORD.findall(plain)
    if not words or len(words) > MAX_WORDS or len(plain) > MAX_LETTERS or re.sub(r"[\s&/-]+", "", plain) != re.sub("-", "", "".join(words)):
        return None
    return " ".join(words)


def opinions_schema(aspects: Sequence[str] | None) -> dict[str, Any]:
    """JSON schema of a list of opinions, on the given aspects only where there are any."""
    aspect: dict[str, Any] = {"type": "string"} if aspects is None else {"type": "string", "enum": list(aspects)}
    pair = {"aspect": aspect, "polarity": {"type": "string", "enum": list(POLARITIES)}}
    item = {"type": "object", "properties": pair, "required": list(pair), "additionalProperties": False}
    listed = {"opinions": {"type": "array", "items": item}}
    return {"type": "object", "properties": listed, "required": ["opinions"], "additionalProperties": False}


def parse_opinions(answer: str) -> Parsed[tuple[Opinion, ...]] | None:
    """Opinions from JSON, also inside a fence or as a bare list; None where it is no such JSON.

    Opinions without a usable aspect or polarity are left out; an answer that has none usable among some is not valid.
    """
    found = unwrapped(answer)
    listed = found.get("opinions") if isinstance(found, dict) else found
    if not isinstance(listed, list):
        return None
    read = [_opinion(entry) for entry in listed[:MAX_ASPECTS_PER_TEXT]]
    usable = tuple(dict.fromkeys(opinion for opinion in read if opinion is not None))
    if listed and not usable:
        return None
    return Parsed(usable, repaired=len(usable) < len(listed) or not answer.lstrip().startswith("{"))


def _opinion(entry: object) -> Opinion | None:
    if not isinstance(entry, dict):
        return None
    aspect, polarity = entry.get("aspect"), entry.get("polarity")
    if not isinstance(aspect, str) or not isinstance(polarity, str):
        return None
    name, label = normal_aspect(aspect), label_of(polarity, POLARITIES)
    return None if name is None or label is None else Opinion(name, POLARITIES.index(label))


def _opinions(
    model: LanguageModel,
    title: str,
    instruction: str,
    aspects: Sequence[str] | None,
    texts: Sequence[str],
    cache: LabelCache,
    progress: Progress,
) -> Opinions:
    schema = opinions_schema(aspects)
    form = 'Answer with JSON only: {"opinions": [{"aspect": "...", "polarity": "negative, neutral or positive"}]}'
    task = Task(
        title,
        hashlib.sha256(json.dumps([VERSION, instruction, form, schema]).encode()).hexdigest(),
        model.model,
        lambda text: Prompt(f"{instruction}\n{form}", without_commands(text, POLARITIES)),
        "Your last answer was not JSON of this form. Write the JSON and not a word more.",
        lambda prompts: model.write(prompts, _MAX_TOKENS, schema),
        parse_opinions,
    )
    outcomes, usage = ask(task, texts, cache, progress)
    reasons = np.array([REASONS.index(outcome.reason) for outcome in outcomes], np.int8)
    return Opinions(tuple(outcome.value or () for outcome in outcomes), reasons, usage)
