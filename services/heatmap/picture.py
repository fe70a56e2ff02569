"""A heatmap as a picture: values over the slide's thumbnail, and beside it what the colours mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from slidelake.errors import StoreError, UnknownSlideError
from slidelake.services.heatmap.colours import colour_table, coloured
from slidelake.services.heatmap.raster import Raster, thumbnail_raster
from slidelake.services.heatmap.values import PatchValues
from slidelake.services.pen import INK, PALE, Pen, fitted

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["draw_heatmap", "draw_raster", "overlay"]

#: The longest side of the slide in the picture; a small thumbnail is enlarged to the least.
_LEAST, _MOST = 900, 4096
#: A patch is as wide at least, in px, where _MOST allows it.
_PATCH = 4
_PANEL, _MARGIN = 292, 24
_OUTSIDE = (246, 247, 249)


def draw_heatmap(
    patches: PatchValues,
    store: "FeatureStore",
    path: Path,
    *,
    opacity: float = 0.5,
    colours: str = "viridis",
    facts: Sequence[str] = (),
) -> Path:
    """Write a PNG of the values over the stored thumbnail (a blank slide where there is none) with its legend.

    `facts` are lines of the legend besides those that the values tell themselves.
    """
    image, notes = overlay(patches, store, opacity=opacity, colours=colours)
    height = max(image.height, 560)
    pen = Pen(image.width + 3 * _MARGIN + _PANEL, height + 2 * _MARGIN)
    top = _MARGIN + (height - image.height) // 2
    _legend(pen, patches, (image.width + 2 * _MARGIN, _MARGIN), colours, [*facts, *patches.notes, *notes])
    _scale_bar(pen, patches, store, image, (image.width + 2 * _MARGIN, height + _MARGIN))
    page = pen.image()
    # Pasted last: the slide's pixels are to be those of the thumbnail, not smoothed once more.
    page.paste(image, (_MARGIN, top))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)
    return path


def overlay(
    patches: PatchValues, store: "FeatureStore", *, opacity: float = 0.5, colours: str = "viridis"
) -> tuple[Image.Image, list[str]]:
    """The slide with its values alone, without a margin, and notes: pixel x of w shows level-0 (x + ½) · width / w."""
    notes = []
    try:
        base = Image.fromarray(np.asarray(store.overview(patches.slide_id).thumbnail, np.uint8))
    except (StoreError, UnknownSlideError):  # imported features have no overview
        notes.append("no thumbnail is stored: the slide is left blank")
        shrink = max(patches.size) / _LEAST
        base = Image.new("RGB", (_px(patches.size[0] / shrink), _px(patches.size[1] / shrink)), _OUTSIDE)
    base = base.resize(_drawn_size(patches, base.size), Image.Resampling.LANCZOS)
    values = thumbnail_raster(patches, base.width, base.height)
    low, high = _range(patches)
    colour = coloured(values, low, high, colours).astype(np.float32)
    seen = (~np.isnan(values)).astype(np.float32)[..., None]
    # Under the colours the slide loses its own: yellow over pink would be an orange that no legend has.
    grey = np.asarray(base.convert("L"), np.float32)[..., None]
    drained = seen * min(1.0, 2 * opacity)
    slide = np.asarray(base, np.float32) * (1 - drained) + grey * drained
    mixed = slide * (1 - opacity * seen) + colour * (opacity * seen)
    return Image.fromarray(np.round(mixed).astype(np.uint8)), notes


def draw_raster(raster: Raster, path: Path, *, colours: str = "viridis") -> Path:
    """Write a raster as a PNG of one pixel a patch, transparent where there is none."""
    seen = np.isfinite(raster.values)
    low, high = (raster.values[seen].min(), raster.values[seen].max()) if seen.any() else (0.0, 0.0)
    rgb = coloured(raster.values, float(low), float(high), colours)
    rgba = np.concatenate([rgb, np.where(seen, 255, 0).astype(np.uint8)[..., None]], axis=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgba, "RGBA").save(path)
    return path


def _drawn_size(patches: PatchValues, size: tuple[int, int]) -> tuple[int, int]:
    """The thumbnail's size times a whole number: enough to see the slide, and a patch on it."""
    longest = max(size)
    patch = min(patches.footprint[axis] * size[axis] / patches.size[axis] for axis in (0, 1))
    wanted = max(_LEAST / longest, _PATCH / patch)
    times = max(1, min(int(np.ceil(wanted)), _MOST // longest))
    return size[0] * times, size[1] * times


def _range(patches: PatchValues) -> tuple[float, float]:
    shown = patches.values[patches.shown]
    return (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 0.0)


def _legend(
    pen: Pen, patches: PatchValues, at: tuple[float, float], colours: str, facts: Sequence[str]
) -> None:
    left, top = at
    pen.text((left, top), fitted(patches.slide_id, ImageFont.load_default(19), _PANEL), 19)
    y = pen.paragraph((left, top + 32), patches.label, _PANEL, 14)
    y = _colour_bar(pen, patches, (left, y + 16), colours)
    shown = patches.shown
    lines = [f"{int(shown.sum()):,} patches of {patches.grid_id}"]
    if not shown.all():
        lines.append(f"{int((~shown).sum()):,} patches have no value and are not coloured")
    if patches.stride[0] < patches.footprint[0]:
        lines.append("overlapping patches: a place shows the mean of those over it")
    for line in [*lines, *facts]:
        y = pen.paragraph((left, y), line, _PANEL, 12, PALE) + 6


def _colour_bar(pen: Pen, patches: PatchValues, at: tuple[float, float], colours: str) -> float:
    """The map with the values at its ends and between; returns where it ends."""
    left, top = at
    low, high = _range(patches)
    table: NDArray[np.uint8] = colour_table(colours)
    length, width = 220, 22
    for place in range(length):
        r, g, b = (int(each) for each in table[255 - place * 256 // length])
        pen.box((left, top + place, left + width, top + place + 1.2), (r, g, b))
    if low == high:
        pen.text((left + width + 10, top + length / 2), f"{low:.4g} for all", 12, INK, "lm")
        return top + length + 16
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + length * (1 - share)
        value = low + (high - low) * share
        pen.line([(left + width, y), (left + width + 5, y)], PALE)
        pen.text((left + width + 10, y), _tick(patches, value, share), 12, INK, "lm")
    return top + length + 16


def _tick(patches: PatchValues, value: float, share: float) -> str:
    """What stands at a place of the colour bar; beside a rank, the value that has it."""
    end = {0.0: "  least", 1.0: "  most"}.get(share, "")
    if patches.sources is None:
        return f"{value:.4g}{end}"
    known = patches.sources[patches.shown]
    source = float(np.quantile(known, share))
    return f"{value:.0f} %  =  {source:.3g}{end}"


def _scale_bar(
    pen: Pen, patches: PatchValues, store: "FeatureStore", image: Image.Image, foot: tuple[float, float]
) -> None:
    """A length in the slide, where its mpp is known: a round number of µm or mm."""
    left, bottom = foot
    attributes = store.grid(patches.slide_id, patches.grid_id).attributes
    pen.text((left, bottom), "For research use only.", 11, PALE, "ld")
    effective = attributes.get("effective_mpp")
    patch_px = attributes.get("spec", {}).get("patch_px")
    if not effective or patch_px is None:
        return
    patch_um = float(effective[0]) * int(patch_px)
    um_per_px = patch_um / patches.footprint[0] * patches.size[0] / image.width
    pen.scale_bar((left, bottom - 30), um_per_px, 0.7 * _PANEL)


def _px(length: float) -> int:
    return max(1, round(length))
