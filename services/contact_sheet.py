"""One picture of many searches: a query a row, its best hits beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from slidelake.services.pen import INK, PALE, PAPER, fitted

if TYPE_CHECKING:
    from slidelake.index import Hit
    from slidelake.store import FeatureStore

TILE = 128
GAP = 10
CAPTION = 34
MARGIN = 24
LABEL = 150
AGREES, DIFFERS = (34, 139, 84), (201, 92, 46)


@dataclass
class Row:
    """A query patch (level-0 px) and its hits; `classes` has the tissue class of the places known."""

    slide_id: str
    x: int
    y: int
    hits: "Sequence[Hit]"
    classes: Mapping[tuple[str, int, int], str] = field(default_factory=dict)


def draw_contact_sheet(rows: Sequence[Row], store: "FeatureStore", space: str, path: Path) -> Path:
    """Draw the rows as a PNG: query left, hits by falling score; a frame says whether the class agrees."""
    from slidelake.services.gallery.pixels import Pixels

    columns = max(len(row.hits) for row in rows)
    width = 2 * MARGIN + LABEL + (columns + 1) * (TILE + GAP) + GAP
    height = 2 * MARGIN + 56 + len(rows) * (TILE + CAPTION + GAP)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    big, small = ImageFont.load_default(20), ImageFont.load_default(12)
    pen.text((MARGIN, MARGIN), "Patches that look alike, in slides of other patients", INK, font=big)
    known = any(row.classes for row in rows)
    legend = "query, then hits by cosine similarity" + (
        "; green frame: same tissue class, orange: another, grey: a place of several" if known else ""
    )
    pen.text((MARGIN, MARGIN + 28), legend, PALE, font=small)
    with Pixels(store, space) as pixels:
        for number, row in enumerate(rows):
            top = MARGIN + 56 + number * (TILE + CAPTION + GAP)
            wanted = row.classes.get((row.slide_id, row.x, row.y), "")
            room = LABEL - GAP
            heading = ImageFont.load_default(15)
            pen.text(
                (MARGIN, top + TILE // 2 - 16),
                fitted(wanted or row.slide_id, heading, room),
                INK,
                font=heading,
            )
            pen.text((MARGIN, top + TILE // 2 + 4), fitted(row.slide_id, small, room), PALE, font=small)
            pen.text((MARGIN, top + TILE // 2 + 18), f"{row.x}, {row.y}", PALE, font=small)
            left = MARGIN + LABEL
            _paste(sheet, pixels.patch(row.slide_id, row.x, row.y).image, left, top, INK)
            for place, hit in enumerate(row.hits):
                at = left + (place + 1) * (TILE + GAP) + GAP
                x, y = int(hit.x or 0), int(hit.y or 0)
                found = row.classes.get((hit.slide_id, x, y), "")
                frame = AGREES if found and found == wanted else DIFFERS if found and wanted else PALE
                _paste(sheet, pixels.patch(hit.slide_id, x, y).image, at, top, frame)
                name = fitted(f"{hit.score:.3f}  {hit.slide_id}", small, TILE)
                pen.text((at, top + TILE + 3), name, INK, font=small)
                pen.text(
                    (at, top + TILE + 17), fitted(found or hit.patient_id, small, TILE), PALE, font=small
                )
    sheet.save(path)
    return path


def _paste(sheet: Image.Image, image: Image.Image, x: int, y: int, frame: tuple[int, int, int]) -> None:
    sheet.paste(image.resize((TILE, TILE), Image.Resampling.LANCZOS), (x, y))
    ImageDraw.Draw(sheet).rectangle((x - 3, y - 3, x + TILE + 2, y + TILE + 2), outline=frame, width=3)
