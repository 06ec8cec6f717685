"""What customers write, understood: a model that is fitted once, and reads at any later time.

Moods, intents and needs are read text by text and gathered per customer, so a customer's voice depends on no other customer's texts.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.entities import NOTHING_LISTED, Gazetteer
from segmentation.errors import SegmentationError
from segmentation.gathering import Occasions, gather, spread_mentions, trends
from segmentation.labelling import INTENT, MESSAGE, NEEDS, NOTHING_TOLD, OTHER, REVIEW, SENTIMENT, label_writings, learnable, sampled
from segmentation.llm.cache import LabelCache
from segmentation.llm.language_model import LanguageModel, Progress
from segmentation.llm.usage import Usage
from segmentation.named import named_by
from segmentation.needs import Mentions, NeedsModel, find_needs
from segmentation.needs_told import NeedsTeacher, ToldNeeds
from segmentation.probes import Probe
from segmentation.purchases import Floats
from segmentation.teaching import Teacher
from segmentation.text_heads import Eye, TextHead, sureness
from segmentation.voice import Said, Voices
from segmentation.voice_settings import VoiceSettings
from segmentation.words import Words
from segmentation.writings import Reader, Writings

BLOCK = 20_000
"""Distinct texts whose embeddings are in memory at once."""


@dataclass(frozen=True)
class VoiceModel:
    """Everything that was fitted; only read with afterwards.

    fitted_as_of:   datetime64[us]; nothing later was used to fit
    sentiment, intent: what reads them; None = nothing could be taught, or was refused; `facts` has the reason
    needs:          None = none are known, or there is no sentiment to find their polarity by
    degraded_kinds: kinds of texts that are read by something that lacks labels of a language model
    learnt:         how each was taught and judged, and what the language model took
    """

    fitted_as_of: np.datetime64
    settings: VoiceSettings
    sentiment: TextHead | None
    intent: TextHead | None
    needs: NeedsModel | None
    degraded_kinds: tuple[int, ...]
    learnt: Mapping[str, Any]

    @property
    def is_complete(self) -> bool:
        """Whether another fit would get no more of the language model."""
        return not self.learnt["failed"]

    def facts(self) -> dict[str, Any]:
        """For a manifest: plain values."""
        return {"fitted_as_of": str(self.fitted_as_of), "settings": asdict(self.settings), **self.learnt}

    def read(
        self, writings: Writings, n_customers: int, as_of: np.datetime64, reader: Reader, gazetteer: Gazetteer = NOTHING_LISTED
    ) -> Voices:
        """Voices of customers 0 .. n_customers - 1 from what they wrote before `as_of`.

        Equal texts of one customer count once, as of the last time. `reader` must be as it was when the model was fitted; `gazetteer` has
        the brands and titles that the shop has now.

        Raises:
            ValueError: a text is not strictly earlier than `as_of`, a customer number is not below `n_customers`, or `as_of` is before
                the fit.
        """
        if as_of < self.fitted_as_of:
            raise ValueError(f"as_of {as_of} is before this model was fitted, {self.fitted_as_of}: it has seen what followed")
        writings.check(n_customers, as_of)
        occasions = Occasions.of(writings)
        voices = replace(self._silent(occasions, n_customers), named=named_by(occasions, n_customers, gazetteer))
        return self._gathered(voices, occasions, self._read_texts(occasions, reader), as_of)

    def remembering(self, writings: Writings, n_customers: int, reader: Reader) -> Callable[[np.datetime64], Voices]:
        """Moods and intents as of any time up to the fit, every text read once.

        The model knows more than was known then: only what is itself fitted as of the fit, or later, may learn from it.

        Raises:
            ValueError: a text is not strictly earlier than the fit, or a customer number is not below `n_customers`.
        """
        writings.check(n_customers, self.fitted_as_of)
        plain = replace(self, needs=None)
        found = plain._read_texts(Occasions.of(writings), reader)

        def voices_as_of(time: np.datetime64) -> Voices:
            occasions = Occasions.of(writings.before(time))  # oldest first: their distinct texts are the first of all
            return plain._gathered(plain._silent(occasions, n_customers), occasions, found, time)

        return voices_as_of

    def _gathered(self, voices: Voices, occasions: Occasions, found: Mapping[str, NDArray[Any]], as_of: np.datetime64) -> Voices:
        """From what was read of each distinct text to what is said of each customer."""
        if self.sentiment is not None:
            voices = _with_moods(voices, occasions.of_kinds(self.sentiment.kinds), self.sentiment, found[SENTIMENT], as_of, self.settings)
        if self.intent is not None:
            voices = _with_intents(voices, occasions.of_kinds(self.intent.kinds), self.intent, found[INTENT], as_of, self.settings)
        if self.sentiment is not None and self.needs is not None:
            voices = _with_needs(voices, occasions.of_kinds(self.sentiment.kinds), _mentions(found), as_of, self.settings)
        return voices

    def _silent(self, occasions: Occasions, n_customers: int) -> Voices:
        """Who wrote how much, and nothing yet of what."""
        intents = tuple(name for name in self.intent.classes if name != OTHER) if self.intent is not None else ()
        return replace(
            Voices.nothing(n_customers),
            n_texts=np.bincount(occasions.customers, minlength=n_customers).astype(np.int32),
            degraded=np.bincount(occasions.of_kinds(self.degraded_kinds).customers, minlength=n_customers) > 0,
            intents=intents,
            intent_probability=np.full((n_customers, len(intents)), np.nan, np.float32),
            aspects=self.needs.aspects if self.needs is not None else (),
        )

    def _read_texts(self, occasions: Occasions, reader: Reader) -> dict[str, NDArray[Any]]:
        """What each distinct text says: rows of probabilities by head, NaN where it is not read; and the columns of `Mentions`."""
        n = len(occasions.distinct)
        heads = {name: head for name, head in ((SENTIMENT, self.sentiment), (INTENT, self.intent)) if head is not None}
        found: dict[str, NDArray[Any]] = {name: np.full((n, len(head.classes)), np.nan, np.float32) for name, head in heads.items()}
        rows_of = {name: np.unique(occasions.of_kinds(head.kinds).texts) for name, head in heads.items()}
        mentions: list[Mentions] = []
        for start in range(0, n, BLOCK):
            eye = Eye(reader)
            for name, head in heads.items():
                rows = rows_of[name][(rows_of[name] >= start) & (rows_of[name] < start + BLOCK)]
                texts = [occasions.distinct[row] for row in rows.tolist()]
                found[name][rows] = head.read(texts, eye)
                if name == SENTIMENT and self.needs is not None:
                    own = self.needs.read(texts, head, eye)
                    mentions.append(replace(own, texts=rows[own.texts]))
        return found | {name: np.concatenate([getattr(own, name) for own in mentions]) for name in _MENTIONS if mentions}

    def save(self, folder: Path) -> None:
        """Write voice.json and voice.npz; `load` gives a model with identical answers."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {}
        heads = {name: _stored_head(head, name, arrays) for name, head in ((SENTIMENT, self.sentiment), (INTENT, self.intent)) if head}
        needs = None
        if self.needs is not None:
            probes = {name: _stored_probe(probe, f"needs{at}", arrays) for at, (name, probe) in enumerate(self.needs.probes.items())}
            needs = {"aspects": self.needs.aspects, "wordings": dict(self.needs.wordings), "probes": probes}
        document = {
            "fitted_as_of": str(self.fitted_as_of),
            "settings": asdict(self.settings),
            "heads": heads,
            "needs": needs,
            "degraded_kinds": self.degraded_kinds,
            "learnt": dict(self.learnt),
        }
        (folder / "voice.json").write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
        np.savez(folder / "voice.npz", **arrays)

    @staticmethod
    def load(folder: Path) -> VoiceModel:
        """Read what `save` wrote. SegmentationError: a file is missing or damaged."""
        try:
            document = json.loads((folder / "voice.json").read_text(encoding="utf-8"))
            with (folder / "voice.npz").open("rb") as file, np.load(file) as stored:
                arrays = dict(stored)
            heads = {name: _loaded_head(head, arrays) for name, head in document["heads"].items()}
            needs = document["needs"]
            if needs is not None:
                probes = {name: _loaded_probe(probe, arrays) for name, probe in needs["probes"].items()}
                needs = NeedsModel(tuple(needs["aspects"]), needs["wordings"], probes)
            return VoiceModel(
                np.datetime64(document["fitted_as_of"], "us"),
                VoiceSettings(**document["settings"]),
                heads.get(SENTIMENT),
                heads.get(INTENT),
                needs,
                tuple(document["degraded_kinds"]),
                document["learnt"],
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise SegmentationError(f"{folder} does not hold a voice model as VoiceModel.save writes it: {error!r}") from error


def fit_voice(
    writings: Writings,
    as_of: np.datetime64,
    reader: Reader,
    settings: VoiceSettings,
    *,
    model: LanguageModel | None,
    cache: LabelCache | None,
    seed: int,
    n_threads: int,
    progress: Progress,
    labels: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType({}),
    gazetteer: Gazetteer | None = None,
) -> VoiceModel:
    """Learn to read what customers write from what they wrote before `as_of`; the same for equal seed and threads.

    Where the language model cannot be reached the fit goes on without it; the voices concerned are degraded, and `facts` says why.

    Args:
        model: None = nobody is asked: sentiment is taught by stars, aspects are terms, and intents need labels.
        cache: answers of the model; None = they are kept for the length of the fit only.
        labels: texts of known class, by head: "sentiment" (negative, neutral, positive) and "intent" (buy, hesitate, leave, other).
        gazetteer: brands and titles of the shop; their words are no aspects.

    Raises:
        ValueError: a text is not strictly earlier than `as_of`, or a label is none of its head's classes.
        SegmentationError: the cache cannot be used.
    """
    writings.check(int(writings.customers.max(initial=0)) + 1, as_of)
    with ExitStack() as stack:
        known_answers = stack.enter_context(LabelCache(None)) if cache is None else cache
        asked = model if settings.n_labelled else None
        told = (
            label_writings(writings, as_of, settings, model=asked, cache=known_answers, seed=seed, progress=progress)
            if asked is not None
            else NOTHING_TOLD
        )
        pool = learnable(writings, settings, seed)
        teacher = Teacher(writings, pool, told, labels, reader, Eye(reader), seed, n_threads)
        sentiment, intent = teacher.sentiment(), teacher.intent()
        needs = _needs(teacher, sentiment.head, settings, asked, known_answers, gazetteer, progress)
    failed = sorted(told.failed | ({NEEDS} if needs.failed else set()))
    learnt = {
        "n_texts": len(pool),
        **{SENTIMENT: sentiment.facts, INTENT: intent.facts, NEEDS: needs.as_facts()},
        **{"language_model": asked.model if asked is not None else None, "problems": dict(told.problems), "failed": failed},
        "usage": asdict(told.usage + needs.usage),
    }
    degraded = _degraded_kinds(failed, writings.kinds[pool])
    return VoiceModel(as_of.astype("datetime64[us]"), settings, sentiment.head, intent.head, needs.needs, degraded, learnt)


def _needs(
    teacher: Teacher,
    sentiment: TextHead | None,
    settings: VoiceSettings,
    model: LanguageModel | None,
    cache: LabelCache,
    gazetteer: Gazetteer | None,
    progress: Progress,
) -> ToldNeeds:
    """As the language model tells, or by terms where there is none, or it finds none."""
    if sentiment is None or not settings.max_aspects:
        return ToldNeeds(None, False, Usage(), {"reason": "there is no sentiment to find their polarity by, or none are wanted"})
    writings, seed = teacher.writings, teacher.seed
    rows = teacher.pool[np.isin(writings.kinds[teacher.pool], sentiment.kinds)]
    told = ToldNeeds(None, False, Usage(), {})
    if model is not None:
        sample = [str(text) for text in writings.texts[sampled(writings, rows, settings.n_labelled, seed)]]
        told = NeedsTeacher(
            model, cache, sentiment, teacher.eye, settings.max_aspects, settings.n_labelled, seed, teacher.n_threads, progress
        ).needs(sample)
    if told.needs is not None:
        return replace(told, facts={"by": "language model", **told.facts})
    found = find_needs(
        [str(text) for text in writings.texts[rows]],
        sentiment,
        teacher.eye,
        min_texts=settings.min_texts_per_aspect,
        max_aspects=settings.max_aspects,
        gazetteer=gazetteer,
        rng=np.random.default_rng(seed),
    )
    return replace(told, needs=found, facts={"by": "terms", **told.facts})


def _degraded_kinds(failed: Sequence[str], kinds: NDArray[np.int8]) -> tuple[int, ...]:
    """The kinds of texts that a language model failed for; intents are asked of messages, where there are some."""
    if {SENTIMENT, NEEDS} & set(failed):
        return REVIEW, MESSAGE
    return (MESSAGE if (kinds == MESSAGE).any() else REVIEW,) if failed else ()


_MENTIONS = ("texts", "aspects", "polarity", "sureness")


def _mentions(found: Mapping[str, NDArray[Any]]) -> Mentions:
    if "texts" in found:
        return Mentions(*(found[name] for name in _MENTIONS))
    return Mentions(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))


