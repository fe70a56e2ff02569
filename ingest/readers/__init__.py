"""Slide readers: one file each, one protocol (`slidelake.ingest.slide.SlideReader`), chosen by `open_slide`."""

from pathlib import Path

from slidelake.errors import UnreadableSlideError
from slidelake.ingest.readers.openslide import OpenSlideReader
from slidelake.ingest.readers.registry import reader_names, readers, register_reader
from slidelake.ingest.readers.remote import fetch, is_remote, local_path
from slidelake.ingest.slide import SlideReader

__all__ = ["OpenSlideReader", "open_slide", "reader_names", "register_reader"]


def open_slide(uri: str | Path, *, reader: str = "auto") -> SlideReader:
    """Opens a slide by path or fsspec URL (a DICOM series by its folder); remote ones are copied first.

    Raises SlideError: UnreadableSlideError, UnsupportedSlideError, FluorescenceError, DamagedSlideError;
    UsageError for a reader that is not registered.
    """
    candidates = readers(reader)
    name = str(uri)
    path, owned = fetch(name) if is_remote(name) else (local_path(name), None)
    try:
        path = _entry(path, name)
        chosen = next((each for each in candidates if each.knows(path)), candidates[-1])
        return chosen(path, name, owned=owned)
    except BaseException:
        if owned is not None:
            owned.cleanup()
        raise


def _entry(path: Path, uri: str) -> Path:
    """The file to open: for a folder its first DICOM file, which stands for the series."""
    if not path.exists():
        raise UnreadableSlideError("there is no such file", remedy="Look at the path.", slide=uri)
    if not path.is_dir():
        return path
    inside = sorted(each for each in path.iterdir() if each.suffix.lower() == ".dcm")
    if not inside:
        raise UnreadableSlideError(
            "the folder holds no DICOM files", remedy="Give a slide, or a folder of one DICOM series.", slide=uri
        )
    return inside[0]
