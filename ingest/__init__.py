"""Ingest: slides → tissue → grid → pixels → encoder → store, one slide at a time or many on Ray."""

from typing import TYPE_CHECKING, Any

from slidelake.ingest.grid import GridSpec
from slidelake.ingest.report import RunReport, SlideOutcome

if TYPE_CHECKING:
    from slidelake.ingest.mpp import resolve_mpp
    from slidelake.ingest.pixels import area_average, read_patch
    from slidelake.ingest.provenance import source_provenance
    from slidelake.ingest.readers import open_slide
    from slidelake.ingest.run import ingest
    from slidelake.ingest.slide import SlideReader
    from slidelake.ingest.sources import find_slides
    from slidelake.ingest.synthetic import SynthReport, synthesise

__all__ = [
    "GridSpec",
    "RunReport",
    "SlideOutcome",
    "SlideReader",
    "SynthReport",
    "area_average",
    "find_slides",
    "ingest",
    "open_slide",
    "read_patch",
    "resolve_mpp",
    "source_provenance",
    "synthesise",
]

_HOME = {
    "SlideReader": "slide",
    "SynthReport": "synthetic",
    "area_average": "pixels",
    "find_slides": "sources",
    "ingest": "run",
    "open_slide": "readers",
    "read_patch": "pixels",
    "resolve_mpp": "mpp",
    "source_provenance": "provenance",
    "synthesise": "synthetic",
}


def __getattr__(name: str) -> Any:
    # numba, OpenSlide and OpenCV are loaded by what needs them.
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"slidelake.ingest.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
