"""Pictures of other people's pairs: opened safely, looked at for stained tissue, and told apart when
nearly the same."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageDuplicates", "OpenedImage", "image_hash", "open_image", "place_of_image", "stained_share"]

#: The largest picture that is unpacked, in pixels.
_PIXELS = 100_000_000
#: Sides below this show no tissue.
_SMALLEST = 32
#: The picture is looked at this many pixels wide at most: stain is where it is at any size.
_LOOKED_AT = 256
#: Optical density (natural logarithm, summed over the two stains) above which a pixel holds stain.
_STAINED = 0.15
#: Part of a pixel's optical density that haematoxylin and eosin may leave unexplained.
_LEFT_OVER = 0.45
#: The hash: an 8 × 8 corner of the cosine transform of a 32 × 32 picture.
_SIDE, _CORNER = 32, 8

#: Rasters alone: an EPS file would start a program to draw it.
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")


@dataclass(frozen=True)
class OpenedImage:
    """A picture (H, W, 3) uint8 RGB and its file's digest; or no pixels, and the rule that drops it."""

    pixels: NDArray[np.uint8] | None
    sha256: str = ""
    refused: str = ""


def place_of_image(folder: Path, name: str) -> Path | None:
    """The file that a pair names, if it lies inside the folder: not above it, not elsewhere, not through a link."""
    if not name or "\x00" in name:
        return None
    try:
        root = folder.resolve()
        place = (root / name.replace("\\", "/")).resolve()
        place.exists()
    except (OSError, RuntimeError, ValueError):
        # Too long, a link to itself, not to be looked at, no characters that a file's name can have.
        return None
    return place if place != root and place.is_relative_to(root) else None


def open_image(folder: Path, name: str) -> OpenedImage:
    """The picture that a pair names, with a reason where it cannot be had.

    `image-path-refused` (outside the folder), `image-missing`, `image-unreadable` (no picture, cut off, too large),
    `image-too-small`.
    """
    place = place_of_image(folder, name)
    if place is None:
        return OpenedImage(None, refused="image-path-refused")
    if not place.is_file():
        return OpenedImage(None, refused="image-missing")
    from PIL import Image, UnidentifiedImageError

    try:
        digest = hashlib.sha256(place.read_bytes()).hexdigest()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(place, formats=_FORMATS) as picture:
                if picture.width * picture.height > _PIXELS:
                    return OpenedImage(None, digest, "image-unreadable")
                pixels = np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        return OpenedImage(None, refused="image-unreadable")
    if min(pixels.shape[:2]) < _SMALLEST:
        return OpenedImage(None, digest, "image-too-small")
    return OpenedImage(pixels, digest)


def stained_share(image: NDArray[np.uint8]) -> float:
    """The share (0 to 1) of an RGB picture (H, W, 3) that looks like tissue stained with haematoxylin and eosin.

    A pixel counts where it absorbs light, and where the two stains (Ruifrok & Johnston 2001) explain what it absorbs:
    grey ink, bone on an X-ray, skin in a photograph and the colours of a drawing leave more over, or need a negative
    amount of one.
    """
    import cv2

    from slidelake.encoders import DECONVOLUTION, STAINS

    scale = _LOOKED_AT / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    # The glass's own tint is taken out, as for the mask of a slide; a picture without glass is left alone.
    glass = np.maximum(np.percentile(small.reshape(-1, 3), 98, axis=0), 200.0)
    density = -np.log((np.minimum(small / glass, 1.0) * 255.0 + 1.0) / 256.0)
    amounts = density @ DECONVOLUTION
    both = np.maximum(amounts[..., :2], 0.0)
    total = np.linalg.norm(density, axis=-1)
    # What is left when the stains that are there (none below 0) are taken away.
    rest = np.linalg.norm(density - both @ STAINS[:2], axis=-1)
    red, green = small[..., 0].astype(np.int16), small[..., 1].astype(np.int16)
    # Both stains take green away most: what is greener than red, or grey, is none of them.
    coloured = (np.maximum(red, small[..., 2]) - green) > 4
    stained = (total > _STAINED) & (rest < _LEFT_OVER * total) & coloured
    return float(stained.mean())


def image_hash(image: NDArray[np.uint8]) -> int:
    """64 bits that change little when a picture is scaled, compressed or made brighter.

    The signs of the low frequencies of its cosine transform about their median (Zauner, Implementation and benchmarking
    of perceptual image hash functions, 2010), on the green channel, which both stains absorb.
    """
    import cv2

    small = cv2.resize(image[..., 1], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_CORNER, :_CORNER].ravel()
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@dataclass
class ImageDuplicates:
    """Pictures shown before: the same file, or hashes that differ in at most `most` of 64 bits.

    Two different patches of tissue differ in about half of the bits; 6 takes compression and scaling.
    """

    most: int = 6
    _files: dict[str, str] = field(default_factory=dict)
    _hashes: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(1024, np.uint64))
    _count: int = 0
    _names: list[str] = field(default_factory=list)

    def find(self, name: str, image: NDArray[np.uint8], sha256: str) -> str | None:
        """The name of the picture that this one repeats; None where it is new, and now kept."""
        hashed = image_hash(image)
        found = self.nearest(hashed, sha256)
        if found is None:
            self.add(name, hashed, sha256)
        return found

    def nearest(self, hashed: int, sha256: str) -> str | None:
        """The name of the kept picture that one with this hash and digest repeats, or None."""
        if sha256 in self._files:
            return self._files[sha256]
        if not self._count:
            return None
        apart = np.bitwise_count(self._hashes[: self._count] ^ np.uint64(hashed))
        at = int(apart.argmin())
        return self._names[at] if apart[at] <= self.most else None

    def add(self, name: str, hashed: int, sha256: str) -> None:
        """Keep a picture."""
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
        self._hashes[self._count] = hashed
        self._count += 1
        self._files[sha256] = name
        self._names.append(name)
