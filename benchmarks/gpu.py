"""What a GPU brings, and whether its answers are the processor's: encoding, fine-tuning, the sequence model, exact and
approximate search, filters, ALS.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --only search,filters --n 1000000

It makes its own texts, model, vectors and purchases, and needs no flag where there is a GPU: each part asks the library that it is about.
A part whose library sees no GPU says so and is not run, which is no failure. The exit code is 1 where a check failed. Rates are of the wall
clock; the processor's are taken on the same machine with all its cores, those of torch in a process of its own that sees no GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text
from scipy import sparse

from benchmarks.gpu_checks import overlap, same_items, selector_verdict
from recsys.config import FinetuneConfig, TextConfig
from recsys.source_config import IndexConfig, SequenceConfig
from recsys.text.encoder import load_encoder
from recsys.text.finetune import finetune
from recsys.text.index import VectorIndex
from recsys.threads import limit_threads
from recsys.training.finetuning import Material, make_lesson
from recsys.training.sequence import METRICS, fit_sequence
from recsys.types import Flags, Floats, Interactions
from segrec.console import output

WORDS = [f"word{number}" for number in range(2000)]
N_BEST, DIM, N_QUERIES = 200, 384, 500
_CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Row:
    """One line of the table: what was done, both rates or shares as text, and what came of it."""

    what: str
    gpu: str = ""
    cpu: str = ""
    result: str = "ok"
    has_failed: bool = False


@dataclass(frozen=True)
class Part:
    """run: its rows, as they come; missing: why it cannot be run here, None where it can."""

    run: Callable[[int], Iterator[Row]]
    missing: Callable[[], str | None]


def main() -> int:
    """Measure, print, and tell by the exit code whether all checks held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them")
    parser.add_argument("--n", type=int, default=200_000, help="vectors to search")
    parser.add_argument("--child", choices=("encode", "finetune", "sequence"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(CHILDREN[args.child](args.folder)))
        return 0
    if unknown := set(args.only.split(",")) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    rows = [row for name in args.only.split(",") for row in _rows(name, args.n)]
    output().print(_table(rows))
    return int(any(row.has_failed for row in rows))


def _rows(name: str, n: int) -> Iterator[Row]:
    """The rows of a part, or one that says why it was not run."""
    if reason := PARTS[name].missing():
        yield Row(name, result=f"not run: {reason}")
        return
    try:
        yield from PARTS[name].run(n)
    except (RuntimeError, MemoryError, OSError, subprocess.CalledProcessError) as error:
        yield Row(name, result=f"FAILED: {type(error).__name__}: {error}", has_failed=True)


def no_torch() -> str | None:
    import torch

    return None if torch.cuda.is_available() else f"torch {torch.__version__} sees no CUDA device; it takes a CUDA build and a driver"


def no_faiss() -> str | None:
    if not hasattr(faiss, "StandardGpuResources"):
        return f"FAISS {faiss.__version__} is built for processors only; install segrec[gpu] in the place of segrec[cpu]"
    return None if faiss.get_num_gpus() > 0 else f"FAISS {faiss.__version__} is built for GPUs and sees none"


def no_implicit() -> str | None:
    if importlib.util.find_spec("rmm") is None:
        return "implicit uses a GPU through the package rmm, which is not installed (pip install rmm-cu13)"
    import implicit.gpu

    return None if implicit.gpu.HAS_CUDA else f"implicit {implicit.__version__} cannot use CUDA here"


def texts(n: int) -> list[str]:
    """Distinct texts of mixed length, 3 to 60 words."""
    rng = np.random.default_rng(1)
    return [f"{' '.join(rng.choice(WORDS, rng.integers(3, 60)))} {WORDS[number % len(WORDS)]}" for number in range(n)]


def write_trunk(folder: Path) -> None:
    """A random BERT of the default trunk's shape, 6 layers of 384, that knows the words."""
    import torch
    import transformers

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    transformers.BertTokenizer(vocab={word: row for row, word in enumerate(vocabulary)}).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": DIM, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 4 * DIM}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(vocabulary), **shape)).save_pretrained(folder)


def encode_rate(folder: Path) -> dict[str, Any]:
    """Texts per second on the device that the encoder chooses; the embeddings go to a file."""
    encoder = load_encoder(TextConfig(trunk=str(folder / "trunk")), _CORES)
    wanted = texts(2000)
    encoder.encode(wanted[:256])
    start = time.perf_counter()
    embeddings = encoder.encode(wanted)
    seconds = time.perf_counter() - start
    np.save(folder / f"{_device()}.npy", embeddings)
    return {"rate": len(wanted) / seconds}


def finetune_rate(folder: Path) -> dict[str, Any]:
    """Steps per second on the device that the trunk chooses, the first steps left out; and Recall@20 before and after."""
    documents = texts(600)
    rng = np.random.default_rng(2)
    histories = [rng.choice(np.arange(group, 600, 20), 6, replace=False).astype(np.int32) for group in range(20) for _ in range(30)]
    material = Material(tuple(documents), histories, [(history[:-1], int(history[-1])) for history in histories[::3]])
    config = FinetuneConfig(n_steps=24 if _device() == "cuda" else 6, batch_texts=192, micro_batch=96, validate_every=1000)
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as work:
        finetune(
            make_lesson(material, config, rng),
            TextConfig(trunk=str(folder / "trunk")),
            config,
            Path(work) / "work",
            Path(work) / "out",
            seed=1,
            n_threads=_CORES,
            progress=lambda *_: ends.append(time.perf_counter()),
        )
    return {"rate": (len(ends) - 3) / (ends[-2] - ends[1])}  # the last ends with a validation


def sequence_rate(folder: Path) -> dict[str, Any]:
    """Epochs per second on the device that the sequence model chooses, and its NDCG@10 in a world where item follows item, often."""
    rng = np.random.default_rng(4)
    n_customers, n_items, length = 6_000, 5_000, 10
    first, jumps = rng.integers(0, n_items, (n_customers, 1)), rng.random((n_customers, length)) < 0.1
    items = (first + np.cumsum(np.where(jumps, rng.integers(0, n_items, jumps.shape), 7), axis=1)) % n_items
    n_lines = n_customers * length  # everybody buys once a day
    times = np.datetime64("2026-01-01", "us") + np.repeat(np.arange(length), n_customers).astype("timedelta64[D]")
    customers, unknown = np.tile(np.arange(n_customers, dtype=np.int32), length), np.full(n_lines, np.nan, np.float32)
    baskets = np.arange(n_lines, dtype=np.int32)
    lines = Interactions(customers, items.T.ravel().astype(np.int32), np.zeros(n_lines, np.int8), times, baskets, unknown, unknown)
    config = SequenceConfig(kind="sequence", n_epochs=6, n_validation=2000)
    ends: list[float] = []
    work = folder / _device()
    fit_sequence(
        lines,
        n_items,
        None,
        config,
        IndexConfig(),
        seed=1,
        n_threads=_CORES,
        work=work,
        progress=lambda *_: ends.append(time.perf_counter()),
    )
    figures = [json.loads(line) for line in (work / METRICS).read_text(encoding="utf-8").splitlines()]
    return {"rate": (len(ends) - 1) / (ends[-1] - ends[0]), "ndcg": max(line["NDCG@10"] for line in figures)}


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _on_processor(child: str, folder: Path) -> dict[str, Any]:
    """What the same measurement says in a process that sees no GPU."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--child", child, "--folder", str(folder)]
    done = subprocess.run(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{child} failed on the processor: {done.stderr.strip().splitlines()[-1:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def run_encode(_: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_trunk(folder / "trunk")
        gpu, cpu = encode_rate(folder)["rate"], _on_processor("encode", folder)["rate"]
        cosine = float(np.einsum("nd,nd->n", np.load(folder / "cuda.npy"), np.load(folder / "cpu.npy")).min())
    yield Row("encode, texts/s", f"{gpu:,.0f}", f"{cpu:,.0f}", f"{gpu / cpu:.1f} times")
    yield _check("encode: least cosine of a text's two embeddings, at least .99", cosine >= 0.99, f"{cosine:.4f}")


def run_finetune(_: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_trunk(folder / "trunk")
        gpu, cpu = finetune_rate(folder)["rate"], _on_processor("finetune", folder)["rate"]
    yield Row("fine-tune, steps/s", f"{gpu:.2f}", f"{cpu:.2f}", f"{gpu / cpu:.1f} times")


def run_sequence(_: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        gpu, cpu = sequence_rate(Path(name)), _on_processor("sequence", Path(name))
    yield Row("sequence model, epochs/min", f"{60 * gpu['rate']:.1f}", f"{60 * cpu['rate']:.1f}", f"{gpu['rate'] / cpu['rate']:.1f} times")
    holds = abs(gpu["ndcg"] - cpu["ndcg"]) <= 0.03
    yield _check("sequence model: NDCG@10 on validation, at most .03 apart", holds, f"{gpu['ndcg']:.3f}, {cpu['ndcg']:.3f}")


def vectors_of_topics(n: int, seed: int) -> Floats:
    """Unit vectors that crowd around 500 directions."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(0)
    found = fixed.standard_normal((500, DIM), np.float32)[rng.integers(0, 500, n)]
    found += rng.standard_normal((n, DIM), np.float32)
    unit: Floats = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def run_search(n: int) -> Iterator[Row]:
    """Exact search of ours on both; FAISS's lists on both; a graph of ours, which a GPU answers exactly."""
    vectors, queries = vectors_of_topics(n, 1), vectors_of_topics(N_QUERIES, 2)
    exact, on_cpu = _twins(vectors)
    gpu, cpu = _rate(exact, queries), _rate(on_cpu, queries)
    yield Row(f"exact search of {n:,}, queries/s, {N_QUERIES} at once", f"{gpu:,.0f}", f"{cpu:,.0f}", f"{gpu / cpu:.1f} times")
    gpu, cpu = _rate(exact, queries[:100], 1), _rate(on_cpu, queries[:100], 1)
    yield Row(f"exact search of {n:,}, queries/s, one by one", f"{gpu:,.0f}", f"{cpu:,.0f}", f"{gpu / cpu:.1f} times")
    answers = exact.search(queries, N_BEST), on_cpu.search(queries, N_BEST)
    yield _check("exact search: the same items up to ties of 1e-5", same_items(*answers, vectors, queries), "")

    lists = faiss.index_factory(DIM, f"IVF{2 * math.isqrt(n)},Flat", faiss.METRIC_INNER_PRODUCT)
    lists.train(vectors[:60_000])
    lists.add(vectors)
    lists.nprobe = 32
    resources = faiss.StandardGpuResources()
    moved = faiss.index_cpu_to_gpu(resources, 0, lists)
    share = overlap(moved.search(queries, N_BEST)[1], lists.search(queries, N_BEST)[1])
    yield _check("FAISS's lists: overlap of the answers, at least .99", share >= 0.99, f"{share:.4f}")
    graph = VectorIndex.build(vectors[:50_000], IndexConfig(kind="hnsw"))
    best = VectorIndex.build(vectors[:50_000], IndexConfig(kind="exact")).search(queries, N_BEST)[0]
    share = overlap(graph.search(queries, N_BEST)[0], best)
    yield _check("a graph's vectors on the GPU: recall, at least .99", share >= 0.99, f"{share:.4f}")


def run_filters(n: int) -> Iterator[Row]:
    """What FAISS does with a selector on a GPU, which is only told; and that ours never returns a row that is not eligible."""
    vectors, queries = vectors_of_topics(n, 1), vectors_of_topics(50, 2)
    index, on_cpu = _twins(vectors)
    half = np.random.default_rng(3).random(n) < 0.5
    raw = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index._flat)
    yield Row("FAISS itself, given a selector on the GPU", result=selector_verdict(lambda sel: _selected(raw, queries, sel), half))
    for share in (0.5, 0.1, 0.01, 10 / n, 1 / n):
        eligible = np.random.default_rng(4).random(n) < share
        eligible[n // 2] = True
        found, true = index.search(queries, N_BEST, eligible), on_cpu.search(queries, N_BEST, eligible)
        holds = bool(eligible[found[0]].all()) and found[0].shape == true[0].shape and same_items(found, true, vectors, queries)
        yield _check(f"ours, {int(eligible.sum()):,} of {n:,} eligible: full answers, the processor's items", holds, "")


def _selected(index: Any, queries: Floats, eligible: Flags) -> Any:
    selector = faiss.IDSelectorBitmap(np.packbits(eligible, bitorder="little"))
    return index.search(queries, N_BEST, params=faiss.SearchParameters(sel=selector))[1]


def _twins(vectors: Floats) -> tuple[VectorIndex, VectorIndex]:
    """An exact index as it comes, which takes the GPU, and the same without one."""
    config = IndexConfig(kind="exact")
    with_gpu, without = VectorIndex.build(vectors, config), VectorIndex.build(vectors, config)
    if with_gpu._gpu is None:
        raise RuntimeError(f"the index of {len(vectors):,} vectors did not take the GPU")
    without._gpu = None
    return with_gpu, without


def _rate(index: VectorIndex, queries: Floats, at_once: int = N_QUERIES) -> float:
    """Queries per second; the best of three, the first not counted."""
    seconds = []
    with limit_threads(_CORES):
        for _ in range(4):
            start = time.perf_counter()
            for first in range(0, len(queries), at_once):
                index.search(queries[first : first + at_once], N_BEST)
            seconds.append(time.perf_counter() - start)
    return len(queries) / min(seconds[1:])


def run_als(_: int) -> Iterator[Row]:
    """Customers buy in one of 50 groups of items; both kinds of ALS must find the group."""
    from implicit.cpu.als import AlternatingLeastSquares as OnCpu
    from implicit.gpu.als import AlternatingLeastSquares as OnGpu

    n_customers, n_items, n_lines = 50_000, 20_000, 1_000_000
    rng = np.random.default_rng(5)
    customers = rng.integers(0, n_customers, n_lines)
    items = customers % 50 + 50 * rng.integers(0, n_items // 50, n_lines)
    matrix = sparse.csr_matrix((np.ones(n_lines, np.float32), (customers, items)), shape=(n_customers, n_items))
    settings = {"factors": 64, "regularization": 10.0, "alpha": 2.0, "iterations": 5, "random_state": 1}
    seconds, right = [], []
    for model in (OnGpu(**settings), OnCpu(**settings, num_threads=_CORES)):
        start = time.perf_counter()
        model.fit(matrix, show_progress=False)
        seconds.append(time.perf_counter() - start)
        asked = np.arange(1000)
        found = model.recommend(asked, matrix[asked], N=20, filter_already_liked_items=False)[0]
        right.append(float(np.mean(np.asarray(found) % 50 == (asked % 50)[:, None])))
    gpu, cpu = (5 / each for each in seconds)
    yield Row("ALS, sweeps/s", f"{gpu:.2f}", f"{cpu:.2f}", f"{gpu / cpu:.1f} times")
    yield _check("ALS: items of the right group, at most .02 fewer", right[0] >= right[1] - 0.02, f"{right[0]:.3f}, {right[1]:.3f}")


def _check(what: str, holds: bool, value: str) -> Row:
    return Row(what, result=f"{'ok' if holds else 'FAILED'} {value}".strip(), has_failed=not holds)


def _table(rows: list[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=f"GPU beside the {_CORES} cores of this machine")
    for heading in ("", "GPU", "processor", "result"):
        table.add_column(heading, justify="right" if heading in ("GPU", "processor") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in (row.what, row.gpu, row.cpu, row.result)))  # brackets are no markup
    return table


PARTS = {
    "encode": Part(run_encode, no_torch),
    "finetune": Part(run_finetune, no_torch),
    "sequence": Part(run_sequence, no_torch),
    "search": Part(run_search, no_faiss),
    "filters": Part(run_filters, no_faiss),
    "als": Part(run_als, no_implicit),
}
CHILDREN = {"encode": encode_rate, "finetune": finetune_rate, "sequence": sequence_rate}


if __name__ == "__main__":
    sys.exit(main())
