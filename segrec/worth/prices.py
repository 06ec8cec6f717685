"""What a training asked of its language model took: tokens, seconds of waiting and money, for 1,000 customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

from segmentation.llm.usage import Usage

CUSTOMERS = 1000


@dataclass(frozen=True)
class Took:
    """Sums over one training.

    model:       the language model; None = there was none
    n_customers: known to the bundle
    parts:       what reading the texts took, and what naming the segments took, by name
    is_complete: it answered all that it was asked
    """

    model: str | None
    n_customers: int
    parts: Mapping[str, Usage]
    is_complete: bool

    @staticmethod
    def read(plain: Mapping[str, Any]) -> Took:
        """The inverse of ``asdict``."""
        return Took(**{**plain, "parts": {name: Usage(**usage) for name, usage in plain["parts"].items()}})

    @property
    def total(self) -> Usage:
        """Of all parts."""
        return sum(self.parts.values(), Usage())

    def for_thousand(self) -> dict[str, float]:
        """Tokens, seconds, requests and money for 1,000 customers."""
        share, total = CUSTOMERS / self.n_customers, self.total
        wanted = ("calls", "tokens_in", "tokens_out", "seconds", "cost")
        return {name: share * value for name, value in asdict(total).items() if name in wanted}


def took_of(manifest: Mapping[str, Any]) -> Took:
    """From the manifest of a bundle, which says what each answer took when it was first given."""
    said, voice = manifest["language_model"], manifest["voice"]
    if said is None:
        return Took(None, manifest["data"]["customers"], {}, True)
    parts = {} if voice is None else {"reading texts": Usage(**voice["usage"])}
    return Took(
        said["model"], manifest["data"]["customers"], {**parts, "naming segments": Usage(**said["naming"]["usage"])}, said["is_complete"]
    )


def price_table(took: Took) -> Table:
    """A row per part and their sum, then the sum for 1,000 customers."""
    whole = "" if took.is_complete else "; it did not answer all, so this is too little"
    table = Table(title=f"language model {took.model}, {took.n_customers:,} customers{whole}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("what for")
    for heading in ("requests", "tokens read", "tokens written", "seconds", "money"):
        table.add_column(heading, justify="right")
    for name, usage in {**took.parts, "all": took.total}.items():
        numbers = f"{usage.calls:,}", f"{usage.tokens_in:,}", f"{usage.tokens_out:,}", f"{usage.seconds:,.1f}", f"{usage.cost:.4f}"
        table.add_row(name, *numbers)
    per = took.for_thousand()
    counts = f"{per['calls']:,.1f}", f"{per['tokens_in']:,.0f}", f"{per['tokens_out']:,.0f}"
    table.add_row(f"for {CUSTOMERS:,} customers", *counts, f"{per['seconds']:,.1f}", f"{per['cost']:.4f}")
    return table
