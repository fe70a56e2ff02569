"""The gallery as one PNG: the query on the left, hits in rows on the right, each with its slide and place."""

from __future__ import annotations

import os
import textwrap
import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from slidelake.services.gallery.cards import Card, Gallery, lay_out
from slidelake.services.gallery.pixels import Picture

if TYPE_CHECKING:
    from slidelake.index import Hits
    from slidelake.store import FeatureStore

__all__ = ["draw", "plain", "render_png"]

_PAGE, _CARD, _LINE = (245, 246, 248), (255, 255, 255), (221, 225, 231)
_TEXT, _MUTED, _ACCENT = (28, 36, 48), (91, 102, 117), (0, 113, 125)
_QUIET, _SHADE = (238, 241, 244), (20, 24, 29)

_MARGIN, _GAP, _PAD = 40, 18, 14
_CARD_W, _QUERY_W = 264, 320
_PLACE_H = 132
_FACTS = 6
_LEADING = 21
_WORDS = {"µm": "microns", "×": "x", "–": "-", "—": "-", "≥": ">=", "≤": "<=", "ß": "ss"}


def render_png(hits: Hits, store: FeatureStore, out_png: str | os.PathLike[str], *, limit: int = 20) -> Path:
    """Write the gallery of the first `limit` hits to `out_png` and return its path."""
    path = Path(out_png)
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(lay_out(hits, store, limit=limit)).save(path, "PNG", optimize=True)
    return path


