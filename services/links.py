"""Deep links into the page, relative to the server's root: the same in answers, hits and messages."""

from urllib.parse import quote, urlencode

__all__ = ["report_link", "slide_link"]


def slide_link(
    slide_id: str,
    x: float | None = None,
    y: float | None = None,
    w: float | None = None,
    h: float | None = None,
) -> str:
    """A slide, or the rectangle of it (level-0 px) that is to be shown."""
    return _link(f"/#/slides/{quote(slide_id, safe='')}", x=x, y=y, w=w, h=h)


def report_link(report_id: str, start: int | None = None, end: int | None = None) -> str:
    """A report, or the characters `start:end` of its text."""
    return _link(f"/#/reports/{quote(report_id, safe='')}", start=start, end=end)


def _link(place: str, **numbers: float | None) -> str:
    said = {name: _plain(value) for name, value in numbers.items() if value is not None}
    return f"{place}?{urlencode(said)}" if said else place


def _plain(value: float) -> str:
    """Whole numbers without a point, whatever type they came in."""
    return str(int(value)) if float(value).is_integer() else f"{value:.2f}"
