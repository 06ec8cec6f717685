"""What can go wrong, as one tree; a bad argument stays ``ValueError``.

SegmentationError
└── LanguageModelError    no language model could be asked, or it answered nothing that can be used
"""

from __future__ import annotations

from segmentation.llm.usage import Usage


class SegmentationError(Exception):
    """A segmentation cannot be fitted on what was given, or its saved files are missing or damaged."""


class LanguageModelError(SegmentationError):
    """A language model cannot be reached, loaded or understood; what does without one may go on. usage: what asking in vain took."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        super().__init__(reason)
        self.usage = Usage() if usage is None else usage
