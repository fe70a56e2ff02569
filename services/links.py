"""Deep links into the page, relative to the server's root: the same in answers, hits and messages."""

from urllib.parse import quote, urlencode

__all__ = ["quoted", "report_link", "slide_link"]


def slide_link(
    slide_id: str,
    x: float | None = None,
    y: float | None = None,
    w: float | None = None,
    h: float | None = None,
) -> str:
    """A slide, or the rectangle of it (level-0 px) that is to be shown."""
    return _link(f"/#/slides/{quoted(slide_id)}", x=x, y=y, w=w, h=h)


def report_link(report_id: str, start: int | None = None, end: int | None = None) -> str:
    """A report, or the characters `start:end` of its text."""
    return _link(f"/#/reports/{quoted(report_id)}", start=start, end=end)


def quoted(name: str) -> str:
    """An id as one part of a URL's path."""
    return quote(name, safe="")


def _link(place: str, **numbers: float | None) -> str:
    said = {name: _plain(value) for name, value in numbers.items() if value is not None}
    return f"{place}?{urlencode(said)}" if said else place


def _plain(value: float) -> str:
    """Whole numbers without a point, whatever type they came in."""
    return str(int(value)) if float(value).is_integer() else f"{value:.2f}"
