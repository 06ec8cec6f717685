"""What every report of an evaluation says of itself, so that anybody can make it again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from offline_eval.significance import N_RESAMPLES
from recsys.bundle import Bundle, sha256
from recsys.data.dataset import Dataset
from segrec.asking import Period
from segrec.shipping import provenance

PROTOCOL = {
    "queries": "one per customer with a relevant item, at the cut; no system knows anything later",
    "relevant": "distinct recommendable items bought in the period, each with gain 1; discovery: those never bought before the cut",
    "lists": "every item of the shop competes unless the split names negatives; places that a short list leaves empty are misses",
    "intervals": f"95 %, bias-corrected bootstrap over customers, {N_RESAMPLES:,} resamples",
    "tests": "sign flips of customers, two-sided; Holm and Benjamini-Hochberg over the slices of one kind for one metric",
}


def made_by() -> dict[str, Any]:
    """The command line that reproduces what is being made, the version of this package, and the commit; None = there is none."""
    known: dict[str, Any] = {"segrec": None, "commit": None}
    return {"command": shlex.join(["segrec", *sys.argv[1:]]), "folder": str(Path.cwd()), **known, **provenance()}


def of_shop(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Which data were measured on."""
    return {"shop": str(folder), "fingerprint": dataset.fingerprint}


def of_evaluation(
    period: Period, folder: Path, bundles: Mapping[str, Bundle], files: Sequence[Path], split: Mapping[str, Any], metrics: str, seed: int
) -> dict[str, Any]:
    """All of it for an evaluation.

    bundles: by the name that they have in the report; files: lists of others; split: its name and what it may leak
    """
    return {
        **made_by(),
        "data": of_shop(period.dataset, folder),
        "split": {"cut": str(period.start), "end": str(period.end), "events": list(period.positive_events), **split},
        "protocol": {"metrics": metrics, **PROTOCOL},
        "bundles": {name: bundle.version for name, bundle in bundles.items()},
        "files": {str(path): sha256(path) for path in files},
        "seed": seed,
    }
