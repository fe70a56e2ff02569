"""slidelake: feature store and embedding index for whole-slide images.

The six folders beside this file are links to the folders at the repository's root, so that the root
shows the parts and every tool still sees a plain `src` layout. Import them as `slidelake.store`, …;
never as `store`.
"""

from typing import TYPE_CHECKING, Any

from slidelake._version import __version__

__all__ = ["__version__", "open"]

if TYPE_CHECKING:
    from slidelake.services.lake import open


def __getattr__(name: str) -> Any:
    # PEP 562: torch, ray and lancedb are loaded by what needs them, so that `import slidelake` and
    # `slidelake --help` answer at once.
    if name == "open":
        from slidelake.services.lake import open

        return open
    raise AttributeError(f"module 'slidelake' has no attribute {name!r}")
