"""The patches of highest and of lowest value, as one sees them: what an aggregator looked at, and what it passed by."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from slidelake.services.heatmap.colours import coloured
from slidelake.services.heatmap.values import PatchValues
from slidelake.services.pen import INK, PALE, PAPER, fitted

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["draw_top_patches"]

_TILE, _GAP, _CAPTION, _MARGIN, _COLUMNS = 148, 14, 52, 28, 6
_FRAME = 5


def draw_top_patches(
    patches: PatchValues,
    store: "FeatureStore",
    space: str,
    path: Path,
    *,
    count: int = 12,
    colours: str = "viridis",
) -> Path:
    """Write a PNG of the `count` patches of highest value and, as control, as many of the lowest; none is in both."""
    from slidelake.services.gallery.pixels import Pixels

    rows = np.flatnonzero(patches.shown)
    order = rows[np.argsort(-patches.values[rows], kind="stable")]
    highest = order[:count]
    lowest = order[len(highest) :][::-1][:count]
    sections = [("highest", highest), ("lowest, as control", lowest)]
    sections = [each for each in sections if len(each[1])]
    columns = min(_COLUMNS, max(len(highest), 3))
    heights = [44 + -(-len(part) // columns) * (_TILE + _CAPTION + _GAP) for _, part in sections]
    width = 2 * _MARGIN + columns * (_TILE + _GAP) - _GAP
    sheet = Image.new("RGB", (width, 2 * _MARGIN + 60 + sum(heights)), PAPER)
    draw = ImageDraw.Draw(sheet)
    big, small = ImageFont.load_default(20), ImageFont.load_default(12)
    draw.text((_MARGIN, _MARGIN), fitted(patches.slide_id, big, width - 2 * _MARGIN), INK, font=big)
    words = patches.label
    if "attention" in patches.measures:
        words += "; below a patch its attention, and how many times an equal share that is"
    draw.text((_MARGIN, _MARGIN + 28), fitted(words, small, width - 2 * _MARGIN), PALE, font=small)
    top = _MARGIN + 60
    with Pixels(store, space) as pixels:
        for (heading, part), height in zip(sections, heights, strict=True):
            draw.text((_MARGIN, top), f"{len(part)} {heading}", INK, font=ImageFont.load_default(16))
            frames = _frames(patches, part, colours)
            for place, row in enumerate(part.tolist()):
                line, column = divmod(place, columns)
                x = _MARGIN + column * (_TILE + _GAP)
                y = top + 34 + line * (_TILE + _CAPTION + _GAP)
                picture = pixels.patch(patches.slide_id, *(int(each) for each in patches.coords[row]))
                sheet.paste(picture.image.resize((_TILE, _TILE), Image.Resampling.LANCZOS), (x, y))
                frame = tuple(int(each) for each in frames[place])
                draw.rectangle((x - 1, y - 1, x + _TILE, y + _TILE), outline=frame, width=_FRAME)
                for number, text in enumerate(_caption(patches, row, picture.note)):
                    ink = INK if number == 0 else PALE
                    draw.text((x, y + _TILE + 3 + 15 * number), fitted(text, small, _TILE), ink, font=small)
            top += height
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


def _frames(patches: PatchValues, rows: NDArray[np.int64], colours: str) -> NDArray[np.uint8]:
    shown = patches.values[patches.shown]
    return coloured(patches.values[rows], float(shown.min()), float(shown.max()), colours)


def _caption(patches: PatchValues, row: int, note: str) -> list[str]:
    attention = patches.measures.get("attention")
    if attention is None:
        head = f"{patches.values[row]:.4g}"
    else:
        times = patches.measures["attention x patches"][row]
        head = f"{attention[row]:.3g}   ({times:.2g} x)"
    x, y = (int(each) for each in patches.coords[row])
    return [head, f"row {row} at {x}, {y}", *([note] if note else [])]
