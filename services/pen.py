"""Lines, boxes and words for pictures: smooth, in plain coordinates, with Pillow alone."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

__all__ = ["INK", "LINE", "PALE", "PAPER", "Pen", "fitted"]

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

INK, PALE, LINE, PAPER = (32, 36, 44), (110, 116, 128), (224, 227, 232), (255, 255, 255)
#: Drawn larger by this, then reduced: Pillow has no smooth lines of its own.
SCALE = 3


class Pen:
    """Draws a picture of width × height px in the picture's own coordinates."""

    def __init__(self, width: int, height: int, paper: Colour = PAPER) -> None:
        self.size = (width, height)
        self._sheet = Image.new("RGB", (width * SCALE, height * SCALE), paper)
        self._pen = ImageDraw.Draw(self._sheet)

    def image(self) -> Image.Image:
        """The picture as it is now, at its own size."""
        return self._sheet.resize(self.size, Image.Resampling.LANCZOS)

    def save(self, path: Path) -> Path:
        """Write a PNG; returns its path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.image().save(path)
        return path

    def text(
        self, at: tuple[float, float], text: str, size: int = 12, ink: Any = INK, anchor: str = "la"
    ) -> None:
        font = ImageFont.load_default(size * SCALE)
        self._pen.text((at[0] * SCALE, at[1] * SCALE), text, ink, font=font, anchor=anchor)

    def upwards(self, middle: tuple[float, float], text: str, size: int = 12, ink: Any = PALE) -> None:
        """Text that reads from below."""
        font = ImageFont.load_default(size * SCALE)
        left, top, right, bottom = (round(each) for each in font.getbbox(text))
        label = Image.new("RGB", (right - left, bottom - top), PAPER)
        ImageDraw.Draw(label).text((-left, -top), text, ink, font=font)
        turned = label.rotate(90, expand=True)
        x, y = (round(each * SCALE) for each in middle)
        self._sheet.paste(turned, (x - turned.width // 2, y - turned.height // 2))

    def line(self, points: Sequence[tuple[float, float]], ink: Any = LINE, width: float = 1.0) -> None:
        self._pen.line([(x * SCALE, y * SCALE) for x, y in points], ink, round(width * SCALE), joint="curve")

    def box(self, box: tuple[float, float, float, float], ink: Any) -> None:
        self._pen.rectangle([each * SCALE for each in box], fill=ink)

    def paragraph(
        self, at: tuple[float, float], text: str, width: float, size: int = 12, ink: Any = INK
    ) -> float:
        """Words in lines of at most `width`; returns where the next line would stand."""
        font = ImageFont.load_default(size)
        y = at[1]
        line = ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                self.text((at[0], y), line, size, ink)
                y += size * 1.35
                line = word
            else:
                line = longer
        self.text((at[0], y), fitted(line, font, width), size, ink)
        return y + size * 1.35

    def scale_bar(self, foot: tuple[float, float], um_per_px: float, most: float) -> None:
        """A bar of a round number of µm or mm and at most `most` px, its lower left corner at `foot`."""
        power = 10.0 ** math.floor(math.log10(most * um_per_px))
        length = next(step * power for step in (5, 2, 1) if step * power <= most * um_per_px)
        left, bottom = foot
        words = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} microns"
        self.box((left, bottom - 4, left + length / um_per_px, bottom), INK)
        self.text((left, bottom - 10), words, 12, INK, "ld")

    def dot(self, at: tuple[float, float], radius: float, ink: Any) -> None:
        x, y, r = at[0] * SCALE, at[1] * SCALE, radius * SCALE
        self._pen.ellipse([x - r, y - r, x + r, y + r], fill=ink)


def fitted(text: str, font: Font, width: float) -> str:
    """The text, its middle left out where it is wider than `width` pixels: names differ at both ends."""
    if font.getlength(text) <= width:
        return text
    kept = len(text) - 1
    while kept > 2 and font.getlength(_middle_out(text, kept)) > width:
        kept -= 1
    return _middle_out(text, kept)


def _middle_out(text: str, kept: int) -> str:
    return text[: (kept + 1) // 2] + "..." + text[len(text) - kept // 2 :]
