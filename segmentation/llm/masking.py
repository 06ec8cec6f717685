"""Personal data is taken out of a text before it leaves the machine; what a shop needs to understand it stays.

Replaced by a word in square brackets: e-mail addresses, links with a token or a person's data, card numbers, bank accounts, identity
numbers, telephone numbers, messenger accounts, and names from a given list. Kept: order and parcel numbers, product codes and barcodes,
prices, sizes, years and dates, and the addresses of pages. A number with the right check digit of a card, an IBAN or an identity card is
masked whatever stands before it. English and Chinese; people whose names nobody gave are not found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from segmentation.llm.names import Names
from segmentation.llm.patterns import RULES, folded


@dataclass(frozen=True)
class Finding:
    """One piece of personal data: text[start:end] of the text."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Masked:
    """A text without personal data, and what was found in it, by place."""

    text: str
    findings: tuple[Finding, ...]

    @property
    def n(self) -> int:
        """How many pieces were replaced."""
        return len(self.findings)


class Masker:
    """Masks by `patterns.RULES`, and the given names as `Names` finds them."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._finders = (*RULES, ("NAME", Names(names).find))

    def mask(self, text: str) -> Masked:
        """The text with its kind in brackets, for example [EMAIL], in the place of each finding; masking again changes nothing."""
        findings = self.find(text)
        parts, at = [], 0
        for finding in findings:
            parts += [text[at : finding.start], f"[{finding.kind}]"]
            at = finding.end
        return Masked("".join([*parts, text[at:]]), findings)

    def find(self, text: str) -> tuple[Finding, ...]:
        """All findings by place; none overlap, an earlier rule takes its letters from the later ones."""
        rest, found = folded(text), []
        for kind, finder in self._finders:
            for start, end in list(finder(rest)):
                found.append(Finding(kind, start, end))
                rest = rest[:start] + "\0" * (end - start) + rest[end:]
        return tuple(sorted(found, key=lambda finding: finding.start))
