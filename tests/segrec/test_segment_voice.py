"""What reads the texts, and what a language model failed to teach, in words."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from segrec.segment_voice import is_by_terms, voice_lines
from segrec.show import manifest_tables

NOBODY = {
    "language_model": None,
    "problems": {},
    "sentiment": {"by": "words", "reason": "the embedding adds nothing"},
    "intent": {"by": "", "reason": "nothing teaches it: no language model, no labels"},
    "needs": {"by": "terms", "names": ["zip", "colour"]},
}
ASKED = {
    "language_model": "clerk",
    "problems": {"intent": "of 9 texts: 9 unreachable"},
    "sentiment": {"by": "both", "reason": "", "language_model": {"refused": "labels agree less with stars than words do, macro F1 0.7"}},
    "intent": {
        "by": "",
        "reason": "fewer than two classes have 20 labelled texts that differ",
        "ignored": "the encoder's head: nothing judges it",
    },
    "needs": {"by": "language model", "names": ["fit"]},
}


def test_without_a_language_model_terms_are_said_to_be_terms() -> None:
    moods, intents, needs = voice_lines(NOBODY)
    assert moods == "Moods are read by words alone (the embedding adds nothing)."
    assert intents == "Intents are not read: nothing teaches it: no language model, no labels."
    assert needs == "Needs are read by terms of the texts (there was no language model): zip, colour."
    assert (is_by_terms(NOBODY), is_by_terms(ASKED), is_by_terms(None)) == (True, False, False)


def test_what_a_language_model_failed_to_teach_is_said() -> None:
    moods, intents, needs = voice_lines(ASKED)
    assert moods.startswith("Moods are read by words and embeddings; the language model's labels were refused: labels agree less")
    assert intents.endswith(
        "differ; not used: the encoder's head: nothing judges it; the language model did not answer all, of 9 texts: 9 unreachable."
    )
    assert needs == "Needs are read by aspects that the language model found: fit."
    found_none = {**ASKED, "needs": {"by": "terms", "language_model": "no aspect is mentioned in 5 of 9 texts", "names": []}}
    assert "the language model found none: no aspect is mentioned" in voice_lines(found_none)[2]
    unread = {**ASKED, "needs": {"reason": "there is no sentiment", "names": []}}
    assert voice_lines(unread)[2] == "Needs are not read: there is no sentiment."


@pytest.mark.parametrize("facts", [NOBODY, ASKED])
def test_inspect_shows_it(facts: dict[str, object]) -> None:
    manifest: dict[str, Any] = {
        **dict.fromkeys(("version", "as_of"), "v"),
        "data": {"interactions": 1, "customers": 1, "items": 1, "first_event": "", "last_event": "", "fingerprint": ""},
        "config": {"sources": {}, "strategies": {}, "text": {"trunk": "package:bert"}},
        "texts": {"finetuning": None, "review_weights": {"item": 0.3, "customer": 0.0}},
        **{name: {} for name in ("files", "provenance", "libraries", "feature_shift", "indexes")},
        "segments": {"names": {}, "moves": [], "succession": None},
        "language_model": None,
        "metrics": {},
        "voice": facts,
    }
    file = io.StringIO()
    Console(file=file, width=400).print(manifest_tables(manifest)[0])
    assert [line for line in voice_lines(facts) if line not in file.getvalue()] == []
