"""The one error of this package; a bad argument stays ``ValueError``."""


class SegmentationError(Exception):
    """A segmentation cannot be fitted on what was given, or its saved files are missing or damaged."""
