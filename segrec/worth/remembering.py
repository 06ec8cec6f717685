"""What sources without groups have proposed, kept in memory: it is the same for all variants, and much of what measuring them costs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from recsys.bundle import Bundle, read_manifest
from recsys.config import Config
from recsys.protocols import CandidateSource, ResolvedQuery
from recsys.source_config import PopularConfig
from recsys.types import Flags, Ints, ReasonCode, Scored


@dataclass(frozen=True)
class Memory:
    """Proposals by the source and all of the query that a source without groups sees."""

    proposals: dict[tuple[str, int, bytes], Scored] = field(default_factory=dict)

    def of(self, bundle: Bundle, made_of: Mapping[str, str]) -> Bundle:
        """The same bundle, whose sources need not propose twice. made_of: by source, a name that equal fits of equal data share."""
        sources = {name: self._remembering(name, source, bundle.config, made_of[name]) for name, source in bundle.sources.items()}
        return replace(bundle, sources=sources)

    def _remembering(self, name: str, source: CandidateSource, config: Config, made_of: str) -> CandidateSource:
        declared = config.sources[name]
        within_a_group = isinstance(declared, PopularConfig) and declared.within != "shop"
        return source if within_a_group else Remembering(source, made_of, self)


def sources_of(bundle: Path) -> dict[str, str]:
    """By source of a bundle's folder, what it is made of: a digest of its settings, its own files, and the texts that it may read."""
    manifest = read_manifest(bundle)
    return {name: _digest(manifest["files"], name, settings) for name, settings in manifest["config"]["sources"].items()}


def _digest(files: Mapping[str, Any], name: str, settings: Mapping[str, Any]) -> str:
    listed = sorted((path, entry["sha256"]) for path, entry in files.items() if path.startswith((f"sources/{name}/", "texts/")))
    return hashlib.sha256(repr((settings, listed)).encode()).hexdigest()


@dataclass(frozen=True)
class Remembering:
    """A source that is asked each thing once; all else that it can do, it does itself."""

    source: CandidateSource
    made_of: str
    memory: Memory

    @property
    def reason(self) -> ReasonCode:
        """That of the source."""
        return self.source.reason

    def retrieve(self, resolved: ResolvedQuery, n: int, eligible: Flags) -> Scored:
        """What the source proposes."""
        key = self.made_of, n, _asked(resolved, eligible)
        if key not in self.memory.proposals:
            self.memory.proposals[key] = self.source.retrieve(resolved, n, eligible)
        return self.memory.proposals[key]

    def because(self, resolved: ResolvedQuery, items: Ints) -> Ints:
        """What the source says."""
        return self.source.because(resolved, items)

    def __getattr__(self, name: str) -> Any:
        """Whatever else the source has, so that it counts as a `Scorer` or `Linker` if it is one."""
        return getattr(self.source, name)


def _asked(resolved: ResolvedQuery, eligible: Flags) -> bytes:
    """Digest of a query without the customer's groups."""
    digest = hashlib.blake2b(str((resolved.customer, resolved.time)).encode(), digest_size=16)
    for lines in (resolved.history, resolved.positives):
        for column in (lines.items, lines.events, lines.times, lines.values):
            digest.update(len(column).to_bytes(4, "big") + np.ascontiguousarray(column).tobytes())
    digest.update(resolved.context.tobytes() + np.packbits(eligible).tobytes())
    return digest.digest()
