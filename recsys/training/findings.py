"""What a manifest says of the customers: their segments and who moved, what reads their texts, and what the language model did."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from recsys.data.vocabulary import Vocabulary
from recsys.training.customers import NAMING, SUCCESSION, Customers
from recsys.training.former import HeldSegments, changed_share
from recsys.training.runner import Asked
from segmentation.model import SegmentationModel
from segmentation.profile import Profiles
from segmentation.reading import VoiceModel


def customer_findings(customers: Customers, asked: Asked | None, known: Vocabulary, before: Path | None, shipped: Path) -> dict[str, Any]:
    """The entries ``segments``, ``voice`` (None = nobody wrote anything) and ``language_model`` (None = there was none).

    known: customers as the shipped profiles number them
    before, shipped: folders of the profiles of the last ranking period, and of those that are shipped
    """
    model, profiles = SegmentationModel.load(customers.segmentation), Profiles.load(shipped)
    voice = None if customers.voice is None else VoiceModel.load(customers.voice)
    moves = [] if before is None else [_moved("ranking period", Profiles.load(before), profiles)]
    if customers.former is not None:
        moves.append(_moved(f"bundle {customers.former.version}", customers.former.held(known), profiles))
    succession = customers.segmentation / SUCCESSION
    return {
        "segments": {
            "names": {segment.id: segment.name for segment in model.segments},
            "moves": moves,
            "succession": _plain(succession) if succession.is_file() else None,
        },
        "voice": None if voice is None else voice.facts(),
        "language_model": None if asked is None else _answered(customers, asked, model, voice),
    }


def _moved(what: str, before: HeldSegments | Profiles, after: Profiles) -> dict[str, Any]:
    """Since when, and the share of customers whose segment has another id now; None where nobody can be compared."""
    share = changed_share(before, after)
    return {"since": what, "as_of": str(before.as_of), "changed_share": None if math.isnan(share) else share}


def _plain(path: Path) -> Any:
    """What a file says, None where it says NaN, which JSON does not have."""
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)


def _answered(customers: Customers, asked: Asked, model: SegmentationModel, voice: VoiceModel | None) -> dict[str, Any]:
    """What naming took, and whether all that was asked of the model was answered; what labelling took is among the facts of the voice."""
    naming = json.loads((customers.segmentation / NAMING).read_text(encoding="utf-8"))
    return {
        "model": asked.model.model,
        "is_complete": not naming["failed"] and (voice is None or voice.is_complete),
        "naming": naming,
        "named_by_terms": [segment.id for segment in model.segments if segment.is_named_by_terms],
    }
