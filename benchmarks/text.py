"""The trunk fine-tuned against the same trunk as it comes, and against that whitened, in one run.

    python -m benchmarks.text next-item --data ../shared/data --shop beauty
    python -m benchmarks.text reviews --data ../shared/data
    python -m benchmarks.text sentiment --data ../shared/data

next-item: leave-one-out over the whole catalogue, seen items removed. The trunk learns from all items of a customer but the last two;
    the last but one is for validation, the last for the test. A query is the mean of the customer's last items, the newest with the
    most weight; how fast the weight falls is chosen on validation for every system by itself.
reviews: Musical Instruments; a review, of the last fifth in time, finds its item's text among all of them.
sentiment: 1 and 2 stars against 4 and 5, title and text, the last fifth in time, against TF-IDF with logistic regression.

Whitened: the mean is taken off, the rest is scaled along its principal axes to unit variance (over the items, not the queries).
Intervals are 95 %, from a bootstrap over customers (next-item) or texts. Tuning goes on where it was, if `--work` has it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from rich import box
from rich.table import Table

from offline_eval.significance import bootstrap
from recsys.config import FinetuneConfig, TextConfig
from recsys.text.encoder import encode_texts, load_encoder
from recsys.text.finetune import finetune
from recsys.text.heads import load_reader
from recsys.threads import limit_threads
from recsys.training.finetuning import Material, make_lesson, review_text
from recsys.types import Flags, Floats, Ints
from segrec.console import output, steps

K = 20
SEED = 11
DECAYS = (1.0, 0.8, 0.7, 0.6, 0.5)
LAST = 10
N_VALIDATION = 2000
INSTRUMENTS = "amazon2014_musical_instruments"
BOXES = "amazon2023_subscription_boxes"


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=sorted(RUNS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the public data")
    parser.add_argument("--shop", choices=["beauty", "sports_outdoors"], default="beauty")
    parser.add_argument("--work", type=Path, default=Path(".text-benchmark"), help="folder for what is kept between runs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=400, help="updates of the weights")
    parser.add_argument("--trunk", default=TextConfig().trunk, help="what tuning begins with; a tuned trunk may learn on")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another setting of the fine-tuning, in JSON")
    args = parser.parse_args()
    settings = {name: json.loads(value) for name, value in (setting.split("=", 1) for setting in args.set)}
    with limit_threads(args.threads):
        RUNS[args.what](args, settings)


def next_item(args: argparse.Namespace, settings: Mapping[str, object]) -> None:
    """Leave-one-out retrieval from the last items."""
    texts, sequences = _shop(args.data / f"amazon2014_{args.shop}")
    rng = np.random.default_rng(SEED)
    drawn = rng.choice(len(sequences), N_VALIDATION, replace=False)
    held_out = [(sequences[row][:-2], int(sequences[row][-2])) for row in drawn]
    config = FinetuneConfig.model_validate({"n_steps": args.steps, "cache_gradients": False, **settings})
    tuned = _tuned(Material(tuple(texts), [history[:-2] for history in sequences], held_out), config, args)
    hits = {}
    for name, trunk in (("untuned", TextConfig()), ("tuned", tuned)):
        raw = _encode(trunk, texts, args)
        for system, embeddings in ((name, raw), (f"{name}, whitened", whitened(raw))):
            decay = max(DECAYS, key=lambda decay: float(_hits(embeddings, sequences, -2, decay).mean()))
            hits[f"{system} (weight {decay:g})"] = _hits(embeddings, sequences, -1, decay)
    _report(f"{args.shop}: Recall@{K} of the next item, {len(sequences):,} customers, {len(texts):,} texts", hits)


def reviews(args: argparse.Namespace, settings: Mapping[str, object]) -> None:
    """Retrieval of a review's item."""
    items = pd.read_parquet(args.data / f"{INSTRUMENTS}_items.parquet").dropna(subset="title")
    names = items.title + "; " + items.category.fillna("")
    documents, document_of = np.unique(names.to_numpy(object), return_inverse=True)
    numbers = dict(zip(items.item_id, document_of.tolist(), strict=True))
    written = _written(args.data / f"{INSTRUMENTS}_reviews.parquet", "item_id").query("item in @numbers")
    early, late = _by_time(written)
    pairs = [(text, numbers[item]) for text, item in zip(early.text, early["item"], strict=True)]
    config = FinetuneConfig.model_validate({"n_steps": args.steps, "cache_gradients": False, "batch_texts": 192, **settings})
    tuned = _tuned(Material(tuple(documents.tolist()), reviews=pairs), config, args)
    wanted = np.array([numbers[item] for item in late["item"]])
    hits = {}
    for name, trunk in (("untuned", TextConfig()), ("tuned", tuned)):
        found, asked = _encode(trunk, documents.tolist(), args), _encode(trunk, late.text.tolist(), args)
        hits[name] = _among_best(asked @ found.T, wanted)
        if name == "untuned":
            fitted, moved = whitened(found, found), whitened(asked, found)
            hits["untuned, whitened"] = _among_best(moved @ fitted.T, wanted)
    _report(f"musical instruments: Recall@{K} of a review's item, {len(late):,} later reviews, {len(documents):,} texts", hits)


