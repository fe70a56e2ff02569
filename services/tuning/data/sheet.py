"""A contact sheet of a data set: fifty of its rows on one page, with what they were made from."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.services.tuning.data.files import new_text
from slidelake.services.tuning.data.row import TuningRow
from slidelake.services.tuning.data.write import read_rows

if TYPE_CHECKING:
    import jinja2

__all__ = ["draw_rows", "write_sheet"]


def write_sheet(folder: Path, *, seed: int, count: int = 50) -> Path:
    """Writes sheet.html beside rows.jsonl: a page without scripts or links out; pictures are those in images/."""
    with (folder / "llava.json").open(encoding="utf-8") as lines:
        shown = {row.id: row for row in draw_rows(read_rows(folder), seed=seed, count=count)}
        files = {body["id"]: body.get("image", []) for body in _records(lines) if body["id"] in shown}
    rows = [
        {
            "row": row,
            "files": [files[name]] if isinstance(files.get(name), str) else files.get(name, []),
            "turns": [turn for turn in row.turns if turn.role != "system"],
        }
        for name, row in shown.items()
    ]
    path = folder / "sheet.html"
    with new_text(path) as out:
        out.write(_template().render(rows=rows, seed=seed))
    return path


def draw_rows(rows: Iterable[TuningRow], *, seed: int, count: int) -> list[TuningRow]:
    """Rows drawn by the seed, ordered by task and id; those of a data set of `count` rows at most are all of them."""
    drawn = heapq.nsmallest(
        count, rows, key=lambda row: hashlib.sha256(f"sheet:{seed}:{row.id}".encode()).digest()
    )
    return sorted(drawn, key=lambda row: (row.task, row.id))


def _records(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The records of a llava.json as this part writes it: one a line."""
    for line in lines:
        body = line.strip().rstrip(",")
        if body.startswith("{"):
            yield json.loads(body)


@cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parents[2] / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("tuning_sheet.html")
