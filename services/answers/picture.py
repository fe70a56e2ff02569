"""A picture in a message, as pixels: data URLs only, bounded in bytes and in pixels before it is unpacked."""

from __future__ import annotations

import base64
import binascii
import io
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

from slidelake.errors import QueryError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["BYTES_LIMIT", "PIXELS_LIMIT", "as_data_url", "from_data_url"]

BYTES_LIMIT = 8 * 2**20
PIXELS_LIMIT = 16_000_000

_HEAD = re.compile(r"data:image/(png|jpeg|jpg|webp|tiff|bmp);base64,", re.IGNORECASE)
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")


def from_data_url(url: str) -> np.ndarray:
    """The pixels (H, W, 3) uint8 of `data:image/…;base64,…`. Raises QueryError for anything else, and beyond limits."""
    from PIL import Image, UnidentifiedImageError

    head = _HEAD.match(url)
    if head is None:
        raise QueryError(
            "a picture has to come as data:image/png;base64,… or of another image type",
            remedy="Send the picture itself: nothing is fetched from other servers.",
        )
    if (len(url) - head.end()) * 3 // 4 > BYTES_LIMIT:
        raise QueryError(
            f"the picture has more than {BYTES_LIMIT // 2**20} MiB",
            remedy="Send the patch alone, as JPEG or PNG.",
        )
    try:
        packed = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as exc:
        raise QueryError("the picture is no base64", remedy="Encode the file's bytes.") from exc
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture: Image.Image = Image.open(io.BytesIO(packed), formats=_FORMATS)
        if picture.width * picture.height > PIXELS_LIMIT:
            raise QueryError(
                f"the picture has {picture.width} × {picture.height} px; at most {PIXELS_LIMIT:,} px are taken",
                remedy="Send the patch alone.",
            )
        return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as exc:
        if isinstance(exc, QueryError):
            raise
        raise QueryError("the picture cannot be read", remedy="Send a whole JPEG or PNG file.") from exc


def as_data_url(image: Image.Image) -> str:
    """An image as a JPEG data URL, for endpoints that see."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
