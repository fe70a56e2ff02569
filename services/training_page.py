"""The report of a training as one HTML file: no scripts, no links out, pictures inside, light and dark."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2

    from slidelake.encoders.training import TrainReport

__all__ = ["page", "write_page"]

#: What is longer is counted, and stands in report.json.
_NAMES_SHOWN = 12


def write_page(report: TrainReport) -> Path:
    """Write report.html beside report.json and return its path."""
    path = report.out / "report.html"
    path.write_text(page(report), encoding="utf-8")
    return path


def page(report: TrainReport) -> str:
    """The report as text, with the pictures that lie in its folder."""
    from slidelake.encoders.training import TITLES

    pictures = [(name, _data_uri(report.out / name)) for name in report.pictures]
    return _template().render(report=report, pictures=pictures, titles=TITLES, names_shown=_NAMES_SHOWN)


def _plainly(value: object) -> str:
    """A setting as people write it: no brackets, yes and no, nothing for what is empty."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {each}" for name, each in value.items() if each not in ("", None))
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


@cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plainly"] = _plainly
    return environment.get_template("training.html")
