"""Text files, gzipped or not, as decoded pieces of whole lines.

They are decoded and cut into lines here, not by the libraries that parse them, so that a wrong encoding is named by its byte and a
truncated gzip by the rows before the break.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from recsys.errors import DataError

_PIECE_BYTES = 4 << 20


class TextFile:
    """A text file as decoded pieces of whole lines, gzipped or not; damage ends it and is told by `finish`."""

    def __init__(self, path: Path, encoding: str) -> None:
        self.path, self.encoding = path, encoding
        self.done, self.total = 0, file_size(path)
        self._damage: str | None = None

    def pieces(self) -> Iterator[str]:
        """Whole lines, about four megabytes at a time; the last line need not end."""
        rest = ""
        for decoded in self._decoded():
            cut = decoded.rfind("\n") + 1
            if cut:
                yield rest + decoded[:cut]
                rest = decoded[cut:]
            else:
                rest += decoded
        if rest and self._damage is None:
            yield rest

    def finish(self, n_rows: int) -> None:
        """Raise DataError if the file broke off; n_rows: how many rows came before."""
        if self._damage is not None:
            raise DataError(
                f"{self.path} is truncated or damaged ({self._damage}): {n_rows:,} rows could be read before the break. "
                "Fetch the file again."
            )

    def _decoded(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding)()
        n_bytes = 0
        for data in self._bytes():
            yield self._decode(decoder, data, n_bytes)
            n_bytes += len(data)
        if self._damage is None:
            yield self._decode(decoder, b"", n_bytes, final=True)

    def _decode(self, decoder: codecs.IncrementalDecoder, data: bytes, n_before: int, final: bool = False) -> str:
        pending = decoder.getstate()[0]
        try:
            return decoder.decode(data, final)
        except UnicodeDecodeError as error:
            offset = n_before - len(pending) + error.start
            byte = f"byte 0x{error.object[error.start]:02x} at offset {offset:,}"
            raise DataError(
                f"{self.path} is not {error.encoding.upper()}: {byte} ({error.reason}). Name its encoding (a mapping has "
                f"encoding = 'cp1252'), or convert it: iconv -f CP1252 -t UTF-8 {self.path.name} > utf8-{self.path.name}"
            ) from error

    def _bytes(self) -> Iterator[bytes]:
        with self.path.open("rb") as raw, _unzipped(raw) as file:
            piece = bytearray()
            try:
                while data := file.read1(_PIECE_BYTES):  # a plain read would lose what comes just before a break
                    piece += data
                    if len(piece) >= _PIECE_BYTES:
                        self.done = raw.tell()
                        yield bytes(piece)
                        piece.clear()
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                self._damage = str(error)
            self.done = self.total
            yield bytes(piece)


class Utf8Stream(io.RawIOBase):
    """A text file as Arrow wants it: bytes of UTF-8, the fields set apart by one character."""

    def __init__(self, text: TextFile, delimiter: str) -> None:
        self._pieces = text.pieces()
        self._delimiter = delimiter
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._ready:
            piece = next(self._pieces, "")
            if len(self._delimiter) > 1:
                piece = piece.replace(self._delimiter, one_character(self._delimiter))
            self._ready = memoryview(piece.encode())
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def encoding_of(path: Path, encodings: Sequence[str]) -> str:
    """The first of the encodings that the whole file can be read in; the last one without trying."""
    for encoding in encodings[:-1]:
        try:
            for _ in TextFile(path, encoding).pieces():
                pass
        except DataError as error:
            if not isinstance(error.__cause__, UnicodeDecodeError):
                raise
        else:
            return encoding
    return encodings[-1]


def one_character(delimiter: str) -> str:
    """The delimiter itself, or what stands for a longer one: the unit separator of ASCII, which no text holds."""
    return delimiter if len(delimiter) == 1 else "\x1f"


def file_size(path: Path) -> int:
    """Bytes of a file.

    Raises:
        DataError: there is no such file, or it is empty.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if not (size := path.stat().st_size):
        raise DataError(f"{path} is empty (0 bytes)")
    return size


def is_gzip(raw: BinaryIO) -> bool:
    """Whether a file, open at its start, is gzipped; told by its first bytes, whatever its name."""
    magic = raw.read(2)
    raw.seek(0)
    return magic == b"\x1f\x8b"


def _unzipped(raw: io.BufferedReader) -> gzip.GzipFile | io.BufferedReader:
    return gzip.GzipFile(fileobj=raw) if is_gzip(raw) else raw
