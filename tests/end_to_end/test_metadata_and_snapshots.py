"""Labels that come later reach searches; snapshots are made, listed, read and verified from the command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import slidelake
from slidelake.errors import UnknownNameError, UsageError
from slidelake.services.lake import Lake
from slidelake.services.lake import open as open_lake
from tests.end_to_end.conftest import Run


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "lake"))


def _json(result: Any, code: int = 0) -> dict[str, Any]:
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _grades(lake: Lake, slide: str, **where: Any) -> list[Any]:
    hits = lake.search(slide=slide, at=_patch(lake, slide), k=500, where=where)
    return sorted({hit.metadata["grade"] for hit in hits})


def _patch(lake: Lake, slide: str) -> tuple[int, int]:
    x, y = lake.bag(slide).coords[0]
    return int(x), int(y)


def test_an_update_reaches_searches_with_the_next_sync(folder: Path, tmp_path: Path, run: Run) -> None:
    lake = open_lake(folder)
    slides = lake.slides.slide_id.tolist()
    table = tmp_path / "labels.csv"
    table.write_text("slide_id,grade\n" + "".join(f"{each},{n}\n" for n, each in enumerate(slides)))
    told = _json(run("metadata", "update", table, "--store", folder, "--json"))
    assert (told["slides"], told["columns"], told["changed"]) == (4, ["grade"], True)
    status = _json(run("index", "status", "--store", folder, "--json"))
    assert "older than the metadata" in status["state"]
    synced = _json(run("index", "sync", "--store", folder, "--json"))
    assert (synced["relabelled"], synced["rows"], synced["added"], synced["replaced"]) == (4, 0, 0, 0)
    assert _grades(lake, slides[0], grade=2) == [2]
    assert "nothing to do" in run("metadata", "update", table, "--store", folder).stdout

    # A changed label, by patient; then the column goes.
    patient = lake.slides.patient_id[3]
    theirs = lake.slides.query("patient_id == @patient").slide_id.tolist()
    table.write_text(f"patient_id,grade\n{patient},77\n")
    result = run("metadata", "update", table, "--store", folder)
    assert f"grade of {len(theirs)} slides" in result.stdout
    run("index", "sync", "--store", folder)
    assert _grades(lake, slides[0], grade=77) == [77]
    assert run("metadata", "unset", "grade", "--store", folder).exit_code == 0
    run("index", "sync", "--store", folder)
    at = "{},{}".format(*_patch(lake, slides[0]))
    refused = run("search", "--slide", slides[0], "--at", at, "--where", "grade=77", "--store", folder)
    assert refused.exit_code == 2
    assert "grade" in refused.stderr


def test_what_is_wrong_with_a_table_is_a_usage_error(folder: Path, tmp_path: Path, run: Run) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("slide_id,grade\nnobody,1\n")
    refused = _json(run("metadata", "update", table, "--store", folder, "--json"), 2)
    assert "nobody" in refused["error"]["problem"]
    assert run("metadata", "update", tmp_path / "none.csv", "--store", folder).exit_code == 2
    kept = run("metadata", "update", table, "--allow-unknown", "--store", folder)
    assert "1 ids are not in the lake" in kept.stdout
    assert run("metadata", "unset", "colour", "--store", folder).exit_code == 2


def test_metadata_is_shown(folder: Path, tmp_path: Path, run: Run) -> None:
    lake = open_lake(folder)
    first = lake.slides.slide_id[0]
    lake.update_metadata(pd.DataFrame({"slide_id": [first], "note": ["[b]"], "ratio": [0.5]}))
    assert "[b]" in run("metadata", "show", "--store", folder).stdout
    shown = _json(run("metadata", "show", "--store", folder, "--json"))
    rows = {row["slide_id"]: row for row in shown["rows"]}
    assert rows[first]["ratio"] == 0.5
    assert [row["ratio"] for each, row in rows.items() if each != first] == [None] * (len(rows) - 1)
    out = tmp_path / "all.csv"
    assert run("metadata", "show", "--csv", out, "--store", folder).exit_code == 0
    assert not lake.update_metadata(out).changed


def test_a_snapshot_is_made_listed_read_and_removed(folder: Path, run: Run) -> None:
    assert "there are no snapshots" in run("snapshot", "--store", folder).stdout
    made = _json(run("snapshot", "v1", "--note", "for the paper", "--store", folder, "--json"))
    assert (made["name"], made["slides"], made["note"]) == ("v1", 4, "for the paper")
    lake = open_lake(folder)
    lake.update_metadata(pd.DataFrame({"slide_id": lake.slides.slide_id[:1], "late": ["x"]}))
    lake.store.close_epoch(lake.slides.slide_id[0])
    again = run("snapshot", "v1", "--store", folder)
    assert again.exit_code == 1
    assert "another name" in again.stderr
    assert len(lake.slides) == 3
    listed = _json(run("snapshot", "--list", "--store", folder, "--json"))["snapshots"]
    assert [(each["name"], each["slides"], each["gone"]) for each in listed] == [("v1", 4, 0)]
    assert "for the paper" in run("snapshot", "--store", folder).stdout
    assert _json(run("verify", "--snapshot", "v1", "--store", folder, "--json"))["slides"] == 4
    assert _json(run("verify", "--store", folder, "--json"))["slides"] == 3
    shown = _json(run("metadata", "show", "--snapshot", "v1", "--store", folder, "--json"))
    assert "late" not in shown["columns"]

    pinned = slidelake.open(folder, snapshot="v1")
    assert len(pinned.slides) == 4
    assert len(pinned.bag(pinned.slides.slide_id[0]).features)
    with pytest.raises(UsageError, match="cannot be written"):
        pinned.index.sync()
    with pytest.raises(UnknownNameError, match="v1"):
        slidelake.open(folder, snapshot="v2")
    assert run("snapshot", "v2", "--list", "--store", folder).exit_code == 2
    assert run("snapshot", "--remove", "--store", folder).exit_code == 2
    assert run("snapshot", "v1", "--remove", "--store", folder).exit_code == 0
    assert lake.store.snapshots.names() == []


def test_a_snapshot_of_a_lake_that_is_not_there_makes_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        slidelake.open(tmp_path / "none", snapshot="v1")
    assert not (tmp_path / "none").exists()


def test_ingest_into_a_snapshot_is_refused(folder: Path, slides: Path) -> None:
    lake = open_lake(folder)
    lake.snapshot("v1")
    before = lake.store.objects.list("")
    with pytest.raises(UsageError, match="cannot be written"):
        slidelake.open(folder, snapshot="v1").ingest(manifest=slides / "manifest.csv", grid="128px@0.5mpp")
    assert lake.store.objects.list("") == before


def test_a_copy_is_brought_up_to_date(folder: Path, tmp_path: Path, run: Run) -> None:
    run("snapshot", "v1", "--store", folder)
    there = tmp_path / "copy"
    told = _json(run("copy", there, "--verify", "--store", folder, "--json"))
    assert (told["slides"], told["already"], told["snapshots"], told["failed"]) == (4, 0, 1, [])
    assert "nothing to do: all 4 slides" in run("copy", there, "--store", folder).stdout
    assert _json(run("verify", "--deep", "--store", there, "--json"))["slides"] == 4
    # The copy's own index gives the same answers.
    lake, copy = open_lake(folder), open_lake(there)
    copy.index.sync()
    slide = lake.slides.slide_id[0]
    mine, theirs = (
        each.search(slide=slide, at=_patch(lake, slide), k=5).to_pandas() for each in (lake, copy)
    )
    pd.testing.assert_frame_equal(mine, theirs)
    assert run("copy", folder, "--store", folder).exit_code == 2
    shard = next(Path(lake.bag(slide).path).glob("features/c/0/0"))
    shard.write_bytes(b"")
    damaged = run("copy", tmp_path / "other", "--store", folder)
    assert damaged.exit_code == 5
    assert f"not copied: {slide}" in damaged.stderr


def test_migrate_has_nothing_to_do_yet(folder: Path, run: Run) -> None:
    assert "nothing to do: format 1" in run("migrate", "--store", folder).stdout
    assert _json(run("migrate", "--dry-run", "--store", folder, "--json"))["steps"] == []
