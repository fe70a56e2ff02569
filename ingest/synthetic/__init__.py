"""Synthetic H&E slides with their truth: something to try the lake on, and to measure retrieval with."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidelake.ingest.synthetic.atlas import DEFAULT_SIZE, SynthReport, synthesise
    from slidelake.ingest.synthetic.tissues import CLASS_NAMES, CLASSES

__all__ = ["CLASSES", "CLASS_NAMES", "DEFAULT_SIZE", "SynthReport", "synthesise"]


def __getattr__(name: str) -> Any:
    # numba takes a second to import: only who makes slides pays for it.
    if name in {"CLASSES", "CLASS_NAMES"}:
        from slidelake.ingest.synthetic import tissues

        return getattr(tissues, name)
    if name in __all__:
        from slidelake.ingest.synthetic import atlas

        return getattr(atlas, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
