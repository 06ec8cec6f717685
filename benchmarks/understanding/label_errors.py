"""What errors in a language model's labels cost, on a planted world (`--world`), where it is known how every text was meant.

A simulated language model knows how each text was meant, and says another class, drawn at random, of 0, 10 or 30 % of them. The product's
own reading asks it about 300 reviews and 300 messages of the first three quarters of the time, and reads those of the last quarter. Moods
are read twice: taught by the stars of all reviews and its labels, as in a shop, where labels that agree less with the stars than words do
are refused; and by its labels alone, with the stars hidden. Nothing but labels teaches intents.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.text import classes
from benchmarks.text.bench import SEED, Bench
from recsys.config import TextConfig
from recsys.synthetic.messages import INTENTS
from recsys.synthetic.writing import SHOP, TRUTH
from recsys.text.embedding_cache import encode_texts
from recsys.text.encoder import TextEncoder, load_encoder
from recsys.text.heads import Heads
from recsys.training.customers import ShopReader
from recsys.training.stages import silent
from recsys.types import Floats
from segmentation.labelling import INTENT, QUESTIONS, SENTIMENT
from segmentation.llm.language_model import Answer, Answers, Prompt
from segmentation.reading import fit_voice
from segmentation.text_heads import Eye, TextHead
from segmentation.voice_settings import VoiceSettings
from segmentation.writings import KINDS, Reader, Writings
from segrec.console import output

WORLD = Path("worlds/planted")
ERRORS = (0.0, 0.1, 0.3)
KEYS = {"review": ["customer_id", "item_id", "event_time"], "message": ["customer_id", "event_time"]}
MAX_TOKENS = TextConfig().max_tokens
N_ASKED = 3000
SETTINGS = VoiceSettings(max_aspects=0)
Labels = classes.Labels


@dataclass(frozen=True)
class Meant:
    """Texts of a world, oldest first, and how each was meant. labels: rows of the classes of the question asked of its kind."""

    writings: Writings
    labels: Labels

    def of_kind(self, kind: str) -> Meant:
        """Reviews or messages."""
        rows = self.writings.kinds == KINDS.index(kind)
        return Meant(self.writings.take(rows), self.labels[rows])


@dataclass(frozen=True)
class Erring:
    """A language model that errs about a share of all texts; with a greater share about the same ones and more. meant: by prompt"""

    meant: Mapping[str, str]
    error: float
    model: str = "simulated"

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Answers:
        """What was meant, or not; the last choice where the text is of no question that is measured."""
        for number, prompt in enumerate(prompts):
            right = self.meant.get(prompt.text, choices[-1])
            rng = np.random.default_rng([SEED, zlib.crc32(prompt.text.encode())])
            wrong = [choice for choice in choices if choice != right]
            errs, other = rng.random() < self.error, wrong[rng.integers(len(wrong))]
            yield number, Answer(other if errs else right)

    def write(self, prompts: Sequence[Prompt], max_tokens: int, schema: Mapping[str, Any] | None = None) -> Answers:
        """Nothing is ever asked that way here."""
        raise NotImplementedError("no needs are wanted, so nothing is to be written")
        yield


def run(bench: Bench, world: Path = WORLD) -> None:
    """A table for moods and one for intents."""
    if not (world / SHOP / "messages.parquet").is_file():
        output().print(f"skipped: {world} is no planted world with its shop; make it with `segrec synthetic make {world}`")
        return
    meant = read_world(world)
    at = meant.writings.times[len(meant.writings) * 3 // 4]
    encoder = load_encoder(bench.untuned(MAX_TOKENS), bench.n_threads)
    reader = ShopReader(partial(_encoded, bench, encoder), Heads({}), encoder.dim)
    moods, intents = meant.of_kind("review"), meant.of_kind("message")
    hidden = Meant(_without_stars(moods.writings), moods.labels)
    compare("moods", SENTIMENT, {"stars and labels": moods, "labels alone": hidden}, at, reader)
    compare("intents", INTENT, {"labels alone": intents}, at, reader)


def compare(title: str, head: str, ways: Mapping[str, Meant], at: np.datetime64, reader: Reader) -> None:
    """Macro-F1 and accuracy of what is read of texts from `at` on, by way of teaching and share of errors."""
    choices = QUESTIONS[head].choices
    systems = {}
    for way, meant in ways.items():
        later = np.flatnonzero(meant.writings.times >= at)[:N_ASKED]
        asked, truth = [str(text) for text in meant.writings.texts[later]], meant.labels[later]
        systems["always the usual class"] = classes.by_class(truth, np.full(len(truth), np.bincount(truth).argmax()), len(choices))
        for error in (None, *ERRORS) if way.startswith("stars") else ERRORS:
            found, said = _taught(head, meant, at, reader, error)
            name = f"{way}, {'no labels' if error is None else f'{error:.0%} of them wrong'}{said}"
            if found is not None:
                told = np.array([choices.index(name) for name in found.classes])[found.read(asked, Eye(reader)).argmax(axis=1)]
                systems[name] = classes.by_class(truth, told, len(choices))
            else:
                output().print(f"{name}: nothing is read")
    classes.report(f"{title}: {len(truth):,} texts asked about", systems, meant.writings.customers[later].tolist())


def read_world(world: Path) -> Meant:
    """Reviews and messages of the imported shop beside the truth; messages of service are of the class "other"."""
    parts = [_written(world, "review", "sentiment", (-1, 0, 1)), _written(world, "message", "intent", INTENTS)]
    rows = pd.concat(parts).sort_values("event_time", kind="stable")
    customers = pd.factorize(rows.customer_id)[0]
    times = rows.event_time.dt.tz_convert(None).to_numpy("datetime64[us]")
    writings = Writings.in_order(customers, rows.text.tolist(), times, rows.rating.to_numpy(), rows.kind.to_numpy())
    return Meant(writings, rows.label.to_numpy(np.int64))


def _written(world: Path, kind: str, column: str, classes: Sequence[object]) -> pd.DataFrame:
    """Texts of one kind that the shop has and the truth knows. column: of the truth; classes: its values, in the order of the question's"""
    told = pd.read_parquet(world / SHOP / f"{kind}s.parquet").drop_duplicates(KEYS[kind])
    truth = pd.concat([pd.read_parquet(part) for part in sorted((world / TRUTH).glob(f"{kind}s-*.parquet"))]).drop_duplicates(KEYS[kind])
    both = told.merge(truth[[*KEYS[kind], column]], on=KEYS[kind])
    both = both[both.text.fillna("").str.strip() != ""]
    both = both.assign(label=both[column].map(list(classes).index), kind=KINDS.index(kind))
    return both if "rating" in both else both.assign(rating=np.nan)


def _taught(head: str, meant: Meant, at: np.datetime64, reader: Reader, error: float | None) -> tuple[TextHead | None, str]:
    """What reads moods or intents, taught by what was written before; and whether labels were refused."""
    known = meant.writings.before(at)
    question, right = QUESTIONS[head], zip(known.texts, meant.labels[: len(known)].tolist(), strict=True)
    says = {question.prompt(str(text)).text: question.choices[label] for text, label in right}
    model = None if error is None else Erring(says, error)
    voice = fit_voice(known, at, reader, SETTINGS, model=model, cache=None, seed=SEED, n_threads=1, progress=silent)
    refused = voice.facts()[head].get("language_model", {}).get("refused")
    return getattr(voice, head), f" ({refused})" if refused else ""


def _without_stars(writings: Writings) -> Writings:
    return Writings(writings.customers, writings.texts, writings.times, np.full(len(writings), np.nan, np.float32), writings.kinds)


def _encoded(bench: Bench, encoder: TextEncoder, texts: Sequence[str]) -> Floats:
    return encode_texts(encoder, texts, bench.work / "encoded", silent)
