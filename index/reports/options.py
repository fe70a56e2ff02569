"""What a person can say about the files that reports come from, and the limits that protect from them."""

from dataclasses import dataclass

__all__ = ["ReadOptions"]


@dataclass(frozen=True)
class ReadOptions:
    """How report files are read.

    The columns are those of tables; "" finds them by their usual names. `encoding` is that of text files and tables.
    `ocr_language` are Tesseract's names, joined by +. A file of text may have `text_bytes`, a table `table_bytes`, a
    PDF `pdf_bytes` and `pages` pages. A page is drawn with `ocr_dpi` for OCR, but with no more than `page_pixels`; an
    image of more than `image_pixels` in it is refused. OCR of a page ends after `ocr_seconds`.
    """

    id_column: str = ""
    patient_column: str = ""
    slide_column: str = ""
    title_column: str = ""
    text_column: str = ""
    encoding: str = "utf-8"
    ocr_language: str = "eng"
    text_bytes: int = 8_000_000
    table_bytes: int = 4_000_000_000
    pdf_bytes: int = 200_000_000
    pages: int = 300
    ocr_dpi: int = 300
    page_pixels: int = 25_000_000
    image_pixels: int = 100_000_000
    ocr_seconds: float = 120.0
