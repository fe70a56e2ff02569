"""Small lakes behind an app: slides that OpenSlide opens, ingested, embedded and indexed."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from slidelake.services.api import ServeSettings, create_app
from slidelake.services.api.tokens import Tokens
from slidelake.services.lake import Lake
from slidelake.services.lake import open as open_lake
from tests.ingest.slides import tissue_slide

#: Slides, their patients and labels; S3 has no age.
COHORT = (
    {"slide_id": "S1", "patient_id": "P1", "site": "lung", "age": "61", "consent": "true"},
    {"slide_id": "S2", "patient_id": "P1", "site": "lung", "age": "61", "consent": "true"},
    {"slide_id": "S3", "patient_id": "P2", "site": "larynx, left", "age": "", "consent": "false"},
)
SPACE = "256px-0.5mpp"
#: Level-0 pixels of a slide's side, and patches of one.
SIDE, PATCHES = 1024, 8


def fill(folder: Path, *, slides: int = 3, index: bool = True) -> Lake:
    """A lake in `folder`/lake of slides in `folder`/slides."""
    place = folder / "slides"
    place.mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as out:
        table = csv.DictWriter(out, ["uri", *COHORT[0]])
        table.writeheader()
        for number, row in enumerate(COHORT[:slides]):
            path = tissue_slide(place / f"{row['slide_id']}.tif", seed=number, size=SIDE, levels=(4,))
            table.writerow({"uri": path, **row})
    lake = open_lake(folder / "lake")
    lake.ingest(manifest=folder / "manifest.csv", sync_index=False)
    if index:
        lake.embed()
        lake.index.sync()
    return lake


@contextmanager
def served(
    lake: Lake, tokens: Tokens | None = None, *, headers: dict[str, str] | None = None, **settings: Any
) -> Iterator[TestClient]:
    """A client of an app over the lake; the app has started, and stops at the end."""
    app = create_app(lake, ServeSettings(**settings), tokens)
    with TestClient(app, base_url="http://localhost", headers=headers) as client:
        yield client


def error(answer: Any) -> dict[str, str]:
    """The error in an answer, which has to be in the one form that all have."""
    body = answer.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"kind", "problem", "remedy", "slide"}
    assert body["error"]["problem"]
    return dict(body["error"])
