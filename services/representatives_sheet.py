"""The patches that were picked, side by side: a section an arm, the reason above or below each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from slidelake.services.gallery.picture import plain
from slidelake.services.pen import INK, LINE, PALE, PAPER, fitted

if TYPE_CHECKING:
    from slidelake.index.representatives import Arm, Pick, Representatives
    from slidelake.services.gallery.pixels import Pixels
    from slidelake.store import FeatureStore

__all__ = ["ARM_COLOURS", "ARM_WORDS", "draw_sheet"]

#: Told apart by colour-blind eyes (Okabe and Ito), and on pink tissue.
ARM_COLOURS: dict[Arm, tuple[int, int, int]] = {
    "report": (0, 114, 178),
    "attributes": (213, 94, 0),
    "clusters": (0, 128, 96),
}
ARM_WORDS: dict[Arm, str] = {
    "report": "by the report's text",
    "attributes": "by attribute prompts",
    "clusters": "by clusters of the features",
}
_TILE, _GAP, _CAPTION, _MARGIN, _COLUMNS = 112, 12, 34, 28, 10
_WIDTH = 2 * _MARGIN + _COLUMNS * (_TILE + _GAP) - _GAP
_HEADING, _QUERY = 44, 24
#: More tiles make no sheet that anybody looks at.
_MOST = 400


def draw_sheet(picked: Representatives, store: FeatureStore, path: Path) -> Path:
    """Write a PNG with the picked patches, at most 400 of them: those of one query, or of the clusters in turn."""
    from slidelake.services.gallery.pixels import Pixels

    blocks = _blocks(picked.reasons[:_MOST])
    height = 2 * _MARGIN + 64 + sum(_height(heading, query, picks) for heading, query, picks in blocks)
    sheet = Image.new("RGB", (_WIDTH, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    _title(draw, picked)
    places = dict(zip(picked.rows.tolist(), picked.coords.tolist(), strict=True))
    top = _MARGIN + 64
    with Pixels(store, picked.space) as pixels:
        for heading, query, picks in blocks:
            at = top
            if heading:
                draw.line((_MARGIN, at, _WIDTH - _MARGIN, at), LINE)
                draw.text((_MARGIN, at + 12), heading, ARM_COLOURS[picks[0].arm], font=_font(17))
                at += _HEADING
            if query:
                draw.text(
                    (_MARGIN, at), fitted(plain(query), _font(13), _WIDTH - 2 * _MARGIN), INK, font=_font(13)
                )
                at += _QUERY
            for number, pick in enumerate(picks):
                line, column = divmod(number, _COLUMNS)
                left = _MARGIN + column * (_TILE + _GAP)
                _tile(
                    sheet, pixels, picked.slide_id, pick, places[pick.row], (left, at + line * _LINE_HEIGHT)
                )
            top += _height(heading, query, picks)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


_LINE_HEIGHT = _TILE + _CAPTION + _GAP


def _blocks(picks: Sequence[Pick]) -> list[tuple[str, str, list[Pick]]]:
    """Heading (of an arm, at its first block), query and picks of each block; clusters are one block, in order."""
    blocks: list[tuple[str, str, list[Pick]]] = []
    for arm, of_arm in groupby(picks, key=lambda pick: pick.arm):
        held = list(of_arm)
        heading = f"{len(held):,} {ARM_WORDS[arm]}"
        for query in dict.fromkeys(pick.query for pick in held):
            group = [pick for pick in held if pick.query == query]
            group.sort(key=lambda pick: (pick.cluster, pick.rank))
            blocks.append((heading, query, group))
            heading = ""
    return blocks


def _height(heading: str, query: str, picks: Sequence[Pick]) -> int:
    lines = -(-len(picks) // _COLUMNS)
    return _HEADING * bool(heading) + _QUERY * bool(query) + lines * _LINE_HEIGHT + _GAP


def _title(draw: ImageDraw.ImageDraw, picked: Representatives) -> None:
    room = _WIDTH - 2 * _MARGIN
    draw.text((_MARGIN, _MARGIN), fitted(picked.slide_id, _font(20), room), INK, font=_font(20))
    shown = f"the first {_MOST} of " if len(picked) > _MOST else ""
    words = f"{shown}{len(picked):,} representative patches of {picked.total:,} in {picked.space}"
    words += "; below each its cosine with the text or with its cluster's centre. For research use only."
    draw.text((_MARGIN, _MARGIN + 28), fitted(words, _font(12), room), PALE, font=_font(12))


def _tile(
    sheet: Image.Image,
    pixels: Pixels,
    slide_id: str,
    pick: Pick,
    place: Sequence[int],
    at: tuple[int, int],
) -> None:
    x, y = (int(each) for each in place)
    left, top = at
    picture = pixels.patch(slide_id, x, y)
    sheet.paste(picture.image.convert("RGB").resize((_TILE, _TILE), Image.Resampling.LANCZOS), (left, top))
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left - 1, top - 1, left + _TILE, top + _TILE), outline=ARM_COLOURS[pick.arm], width=2)
    head = (
        f"cluster {pick.cluster}   {pick.score:.2f}"
        if pick.cluster >= 0
        else f"#{pick.rank}   {pick.score:.3f}"
    )
    draw.text((left, top + _TILE + 3), fitted(head, _font(12), _TILE), INK, font=_font(12))
    where = f"{x}, {y}" + (" (thumbnail)" if picture.note else "")
    draw.text((left, top + _TILE + 17), fitted(where, _font(11), _TILE), PALE, font=_font(11))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
