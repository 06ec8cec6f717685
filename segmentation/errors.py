"""What can go wrong, as one tree; a bad argument stays ``ValueError``.

SegmentationError
└── LanguageModelError    no language model could be asked, or it answered nothing that can be used
"""


class SegmentationError(Exception):
    """A segmentation cannot be fitted on what was given, or its saved files are missing or damaged."""


class LanguageModelError(SegmentationError):
    """A language model cannot be reached, loaded or understood; what does without one may go on."""
