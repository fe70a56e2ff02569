"""Pixels for the gallery: a patch from its slide where that can be read, else from the stored thumbnail."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from slidelake.errors import SlideError, StoreError, UnknownSlideError

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["Picture", "Pixels"]

log = logging.getLogger(__name__)

#: The mark of a place on a thumbnail: teal stands out from every H&E colour, the white rim from dark tissue.
_MARK = (0, 137, 150)
_RIM = (255, 255, 255)
#: Thumbnail pixels shown at least around a patch, when there is nothing better: fewer are a blot of colour.
_MIN_CROP = 24


@dataclass(frozen=True)
class Picture:
    """An RGB image, what it shows (for those who cannot see it), and what should be known about it."""

    image: Image.Image
    alt: str
    note: str = ""


class Pixels:
    """Reads patches and thumbnails of one store's slides; keeps each slide open until closed."""

    def __init__(self, store: FeatureStore, space: str) -> None:
        self._store = store
        self._space = space
        self._grid_id, _, self._encoder_id = space.partition("/")
        self._readers: dict[str, Any] = {}

    def __enter__(self) -> Pixels:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers.values():
            if reader is not None:
                reader.close()

    def patch(self, slide_id: str, x: int, y: int) -> Picture:
        """The patch whose top-left corner is level-0 (x, y), as the encoder saw it where the slide can be
        read.
        """
        attributes = self._store.grid(slide_id, self._grid_id).attributes
        alt = f"Patch of {slide_id} at {x}, {y}"
        reader = self._reader(slide_id)
        if reader is not None:
            from slidelake.ingest import read_patch

            try:
                return Picture(Image.fromarray(read_patch(reader, attributes, x, y)), alt)
            except (SlideError, OSError) as exc:
                log.warning("patch not read", extra={"slide_id": slide_id, "why": str(exc)})
        return self._from_thumbnail(slide_id, x, y, attributes)

    def thumbnail(self, slide_id: str, x: int | None = None, y: int | None = None) -> Picture:
        """The stored thumbnail, the patch at level-0 (x, y) marked on it."""
        image = self._thumbnail(slide_id)
        if image is None:
            return Picture(
                Image.new("RGB", (64, 64), (236, 238, 241)), f"No thumbnail of {slide_id}", "no thumbnail"
            )
        if x is None or y is None:
            return Picture(image, f"Slide {slide_id}")
        box = self._box(slide_id, image, x, y)
        image = _mark(image, box)
        return Picture(image, f"Slide {slide_id}, the patch at {x}, {y} marked")

    def region(self, slide_id: str, box: tuple[int, int, int, int]) -> Picture:
        """The stored thumbnail, a box (x, y, width, height in level-0 px) marked on it."""
        image = self._thumbnail(slide_id)
        if image is None:
            return self.thumbnail(slide_id)
        width, height = self._size(slide_id, self._store.grid(slide_id, self._grid_id).attributes)
        sx, sy = image.width / width, image.height / height
        x, y, w, h = box
        return Picture(
            _mark(image, (x * sx, y * sy, (x + w) * sx, (y + h) * sy)),
            f"Slide {slide_id}, the region of {w} × {h} px at {x}, {y} marked",
        )

    def side_um(self, slide_id: str) -> float | None:
        """Side of a patch in µm; None where the grid does not say."""
        attributes = self._store.grid(slide_id, self._grid_id).attributes
        mpp = (attributes.get("effective_mpp") or [attributes.get("spec", {}).get("mpp")])[0]
        side = attributes.get("spec", {}).get("patch_px")
        return None if mpp is None or side is None else float(mpp) * int(side)

    def properties(self, slide_id: str) -> Mapping[str, str]:
        """What the slide's own file says of itself, under OpenSlide's names; nothing where it cannot be read."""
        reader = self._reader(slide_id)
        return {} if reader is None else reader.properties

    def _reader(self, slide_id: str) -> Any | None:
        if slide_id not in self._readers:
            self._readers[slide_id] = self._open(slide_id)
        return self._readers[slide_id]

    def _open(self, slide_id: str) -> Any | None:
        commit = self._store.commit(slide_id, "bag", self._grid_id, self._encoder_id)
        origin = commit.provenance if commit is not None else {}
        uri = str(origin.get("source_uri") or "")
        if not uri or _remote(uri) or not _same_size(uri, origin.get("source_size")):
            return None
        from slidelake.ingest import open_slide

        try:
            return open_slide(uri)
        except (SlideError, OSError) as exc:  # moved, or on a disk that is not here: the thumbnail has to do
            log.info("slide not reachable", extra={"slide_id": slide_id, "why": str(exc)})
            return None

    def _thumbnail(self, slide_id: str) -> Image.Image | None:
        try:
            overview = self._store.overview(slide_id)
        except (StoreError, UnknownSlideError, FileNotFoundError):  # imported features have no overview
            return None
        return Image.fromarray(np.asarray(overview.thumbnail, dtype=np.uint8))

    def _box(self, slide_id: str, image: Image.Image, x: int, y: int) -> tuple[float, float, float, float]:
        """The patch in thumbnail pixels: left, top, right, bottom."""
        attributes = self._store.grid(slide_id, self._grid_id).attributes
        width, height = self._size(slide_id, attributes)
        fx, fy = attributes["footprint_level0"]
        sx, sy = image.width / width, image.height / height
        return x * sx, y * sy, (x + fx) * sx, (y + fy) * sy

    def _size(self, slide_id: str, attributes: Mapping[str, Any]) -> tuple[int, int]:
        size = attributes.get("slide_size")
        if size is None:  # imported features may not know how large their slide is
            facts = self._store.overview(slide_id).attributes
            size = facts["width"], facts["height"]
        return int(size[0]), int(size[1])

    def _from_thumbnail(self, slide_id: str, x: int, y: int, attributes: dict[str, Any]) -> Picture:
        note = "not the slide: its thumbnail, enlarged"
        # A grid that was put by hand need not say how large the encoder saw it.
        side = int(attributes.get("spec", {}).get("patch_px", 256))
        image = self._thumbnail(slide_id)
        if image is None:
            blank = Image.new("RGB", (side, side), (236, 238, 241))
            return Picture(blank, f"No picture of {slide_id}", "neither slide nor thumbnail")
        left, top, right, bottom = self._box(slide_id, image, x, y)
        half = max(right - left, bottom - top, _MIN_CROP) / 2
        cx, cy = (left + right) / 2, (top + bottom) / 2
        around = (cx - half, cy - half, cx + half, cy + half)
        # `transform` fills what lies beyond the thumbnail's edge; white, as outside a slide.
        crop = image.transform(
            (side, side), Image.Transform.EXTENT, around, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255)
        )
        zoom = side / (2 * half)
        box = tuple(zoom * (v - o) for v, o in zip((left, top, right, bottom), around[:2] * 2, strict=True))
        if right - left < 2 * half - 1:
            ImageDraw.Draw(crop).rectangle(box, outline=_MARK, width=3)
        return Picture(crop, f"Surroundings of the patch of {slide_id} at {x}, {y}, from the thumbnail", note)