def draw(gallery: Gallery) -> Image.Image:
    """The gallery as an RGB image; as wide as its columns, as high as its rows."""
    columns = max(1, min(5, len(gallery.hits)))
    left = _MARGIN + _QUERY_W + 2 * _GAP
    width = max(left + columns * (_CARD_W + _GAP) - _GAP + _MARGIN, 900)
    facts = max((min(len(card.facts), _FACTS) for card in gallery.hits), default=0)
    card_h = _card_height(_CARD_W, facts, place=any(card.place for card in gallery.hits))
    rows = -(-len(gallery.hits) // columns)
    notes = [
        line for note in gallery.notes for line in textwrap.wrap(plain(note), (width - 2 * _MARGIN) // 8)
    ]
    top = _MARGIN + 76 + (len(notes) * _LEADING + 14 if notes else 0)
    query_h = _card_height(_QUERY_W, len(gallery.query.facts), place=gallery.query.place is not None)
    if gallery.query.picture is None:
        query_h -= _QUERY_W
    height = top + max(query_h, rows * (card_h + _GAP) - _GAP) + 36 + _MARGIN
    page = Image.new("RGB", (width, height), _PAGE)
    pen = ImageDraw.Draw(page)
    pen.text((_MARGIN, _MARGIN - 6), gallery.title, font=_font(30), fill=_TEXT)
    pen.text((_MARGIN, _MARGIN + 36), plain(gallery.subtitle), font=_font(17), fill=_MUTED)
    for i, line in enumerate(notes):
        pen.text((_MARGIN, _MARGIN + 70 + i * _LEADING), line, font=_font(16), fill=_ACCENT)
    _draw_card(page, gallery.query, _MARGIN, top, _QUERY_W, query_h, facts=len(gallery.query.facts))
    for i, card in enumerate(gallery.hits):
        row, column = divmod(i, columns)
        x, y = left + column * (_CARD_W + _GAP), top + row * (card_h + _GAP)
        _draw_card(page, card, x, y, _CARD_W, card_h, facts=_FACTS)
    foot = "Scores are cosine similarities; places are level-0 pixels. For research use only."
    pen.text((_MARGIN, height - _MARGIN - 8), foot, font=_font(14), fill=_MUTED)
    return page


def _card_height(width: int, facts: int, *, place: bool) -> int:
    return width + (_PLACE_H if place else 0) + 2 * _PAD + 28 + facts * _LEADING


def _draw_card(page: Image.Image, card: Card, x: int, y: int, width: int, height: int, *, facts: int) -> None:
    query = card.score is None
    border = 2 if query else 1
    page.paste(_ACCENT if query else _LINE, (x, y), _rounded(width, height, 12))
    face = Image.new("RGB", (width, height), _CARD)
    pen = ImageDraw.Draw(face)
    at = 0
    if card.picture is not None:
        _paste(face, card.picture, (0, 0, width, width), fill=_QUIET)
        at += width
    if card.place is not None:
        _paste(face, card.place, (0, at, width, at + _PLACE_H), fill=_CARD, inset=8)
        pen.line((_PAD, at + _PLACE_H, width - _PAD, at + _PLACE_H), fill=_LINE)
        at += _PLACE_H
    at += _PAD - 2
    pen.text((_PAD, at), card.heading if query else f"#{card.heading}", font=_font(19), fill=_TEXT)
    if card.score is not None:
        pen.text((width - _PAD, at), f"{card.score:.3f}", font=_font(19), fill=_ACCENT, anchor="ra")
    at += 30
    shown = [(plain(name), plain(value)) for name, value in card.facts[:facts]]
    names = min(max((pen.textlength(n, font=_font(15)) for n, _ in shown), default=0), width * 0.38)
    for name, value in shown:
        pen.text((_PAD, at), _fit(name, 15, names), font=_font(15), fill=_MUTED)
        room = width - 2 * _PAD - names - 10
        pen.text((_PAD + names + 10, at), _fit(value, 15, room), font=_font(15), fill=_TEXT)
        at += _LEADING
    inner = (border, border, width - border, height - border)
    mask = _rounded(width - 2 * border, height - 2 * border, 12 - border)
    page.paste(face.crop(inner), (x + border, y + border), mask)


def _rounded(width: int, height: int, radius: int) -> Image.Image:
    """A mask of a rounded rectangle, its corners smoothed by drawing at four times the size."""
    mask = Image.new("L", (4 * width, 4 * height), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * width - 1, 4 * height - 1), radius=4 * radius, fill=255)
    return mask.resize((width, height), Image.Resampling.BOX)


def _paste(
    page: Image.Image,
    picture: Picture,
    box: tuple[int, int, int, int],
    *,
    fill: tuple[int, int, int],
    inset: int = 0,
) -> None:
    """The picture, whole, in the middle of the box, with its note across the foot of it."""
    left, top, right, bottom = box
    pen = ImageDraw.Draw(page)
    pen.rectangle((left, top, right - 1, bottom - 1), fill=fill)
    room_w, room_h = right - left - 2 * inset, bottom - top - 2 * inset
    scale = min(room_w / picture.image.width, room_h / picture.image.height)
    size = max(1, round(picture.image.width * scale)), max(1, round(picture.image.height * scale))
    resample = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    image = picture.image.convert("RGB").resize(size, resample)
    page.paste(image, (left + inset + (room_w - size[0]) // 2, top + inset + (room_h - size[1]) // 2))
    if picture.note:
        strip = (left, bottom - 26, right, bottom)
        shade = Image.new("RGB", (right - left, 26), _SHADE)
        page.paste(Image.blend(page.crop(strip), shade, 0.75), strip[:2])
        text = _fit(picture.note, 13, right - left - 2 * _PAD)
        pen.text((left + _PAD, bottom - 21), text, font=_font(13), fill=(255, 255, 255))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def plain(text: str) -> str:
    """The text in letters that Pillow's bundled font has: accents dropped, µm as microns, the rest as "?".

    The font is bundled so that the picture is the same on every machine; it knows ASCII and little more.
    """
    for symbol, words in _WORDS.items():
        text = text.replace(symbol, words)
    parts = unicodedata.normalize("NFKD", text)
    return "".join(c if _drawable(c) else "?" for c in parts if not unicodedata.combining(c))


@cache
def _drawable(character: str) -> bool:
    font = _font(20)
    return character.isascii() or bytes(font.getmask(character)) != bytes(font.getmask("\uffff"))


def _fit(text: str, size: int, room: float) -> str:
    """The text, its middle left out where it is longer than `room` pixels: ids differ at both ends."""
    font = _font(size)
    if font.getlength(text) <= room:
        return text
    for keep in range(len(text) - 1, 1, -1):
        short = text[: (keep + 1) // 2] + "…" + text[len(text) - keep // 2 :]
        if font.getlength(short) <= room:
            return short
    return "…"
