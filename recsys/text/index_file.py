"""The end of an index file: what is inside, in JSON, and a checksum, so that nothing is mapped into memory that was cut or altered."""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from recsys.errors import BundleError
from recsys.text.index_choice import IndexKind

INDEX_FILE = "index.faiss"
"""Name of the file in the folder of an index."""

_END, _MARK = struct.Struct("<QII8s"), b"segrec-2"
"""The last bytes: length of what comes before the facts, length of the facts, CRC-32 of both, a mark with the version of this format."""
_BLOCK = 1 << 22


@dataclass(frozen=True)
class IndexFacts:
    """What an index says of itself.

    why:           one sentence that gives the reason for the kind
    effort:        what its searches spend, set when it was built: steps of the walk for each of `SAMPLED_BEST` rows ("hnsw"), lists
                   looked at for the best `SAMPLED_BEST` rows ("ivf..."); 0 where the search is exact
    floor:         the fewest steps of a walk ("hnsw")
    stated_recall: mean share of the true best that a search finds, at least; measured when it was built
    deep_effort:   the same for the best `DEEP_BEST` rows, which is how deep a walk goes whose filter lets less than half of them pass;
                   0 = not measured, taken to rise with the rows
    """

    kind: IndexKind
    why: str
    effort: float = 0.0
    floor: int = 0
    stated_recall: float = 1.0
    deep_effort: float = 0.0


SAMPLED_BEST, DEEP_BEST = 200, 500
"""Recall is measured on so many best rows: the length of a list of candidates, and what is fetched where half of the rows are eligible."""


def seal(path: Path, facts: IndexFacts) -> None:
    """Append the facts and the checksum to a file."""
    text = json.dumps(asdict(facts), ensure_ascii=False).encode()
    with path.open("r+b") as file:
        length = file.seek(0, os.SEEK_END)
        file.write(text)
        checksum = _checksum(file, length + len(text))
        file.write(_END.pack(length, len(text), checksum, _MARK))


def unseal(path: Path) -> IndexFacts:
    """The facts of a sealed file, after every byte of it was found to be as it was written.

    Raises:
        BundleError: the file is missing, cut, altered, or was never sealed.
    """
    try:
        with path.open("rb") as file:
            return _facts(path, file)
    except OSError as error:
        raise BundleError(f"{path} cannot be read as a vector index: {error}") from error


def _facts(path: Path, file: BinaryIO) -> IndexFacts:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _END.size, 0))
    end = file.read(_END.size)
    length, n_facts, checksum, mark = _END.unpack(end) if len(end) == _END.size else (0, 0, 0, b"")
    if mark != _MARK or length + n_facts + _END.size != size:
        raise BundleError(f"{path} is cut short or no vector index of this version; copy or train the bundle again")
    if _checksum(file, length + n_facts) != checksum:
        raise BundleError(f"{path} is altered: its checksum does not fit; copy or train the bundle again")
    file.seek(length)
    return IndexFacts(**json.loads(file.read(n_facts)))


def _checksum(file: BinaryIO, length: int) -> int:
    """CRC-32 of the first bytes of a file; the position afterwards is their end."""
    file.seek(0)
    value = 0
    for start in range(0, length, _BLOCK):
        value = zlib.crc32(file.read(min(_BLOCK, length - start)), value)
    return value
