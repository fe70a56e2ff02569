"""The OpenSlide reader: every format that the OpenSlide library knows.

OpenSlide latches errors: after one region that cannot be decoded, a handle answers every call with that error.
Here a damaged region costs itself only: a fresh handle takes over.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import openslide
from numpy.typing import NDArray
from PIL import Image

from slidelake.errors import DamagedSlideError, SlideError, UnreadableSlideError, UnsupportedSlideError
from slidelake.ingest.local_copy import LocalCopy
from slidelake.ingest.structure import check_structure

__all__ = ["OpenSlideReader", "open"]

_WHITE = 255
#: Regions larger than this are read in strips (pixels): OpenSlide returns 4 bytes a pixel.
_STRIP_PIXELS = 16_000_000
#: A part that cannot be decoded is halved down to this side (pixels).
_SMALLEST = 64
#: A region of which more than this lies on missing tiles was not scanned, or not written.
MISSING_SHARE = 0.5


def open(uri: str) -> "OpenSlideReader":
    """Open with OpenSlide; see `open_slide`."""
    return OpenSlideReader(uri)


class OpenSlideReader:
    """A slide through OpenSlide; remote files are copied to a temporary one for as long as it is open."""

    name = "openslide"

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.version = f"{openslide.__version__}/{openslide.__library_version__}"
        self._lock = threading.Lock()
        self._inside = 0
        self._closed = False
        self._copy = LocalCopy(uri)
        #: Where the file lies on this machine while the slide is open.
        self.local_path = self._copy.path
        try:
            self._tiles = check_structure(self.local_path, uri)
            self._handle = self._open()
            self._dimensions = tuple(self._handle.dimensions)
            self._level_dimensions = tuple((int(w), int(h)) for w, h in self._handle.level_dimensions)
            self._level_downsamples = tuple(float(d) for d in self._handle.level_downsamples)
            self._properties = dict(self._handle.properties)
        except BaseException:
            self._copy.close()
            raise

    def _open(self) -> openslide.OpenSlide:
        try:
            return openslide.OpenSlide(self.local_path)
        except openslide.OpenSlideUnsupportedFormatError as exc:
            raise _unsupported(self.local_path, self.uri) from exc
        except openslide.OpenSlideError as exc:
            raise UnreadableSlideError(
                f"OpenSlide cannot open it: {exc}",
                remedy="Open it in another viewer; if that fails too, fetch the file again.",
                slide=self.uri,
            ) from exc
        except OSError as exc:
            raise UnreadableSlideError(
                f"the file cannot be read: {exc.strerror or exc}",
                remedy="Check the path and its permissions.",
                slide=self.uri,
            ) from exc

    @property
    def dimensions(self) -> tuple[int, int]:
        width, height = self._dimensions
        return int(width), int(height)

    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        return self._level_dimensions

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        return self._level_downsamples

    @property
    def properties(self) -> Mapping[str, str]:
        return self._properties

    def read_region(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        downsample = self._level_downsamples[level]
        missing = self._tiles.missing_share(
            self._level_dimensions[level], x / downsample, y / downsample, width, height
        )
        if missing > MISSING_SHARE:
            raise DamagedSlideError(
                f"{missing:.0%} of the region at {x}, {y} (level {level}) lies on tiles that were never written",
                remedy="Fetch the file again from where it was scanned.",
                slide=self.uri,
            )
        return self._read(x, y, level, width, height)

    def _read(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        with self._lock:
            if self._closed:
                raise UnreadableSlideError("the slide is closed", remedy="Open it again.", slide=self.uri)
            self._inside += 1
        try:
            return self._read_open(x, y, level, width, height)
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1
            last = self._closed and self._inside == 0
        if last:
            self._release()

    def _read_open(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        handle = self._handle
        try:
            return _on_white(handle.read_region((x, y), level, (width, height)))
        except openslide.OpenSlideError:
            # Maybe another thread's region latched the handle: only a fresh one can tell.
            return self._read_afresh(handle, x, y, level, width, height)

    def _read_afresh(
        self, broken: openslide.OpenSlide, x: int, y: int, level: int, width: int, height: int
    ) -> NDArray[np.uint8]:
        fresh = self._open()
        try:
            region = _on_white(fresh.read_region((x, y), level, (width, height)))
        except openslide.OpenSlideError as exc:
            fresh.close()
            fresh = self._open()
            raise DamagedSlideError(
                f"the region at {x}, {y} (level {level}) cannot be decoded: {exc}",
                remedy="Fetch the file again from where it was scanned.",
                slide=self.uri,
            ) from exc
        finally:
            with self._lock:
                if self._handle is broken:
                    # The broken one is not closed: other threads may be inside it. Its memory goes with them.
                    self._handle = fresh
                else:
                    fresh.close()
        return region

    def thumbnail(self, longest: int) -> NDArray[np.uint8]:
        from slidelake.ingest.pixels import area_average

        width, height = self.dimensions
        scale = max(width, height) / longest
        level = max(
            (i for i, d in enumerate(self._level_downsamples) if d <= max(scale, 1.0)),
            key=lambda i: self._level_downsamples[i],
        )
        level_width, level_height = self._level_dimensions[level]
        out_width = max(1, min(level_width, round(width / max(scale, 1.0))))
        out_height = max(1, min(level_height, round(height / max(scale, 1.0))))
        sx, sy = level_width / out_width, level_height / out_height
        picture = np.empty((out_height, out_width, 3), np.uint8)
        rows = max(1, int(_STRIP_PIXELS / level_width / sy))
        downsample = self._level_downsamples[level]
        for first in range(0, out_height, rows):
            last = min(first + rows, out_height)
            top = int(np.floor(first * sy))
            bottom = min(level_height, int(np.ceil(last * sy)))
            strip = self._read_or_white(0, round(top * downsample), level, level_width, bottom - top)
            picture[first:last] = area_average(
                strip, 0.0, first * sy - top, sx, sy, (last - first, out_width)
            )
        return picture

    def _read_or_white(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        """A part for the thumbnail: what cannot be decoded is white there, and found again patch by patch."""
        try:
            return self._read(x, y, level, width, height)
        except DamagedSlideError:
            part = np.full((height, width, 3), _WHITE, np.uint8)
        if max(width, height) <= _SMALLEST:
            return part
        # Halve it along its longer side: what is damaged is soon alone.
        downsample = self._level_downsamples[level]
        if width >= height:
            half = width // 2
            right = x + round(half * downsample)
            part[:, :half] = self._read_or_white(x, y, level, half, height)
            part[:, half:] = self._read_or_white(right, y, level, width - half, height)
        else:
            half = height // 2
            below = y + round(half * downsample)
            part[:half] = self._read_or_white(x, y, level, width, half)
            part[half:] = self._read_or_white(x, below, level, width, height - half)
        return part

    def close(self) -> None:
        # OpenSlide crashes where a handle is closed under a thread that reads: the last one out closes it.
        with self._lock:
            idle = not self._closed and self._inside == 0
            self._closed = True
        if idle:
            self._release()

    def _release(self) -> None:
        self._handle.close()
        self._copy.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _on_white(image: Image.Image) -> NDArray[np.uint8]:
    """RGBA to RGB, as if it lay on white: what was not scanned is background, not black."""
    rgba = np.asarray(image)
    rgb = np.ascontiguousarray(rgba[..., :3])
    alpha = rgba[..., 3]
    if alpha.min() == _WHITE:
        return rgb
    share = alpha[..., None].astype(np.uint16)
    return np.asarray((rgb * share + _WHITE * (_WHITE - share) + 127) // _WHITE, dtype=np.uint8)


def _unsupported(path: str, uri: str) -> SlideError:
    if not Path(path).exists():
        return UnreadableSlideError("there is no such file", remedy="Check the path.", slide=uri)
    return UnsupportedSlideError(
        "this is no slide that OpenSlide knows",
        remedy="Give a pyramidal, tiled slide (SVS, NDPI, SCN, MRXS, DICOM, tiled TIFF, …), or convert it to one.",
        slide=uri,
    )