def _remote(uri: str) -> bool:
    """Would opening it fetch the whole slide? A gallery of twenty hits must not copy twenty slides."""
    return "://" in uri and not uri.startswith("file://")


def _same_size(uri: str, size: object) -> bool:
    """Is a local slide of the size that was ingested? Another file under its name has other pixels."""
    path = Path(uri.removeprefix("file://"))
    return not path.is_file() or not isinstance(size, int) or path.stat().st_size == size


def _mark(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """`image` with the box outlined, or ringed where it is too small for its outline to be seen."""
    marked = image.copy()
    draw = ImageDraw.Draw(marked)
    unit = max(image.size) / 100
    line = max(1, round(1.8 * unit))
    rim = line // 2 + 1
    if min(box[2] - box[0], box[3] - box[1]) >= 8 * unit:
        left, top, right, bottom = (round(value) for value in box)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=_RIM, width=line + rim)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=_MARK, width=line)
        return marked
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    radius = 6 * unit
    for extra, colour in ((rim, _RIM), (0, _MARK)):
        r = radius + extra
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), outline=colour, width=line + 2 * extra)
    dot = max(1.0, 1.1 * unit)
    draw.ellipse((cx - dot, cy - dot, cx + dot, cy + dot), fill=_MARK)
    return marked
