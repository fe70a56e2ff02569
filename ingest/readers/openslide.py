"""OpenSlide: the reader for every format that it knows, behind the one protocol."""

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import numpy as np
import openslide
from numpy.typing import NDArray

from slidelake.errors import DamagedSlideError, UnreadableSlideError
from slidelake.ingest.readers.refuse import refuse_damaged_tiles, refuse_pages, why_not_opened
from slidelake.ingest.readers.registry import register_reader
from slidelake.ingest.readers.tiff_layout import TiffPage, TiffTiles, is_tiff, read_layout
from slidelake.ingest.slide import render_thumbnail

__all__ = ["OpenSlideReader"]


@register_reader("openslide")
class OpenSlideReader:
    """A slide through OpenSlide. Raises SlideError with the reason where it cannot be opened.

    OpenSlide latches errors: after one bad tile every further read of that handle fails. A read that fails is
    tried once more on a fresh handle, which then serves the reads to come, so that one bad tile costs one patch.
    """

    name = "openslide"
    version = openslide.__library_version__

    def __init__(self, path: Path, uri: str, *, owned: TemporaryDirectory[str] | None = None) -> None:
        self.uri = uri
        self._path = path
        self._owned = owned
        self._lock = threading.Lock()
        self._closed = False
        try:
            pages = read_layout(path) if is_tiff(path) else []
        except OSError as exc:
            raise UnreadableSlideError(
                f"the file cannot be read ({exc.strerror})",
                remedy="Look whether it exists and may be read.",
                slide=uri,
            ) from exc
        refuse_pages(pages, uri)
        try:
            self._handle = openslide.OpenSlide(path)
        except openslide.OpenSlideError as exc:
            raise why_not_opened(path, uri, pages, str(exc).replace(str(path), path.name)) from exc
        self.dimensions: tuple[int, int] = self._handle.dimensions
        self.level_dimensions: tuple[tuple[int, int], ...] = self._handle.level_dimensions
        self.level_downsamples: tuple[float, ...] = self._handle.level_downsamples
        self.properties: Mapping[str, str] = dict(self._handle.properties)
        self._tiles = [_tiles_of(pages, size) for size in self.level_dimensions]
        if self._tiles[0] is not None:
            try:
                refuse_damaged_tiles(self._tiles[0], uri)
            except DamagedSlideError:
                self.close()
                raise

    @classmethod
    def knows(cls, path: Path) -> bool:
        """True: what it cannot open, it names."""
        return True

    def read_region(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB; transparent is white. Raises DamagedSlideError."""
        handle = self._handle
        try:
            image = handle.read_region((x, y), level, (width, height))
        except openslide.OpenSlideError:
            try:
                image = self._fresh_handle(handle).read_region((x, y), level, (width, height))
            except openslide.OpenSlideError as exc:
                raise DamagedSlideError(
                    f"the {width} x {height} px at ({x}, {y}) of level {level} cannot be decoded ({exc})",
                    remedy="Copy the file again from where it came from, and compare the sizes.",
                    slide=self.uri,
                ) from exc
        return _on_white(np.asarray(image))

    def fault(self, x: int, y: int, level: int, width: int, height: int) -> str:
        """Whether some tile of the region lies beyond the end of the file, or all were never written."""
        tiles = self._tiles[level]
        if tiles is None:
            return ""
        down = self.level_downsamples[level]
        window = tiles.window(x / down, y / down, width, height)
        if tiles.beyond[window].any():
            return "a tile lies beyond the end of the file"
        if tiles.missing[window].size and tiles.missing[window].all():
            return "its tiles were never written"
        return ""

    def thumbnail(self, max_px: int) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB, the longer side at most `max_px`; raises DamagedSlideError."""
        return render_thumbnail(self, max_px)

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._handle.close()
                if self._owned is not None:
                    self._owned.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fresh_handle(self, failed: Any) -> Any:
        with self._lock:
            # The failed handle is left to the garbage collector: other threads may still be reading with it.
            if self._handle is failed and not self._closed:
                with contextlib.suppress(openslide.OpenSlideError):
                    self._handle = openslide.OpenSlide(self._path)
            return self._handle


def _tiles_of(pages: list[TiffPage], size: tuple[int, int]) -> TiffTiles | None:
    """The tiles of the page that holds a level; None where it is not told by its size alone."""
    fitting = [page.tiles for page in pages if (page.width, page.height) == size and page.tiles]
    return fitting[0] if len(fitting) == 1 else None


def _on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = rgba[..., 3:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[..., :3])
    colour, share = rgba[..., :3].astype(np.uint16), alpha.astype(np.uint16)
    return np.asarray((colour * share + 255 * (255 - share) + 127) // 255, np.uint8)