def _with_moods(
    voices: Voices, occasions: Occasions, head: TextHead, likely: Floats, as_of: np.datetime64, settings: VoiceSettings
) -> Voices:
    likely = likely[occasions.texts]
    column = {name: likely[:, row].astype(np.float64) for row, name in enumerate(head.classes)}
    nothing = np.zeros(len(likely))
    score = column.get("positive", nothing) - column.get("negative", nothing)
    sure = sureness(head.even(likely))
    means, said = gather(occasions.customers, len(voices), score[:, None], sure, occasions.times, as_of, settings.half_life_days)
    return replace(voices, mood_score=means[:, 0], mood_trend=trends(occasions.customers, len(voices), score), mood=said)


def _with_intents(
    voices: Voices, occasions: Occasions, head: TextHead, likely: Floats, as_of: np.datetime64, settings: VoiceSettings
) -> Voices:
    likely = likely[occasions.texts]
    named = likely[:, [row for row, name in enumerate(head.classes) if name != OTHER]].astype(np.float64)
    sure = sureness(head.even(likely))
    means, said = gather(occasions.customers, len(voices), named, sure, occasions.times, as_of, settings.intent_half_life_days)
    return replace(voices, intent_probability=means, intent=said)


def _with_needs(voices: Voices, occasions: Occasions, mentions: Mentions, as_of: np.datetime64, settings: VoiceSettings) -> Voices:
    rows, said = spread_mentions(mentions, occasions)
    n_aspects = len(voices.aspects)
    pairs, groups = np.unique(occasions.customers[rows].astype(np.int64) * max(n_aspects, 1) + mentions.aspects[said], return_inverse=True)
    score = mentions.polarity[said].astype(np.float64)[:, None]
    times = occasions.times[rows]
    means, how = gather(groups, len(pairs), score, mentions.sureness[said], times, as_of, settings.half_life_days)
    customers, aspects = pairs // max(n_aspects, 1), pairs % max(n_aspects, 1)
    order = np.lexsort((aspects, -how.n_texts, customers))
    return replace(
        voices,
        need_offsets=np.searchsorted(customers, np.arange(len(voices) + 1)).astype(np.int64),
        need_aspect=aspects[order].astype(np.int16),
        need_polarity=means[order, 0],
        need=Said(how.confidence[order], how.n_texts[order], how.last_time[order]),
    )


