"""The version, apart from the package's own module, so that every part may read it."""

__version__ = "0.1.0"
