"""The table as a picture: test AUC as colour, one row a slide encoder, one column a test."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from slidelake.encoders.mil_tests.table import MilTable, MilVerdict

__all__ = ["draw_table"]

#: Drawn larger by this, then reduced, so that letters are smooth.
SCALE = 2
NAMES, CELL, ROW, TOP, FOOT = 190, 230, 58, 110, 66
Colour = tuple[int, int, int]
INK, PALE, PAPER = (32, 36, 44), (110, 116, 128), (255, 255, 255)
#: AUC 0, 0.5 and 1: apart for eyes that tell red from green badly too (Okabe, Ito 2008).
LOW, MIDDLE, HIGH = (213, 94, 0), (245, 245, 243), (0, 114, 178)


def draw_table(table: MilTable, path: Path) -> Path:
    """Write a PNG; returns its path."""
    width, height = NAMES + CELL * len(table.tests) + 24, TOP + ROW * len(table.encoders) + FOOT
    pen = _Pen(width, height)
    seeds = len(table.verdicts[0].test_auc)
    pen.text((24, 18), "Algorithmic unit tests of slide encoders", 20)
    told = "AUC on bags in which the shortcut of the training bags is turned round"
    pen.text((24, 48), f"{told}; {f'mean of {seeds} seeds' if seeds > 1 else '1 seed'}", 13, PALE)
    for column, test in enumerate(table.tests):
        pen.text((NAMES + CELL * (column + 0.5), TOP - 16), test, 15, anchor="mm")
    for line, encoder in enumerate(table.encoders):
        top = TOP + ROW * line
        pen.text((NAMES - 14, top + ROW / 2), encoder, 15, anchor="rm")
        for column, test in enumerate(table.tests):
            _cell(pen, table.of(encoder, test), NAMES + CELL * column, top)
    _legend(pen, height - FOOT + 22)
    path.parent.mkdir(parents=True, exist_ok=True)
    pen.sheet.resize((width, height), Image.Resampling.LANCZOS).save(path)
    return path


def _cell(pen: "_Pen", verdict: MilVerdict, left: float, top: float) -> None:
    row = verdict.row()
    colour = _colour(row["test_auc"])
    ink = INK if sum(colour) > 420 else PAPER
    pen.box((left + 2, top + 2, left + CELL - 2, top + ROW - 2), colour)
    pen.text((left + 56, top + ROW / 2), f"{row['test_auc']:.2f}", 22, ink, "mm")
    pen.text((left + 100, top + ROW / 2 - 10), row["outcome"], 14, ink, "lm")
    # One training has no range.
    spread = f"{row['test_auc_least']:.2f} to {row['test_auc_most']:.2f}" if row["seeds"] > 1 else ""
    pen.text((left + 100, top + ROW / 2 + 11), spread, 12, ink, "lm")


def _legend(pen: "_Pen", top: float) -> None:
    length = 240
    for step in range(length):
        pen.box((NAMES + step, top, NAMES + step + 1, top + 12), _colour(step / length))
    for share, word in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
        pen.text((NAMES + length * share, top + 20), word, 12, PALE, "ma")
    pen.text((NAMES - 14, top + 6), "shortcut taken", 12, PALE, "rm")
    pen.text((NAMES + length + 14, top + 6), "rule learnt", 12, PALE, "lm")


def _colour(auc: float) -> Colour:
    end, share = (LOW, 1 - 2 * auc) if auc < 0.5 else (HIGH, 2 * auc - 1)
    red, green, blue = (round(m + (e - m) * share) for m, e in zip(MIDDLE, end, strict=True))
    return red, green, blue


class _Pen:
    """Draws in the coordinates of the finished picture."""

    def __init__(self, width: int, height: int) -> None:
        self.sheet = Image.new("RGB", (width * SCALE, height * SCALE), PAPER)
        self._pen = ImageDraw.Draw(self.sheet)

    def text(
        self, at: tuple[float, float], text: str, size: int, ink: Colour = INK, anchor: str = "la"
    ) -> None:
        font = ImageFont.load_default(size * SCALE)
        self._pen.text((at[0] * SCALE, at[1] * SCALE), text, ink, font=font, anchor=anchor)

    def box(self, box: tuple[float, float, float, float], ink: Colour) -> None:
        left, top, right, bottom = (round(each * SCALE) for each in box)
        # Pillow's rectangles hold their last pixel too.
        self._pen.rectangle((left, top, right - 1, bottom - 1), fill=ink)
