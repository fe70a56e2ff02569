"""Cleans the text of a report: what the page and the scanner put there goes, words and numbers stay.

Pages are joined; a header or footer that every page repeats is kept once. A word that a line end divided is put
together again. Everything here is decided from the text itself.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

__all__ = ["clean_text", "join_pages"]

# PDFium's sign for a hyphen at a line's end: what follows stood on the next line.
_PDF_HYPHEN = "\ufffe"
# Not NFKC: it would make 10³ of 103.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys((0x09, 0xA0, *range(0x2000, 0x200B), 0x202F, 0x3000), " "),
        **{
            0xFB00: "ff",
            0xFB01: "fi",
            0xFB02: "fl",
            0xFB03: "ffi",
            0xFB04: "ffl",
            0xFB05: "st",
            0xFB06: "st",
        },
        **{0x2010: "-", 0x2011: "-", 0x2028: "\n", 0x2029: "\n\n", 0x0B: "\n", 0x85: "\n"},
        # Characters that are not seen, or turn the direction of what is.
        **dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF], ""),
    }
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_SPACES = re.compile(r"[^\S\n]+")
_BLANK = re.compile(r"\n{3,}")
_PAGE = re.compile(r"\bpage\s*:?\s*\d+(\s*(of|/)\s*\d+)?", re.IGNORECASE)
_PAGE_ALONE = re.compile(r"\W*page\s*:?\s*\d+\s*(of|/)\s*\d+\W*", re.IGNORECASE)
# What OCR makes of a bar code: I, l, 1 and strokes without end.
_BAR_CODE = re.compile(r"(?<!\S)(?!1+(?!\S))[Il1|!]{10,}(?!\S)")
_DIVIDED = re.compile(r"(?<![^\W\d_])([^\W\d_]{2,})-\n([^\W\d_]{2,})")
_WORD = re.compile(r"[^\W\d_]{2,}(?:-[^\W\d_]{2,})?")
# How many lines at the top and the bottom of a page a header or footer may have.
_EDGE = 6
# Words that stand before or after a hyphen of their own: "pink-\ntan" is pink-tan, "well-\ndifferentiated" too.
_COMPOUND_WORDS = """
    tan pink red brown gray grey white yellow green blue black purple orange dark light pale soft firm
    non well poorly moderately high low free like type sided sectioned section step half self post pre anti co ex
    multi inter intra peri para sub semi pseudo micro macro end side cell grade stage year month week day
    positive negative old up off out over under in on to by of the cut open fresh formalin paraffin follow
    half one two three four five six seven eight nine ten signet ring large small medium mid left right top
    immuno lympho neo fibro adipose serous mucin clear spindle giant tumor bearing containing appearing shaped
    labeled labelled colored coloured filled lined based related associated specific embedded fixed differentiated
"""
_COMPOUND = frozenset(_COMPOUND_WORDS.split())


def join_pages(pages: Sequence[str]) -> str:
    """The pages' texts as one: a line at the top or bottom that most pages repeat is kept where it comes first.

    Lines count as repeated where they differ in the number of the page alone.
    """
    lines = [page.splitlines() for page in pages]
    edges = [_edge(page) for page in lines]
    counts = Counter(mark for edge in edges for mark in set(edge.values()))
    needed = max(2, (len(pages) + 1) // 2)
    seen: set[str] = set()
    kept = []
    for page, edge in zip(lines, edges, strict=True):
        repeated = {number: mark for number, mark in edge.items() if counts[mark] >= needed}
        kept.append("\n".join(line for number, line in enumerate(page) if repeated.get(number) not in seen))
        seen |= set(repeated.values())
    # A sentence may run from page to page: no blank line between them.
    return "\n".join(kept)


def clean_text(text: str) -> str:
    """The text with line ends of one kind, single spaces, at most one blank line in a row, whole words.

    Gone are control and invisible characters, bar codes that were read as letters, lines that only count pages, and
    hyphens that divided a word at a line's end. Words and numbers stay as they are, whatever they say. Text that was
    cleaned is not changed by cleaning it again.
    """
    text = text.replace(_PDF_HYPHEN, "-\n").replace("\u00ad\n", "-\n").replace("\u00ad", "")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\f" in text:
        text = join_pages(text.split("\f"))
    text = _CONTROL.sub("", unicodedata.normalize("NFC", text.translate(_PLAIN)))
    text = _BAR_CODE.sub(" ", text)
    lines = (_SPACES.sub(" ", line).strip() for line in text.split("\n"))
    text = "\n".join(line for line in lines if not _PAGE_ALONE.fullmatch(line))
    return _BLANK.sub("\n\n", _whole_words(text)).strip()


def _edge(lines: Sequence[str]) -> dict[int, str]:
    """The lines at both ends of a page by their number, as they are compared."""
    said = [number for number, line in enumerate(lines) if line.strip()]
    return {
        number: _PAGE.sub("page", _SPACES.sub(" ", lines[number]).strip().casefold())
        for number in {*said[:_EDGE], *said[-_EDGE:]}
    }


def _whole_words(text: str) -> str:
    """Puts divided words together, where both parts are in small letters: "EXCISION-\\nNO TUMOR" ends in a dash.

    The hyphen goes where the whole word stands elsewhere in the text, or where neither part does; it stays where it
    may be the word's own.
    """
    words = {word.casefold() for word in _WORD.findall(_DIVIDED.sub(" ", text))}

    def join(found: re.Match[str]) -> str:
        left, right = found[1], found[2]
        lower = left.casefold()
        if not right.islower() or left[1:] != lower[1:]:
            return found[0]
        if f"{lower}{right}" in words:
            return left + right
        own = f"{lower}-{right}" in words or not {lower, right}.isdisjoint(_COMPOUND | words)
        return f"{left}-{right}" if own else left + right

    return _DIVIDED.sub(join, text)
