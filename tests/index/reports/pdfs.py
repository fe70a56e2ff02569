"""PDFs made on the spot: with text, scanned, encrypted, as large as a poster, with too large an image."""

import ctypes
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

__all__ = ["bomb_pdf", "encrypted_pdf", "mixed_pdf", "poster_pdf", "scanned_pdf", "text_pdf"]


def text_pdf(path: Path, pages: Sequence[Sequence[str]]) -> Path:
    """A PDF whose pages have these lines as text."""
    import pypdfium2 as pdfium
    import pypdfium2.raw as raw

    with closing(pdfium.PdfDocument.new()) as document:
        font = raw.FPDFText_LoadStandardFont(document.raw, b"Helvetica")
        for lines in pages:
            with closing(document.new_page(612, 792)) as page:
                for number, line in enumerate(lines):
                    text = raw.FPDFPageObj_CreateTextObj(document.raw, font, ctypes.c_float(11))
                    encoded = (line + "\0").encode("utf-16-le")
                    raw.FPDFText_SetText(text, ctypes.cast(encoded, raw.FPDF_WIDESTRING))
                    raw.FPDFPageObj_Transform(text, 1, 0, 0, 1, 60, 740 - 16 * number)
                    raw.FPDFPage_InsertObject(page.raw, text)
                page.gen_content()
        raw.FPDFFont_Close(font)
        document.save(path)
    return path


def scanned_pdf(path: Path, pages: Sequence[Sequence[str]], dpi: int = 150) -> Path:
    """A PDF whose pages are pictures of these lines."""
    font = ImageFont.load_default(size=dpi / 5)
    pictures = []
    for lines in pages:
        picture = Image.new("L", (round(8.27 * dpi), round(11.69 * dpi)), 255)
        pen = ImageDraw.Draw(picture)
        for number, line in enumerate(lines):
            pen.text((dpi * 0.6, dpi * (0.6 + 0.35 * number)), line, fill=0, font=font)
        pictures.append(picture)
    pictures[0].save(path, format="PDF", save_all=True, append_images=pictures[1:], resolution=dpi)
    return path


def bomb_pdf(path: Path, side: int) -> Path:
    """A small PDF with one picture that says it has side × side pixels."""
    data = zlib.compress(bytes(100_000))
    draw = b"q 500 0 0 500 50 100 cm /I Do Q"
    image = (
        b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8"
        b"/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (side, side, len(data), data)
    )
    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>"
    )
    return _by_hand(path, [page, b"<</Length %d>>stream\n%s\nendstream" % (len(draw), draw), image])


def encrypted_pdf(path: Path) -> Path:
    """A PDF that asks for a password: no empty one fits its keys."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]>>"
    key = b"ab" * 32
    lock = b"<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>" % (key, key)
    return _by_hand(path, [page, lock], trailer=b"/Encrypt 4 0 R/ID[<00><00>]")


def poster_pdf(path: Path) -> Path:
    """A page of 200 × 200 inches, the most that PDF knows, with a line drawn on it."""
    draw = b"100 100 m 14000 14000 l S"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 14400 14400]/Contents 4 0 R>>"
    return _by_hand(path, [page, b"<</Length %d>>stream\n%s\nendstream" % (len(draw), draw)])


def mixed_pdf(path: Path, lines: Sequence[str]) -> Path:
    """A page with text, and one that is a picture."""
    from pypdfium2 import PdfDocument

    with (
        closing(PdfDocument(text_pdf(path.with_suffix(".text"), [[*lines, *lines]]))) as text,
        closing(PdfDocument(scanned_pdf(path.with_suffix(".scan"), [lines], dpi=50))) as scan,
    ):
        text.import_pages(scan)
        text.save(path)
    return path


def _by_hand(path: Path, objects: Sequence[bytes], trailer: bytes = b"") -> Path:
    """A PDF of one page, the first of `objects`, which are numbered from 3 on."""
    every = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", *objects]
    body, places = b"%PDF-1.7\n", []
    for number, each in enumerate(every, 1):
        places.append(len(body))
        body += b"%d 0 obj%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(every) + 1
    end = b"trailer<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF" % (size, trailer, len(body))
    path.write_bytes(body + b"xref\n0 %d\n0000000000 65535 f \n%s%s" % (size, table, end))
    return path
