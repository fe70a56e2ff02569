"""Reports in PDFs: their own text where they have some, the pictures of their pages read by OCR where not."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.errors import MissingDependencyError, ReportError
from slidelake.index.reports.clean import join_pages
from slidelake.index.reports.draft import Draft
from slidelake.index.reports.ocr import check_tesseract, read_images
from slidelake.index.reports.options import ReadOptions
from slidelake.store import TEXT_LIMIT, Source

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["read_pdf"]

# Fewer letters than this are a stamp or a page number on a scan, not the report's text.
_ENOUGH = 40
# Images lie in forms that lie in forms.
_DEPTH = 8


def read_pdf(path: Path, options: ReadOptions) -> Iterator[Draft]:
    """The file's report. A page with next to no text of its own is drawn and read by OCR.

    Raises ReportError: not a PDF, encrypted, too large, too many pages, an image that would fill the memory, nothing
    to read; MissingDependencyError where all of it is scanned and Tesseract is not there.
    """
    size = path.stat().st_size
    if size > options.pdf_bytes:
        raise _refused(
            path, f"{size / 1e6:,.0f} MB; a PDF may have {options.pdf_bytes / 1e6:,.0f} MB", "Divide it."
        )
    data = path.read_bytes()
    with closing(_open(data, path)) as document:
        count = len(document)
        if count > options.pages:
            raise _refused(path, f"{count:,} pages; a report may have {options.pages:,}", "Divide it.")
        pages = [_text_of(document, number, path) for number in range(count)]
        if sum(map(len, pages)) > TEXT_LIMIT:
            raise _refused(path, f"more than {TEXT_LIMIT:,} characters of text", "Divide it.")
        scanned = [
            number for number in range(count) if _is_scan(document, number, pages[number], path, options)
        ]
        letters, weighted, notes = 0, 0.0, []
        if scanned:
            try:
                check_tesseract(options.ocr_language)
            except MissingDependencyError as error:
                if len(scanned) == count:
                    raise
                notes = [f"scanned pages that were not read: {len(scanned)} ({error.problem})"]
                scanned = []
        images = (_draw(document, number, options) for number in scanned)
        for number, page in zip(
            scanned, read_images(images, options.ocr_language, options.ocr_seconds), strict=True
        ):
            pages[number] = _with_own(page.text, pages[number])
            letters += page.letters
            weighted += page.confidence * page.letters
    source = Source(
        str(path),
        "scan" if 2 * len(scanned) >= max(count, 1) else "pdf",
        hashlib.sha256(data).hexdigest(),
        count,
        round(weighted / letters, 1) if letters else None,
    )
    if not any(page.strip() for page in pages):
        raise _refused(
            path, f"nothing could be read on its {count} pages", "Give a better scan, or the text."
        )
    yield Draft(join_pages(pages), source, path.stem, str(path), ocr_pages=len(scanned), notes=tuple(notes))


def _open(data: bytes, path: Path) -> Any:
    try:
        import pypdfium2
    except ImportError as exc:
        raise MissingDependencyError(
            "reading PDFs needs pypdfium2", remedy="pip install 'slidelake[reports]'"
        ) from exc
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as exc:
        if "password" in str(exc).lower():
            raise _refused(path, "it is encrypted", "Save it without a password, and add that file.") from exc
        raise _refused(
            path,
            f"it cannot be read as a PDF ({exc})",
            "Open it elsewhere and save it anew, or give the text.",
        ) from exc


def _text_of(document: Any, number: int, path: Path) -> str:
    try:
        with closing(document[number]) as page, closing(page.get_textpage()) as text:
            if text.count_chars() > TEXT_LIMIT:
                raise _refused(
                    path, f"more than {TEXT_LIMIT:,} characters on page {number + 1}", "Divide it."
                )
            return str(text.get_text_range())
    except _pdfium_error() as exc:
        raise _refused(
            path, f"page {number + 1} cannot be read ({exc})", "Open it elsewhere and save it anew."
        ) from exc


def _is_scan(document: Any, number: int, text: str, path: Path, options: ReadOptions) -> bool:
    """Whether a page says next to nothing itself and has something else to be looked at. An image that is too large is
    refused by the size that the file gives, before anything unpacks it."""
    import pypdfium2.raw as raw

    if sum(not each.isspace() for each in text) >= _ENOUGH:
        return False
    with closing(document[number]) as page:
        something = False
        for each in page.get_objects(max_depth=_DEPTH):
            something = something or each.type != raw.FPDF_PAGEOBJ_TEXT
            if each.type == raw.FPDF_PAGEOBJ_IMAGE:
                width, height = each.get_px_size()
                if width * height > options.image_pixels:
                    raise _refused(
                        path,
                        f"an image of {width:,} × {height:,} pixels on page {number + 1}; "
                        f"{options.image_pixels / 1e6:,.0f} million are taken",
                        "Scan it at 300 dpi, and save it anew.",
                    )
    return something


def _with_own(read: str, own: str) -> str:
    """What OCR read of a page, after those lines of its own text (a stamp) that it did not read."""
    seen = "".join(read.split()).casefold()
    stamps = [line for line in own.splitlines() if "".join(line.split()).casefold() not in seen]
    return "\n".join([*stamps, read])


def _draw(document: Any, number: int, options: ReadOptions) -> "Image":
    """A page in grey, at the resolution for OCR or less where the page is as large as a poster."""
    with closing(document[number]) as page:
        width, height = page.get_size()
        scale = options.ocr_dpi / 72
        scale = min(scale, math.sqrt(options.page_pixels / max(width * height, 1.0)))
        with closing(page.render(scale=scale, grayscale=True)) as bitmap:
            image: Image = bitmap.to_pil().copy()
    return image


def _pdfium_error() -> type[Exception]:
    import pypdfium2

    error: type[Exception] = pypdfium2.PdfiumError
    return error


def _refused(path: Path, problem: str, remedy: str) -> ReportError:
    return ReportError(problem, remedy=remedy, slide=str(path))
