"""The scores for a person, a document and a machine."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.table import Table
from rich.text import Text

from offline_eval.result import without_nan
from segrec.recovery.score import Score

ABSENT = "-"
HEADINGS = ("part", "measure", "found", "95 %", "chance", "best", "recovered", "n")
_WORDS = 2
"""Columns of words; the others are figures."""


def score_table(scores: Sequence[Score]) -> Table:
    """A row per score; `score_notes` says what chance and best are."""
    table = Table(title="how much of the planted truth was found", title_justify="left", box=box.SIMPLE_HEAD)
    for column, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if column < _WORDS else "right", no_wrap=True)
    for score in scores:
        table.add_row(*(Text(cell) for cell in _cells(score)))
    return table


def score_notes(scores: Sequence[Score]) -> list[str]:
    """What was measured, and what chance and best are, a line per score."""
    return [f"- {score.part}, {score.measure}: {score.note}." for score in scores]


def scores_to_json(scores: Sequence[Score]) -> str:
    """All fields and the share recovered; NaN becomes null."""
    return json.dumps(without_nan([{**asdict(score), "recovered": score.recovered} for score in scores]), indent=1, ensure_ascii=False)


def scores_to_markdown(scores: Sequence[Score]) -> str:
    """A table for a document, and the notes below it."""
    ruled = "|".join("---" if column < _WORDS else "---:" for column in range(len(HEADINGS)))
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{ruled}|"]
    lines += [f"| {' | '.join(_cells(score))} |" for score in scores]
    return "\n".join([*lines, "", *score_notes(scores)]) + "\n"


def _cells(score: Score) -> list[str]:
    interval = ABSENT if math.isnan(score.low) else f"{_figure(score.low)} to {_figure(score.high)}"
    recovered = ABSENT if math.isnan(score.recovered) else f"{score.recovered:.0%}"
    figures = [_figure(score.found), interval, _figure(score.chance), _figure(score.best), recovered]
    return [score.part, score.measure, *figures, f"{score.n:,}"]


def _figure(value: float) -> str:
    return ABSENT if math.isnan(value) else f"{value:.3f}"
