"""Where the picked patches lie: their outlines over the stored thumbnail, and beside it what was picked and dropped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from slidelake.errors import StoreError, UnknownSlideError
from slidelake.services.gallery.picture import plain
from slidelake.services.pen import INK, PALE, Pen, fitted
from slidelake.services.representatives_sheet import ARM_COLOURS, ARM_WORDS

if TYPE_CHECKING:
    from slidelake.index.representatives import Representatives
    from slidelake.store import FeatureStore

__all__ = ["draw_map"]

#: The longest side of the slide in the picture; a small thumbnail is enlarged to the least.
_LEAST, _MOST = 900, 4096
#: An outline is as wide at least, in px, however small the patch.
_OUTLINE = 7
_PANEL, _MARGIN = 292, 24
_OUTSIDE = (246, 247, 249)


def draw_map(picked: Representatives, store: FeatureStore, path: Path) -> Path:
    """Write a PNG of the slide with the picked patches outlined, a colour an arm (a blank slide without thumbnail)."""
    size = _slide_size(picked, store)
    base, notes = _base(picked, store, size)
    scale = base.width / size[0], base.height / size[1]
    image = _outlined(base, picked, scale)
    height = max(image.height, 560)
    pen = Pen(image.width + 3 * _MARGIN + _PANEL, height + 2 * _MARGIN)
    left = image.width + 2 * _MARGIN
    _legend(pen, picked, (left, _MARGIN), notes)
    pen.text((left, height + _MARGIN), "For research use only.", 11, PALE, "ld")
    um_per_px = _um_per_px(picked, store, scale[0])
    if um_per_px:
        pen.scale_bar((left, height + _MARGIN - 30), um_per_px, 0.7 * _PANEL)
    page = pen.image()
    # Pasted last: the slide's pixels are to be those of the thumbnail, not smoothed once more.
    page.paste(image, (_MARGIN, _MARGIN + (height - image.height) // 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)
    return path


def _base(
    picked: Representatives, store: FeatureStore, size: tuple[int, int]
) -> tuple[Image.Image, list[str]]:
    notes = []
    try:
        image = Image.fromarray(np.asarray(store.overview(picked.slide_id).thumbnail, np.uint8))
    except (StoreError, UnknownSlideError):  # imported features have no overview
        notes.append("no thumbnail is stored: the slide is left blank")
        shrink = max(size) / _LEAST
        image = Image.new("RGB", (max(1, round(size[0] / shrink)), max(1, round(size[1] / shrink))), _OUTSIDE)
    times = max(1, min(-(-_LEAST // max(image.size)), _MOST // max(image.size)))
    return image.resize((image.width * times, image.height * times), Image.Resampling.LANCZOS), notes


def _outlined(base: Image.Image, picked: Representatives, scale: tuple[float, float]) -> Image.Image:
    image = base.copy()
    draw = ImageDraw.Draw(image)
    sides = picked.footprint or (0.0, 0.0)
    boxes = []
    for pick, (x, y) in zip(picked.reasons, picked.coords.tolist(), strict=True):
        middle = (x + sides[0] / 2) * scale[0], (y + sides[1] / 2) * scale[1]
        half = [max(side * each, _OUTLINE) / 2 for side, each in zip(sides, scale, strict=True)]
        box = (middle[0] - half[0], middle[1] - half[1], middle[0] + half[0] - 1, middle[1] + half[1] - 1)
        boxes.append((box, ARM_COLOURS[pick.arm]))
    line = 2 if min(box[2] - box[0] for box, _ in boxes) < 24 else 3
    # All rims first: a rim must not cut through a neighbour's outline.
    for box, _ in boxes:
        draw.rectangle(
            (box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), outline=(255, 255, 255), width=line + 2
        )
    for box, colour in boxes:
        draw.rectangle(box, outline=colour, width=line)
    return image


def _legend(pen: Pen, picked: Representatives, at: tuple[float, float], notes: list[str]) -> None:
    left, top = at
    pen.text((left, top), fitted(picked.slide_id, ImageFont.load_default(19), _PANEL), 19)
    y = pen.paragraph(
        (left, top + 32), f"{len(picked):,} representative patches of {picked.total:,}", _PANEL, 14
    )
    y = pen.paragraph((left, y), picked.space, _PANEL, 12, PALE) + 12
    for arm, number in picked.counts.items():
        pen.box((left, y, left + 14, y + 14), ARM_COLOURS[arm])
        pen.text((left + 24, y), f"{number:,} {ARM_WORDS[arm]}", 13, INK)
        y += 24
    y += 8
    for rule, number in picked.dropped.items():
        if number:
            pen.text((left, y), f"{number:,} left out: {rule}", 12, INK)
            y += 18
    y += 8
    for note in (*picked.notes, *notes):
        y = pen.paragraph((left, y), plain(note), _PANEL, 12, PALE) + 6


def _slide_size(picked: Representatives, store: FeatureStore) -> tuple[int, int]:
    grid = store.grid(picked.slide_id, picked.space.partition("/")[0])
    size = grid.attributes.get("slide_size")
    if size is None:  # imported features may not know it: what the patches cover is shown
        size = np.ceil(grid.coords.max(axis=0) + (picked.footprint or (1.0, 1.0)))
    return max(1, int(size[0])), max(1, int(size[1]))


def _um_per_px(picked: Representatives, store: FeatureStore, scale: float) -> float | None:
    attributes = store.grid(picked.slide_id, picked.space.partition("/")[0]).attributes
    effective, side = attributes.get("effective_mpp"), attributes.get("spec", {}).get("patch_px")
    if not effective or side is None or picked.footprint is None:
        return None
    return float(effective[0]) * int(side) / picked.footprint[0] / scale
