"""An image as a query: opened, cut to the space's patch and scaled to its pixels, as ingest makes patches."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from slidelake.errors import QueryError

__all__ = ["ImageQuery", "prepare_image"]

#: Below this side an image holds no tissue architecture to compare.
MIN_SIDE = 32
_MOST_PIXELS = 89_478_485  # where Pillow begins to warn
_SENT_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
_COLOUR_MODES = frozenset({"RGB", "RGBA", "P", "CMYK", "YCbCr", "RGBX"})


@dataclass(frozen=True)
class ImageQuery:
    """Pixels uint8 (px, px, 3) as the encoder takes them, the image's name, and what was assumed."""

    pixels: np.ndarray
    name: str
    notes: tuple[str, ...] = ()


def prepare_image(
    image: str | os.PathLike[str] | bytes | np.ndarray,
    *,
    patch_px: int,
    space_mpp: float | None,
    mpp: float | None,
) -> ImageQuery:
    """Centre square of `image` that covers what a patch of the space covers, area-averaged to `patch_px`.

    `mpp` is the image's microns per pixel; without it the space's own is taken for it, and the notes say so.
    QueryError for what is not a colour image of at least 32 px.
    """
    picture, name = (_from_array(image), "array") if isinstance(image, np.ndarray) else _open(image)
    width, height = picture.size
    short = min(width, height)
    if short < MIN_SIDE:
        raise QueryError(
            f"{name} is {width} × {height} px, too small to compare",
            remedy=f"Give an image of at least {MIN_SIDE} px a side, best {patch_px} px.",
        )
    notes = []
    scale = 1.0
    if mpp is not None:
        if not (np.isfinite(mpp) and 0.01 <= mpp <= 100):
            raise QueryError(
                f"an image cannot have {mpp!r} µm/px", remedy="Give its microns per pixel, such as 0.5."
            )
        if space_mpp is None:
            raise QueryError(
                "the space has no µm/px to scale the image to",
                remedy="Leave mpp out: the image is then taken to be at the space's own resolution.",
            )
        scale = space_mpp / mpp
    elif (width, height) != (patch_px, patch_px):
        at = "level-0 resolution" if space_mpp is None else f"{space_mpp:g} µm/px"
        notes.append(f"{name} was taken to be at the space's {at}: pass its mpp if it is not")
    wanted = max(1, round(patch_px * scale))
    side = min(wanted, short)
    if side < wanted:
        notes.append(
            f"{name} covers {side / wanted:.0%} of a patch's side: it was enlarged, which shifts scores"
        )
    elif (width, height) != (side, side):
        notes.append(f"the central {side} × {side} px of {name}'s {width} × {height} px were used")
    left, top = (width - side) // 2, (height - side) // 2
    cut = picture.crop((left, top, left + side, top + side))
    if side != patch_px:
        # BOX is the area average when it shrinks; enlarging has no area to average.
        resample = Image.Resampling.BOX if side > patch_px else Image.Resampling.BICUBIC
        cut = cut.resize((patch_px, patch_px), resample)
    return ImageQuery(np.asarray(cut, dtype=np.uint8), name, tuple(notes))


def _open(image: str | os.PathLike[str] | bytes) -> tuple[Image.Image, str]:
    # What came over a network is opened by the common formats' decoders alone.
    sent = isinstance(image, bytes)
    file = Path("the image") if isinstance(image, bytes) else Path(image)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # odd TIFF tags
            with Image.open(
                io.BytesIO(image) if isinstance(image, bytes) else file,
                formats=_SENT_FORMATS if sent else None,
            ) as picture:
                # Filters of warnings are shared by all threads: a server must not depend on one.
                if picture.width * picture.height > _MOST_PIXELS:
                    raise Image.DecompressionBombError(f"{picture.width} × {picture.height} px")
                picture.load()
                return _as_rgb(ImageOps.exif_transpose(picture), file.name), file.name
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as exc:
        raise QueryError(
            f"{file.name} has more pixels than an image query may have",
            remedy="Ingest it as a slide and search with --slide ID --at X,Y, or cut the patch out of it.",
        ) from exc
    except FileNotFoundError as exc:
        raise QueryError(f"there is no image {file}", remedy="Give the path of an image file.") from exc
    except IsADirectoryError as exc:
        raise QueryError(f"{file} is a folder", remedy="Give the path of an image file.") from exc
    except UnidentifiedImageError as exc:
        raise QueryError(
            f"{file.name} is not an image that can be read", remedy="Give a PNG, JPEG or TIFF image."
        ) from exc
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
    ) as exc:  # what Pillow's decoders raise for damaged files
        raise QueryError(f"{file.name} is damaged: {exc}", remedy="Export the image again.") from exc


def _as_rgb(picture: Image.Image, name: str) -> Image.Image:
    if picture.mode not in _COLOUR_MODES:
        raise QueryError(
            f"{name} is not a colour image of 8 bits (its mode is {picture.mode})",
            remedy="Give an RGB image of stained tissue.",
        )
    if picture.mode in ("RGBA", "P"):
        over = picture.convert("RGBA")
        white = Image.new("RGBA", over.size, "white")  # transparent is white, as in slides
        return Image.alpha_composite(white, over).convert("RGB")
    return picture.convert("RGB")


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise QueryError(
            f"an array of shape {array.shape} and type {array.dtype} is not an image",
            remedy="Pass uint8 of shape (height, width, 3), red first.",
        )
    return Image.fromarray(np.ascontiguousarray(array))
