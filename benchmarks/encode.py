"""How many texts a second become embeddings, how near these are to those of a plain loop, and what 8 bits cost.

    python -m benchmarks.encode --data ../shared/data
    python -m benchmarks.encode --of reviews --max-tokens 256 --texts 500

Titles and reviews of Musical Instruments, half each and shuffled; without the public data, those of a planted shop. Texts with HTML in
them are left out, for the plain loop would read the tags. "plain loop" is transformers as its model cards show it, in float32: texts as
they come, padded batch by batch, mean pooling. It and sentence-transformers (where installed; it orders by length too) read the same
texts with the same batch size and max_tokens. The systems take turns, and each figure is the median of its rounds; on one thread it
counts processor time, for on a busy machine the clock on the wall says little.

neighbours: share of the 20 nearest texts that are among the plain loop's 20 nearest too.
Recall@20: a review finds the title of its item among all of them; interval: 95 %, of the difference from float32, over the reviews.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table

from offline_eval.significance import bootstrap
from recsys.config import TextConfig
from recsys.errors import RecsysError
from recsys.synthetic.config import WorldConfig
from recsys.synthetic.writing import TABLES, write_world
from recsys.text.encoder import load_encoder
from recsys.text.model_folder import find_model
from recsys.text.plain_text import plain_text
from recsys.threads import limit_threads
from recsys.types import Flags, Floats
from segrec.console import output, steps

INSTRUMENTS = "amazon2014_musical_instruments"
PRECISIONS = "float32,bfloat16,int8"
K, SEED = 20, 11

Encode: TypeAlias = Callable[[Sequence[str]], Floats]


@dataclass(frozen=True)
class Texts:
    """Titles, reviews, and for each review the row of its item's title; -1 where that is not known."""

    titles: Sequence[str]
    reviews: Sequence[str]
    title_of: Sequence[int]
    source: str


@dataclass(frozen=True)
class Row:
    """One line of the table; None where not measured. The difference is the largest of any coordinate from the plain loop's."""

    system: str
    texts_per_second: float
    times_plain: float
    difference: float
    neighbours: float
    recall: float | None = None
    recall_change: tuple[float, float, float] | None = None


def main() -> None:
    """Read, encode in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the public data; a planted shop without it")
    parser.add_argument("--of", choices=["both", "titles", "reviews"], default="both", help="what is timed")
    parser.add_argument("--texts", type=int, default=1000, help="texts timed")
    parser.add_argument("--asked", type=int, default=1000, help="reviews that look for their item; 0 = not measured")
    parser.add_argument("--precisions", default=PRECISIONS, help="of our encoder, with commas between them")
    parser.add_argument("--max-tokens", type=int, default=TextConfig().max_tokens)
    parser.add_argument("--batch-size", type=int, default=TextConfig().batch_size)
    parser.add_argument("--trunk", default=TextConfig().trunk)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    settings = TextConfig(trunk=args.trunk, max_tokens=args.max_tokens, batch_size=args.batch_size)
    found = public(args.data) if (args.data / f"{INSTRUMENTS}_reviews.parquet").is_file() else planted()
    with limit_threads(args.threads):
        encoders, refusals = systems(settings, args.precisions.split(","), args.threads)
        rows = measure(
            encoders, draw(found, args.of, args.texts), args.rounds, time.process_time if args.threads == 1 else time.perf_counter
        )
        if args.asked and max(found.title_of) >= 0:
            rows = with_recall(rows, encoders, found, args.asked)
    output().print(f"{found.source}: {args.of}, at most {args.max_tokens} tokens, batches of {args.batch_size}, {args.threads} thread(s)")
    for line in refusals:
        output().print(line)
    output().print(table(rows))
    if args.json is not None:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")


def public(folder: Path) -> Texts:
    """Musical Instruments."""
    items = pd.read_parquet(folder / f"{INSTRUMENTS}_items.parquet").dropna(subset="title").drop_duplicates("title")
    reviews = pd.read_parquet(folder / f"{INSTRUMENTS}_reviews.parquet").dropna(subset="review_text").sample(frac=1, random_state=SEED)
    reviews = reviews[reviews.item_id.isin(items.item_id)]
    row_of = dict(zip(items.item_id, range(len(items)), strict=True))
    return Texts(items.title.tolist(), reviews.review_text.tolist(), [row_of[item] for item in reviews.item_id], "Musical Instruments")


def planted() -> Texts:
    """A planted shop, small; whose reviews are not asked for their items."""
    with tempfile.TemporaryDirectory() as folder, steps() as progress:
        config = WorldConfig(n_customers=300, n_items=600, n_days=200, texts=True)
        shop = write_world(config, Path(folder) / "shop", progress, n_processes=1) / TABLES
        titles = pd.read_parquet(shop / "items.parquet")["title"].dropna().unique().tolist()
        reviews = pd.concat(map(pd.read_parquet, sorted(shop.glob("reviews-*.parquet"))))["text"].dropna().unique().tolist()
    return Texts(titles, reviews, [-1] * len(reviews), "a planted shop")


def draw(found: Texts, of: str, n: int) -> list[str]:
    """At most n distinct texts without HTML, shuffled; for 'both', as many titles as reviews while there are.

    Raises:
        ValueError: none is left.
    """
    rng = np.random.default_rng(SEED)
    kinds = {"titles": [found.titles], "reviews": [found.reviews], "both": [found.titles, found.reviews]}[of]
    texts: list[str] = []
    for kind in kinds:
        plain = sorted({text for text in kind if text.strip() and plain_text(text, len(text)) == text})
        texts += [plain[row] for row in rng.permutation(len(plain))[: n // len(kinds)]]
    if not texts:
        raise ValueError(f"there are no {of} without HTML to time")
    return [texts[row] for row in rng.permutation(len(texts))]


def systems(settings: TextConfig, precisions: Sequence[str], n_threads: int) -> tuple[dict[str, Encode], list[str]]:
    """The plain loop first, then what can be had here; and a line on each that cannot."""
    folder = find_model(settings.trunk)
    found: dict[str, Encode] = {"plain loop": functools.partial(_plain_loop, *_plain_model(folder), settings)}
    refusals = []
    if importlib.util.find_spec("sentence_transformers") is None:
        refusals.append("sentence-transformers is not installed here, so it is not compared with")
    else:
        found["sentence-transformers"] = _sentence_transformers(folder, settings)
    for precision in precisions:
        try:
            found[f"ours, {precision}"] = load_encoder(settings.model_copy(update={"precision": precision}), n_threads).encode
        except RecsysError as error:
            refusals.append(f"ours, {precision}: {error}")
    return found, refusals


def _plain_model(folder: Path) -> tuple[Any, Any]:
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).to(device).eval()
    return transformers.AutoTokenizer.from_pretrained(folder), model


def _plain_loop(tokenizer: Any, model: Any, settings: TextConfig, texts: Sequence[str]) -> Floats:
    import torch

    parts = []
    with torch.no_grad():
        for start in range(0, len(texts), settings.batch_size):
            batch = list(texts[start : start + settings.batch_size])
            inputs = tokenizer(batch, padding=True, truncation=True, max_length=settings.max_tokens, return_tensors="pt").to(model.device)
            states = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1)
            means = (states * mask).sum(1) / mask.sum(1)
            parts.append(torch.nn.functional.normalize(means, dim=1).cpu().numpy())
    return np.concatenate(parts)


def _sentence_transformers(folder: Path, settings: TextConfig) -> Encode:
    import sentence_transformers as st

    model = st.SentenceTransformer(str(folder), local_files_only=True)
    model.max_seq_length = settings.max_tokens

    def encode(texts: Sequence[str]) -> Floats:
        return np.asarray(
            model.encode(list(texts), batch_size=settings.batch_size, normalize_embeddings=True, show_progress_bar=False), np.float32
        )

    return encode


def measure(encoders: Mapping[str, Encode], texts: Sequence[str], n_rounds: int, clock: Callable[[], float]) -> list[Row]:
    """One row of each system; the first is what the others are compared with. Each reads some texts before, to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    embeddings = {name: encode(texts[:32]) for name, encode in encoders.items()}
    for number in range(n_rounds):
        for name in sorted(encoders, reverse=number % 2 == 1):
            start = clock()
            embeddings[name] = encoders[name](texts)
            seconds[name].append(clock() - start)
    first = next(iter(encoders))
    times = {name: float(np.median(taken)) for name, taken in seconds.items()}
    near = nearest(embeddings[first])
    return [
        Row(
            name,
            len(texts) / times[name],
            times[first] / times[name],
            float(np.abs(embeddings[name] - embeddings[first]).max()),
            overlap(near, nearest(embeddings[name])),
        )
        for name in encoders
    ]


