"""The slides in a folder by their ids, and what their files tell: for features that came without it."""

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from slidelake.errors import DuplicateSlideError, ImplausibleMppError, MissingMppError, UsageError

if TYPE_CHECKING:
    from slidelake.store.interop import SlideFacts

__all__ = ["SlideFolder"]


class SlideFolder:
    """Callable: the facts of a slide by its id; None where the folder has no such slide.

    A file is opened when it is first asked for. Raises UsageError where there is no such folder; calling it
    raises SlideError where the slide's file cannot be read, or where two files have one name.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        from slidelake.ingest import find_slides
        from slidelake.store import slide_id_of

        place = Path(fspath(folder))
        if not place.is_dir():
            raise UsageError(f"there is no folder {place}", remedy="Give the folder with the slides.")
        self._folder = place
        self._uris: dict[str, list[str]] = {}
        for found in find_slides([str(place)]):
            name = slide_id_of(f"{found.stem}.tif" if found.stem else found.uri)
            self._uris.setdefault(name.casefold(), []).append(found.uri)

    def __call__(self, slide_id: str) -> "SlideFacts | None":
        from slidelake.ingest import open_slide, resolve_mpp, source_provenance
        from slidelake.store.interop import SlideFacts

        uris = self._uris.get(slide_id.casefold(), [])
        if not uris:
            return None
        if len(uris) > 1:
            raise DuplicateSlideError(
                f"{len(uris)} slides in {self._folder} have this name: {', '.join(uris[:3])}",
                remedy="Give a folder with one of them.",
                slide=slide_id,
            )
        with open_slide(uris[0]) as reader:
            size = reader.dimensions
            provenance = source_provenance(uris[0], reader)
            try:
                mpp = resolve_mpp(reader.properties, slide=slide_id)
            except (MissingMppError, ImplausibleMppError):
                # The features may not need it, or `--mpp` says it; else the import asks for it.
                return SlideFacts(size=size, provenance=provenance)
        return SlideFacts((mpp.x, mpp.y), mpp.source, size, provenance)