def sentiment(args: argparse.Namespace, settings: Mapping[str, object]) -> None:
    """Clear stars by a head, and by TF-IDF with logistic regression."""
    for data, item in ((BOXES, "parent_asin"), (INSTRUMENTS, "item_id")):
        early, late = _by_time(_written(args.data / f"{data}_reviews.parquet", item).query("rating != 3 and text != ''"))
        labels = [("good" if stars > 3 else "bad") for stars in early.rating]
        plan = {"n_steps": args.steps, "head_texts": 64, "head_weight": 1.0, "cache_gradients": False, "learning_rate": 5e-5, **settings}
        material = Material(("",), labels={"stars": list(zip(early.text, labels, strict=True))})
        text = _tuned(material, FinetuneConfig.model_validate(plan), args, max_tokens=128)
        is_good = (late.rating > 3).to_numpy()
        told = load_reader(text, args.threads).classify(late.text.tolist())["stars"][:, 1] > 0.5
        classic = _tf_idf(early.text, np.array(labels) == "good", late.text)
        _report_classes(f"{data}: clear stars, {len(late):,} later reviews, {1 - is_good.mean():.0%} bad", is_good, told, classic)


RUNS: dict[str, Callable[[argparse.Namespace, Mapping[str, object]], None]] = {
    "next-item": next_item,
    "reviews": reviews,
    "sentiment": sentiment,
}


def whitened(embeddings: Floats, fitted_on: Floats | None = None) -> Floats:
    """Mean removal and PCA to unit variance, fitted on `fitted_on` (itself where not given), then unit norm; float32 (n, dim)."""
    base = embeddings if fitted_on is None else fitted_on
    centre = base.mean(axis=0)
    _, values, axes = np.linalg.svd(base - centre, full_matrices=False)
    moved = (embeddings - centre) @ axes.T / np.maximum(values / np.sqrt(len(base)), 1e-6)
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)


def _shop(path: Path) -> tuple[list[str], list[Ints]]:
    """Distinct item texts, and each customer's items as positions among them, oldest first."""
    items = pd.read_parquet(f"{path}_items.parquet").sort_values("item_idx")
    lines = pd.read_parquet(f"{path}_interactions.parquet").sort_values(["user_idx", "position"])
    names = [f"{title}. {', '.join(attributes)}" for title, attributes in zip(items.short_title, items.attributes, strict=True)]
    texts, text_of = np.unique(np.array(names, object), return_inverse=True)
    documents = text_of[np.searchsorted(items.item_idx, lines.item_idx)].astype(np.int32)
    return texts.tolist(), np.split(documents, np.flatnonzero(np.diff(lines.user_idx)) + 1)


def _written(path: Path, item: str) -> pd.DataFrame:
    """Reviews by time: text, item, rating."""
    rows = pd.read_parquet(path).sort_values("timestamp", kind="stable")
    texts = [review_text(title, text) for title, text in zip(rows.review_title, rows.review_text, strict=True)]
    return pd.DataFrame({"text": texts, "item": rows[item].to_numpy(), "rating": rows.rating.to_numpy()})


