"""What is written on the command line, as values; what cannot be read is a usage error that shows what would be right."""

from __future__ import annotations

import datetime as dt

import typer


def moment(text: str) -> dt.datetime:
    """A time as the data contract reads it: without a zone it is UTC."""
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time; write for example 2024-05-01 or 2024-05-01T18:30:00+02:00") from error
    return time if time.tzinfo is not None else time.replace(tzinfo=dt.UTC)


def share_of(text: str) -> float:
    """A share in [0, 1], also as a percentage."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no share; write for example 1% or 0.01") from error
    if not 0 <= share <= 1:
        raise typer.BadParameter(f"{text!r} is not between 0 and 1")
    return share
