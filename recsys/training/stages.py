"""Stages of a training, kept by their inputs: a stage whose inputs are unchanged is not run again, so a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

import segmentation
from recsys.errors import ConfigError

OUR_PACKAGES = (Path(__file__).parent.parent, Path(segmentation.__file__).parent)
"""Where the code of a stage may be."""

UNFINISHED = ".unfinished-"
"""How the name of a folder begins while it is being written."""


class Progress(Protocol):
    """Told how far a long step is; total is None when it is not known."""

    def __call__(self, done: int, total: int | None, what: str) -> None: ...


def always(folder: Path) -> bool:
    """A result that nothing was missing for."""
    return True


def silent(done: int, total: int | None, what: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Stages:
    """A folder of finished stages, each in a folder named by the hash of all that went into it."""

    folder: Path
    progress: Progress = silent

    def run(self, name: str, inputs: dict[str, Any], make: Callable[[Path], None], is_whole: Callable[[Path], bool] = always) -> Path:
        """The folder of a stage's result; `make` fills it when there is none yet, or when `is_whole` says that something lacks in it.

        `make` writes into a temporary folder, which is renamed when complete: an interrupted stage leaves nothing that counts.
        """
        folder = self.folder / f"{name}-{key_of({'stage': name, 'code': source_digest(*OUR_PACKAGES), **inputs})}"
        if folder.is_dir() and is_whole(folder):
            self.progress(1, 1, f"{name} (unchanged)")
            return folder
        self.progress(0, 1, name)
        with written_whole(folder) as unfinished:
            make(unfinished)
        self.progress(1, 1, name)
        return folder


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of `folder` when all went well: at no moment does half of one lie there."""
    unfinished, former = (folder.with_name(f"{UNFINISHED}{folder.name}-{os.getpid()}{end}") for end in ("", "-former"))
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if folder.exists():
            folder.rename(former)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Hold a work folder; a second training there would remove what this one is writing. A killed process holds nothing.

    Raises:
        ConfigError: another process holds it.
    """
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / ".lock", timeout=0, is_singleton=True):
            yield
    except Timeout as error:
        raise ConfigError(f"another training works in {work}; wait for it, or give this one a folder of its own") from error


def sweep(folder: Path) -> None:
    """Remove what was never finished from a folder, and nothing else."""
    for unfinished in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def key_of(inputs: dict[str, Any]) -> str:
    """A short name for equal inputs; order counts, for the columns of a result may follow it."""
    return hashlib.sha256(json.dumps(inputs, default=str).encode()).hexdigest()[:20]


@cache
def source_digest(*packages: Path) -> str:
    """Digest of the Python files of some packages, so that nothing is kept that other code has made."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted(package.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def contents_of(folder: Path) -> str:
    """Digest of the files in a folder: what goes into later stages where one of equal inputs may be made again with another result."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size} ".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stage_seed(seed: int, name: str) -> int:
    """The stage's own seed, so that skipping one stage changes no other."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:4], "big")
