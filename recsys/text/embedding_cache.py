"""Embeddings of many texts, each read once: what was read is kept on disk, text by text."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.text.encoder import Progress, TextEncoder
from recsys.types import Floats

_CHUNK = 2048
"""Texts that are read, and written to one file, at a time: no more is lost when a run is killed."""
_CACHE_BYTES = 1 << 32
"""So much may lie in a cache, or four times what the last call used, before files that went unused longest are deleted."""
_LETTERS = 32
"""Of a text's hash that stand for it, and of a file's name: half of those for the encoder, half for the texts."""


def encode_texts(encoder: TextEncoder, texts: Sequence[str], cache: Path, progress: Progress) -> Floats:
    """`TextEncoder.encode` for many texts: reads only those that no earlier call has read, and goes on where a killed run was.

    What else was read beside a text, now or then, is no matter. On x86 processors it changed no bit of any embedding by a trunk of usual
    width, whatever the precision; where a machine multiplies otherwise it may change the last ones.

    Args:
        texts: any number, with repeats.
        cache: folder for the embeddings; made where missing. Everything in it may be deleted. It grows to 4 GiB, or to four times what
            this call used where that is more; then what went unused longest is deleted.
        progress: told of each part how many distinct texts are done.

    Returns:
        float32, shape (len(texts), dim), in the order of the texts.
    """
    cache.mkdir(parents=True, exist_ok=True)
    of_encoder = hashlib.sha256(f"{encoder.fingerprint} {encoder.arithmetic}".encode()).hexdigest()[:16]
    distinct = sorted(set(texts), key=lambda text: (len(text), text))  # what is read together is of like length: little padding
    rows = {_name(text): row for row, text in enumerate(distinct)}
    embeddings = np.empty((len(distinct), encoder.dim), np.float32)
    is_known = np.zeros(len(distinct), np.bool_)
    used: set[Path] = set()
    for path in cache.glob(f"{of_encoder}*.npy"):
        found, kept = _kept(path, rows, encoder.dim)
        if len(found):
            embeddings[found], is_known[found] = kept, True
            used.add(path)
    missing = np.flatnonzero(~is_known)
    n_known = len(distinct) - len(missing)
    progress(n_known, len(distinct), "texts encoded")
    for start in range(0, len(missing), _CHUNK):
        chunk = missing[start : start + _CHUNK]
        embeddings[chunk] = encoder.encode([distinct[row] for row in chunk.tolist()])
        used.add(_keep(cache, of_encoder, [_name(distinct[row]) for row in chunk.tolist()], embeddings[chunk]))
        progress(n_known + start + len(chunk), len(distinct), "texts encoded")
    _forget(cache, used)
    return embeddings[[rows[_name(text)] for text in texts]]


def _name(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_LETTERS].encode()


def _kept(path: Path, rows: Mapping[bytes, int], dim: int) -> tuple[NDArray[np.intp], Floats]:
    """Which rows a file has, and their embeddings; of a file cut off by a power failure none, and it goes."""
    nothing = np.empty(0, np.intp), np.empty((0, dim), np.float32)
    try:
        with path.open("rb") as file:
            found = [(rows[name], at) for at, name in enumerate(np.load(file).tolist()) if name in rows]
            if not found:
                return nothing
            embeddings = np.load(file)
            places = np.array(found, np.intp)
            os.utime(path)  # used now: `_forget` takes the oldest first
            return places[:, 0], embeddings[places[:, 1]]
    except FileNotFoundError:
        return nothing  # another run forgot it
    except (OSError, ValueError, EOFError, IndexError):
        path.unlink(missing_ok=True)
        return nothing


def _keep(cache: Path, of_encoder: str, names: list[bytes], embeddings: Floats) -> Path:
    path = cache / f"{of_encoder}{hashlib.sha256(b''.join(names)).hexdigest()[:16]}.npy"
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        with partial.open("wb") as file:
            np.save(file, np.array(names, f"S{_LETTERS}"))
            np.save(file, embeddings)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _forget(cache: Path, used: set[Path]) -> None:
    """Delete what went unused longest, leftovers of killed runs included, until the cache is no larger than it may be."""
    files: list[tuple[float, int, Path]] = []
    for path in cache.glob("[0-9a-f]" * _LETTERS + ".*"):
        with suppress(FileNotFoundError):  # another run forgets too
            files.append((path.stat().st_mtime, path.stat().st_size, path))
    most = max(_CACHE_BYTES, 4 * sum(size for _, size, path in files if path in used))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= most:
            return
        if path not in used:
            path.unlink(missing_ok=True)
            total -= size
