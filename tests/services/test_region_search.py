"""Regions and words as queries, by the facade and on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slidelake.errors import UsageError
from slidelake.services.cli.app import app
from slidelake.services.lake import Lake
from tests.index.lakes import FOOTPRINT, make_lake

F = FOOTPRINT


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = Lake(make_lake(tmp_path_factory.mktemp("region") / "lake", slides=4))
    made.index.sync()
    return made


def run(lake: Lake, *words: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["search", *words, "--json", "--store", str(lake.store.url)])
    assert done.exit_code == code, done.output
    return dict(json.loads(done.stdout))


def test_the_facade_takes_boxes_and_polygons(lake: Lake) -> None:
    box = lake.search(slide="S1", region=(0, 0, 2 * F, F), k=5)
    polygon = lake.search(slide="S1", region=[(0, 0), (2 * F, 0), (2 * F, F), (0, F)], k=5)
    assert box.to_dicts() == polygon.to_dicts()
    assert len(box) == 5
    found = lake.search(slide="S1", region=(0, 0, 2 * F, F), find="slides", exclude_same_patient=True)
    assert {hit.slide_id for hit in found} == {"S2", "S3"}
    assert found[0].row is None


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"region": (0, 0, 1, 1)},
        {"at": (1, 1), "image": "x.png"},
        {"slide": "S1", "text": "x"},
        {"slide": "S1", "at": (1, 1), "region": (0, 0, 1, 1)},
        {"slide": "S1", "find": "slides"},
        {"slide": "S1", "region": (0, 0, 1)},
        {"text": "necrosis"},  # no encoder of this lake reads words
    ],
)
def test_one_query_at_a_time(lake: Lake, said: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        lake.search(**said)


def test_the_command(lake: Lake, tmp_path: Path) -> None:
    out = tmp_path / "hits"
    told = run(lake, "--slide", "S1", "--region", f"0,0,{2 * F},{F}", "-k", "3", "--out", str(out))
    assert [hit["rank"] for hit in told["hits"]] == [1, 2, 3]
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert "Patches most like the query" in page
    slides = run(lake, "--slide", "S1", "--region", f"0,0,{F},{F}", "--find", "slides", "--out", str(out))
    assert {hit["slide_id"] for hit in slides["hits"]} == {"S0", "S2", "S3"}
    assert "Slides most like the query" in out.with_suffix(".html").read_text(encoding="utf-8")
    assert "--region" in run(lake, "--slide", "S1", "--region", "0,0,5", code=2)["error"]["problem"]
    assert "no patch" in run(lake, "--slide", "S1", "--region", "90000,0,5,5", code=2)["error"]["problem"]
    run(lake, "--region", "0,0,5,5", code=2)