def _stored_head(head: TextHead, name: str, arrays: dict[str, Any]) -> dict[str, Any]:
    arrays[f"{name}.shares_of_texts"] = head.shares
    probe = None if head.probe is None else _stored_probe(head.probe, name, arrays)
    return {"name": head.name, "classes": head.classes, "kinds": head.kinds, "probe": probe}


def _loaded_head(stored: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TextHead:
    probe = None if stored["probe"] is None else _loaded_probe(stored["probe"], arrays)
    shares = arrays[f"{stored['name']}.shares_of_texts"]
    return TextHead(stored["name"], tuple(stored["classes"]), shares, tuple(stored["kinds"]), probe)


_PROBE_ARRAYS = ("shares", "bias", "word_weights", "embedding_weights")


def _stored_probe(probe: Probe, key: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """What JSON can hold of a probe; its arrays are put under the key."""
    arrays |= {f"{key}.{name}": value for name in _PROBE_ARRAYS if (value := getattr(probe, name)) is not None}
    arrays[f"{key}.rarity"] = probe.words.rarity
    return {"key": key, "classes": probe.classes, "terms": probe.words.terms}


def _loaded_probe(stored: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Probe:
    key = stored["key"]
    shares, bias, word_weights = (arrays[f"{key}.{name}"] for name in _PROBE_ARRAYS[:3])
    words = Words(tuple(stored["terms"]), arrays[f"{key}.rarity"])
    return Probe(tuple(stored["classes"]), shares, bias, words, word_weights, arrays.get(f"{key}.embedding_weights"))
