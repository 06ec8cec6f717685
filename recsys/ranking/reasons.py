"""Why items were proposed, from the sources that did."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter

import numpy as np

from recsys.data.vocabulary import Vocabulary
from recsys.protocols import CandidateSource, ResolvedQuery
from recsys.types import Candidates, Ints, Reason, ReasonCode

PINNED, LAST_RESORT = "pinned", "last_resort"
OWN_REASONS = {PINNED: ReasonCode.PINNED, LAST_RESORT: ReasonCode.LAST_RESORT}
"""What the engine itself adds to the proposals of the sources."""


def reasons_by_source(
    selected: Candidates, resolved: ResolvedQuery, sources: Mapping[str, CandidateSource], ids: Vocabulary
) -> tuple[list[list[Reason]], tuple[str, ...]]:
    """Reasons of each selected item, from the source that ranked it best to the one that ranked it worst; and what failed."""
    found: list[list[tuple[float, Reason]]] = [[] for _ in range(len(selected))]
    failed = []
    for column, name in enumerate(selected.sources):
        rows = np.flatnonzero(np.isfinite(selected.source_ranks[:, column]))
        if not len(rows):
            continue
        code, seeds = OWN_REASONS.get(name), np.full(len(rows), -1, np.int32)
        if code is None:
            code = sources[name].reason
            seeds, problem = seeds_of(name, sources[name], resolved, selected.items[rows])
            failed += [] if problem is None else [problem]
        for row, seed in zip(rows, seeds, strict=True):
            seed_id = None if seed < 0 else ids.ids[seed]
            found[row].append((float(selected.source_ranks[row, column]), Reason(code, seed_id)))
    return [[reason for _, reason in sorted(pairs, key=itemgetter(0))] for pairs in found], tuple(failed)


def seeds_of(name: str, source: CandidateSource, resolved: ResolvedQuery, items: Ints) -> tuple[Ints, str | None]:
    """The item of the customer that each item rests on, -1 = none, and what failed: a reason may stand without the item behind it."""
    try:
        return source.because(resolved, items), None
    except Exception as error:  # noqa: BLE001  a source that cannot say why has still proposed; the trace names it
        return np.full(len(items), -1, np.int32), f"reasons of source {name}: {type(error).__name__}: {error}"