def nearest(embeddings: Floats) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Rows of the 20 nearest others of each, in no order; fewer where there are fewer; (n, m)."""
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    n = min(K, len(embeddings) - 1)
    return np.argpartition(-cosines, n - 1, axis=1)[:, :n]


def overlap(some: np.ndarray[Any, np.dtype[np.intp]], others: np.ndarray[Any, np.dtype[np.intp]]) -> float:
    """Mean share of the rows of the one that are rows of the other."""
    return float(np.mean([np.isin(one, other).mean() for one, other in zip(some, others, strict=True)]))


def with_recall(rows: Sequence[Row], encoders: Mapping[str, Encode], found: Texts, n_asked: int) -> list[Row]:
    """The rows with the Recall@20 of our encoders, and what each loses or gains by not being the first of them."""
    asked, wanted = found.reviews[:n_asked], np.array(found.title_of[:n_asked])
    hits = {name: _found(encode(found.titles), encode(asked), wanted) for name, encode in encoders.items() if name.startswith("ours")}
    values = np.column_stack(list(hits.values())).astype(np.float64)
    drawn = bootstrap([str(row) for row in range(len(wanted))], values, np.random.default_rng(SEED))
    result = []
    for row in rows:
        if row.system in hits:
            change = drawn.difference(list(hits).index(row.system), 0)
            row = replace(row, recall=float(hits[row.system].mean()), recall_change=(change.estimate, change.low, change.high))
        result.append(row)
    return result


def _found(titles: Floats, asked: Floats, wanted: np.ndarray[Any, np.dtype[np.intp]]) -> Flags:
    cosines = asked @ titles.T
    own = cosines[np.arange(len(wanted)), wanted]
    return np.asarray((cosines > own[:, None]).sum(axis=1) < K)


def table(rows: Sequence[Row]) -> Table:
    """The rows, for people."""
    shown = Table(box=box.SIMPLE_HEAD)
    for heading in ("system", "texts/s", "x plain", "largest difference", "neighbours", f"Recall@{K}", "change"):
        shown.add_column(heading, justify="left" if heading == "system" else "right")
    for row in rows:
        cells = [row.system, f"{row.texts_per_second:,.0f}", f"{row.times_plain:.2f}", f"{row.difference:.1e}", f"{row.neighbours:.3f}"]
        if row.recall is not None and row.recall_change is not None:
            change, low, high = row.recall_change
            cells += [f"{row.recall:.3f}", f"{change:+.3f} [{low:+.3f}, {high:+.3f}]"]
        shown.add_row(*cells)
    return shown


if __name__ == "__main__":
    main()
