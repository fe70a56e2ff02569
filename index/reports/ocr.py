"""Reads the picture of a page by Tesseract, one thread a page; pages beside one another."""

import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slidelake.errors import MissingDependencyError, ReportError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["OcrPage", "check_tesseract", "read_images"]

_INSTALL = "Install it: apt-get install tesseract-ocr, and pip install 'slidelake[reports]'."
_MOST_AT_ONCE = 8


@dataclass(frozen=True)
class OcrPage:
    """What was read of one page, and each word's confidence (0 to 100), weighted by its letters."""

    text: str
    confidence: float
    letters: int


def check_tesseract(language: str) -> None:
    """Raises MissingDependencyError without Tesseract or the package that calls it, ReportError without a language."""
    try:
        import pytesseract
    except ImportError as exc:
        raise MissingDependencyError("reading scanned pages needs pytesseract", remedy=_INSTALL) from exc
    if shutil.which(pytesseract.pytesseract.tesseract_cmd) is None:
        raise MissingDependencyError(
            "the report is a scan, and Tesseract, which reads scans, is not installed", remedy=_INSTALL
        )
    there = pytesseract.get_languages(config="")
    missing = [each for each in language.split("+") if each not in there]
    if missing:
        raise ReportError(
            f"Tesseract has no data for the language {', '.join(missing)} (it has {', '.join(there)})",
            remedy=f"Install it: apt-get install tesseract-ocr-{missing[0]}, or name another with --ocr-language.",
        )


def read_images(pages: Iterable["Image"], language: str, seconds: float) -> Iterator[OcrPage]:
    """The pages' texts, in order. No more pages are drawn than are read at once."""
    workers = min(_MOST_AT_ONCE, os.cpu_count() or 1)
    waiting: deque[Future[OcrPage]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="ocr") as pool:
        for image in pages:
            waiting.append(pool.submit(_read, image, language, seconds))
            if len(waiting) >= workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read(image: "Image", language: str, seconds: float) -> OcrPage:
    import pytesseract

    # Its own threads wait for one another more than they help; pages go side by side instead.
    os.environ.setdefault("OMP_THREAD_LIMIT", "1")
    try:
        found = pytesseract.image_to_data(
            image, lang=language, timeout=seconds, output_type=pytesseract.Output.DICT
        )
    except pytesseract.TesseractError as exc:
        raise ReportError(
            f"Tesseract failed on a page ({exc.message.strip()[:200]})", remedy="See its message."
        ) from exc
    except RuntimeError as exc:
        # Its own way to say that the time is over.
        raise ReportError(
            f"OCR of one page took more than {seconds:g} s",
            remedy="Give the report as text, or leave the page out.",
        ) from exc
    return _page(found)


def _page(found: dict[str, list[str | int | float]]) -> OcrPage:
    """Words put into lines, with a blank line between paragraphs."""
    lines: dict[tuple[int, int, int], list[str]] = {}
    weighted, letters = 0.0, 0
    columns = (found[name] for name in ("block_num", "par_num", "line_num", "text", "conf"))
    for block, paragraph, line, word, confidence in zip(*columns, strict=True):
        text = str(word).strip()
        if not text or float(confidence) < 0:
            continue
        lines.setdefault((int(block), int(paragraph), int(line)), []).append(text)
        weighted += float(confidence) * len(text)
        letters += len(text)
    text, before = "", None
    for key, words in lines.items():
        text += ("\n\n" if before not in (None, key[:2]) else "\n" if text else "") + " ".join(words)
        before = key[:2]
    return OcrPage(text, weighted / letters if letters else 0.0, letters)
