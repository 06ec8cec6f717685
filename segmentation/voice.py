"""What customers say, as of a time: mood, intents and needs of one customer, or the columns of all of them."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import SegmentationError
from segmentation.portraits import Wrote
from segmentation.purchases import Floats, Ints, Times

NEVER = np.datetime64("NaT", "us")


@dataclass(frozen=True)
class Mood:
    """How a customer feels about the shop.

    score:      P(positive) - P(negative), in [-1, 1]; mean over the texts, recent ones count more. A text that says nothing counts as the
        shop's texts usually are: most shops' are positive
    trend:      score of the recent half of the texts less that of the earlier half, in [-2, 2]; NaN = fewer than four texts
    confidence: in [0, 1); grows with recent texts and with how sure each is
    last_time:  of the newest text, UTC
    """

    score: float
    trend: float
    confidence: float
    n_texts: int
    last_time: dt.datetime


@dataclass(frozen=True)
class Intent:
    """What a customer is up to. probability: mean over the texts, recent ones count more; in [0, 1]; the rest as in `Mood`."""

    name: str
    probability: float
    confidence: float
    n_texts: int
    last_time: dt.datetime


@dataclass(frozen=True)
class Need:
    """Something that a customer cares about.

    polarity: -1 = complains of it, 1 = praises it; mean over the texts that mention it. Not on the scale of `Mood.score`: it is of a few
        words, of which nothing is taken for granted, so where they say nothing it is 0
    """

    aspect: str
    polarity: float
    confidence: float
    n_texts: int
    last_time: dt.datetime


@dataclass(frozen=True)
class Named:
    """Something that a customer names. kind and value: as of a `segmentation.entities.Entity`; n_texts: in how many texts"""

    kind: str
    value: str
    n_texts: int
    last_time: dt.datetime


@dataclass(frozen=True)
class Voice:
    """What one customer says.

    mood:        None = no text that its mood could be read from
    intents:     the likeliest first; empty = no text that an intent could be read from
    needs:       the most mentioned first
    named:       brands, products and prices, the most named first
    is_degraded: a language model should have taught what reads these texts, and failed for some or all it was asked
    """

    mood: Mood | None
    intents: tuple[Intent, ...]
    needs: tuple[Need, ...]
    named: tuple[Named, ...]
    is_degraded: bool


@dataclass(frozen=True)
class Said:
    """How much was read of each customer: parallel arrays of length n.

    confidence: in [0, 1), NaN = nothing read; float32
    n_texts:    int32
    last_time:  of the newest text, NaT = none; datetime64[us]
    """

    confidence: Floats
    n_texts: Ints
    last_time: Times

    @staticmethod
    def nothing(n: int) -> Said:
        return Said(np.full(n, np.nan, np.float32), np.zeros(n, np.int32), np.full(n, NEVER))

    def of(self, row: int) -> dict[str, Any]:
        """The fields that `Mood`, `Intent` and `Need` share."""
        return {"confidence": float(self.confidence[row]), "n_texts": int(self.n_texts[row]), "last_time": _moment(self.last_time[row])}


@dataclass(frozen=True)
class Namings:
    """What customers name, the most named of each first: those of customer c are rows offsets[c] to offsets[c + 1].

    things:  kinds and values; offsets: int64 (n_customers + 1,)
    thing:   rows of things; int32; n_texts: that name it; int32; last_time: of the newest; datetime64[us]; (n,)
    """

    things: tuple[tuple[str, str], ...]
    offsets: NDArray[np.int64]
    thing: Ints
    n_texts: Ints
    last_time: Times

    @staticmethod
    def nothing(n_customers: int) -> Namings:
        """Nobody names anything."""
        empty = np.empty(0, np.int32)
        return Namings((), np.zeros(n_customers + 1, np.int64), empty, empty, np.empty(0, "datetime64[us]"))

    def of(self, customer_num: int) -> tuple[Named, ...]:
        """What one customer names."""
        named = []
        for row in range(int(self.offsets[customer_num]), int(self.offsets[customer_num + 1])):
            kind, value = self.things[int(self.thing[row])]
            named.append(Named(kind, value, int(self.n_texts[row]), _moment(self.last_time[row])))
        return tuple(named)


@dataclass(frozen=True)
class Voices:
    """What customers 0 .. n - 1 say, as parallel arrays; NaN, 0 and NaT where a customer wrote nothing that could be read.

    n_texts:      texts with words in them, each counted once; int32 (n,)
    degraded:     as Voice.is_degraded; bool (n,)
    mood_score, mood_trend: as in `Mood`; float32 (n,)
    mood, intent: how much was read for them
    intents:      names; intent_probability: float32 (n, n_intents)
    aspects:      names of what needs are about
    need_offsets: needs of customer c are rows need_offsets[c] to need_offsets[c + 1], the most mentioned first; int64 (n + 1,)
    need_aspect:  rows of aspects; int16; need_polarity: float32; need: how much was read for them; (n_needs,)
    named:        brands, products and prices
    """

    n_texts: Ints
    degraded: NDArray[np.bool_]
    mood_score: Floats
    mood_trend: Floats
    mood: Said
    intents: tuple[str, ...]
    intent_probability: Floats
    intent: Said
    aspects: tuple[str, ...]
    need_offsets: NDArray[np.int64]
    need_aspect: NDArray[np.int16]
    need_polarity: Floats
    need: Said
    named: Namings

    def __post_init__(self) -> None:
        n, n_rows = len(self.n_texts), {"need": len(self.need_aspect), "named": len(self.named.thing)}
        lengths = {name: len(column) for name, column in self._arrays().items()}
        expected = {name: n + 1 if name.endswith("offsets") else n_rows.get(re.split(r"[._]", name)[0], n) for name in lengths}
        if lengths != expected or self.intent_probability.shape != (n, len(self.intents)):
            raise ValueError(f"columns of voices differ in length: {lengths}, {len(self.intents)} intents")

    def __len__(self) -> int:
        return len(self.n_texts)

    @staticmethod
    def nothing(n_customers: int) -> Voices:
        """Nobody wrote anything."""
        return Voices(
            n_texts=np.zeros(n_customers, np.int32),
            degraded=np.zeros(n_customers, np.bool_),
            mood_score=np.full(n_customers, np.nan, np.float32),
            mood_trend=np.full(n_customers, np.nan, np.float32),
            mood=Said.nothing(n_customers),
            intents=(),
            intent_probability=np.empty((n_customers, 0), np.float32),
            intent=Said.nothing(n_customers),
            aspects=(),
            need_offsets=np.zeros(n_customers + 1, np.int64),
            need_aspect=np.empty(0, np.int16),
            need_polarity=np.empty(0, np.float32),
            need=Said.nothing(0),
            named=Namings.nothing(n_customers),
        )

    def of(self, customer_num: int) -> Voice | None:
        """The voice of one customer; None for one who wrote nothing, or whose number is not among these."""
        if not 0 <= customer_num < len(self) or not self.n_texts[customer_num]:
            return None
        mood = None
        if self.mood.n_texts[customer_num]:
            score, trend = float(self.mood_score[customer_num]), float(self.mood_trend[customer_num])
            mood = Mood(score, trend, **self.mood.of(customer_num))
        needs = range(int(self.need_offsets[customer_num]), int(self.need_offsets[customer_num + 1]))
        return Voice(
            mood,
            self._intents_of(customer_num),
            tuple(Need(self.aspects[self.need_aspect[row]], float(self.need_polarity[row]), **self.need.of(row)) for row in needs),
            self.named.of(customer_num),
            bool(self.degraded[customer_num]),
        )

    def _intents_of(self, customer_num: int) -> tuple[Intent, ...]:
        if not self.intent.n_texts[customer_num]:
            return ()
        likely = self.intent_probability[customer_num]
        shared = self.intent.of(customer_num)
        return tuple(Intent(self.intents[row], float(likely[row]), **shared) for row in np.argsort(-likely, kind="stable"))

    def main_needs(self) -> Ints:
        """Of each customer the aspect that it mentions most, as a row of `aspects`; -1 = none. int32 (n,)"""
        starts, ends = self.need_offsets[:-1], self.need_offsets[1:]
        main = np.full(len(self), -1, np.int32)
        main[starts < ends] = self.need_aspect[starts[starts < ends]]
        return main

    def with_needs_of(self, donors: NDArray[np.intp]) -> Voices:
        """The same voices, in which each customer has the needs of another one. donors: whose, (n,)"""
        sizes = np.diff(self.need_offsets)[donors]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.need_offsets[donors] - offsets[:-1], sizes)
        return self._with_needs(rows, self.need_aspect[rows], offsets)

    def with_one_need(self) -> Voices:
        """The same voices, in which all who have needs have the same one and no other: the first of `aspects`."""
        has = np.diff(self.need_offsets) > 0
        rows = self.need_offsets[:-1][has]
        return self._with_needs(rows, np.zeros(len(rows), np.int16), np.concatenate([[0], np.cumsum(has)]).astype(np.int64))

    def _with_needs(self, rows: NDArray[np.int64], aspects: NDArray[np.int16], offsets: NDArray[np.int64]) -> Voices:
        """The same voices with some of the needs, perhaps of other aspects and customers."""
        need = Said(*(column[rows] for column in vars(self.need).values()))
        return replace(self, need_offsets=offsets, need_aspect=aspects, need_polarity=self.need_polarity[rows], need=need)

    def wrote(self) -> Wrote:
        """Which customers speak of which aspects."""
        owners = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.need_offsets))
        return Wrote(owners, np.asarray(self.need_aspect, np.int32), self.aspects)

    def save(self, folder: Path) -> None:
        """Write one .npy per column and voices.json."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, column in self._arrays().items():
            np.save(folder / f"{name}.npy", column)
        names = {"intents": self.intents, "aspects": self.aspects, "things": self.named.things}
        (folder / "voices.json").write_text(json.dumps(names, ensure_ascii=False, indent=1), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Voices:
        """Read what `save` wrote; columns are memory-mapped. SegmentationError: a file is missing or damaged."""
        try:
            names = json.loads((folder / "voices.json").read_text(encoding="utf-8"))
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in Voices.nothing(0)._arrays()}
            return _joined(arrays, names)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise SegmentationError(f"{folder} does not hold voices as Voices.save writes them: {error!r}") from error

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Every array by the name of its file; those of a `Said` or of `Namings` after its own name and a dot."""
        found: dict[str, NDArray[Any]] = {}
        for name, value in vars(self).items():
            if isinstance(value, Said | Namings):
                found |= {f"{name}.{part}": column for part, column in vars(value).items() if isinstance(column, np.ndarray)}
            elif isinstance(value, np.ndarray):
                found[name] = value
        return found


def _joined(arrays: Mapping[str, NDArray[Any]], names: Mapping[str, Any]) -> Voices:
    """From arrays by the names of their files, and what has names."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for name, column in arrays.items():
        whole, _, part = name.partition(".")
        parts.setdefault(whole, {})[part] = column
    columns: dict[str, Any] = {name: Said(**parts.pop(name)) for name in ("mood", "intent", "need")}
    columns["named"] = Namings(tuple((kind, value) for kind, value in names["things"]), **parts.pop("named"))
    columns |= {name: own[""] for name, own in parts.items()}
    return Voices(**columns, intents=tuple(names["intents"]), aspects=tuple(names["aspects"]))


def _moment(time: np.datetime64) -> dt.datetime:
    moment: dt.datetime = time.astype("datetime64[us]").item()
    return moment.replace(tzinfo=dt.UTC)
