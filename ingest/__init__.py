"""Ingest: slides → tissue → grid → pixels → encoder → store, one slide at a time or many on Ray."""

from typing import TYPE_CHECKING, Any

from slidelake.ingest.grid import GridSpec
from slidelake.ingest.report import RunReport, SlideOutcome

if TYPE_CHECKING:
    from slidelake.ingest.pixels import area_average, read_patch
    from slidelake.ingest.readers import open_slide
    from slidelake.ingest.run import ingest
    from slidelake.ingest.slide import SlideReader
    from slidelake.ingest.synthetic import SynthReport, synthesise

__all__ = [
    "GridSpec",
    "RunReport",
    "SlideOutcome",
    "SlideReader",
    "SynthReport",
    "area_average",
    "ingest",
    "open_slide",
    "read_patch",
    "synthesise",
]

_HOME = {
    "SlideReader": "slide",
    "SynthReport": "synthetic",
    "area_average": "pixels",
    "ingest": "run",
    "open_slide": "readers",
    "read_patch": "pixels",
    "synthesise": "synthetic",
}


def __getattr__(name: str) -> Any:
    # numba, OpenSlide and OpenCV are loaded by what needs them.
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"slidelake.ingest.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
