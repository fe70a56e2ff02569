"""What people type, what comes back, and how it ends (FORMAT's exit codes)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import slidelake
from slidelake.services.lake import Lake
from tests.end_to_end.conftest import Run


def test_a_second_ingest_says_that_nothing_is_to_do(slides: Path, tmp_path: Path, run: Run) -> None:
    again = ("ingest", "--manifest", slides / "manifest.csv", "--store", tmp_path / "lake")
    first = run(*again)
    assert first.exit_code == 0, first.output
    assert "4 made" in first.stdout
    second = run(*again)
    assert second.exit_code == 0
    assert "nothing to do: all 4 slides are in the lake" in second.stdout


def test_json_is_one_object_and_nothing_else(slides: Path, filled: Path, tmp_path: Path, run: Run) -> None:
    for arguments in (
        ("ingest", "--manifest", slides / "manifest.csv", "--store", tmp_path / "lake"),
        ("status", "--store", filled),
        ("verify", "--store", filled),
        ("embed", "--store", filled),
        ("index", "sync", "--store", filled),
        ("index", "status", "--store", filled),
        ("encoders",),
        ("doctor", "--store", filled),
    ):
        result = run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["ok"] is True


def test_the_store_may_stand_before_the_command_after_it_or_in_the_environment(
    filled: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("--store", filled, "--json", "status").exit_code == 0
    assert run("status", "--store", filled).exit_code == 0
    monkeypatch.setenv("SLIDELAKE_STORE", str(filled))
    assert run("status").exit_code == 0


def test_without_a_store_the_message_says_how_to_name_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIDELAKE_STORE", raising=False)
    result = run("status")
    assert result.exit_code == 2
    assert "SLIDELAKE_STORE" in result.stderr


def test_a_folder_that_is_not_a_store_is_refused_and_left_alone(
    tmp_path: Path, slides: Path, run: Run
) -> None:
    (tmp_path / "holiday.txt").write_text("mine")
    for command in (("status",), ("ingest", slides)):
        result = run(*command, "--store", tmp_path)
        assert result.exit_code == 1
        assert str(tmp_path) in result.stderr.replace("\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.txt"]


def test_nothing_matched_is_exit_code_4(tmp_path: Path, run: Run) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = run("ingest", empty / "*.svs", "--store", tmp_path / "lake")
    assert result.exit_code == 4
    assert "nothing matched" in result.stdout


def test_a_bad_slide_costs_itself_only(slides: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    good = next(slides.glob("*.svs"))
    shutil.copy(good, folder / "good.svs")
    (folder / "bad.svs").write_bytes(b"no slide at all")
    result = run("ingest", folder, "--store", tmp_path / "lake", "--json")
    assert result.exit_code == 3
    states = {o["slide_id"] or o["uri"]: o for o in json.loads(result.stdout)["outcomes"]}
    assert states["good"]["state"] == "made"
    assert states["bad"]["state"] == "quarantined"
    assert states["bad"]["message"]
    assert states["bad"]["remedy"]
    listed = run("status", "--store", tmp_path / "lake", "--json")
    (entry,) = json.loads(listed.stdout)["quarantine"]
    assert "bad.svs" in entry["uri"]
    # What was in quarantine leaves it once it went in.
    shutil.copy(good, folder / "bad.svs")
    assert run("ingest", folder, "--store", tmp_path / "lake").exit_code == 0
    assert json.loads(run("status", "--store", tmp_path / "lake", "--json").stdout)["quarantine"] == []


def test_a_dry_run_changes_nothing(slides: Path, tmp_path: Path, run: Run) -> None:
    store = tmp_path / "lake"
    assert run("ingest", next(slides.glob("*.svs")), "--store", store).exit_code == 0
    before = sorted(store.rglob("*"))
    result = run("ingest", "--manifest", slides / "manifest.csv", "--store", store, "--dry-run", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["counts"]["would-make"] == 3
    assert sorted(store.rglob("*")) == before


def test_a_dry_run_needs_no_lake_and_makes_none(slides: Path, tmp_path: Path, run: Run) -> None:
    result = run("ingest", next(slides.glob("*.svs")), "--store", tmp_path / "lake", "--dry-run", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["counts"]["would-make"] == 1
    assert not (tmp_path / "lake").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("not a lake")
    refused = run("ingest", slides, "--store", tmp_path / "thesis", "--dry-run")
    assert refused.exit_code == 1
    assert "no slidelake.json" in refused.stderr


def test_unknown_encoder_names_the_known(slides: Path, tmp_path: Path, run: Run) -> None:
    result = run("ingest", slides, "--store", tmp_path / "lake", "--encoder", "uni3")
    assert result.exit_code == 2
    assert "stain-texture" in result.stderr
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("grid", ["0px@0.5mpp", "256", "256px@-1mpp", "256px@0mpp"])
def test_a_grid_that_cannot_be_is_a_usage_error(slides: Path, tmp_path: Path, run: Run, grid: str) -> None:
    assert run("ingest", slides, "--store", tmp_path / "lake", "--grid", grid).exit_code == 2


def test_search_by_patch_draws_the_gallery(lake: Lake, filled: Path, tmp_path: Path, run: Run) -> None:
    slide_id = lake.store.slide_ids()[0]
    x, y = lake.bag(slide_id).coords[:][5]
    result = run(
        "search", "--slide", slide_id, "--at", f"{x + 3},{y + 3}", "-k", 6, "--exclude-same-patient",
        "--out", tmp_path / "found", "--store", filled, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    body = json.loads(result.stdout)
    own = lake.slides.set_index("slide_id").loc[slide_id, "patient_id"]
    assert len(body["hits"]) == 6
    assert own not in {hit["patient_id"] for hit in body["hits"]}
    scores = [hit["score"] for hit in body["hits"]]
    assert scores == sorted(scores, reverse=True)
    with Image.open(tmp_path / "found.png") as picture:
        assert min(picture.size) > 200
    page = (tmp_path / "found.html").read_text()
    assert page.count("data:image/") >= 7
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert slide_id in page


def test_search_by_image_finds_the_place_it_was_cut_from(
    lake: Lake, filled: Path, tmp_path: Path, run: Run
) -> None:
    from slidelake.ingest import open_slide, read_patch

    slide_id = lake.store.slide_ids()[1]
    bag = lake.bag(slide_id)
    x, y = (int(value) for value in bag.coords[:][3])
    with open_slide(lake.slides.set_index("slide_id").loc[slide_id, "uri"]) as slide:
        grid = lake.store.grid(slide_id, bag.space.split("/")[0])
        Image.fromarray(read_patch(slide, grid.attributes, x, y)).save(tmp_path / "query.png")
    result = run(
        "search", "--image", tmp_path / "query.png", "-k", 1, "--no-gallery", "--store", filled, "--json"
    )
    (hit,) = json.loads(result.stdout)["hits"]
    assert (hit["slide_id"], hit["x"], hit["y"]) == (slide_id, x, y)
    assert hit["score"] > 0.999


def test_search_by_slide_ranks_slides(lake: Lake, filled: Path, run: Run) -> None:
    slide_id = lake.store.slide_ids()[0]
    result = run("search", "--slide", slide_id, "--store", filled, "--no-gallery", "--json")
    hits = json.loads(result.stdout)["hits"]
    assert {hit["slide_id"] for hit in hits} == set(lake.store.slide_ids()) - {slide_id}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--slide", "nobody", "--at", "0,0"), 2, "nobody"),
        (("--image", "{text}"), 2, "image"),
        (("--image", "{missing}"), 2, "missing.png"),
        (("--slide", "{slide}", "--at", "here"), 2, "--at X,Y"),
        (("--slide", "{slide}", "--at", "{place}", "--where", "planet=mars"), 2, "patient_id"),
        (("--slide", "{slide}", "--at", "{place}", "--where", "site='x' OR 1=1"), 4, ""),
        (("--slide", "{slide}", "--at", "999999,5"), 2, "{slide}"),
        (("--slide", "{slide}", "--at", "{place}", "--space", "uni2-h"), 2, "stain-texture"),
        (("--image", "{picture}", "--exclude-same-patient"), 2, "--exclude-patient"),
        ((), 2, "--image FILE"),
    ],
)
def test_bad_questions_are_answered_with_what_to_do(
    lake: Lake, filled: Path, tmp_path: Path, run: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    slide_id = lake.store.slide_ids()[0]
    x, y = lake.bag(slide_id).coords[:][0]
    (tmp_path / "text.png").write_text("not a picture")
    Image.new("RGB", (256, 256), (200, 120, 160)).save(tmp_path / "picture.png")
    known = {
        "slide": slide_id,
        "place": f"{x},{y}",
        "text": tmp_path / "text.png",
        "missing": tmp_path / "missing.png",
        "picture": tmp_path / "picture.png",
    }
    filledin = [argument.format(**known) for argument in arguments]
    result = run("search", *filledin, "--no-gallery", "--store", filled)
    assert result.exit_code == code, result.output
    assert words.format(**known) in result.stderr


def test_the_index_comes_back_from_the_store_with_the_same_hits(
    filled: Path, tmp_path: Path, run: Run
) -> None:
    copy = tmp_path / "lake"
    shutil.copytree(filled, copy)
    lake = slidelake.open(copy)
    slide_id = lake.store.slide_ids()[0]
    x, y = (int(value) for value in lake.bag(slide_id).coords[:][7])
    question = (
        "search",
        "--slide",
        slide_id,
        "--at",
        f"{x},{y}",
        "-k",
        50,
        "--exact",
        "--no-gallery",
        "--json",
    )
    before = json.loads(run(*question, "--store", copy).stdout)["hits"]
    shutil.rmtree(copy / "index")
    lost = run(*question, "--store", copy)
    assert lost.exit_code == 1
    assert "slidelake index sync" in json.loads(lost.stdout)["error"]["remedy"]
    assert run("index", "sync", "--store", copy).exit_code == 0
    assert json.loads(run(*question, "--store", copy).stdout)["hits"] == before
    assert "nothing to do" in run("index", "sync", "--store", copy).stdout


def test_an_index_older_than_the_store_says_so(slides: Path, tmp_path: Path, run: Run) -> None:
    first, second = sorted(slides.glob("*.svs"))[:2]
    store = ("--store", tmp_path / "lake")
    assert run("ingest", first, *store).exit_code == 0
    assert run("index", "sync", *store).exit_code == 0
    assert run("ingest", second, *store).exit_code == 0
    lake = slidelake.open(tmp_path / "lake")
    x, y = lake.bag(first.stem).coords[:][0]
    result = run("search", "--slide", first.stem, "--at", f"{x},{y}", "--no-gallery", *store)
    assert result.exit_code == 0
    assert "slidelake index sync" in result.stderr.replace("\n", " ")


def test_verify_finds_damage(filled: Path, tmp_path: Path, run: Run) -> None:
    copy = tmp_path / "lake"
    shutil.copytree(filled, copy)
    assert run("verify", "--deep", "--store", copy).exit_code == 0
    shard = next((copy / "slides").glob("*/bags/*/*/*/features/c/0/0"))
    raw = bytearray(shard.read_bytes())
    raw[100] ^= 0xFF
    shard.write_bytes(raw)
    result = run("verify", "--deep", "--store", copy, "--json")
    assert result.exit_code == 5
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem["remedy"]
    shutil.rmtree(shard.parent)
    assert run("verify", "--store", copy).exit_code == 5


def test_any_zarr_reader_opens_a_bag(lake: Lake) -> None:
    import xarray
    import zarr

    bag = lake.bag(lake.store.slide_ids()[0])
    group = zarr.open_group(bag.path, mode="r")
    assert np.array_equal(group["features"][:], bag.features[:])
    with xarray.open_zarr(bag.path, consolidated=False) as data:
        assert data["features"].dims == ("patch", "feature")
        assert np.array_equal(data["coords"].to_numpy(), bag.coords[:])
