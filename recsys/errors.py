"""What can go wrong, as one tree.

    RecsysError
    ├── ConfigError    the TOML file, or a name in it, is wrong
    ├── DataError      a table breaks the data contract, or training data cannot be used
    │   └── LeakError  something was fitted on what it should predict
    └── BundleError    a bundle is damaged, incomplete, or of a format this version does not read

A bad argument stays ``ValueError``. Every message says what was wrong (with the value), where, and what would be right.
"""


class RecsysError(Exception):
    """Base of all errors that a caller of the engine may want to catch."""


class ConfigError(RecsysError):
    """The configuration, or a name it refers to, is wrong."""


class DataError(RecsysError):
    """A table breaks the data contract, or the data cannot be trained on."""


class LeakError(DataError):
    """A source was fitted on data that contains the labels of the ranker."""


class BundleError(RecsysError):
    """A bundle is damaged, incomplete, or written in another format."""