def _by_time(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first four fifths, and the last; texts that were written before are left out of the last."""
    cut = len(rows) * 4 // 5
    early, late = rows.iloc[:cut], rows.iloc[cut:]
    return early, late[~late.text.isin(early.text)]


def _tuned(material: Material, config: FinetuneConfig, args: argparse.Namespace, max_tokens: int = 64) -> TextConfig:
    """Settings that name the tuned trunk."""
    lesson = make_lesson(material, config, np.random.default_rng(SEED))
    text = TextConfig(trunk=args.trunk, max_tokens=max_tokens)
    folder = args.work / f"tuned-{lesson.fingerprint(SEED)[:8]}"
    with steps() as progress:
        report = finetune(lesson, text, config, folder / "work", folder / "out", seed=SEED, n_threads=args.threads, progress=progress)
    recalls = ", ".join(f"{recall:.4f}" for recall in report["Recall@20"])
    output().print(
        f"{report['n_steps']} steps, kept {report['best_step']}; Recall@20 in validation, from the untuned on: {recalls or 'none'}"
    )
    return text.model_copy(update={"trunk": str(folder / "out")})


def _encode(text: TextConfig, texts: Sequence[str], args: argparse.Namespace) -> Floats:
    with steps() as progress:
        return encode_texts(load_encoder(text, args.threads), texts, args.work / "encoded", progress)


def _hits(embeddings: Floats, sequences: Sequence[Ints], at: int, decay: float) -> Flags:
    """Whether the item at a place of each sequence is among the best for those before it; (n_customers,)."""
    pasts = [sequence[:at] for sequence in sequences]
    queries = _rows([past[-LAST:] for past in pasts], len(embeddings), decay) @ embeddings
    seen = _rows(pasts, len(embeddings), 1.0)
    wanted = np.array([sequence[at] for sequence in sequences])
    parts = np.split(np.arange(len(wanted)), range(512, len(wanted), 512))
    return np.concatenate([_among_best(queries[rows] @ embeddings.T, wanted[rows], seen[rows].toarray() > 0) for rows in parts])


def _rows(sets: Sequence[Ints], n: int, decay: float) -> sp.csr_matrix:
    weights = [decay ** np.arange(len(members) - 1, -1, -1) for members in sets]
    bounds = np.cumsum([0, *(len(members) for members in sets)])
    return sp.csr_matrix((np.concatenate(weights).astype(np.float32), np.concatenate(sets), bounds), (len(sets), n))


def _among_best(scores: Floats, wanted: Ints, is_left_out: Flags | None = None) -> Flags:
    """Whether the wanted column of each row is among the K best, at its mean rank among equals; one left out itself never is."""
    if is_left_out is not None:
        scores[is_left_out] = -np.inf
    own = scores[np.arange(len(wanted)), wanted][:, None]
    ranks = 1 + (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
    return np.asarray((ranks <= K) & np.isfinite(own[:, 0]))


def _tf_idf(texts: Sequence[str], labels: Flags, asked: Sequence[str]) -> Flags:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = LogisticRegression(C=10, max_iter=1000).fit(words.fit_transform(texts), labels)
    return np.asarray(model.predict(words.transform(asked)), np.bool_)


def _report(title: str, hits: Mapping[str, Flags]) -> None:
    """Each system with its interval, and how far it is from the whitened untuned trunk."""
    names = list(hits)
    base = next(at for at, name in enumerate(names) if name.startswith("untuned, whitened"))
    values = np.stack([hits[name] for name in names], axis=1).astype(np.float64)
    found = bootstrap([str(row) for row in range(len(values))], values, np.random.default_rng(SEED))
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for heading in ("trunk", f"Recall@{K}", "95 %", "against whitened untuned", "95 %"):
        table.add_column(heading, justify="left" if heading == "trunk" else "right")
    for at, name in enumerate(names):
        own, apart = found.mean(at), found.relative(at, base)
        shares = f"{apart.estimate:+.1%}", f"{apart.low:+.1%} to {apart.high:+.1%}"
        table.add_row(name, f"{own.estimate:.4f}", f"{own.low:.4f} to {own.high:.4f}", *(shares if at != base else ("", "")))
    output().print(table)


def _report_classes(title: str, truth: Flags, head: Flags, classic: Flags) -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score

    table = Table(title=title, box=box.SIMPLE_HEAD)
    for heading in ("reader", "macro-F1", "balanced accuracy"):
        table.add_column(heading, justify="left" if heading == "reader" else "right")
    for name, told in (("head of the tuned trunk", head), ("TF-IDF, logistic regression", classic)):
        table.add_row(name, f"{f1_score(truth, told, average='macro'):.4f}", f"{balanced_accuracy_score(truth, told):.4f}")
    output().print(table)


if __name__ == "__main__":
    main()
