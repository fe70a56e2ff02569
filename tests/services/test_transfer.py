"""`slidelake import` and `slidelake export`: what people see, exit codes, and what the lake does with imports."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import slidelake
from slidelake.services.cli.app import app
from slidelake.services.gallery.pixels import Pixels
from slidelake.store import verify
from slidelake.store.interop import ImportOptions
from tests.ingest.slides import tissue_slide
from tests.store.interop import peers


def run(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    for i in range(3):
        peers.trident(tmp_path / "job", f"P{i // 2}-S{i}", peers.features(seed=i))
    return tmp_path / "job"


def test_import_then_everything_else(job: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    code, said = run("import", job, "--format", "trident", "--patient-pattern", "^P.", "--store", lake)
    assert (code, said["counts"]) == (0, {"made": 3})
    assert run("import", job, "--store", lake)[1]["counts"] == {"already": 3}
    code, said = run("status", "--store", lake)
    assert (code, said["slides"], said["patients"]) == (0, 3, 2)
    [space] = said["spaces"]
    assert (space["slides"], space["patches"]) == (3, 90)
    assert run("verify", "--deep", "--store", lake)[0] == 0
    assert run("embed", "--store", lake)[0] == 0
    assert run("index", "sync", "--store", lake)[0] == 0
    stem = tmp_path / "hits"
    code, said = run(
        "search", "--slide", "P0-S0", "--at", "700,100", "--exclude-same-patient", "-k", 3,
        "--out", stem, "--store", lake,
    )  # fmt: skip
    assert code == 0, said
    assert [hit["slide_id"] for hit in said["hits"]] == ["P1-S2"] * 3
    assert stem.with_name("hits.html").exists()
    assert run("search", "--slide", "P0-S0", "-k", 1, "--no-gallery", "--store", lake)[0] == 0
    # An image query needs the encoder itself, which an import does not bring.
    code, said = run("search", "--image", stem.with_name("hits.png"), "--no-gallery", "--store", lake)
    assert code == 2
    assert "uni_v1" in said["error"]["problem"]


def test_what_could_not_go_in_is_told(job: Path, tmp_path: Path) -> None:
    with h5py.File(job / "20x_256px_0px_overlap" / "features_uni_v1" / "P0-S1.h5", "a") as file:
        file["features"][4, 1] = np.nan
    arguments = ["import", str(job), "--store", str(tmp_path / "lake")]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 3
    text = " ".join(result.stdout.split())
    assert "row 4 of its features holds NaN" in text
    assert "2 made, 1 refused" in text
    assert "3 bags have no patient" not in text
    assert "2 bags have no patient given" in text


def test_exit_codes(tmp_path: Path, job: Path) -> None:
    lake = tmp_path / "lake"
    (tmp_path / "empty").mkdir()
    assert run("import", tmp_path / "gone", "--store", lake)[0] == 2
    assert run("import", job, "--format", "other", "--store", lake)[0] == 2
    assert not lake.exists()  # a mistyped word makes no lake
    assert run("import", tmp_path / "empty", "--format", "stamp", "--store", lake)[0] == 4
    assert run("import", tmp_path / "empty", "--store", lake)[0] == 4
    assert run("import", job, "--mpp", "25", "--store", lake)[0] == 2
    assert run("export", tmp_path / "out", "--format", "trident", "--store", lake)[0] == 2
    assert run("import", job, "--dry-run", "--store", lake)[1]["counts"] == {"would-make": 3}
    assert run("import", job, "--store", lake)[0] == 0
    code, said = run("export", tmp_path / "out", "--format", "trident", "--slide", "P0-S1", "--store", lake)
    assert (code, said["counts"]) == (0, {"made": 1})
    assert run("export", tmp_path / "out", "--format", "stamp", "--store", lake)[0] == 3
    assert run("export", tmp_path / "out", "--format", "stamp", "--mpp", "0.25", "--store", lake)[0] == 0


def test_slides_tell_and_are_ingested_later(tmp_path: Path) -> None:
    """The slide's own file gives mpp, size and pixels; its own features go in beside the imported ones."""
    (tmp_path / "slides").mkdir()
    slide = tissue_slide(tmp_path / "slides" / "S1.tif")
    lake = slidelake.open(tmp_path / "lake")
    um = peers.lattice(6, 150.0, 3).astype(np.float32)
    peers.stamp(tmp_path / "stamp" / f"{slide.stem}.h5", peers.features(6), um, **peers.STAMP_24)
    peers.stamp(tmp_path / "stamp" / "unknown.h5", peers.features(6), um, **peers.STAMP_24)
    report = lake.import_features(tmp_path / "stamp", slides=tmp_path / "slides", patient_pattern="^S")
    assert {each.slide_id: each.reason for each in report.outcomes} == {
        slide.stem: "",
        "unknown": "mpp-missing",
    }
    bag = lake.bag(slide.stem, "uni2")
    assert bag.provenance["mpp_source"] == "properties"
    mpp = bag.provenance["mpp_x"]
    assert np.abs(bag.coords * mpp - um).max() <= mpp / 2 + 1e-6
    assert lake.slides.loc[0, "uri"] == str(slide)
    assert len(lake.search(slide=slide.stem, at=(10, 10), k=2)) == 2
    with Pixels(lake.store, bag.space) as pixels:
        patch = pixels.patch(slide.stem, *map(int, bag.coords[0]))
    assert (patch.note, patch.image.size) == ("", (224, 224))  # cut from the slide itself
    assert np.asarray(patch.image).std() > 5
    ingested = lake.ingest(slide, encoder="colour-histogram")
    assert ingested.counts == {"made": 1}
    assert lake.bag(slide.stem, "colour-histogram").provenance["patient_id"] == "S"  # as the import was told
    assert lake.slides["patient_id"].tolist() == ["S"]
    assert len(lake.store.spaces()) == 2
    assert verify(lake.store, deep=True).ok
    again = lake.import_features(tmp_path / "stamp", slides=tmp_path / "slides", patient_pattern="^S")
    assert again.counts == {"already": 1, "refused": 1}


def test_a_snapshot_is_exported_and_a_deleted_slide_stays_out(job: Path, tmp_path: Path) -> None:
    lake = slidelake.open(tmp_path / "lake")
    lake.import_features(job, sync_index=False, patient_pattern="^P.")
    lake.store.snapshots.create("v1")
    peers.trident(job, "P7-late", peers.features())
    lake.import_features(job, sync_index=False, patient_pattern="^P.")
    assert lake.export_features(tmp_path / "now", format="clam").counts == {"made": 4}
    assert lake.export_features(tmp_path / "v1", format="clam", snapshot="v1").counts == {"made": 3}
    lake.delete(patient="P0")
    report = lake.import_features(job, sync_index=False, patient_pattern="^P.")
    assert [each.state for each in report.outcomes] == ["denied", "denied", "already", "already"]
    assert report.exit_code == 0
    assert report.outcomes[0].reason == "slide-deleted"
    assert lake.store.slide_ids() == ["P1-S2", "P7-late"]


def test_a_patient_given_once_stays(job: Path, tmp_path: Path) -> None:
    """Who adds a bag and names no patient makes no patient of the slide: splits and deletion go by patients."""
    lake = slidelake.open(tmp_path / "lake")
    lake.import_features(job, sync_index=False, patient_pattern="^P.")
    um = peers.lattice(6, 150.0, 3).astype(np.float32)
    peers.stamp(tmp_path / "stamp" / "P0-S0.h5", peers.features(6), um, **peers.STAMP_24)
    report = lake.import_features(tmp_path / "stamp", sync_index=False, mpp=0.5)
    assert (report.counts, report.notes) == ({"made": 1}, [])
    first = sorted(lake.store.spaces())[0]
    assert lake.bag("P0-S0", first).provenance["grid"]["patch_px"] == 224  # the new one is first by name
    assert lake.bag("P0-S0", first).provenance["patient_source"] == "pattern"
    assert lake.slides.set_index("slide_id")["patient_id"].to_dict() == {
        "P0-S0": "P0",
        "P0-S1": "P0",
        "P1-S2": "P1",
    }
    assert lake.delete(patient="P0").slides == ["P0-S0", "P0-S1"]


def test_slides_are_listed(job: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    assert run("import", job, "--patient-pattern", "^P.", "--store", lake)[0] == 0
    code, said = run("status", "--slides", "--store", lake)
    assert code == 0
    assert [(each["slide_id"], each["patient_id"], each["n_patches"]) for each in said["each_slide"]] == [
        ("P0-S0", "P0", 30),
        ("P0-S1", "P0", 30),
        ("P1-S2", "P1", 30),
    ]
    code, said = run("export", tmp_path / "out", "--format", "clam", "--slide", "other", "--store", lake)
    assert (code, said["outcomes"][0]["remedy"]) == (3, "`slidelake status --slides` lists them.")


def test_gallery_of_an_import_that_has_an_overview_but_no_size(tmp_path: Path) -> None:
    lake = slidelake.open(tmp_path / "lake")
    peers.clam(tmp_path / "clam", "S1", peers.features())
    with h5py.File(tmp_path / "clam" / "patches" / "S1.h5", "a") as file:
        del file["coords"].attrs["level_dim"]
    report = lake.import_features(tmp_path / "clam", encoder="resnet50", sync_index=False)
    [outcome] = report.outcomes
    with Pixels(lake.store, outcome.space) as pixels:
        assert pixels.thumbnail("S1", 0, 0).note == "no thumbnail"
        assert pixels.patch("S1", 0, 0).note == "neither slide nor thumbnail"
        lake.store.put_overview(
            "S1",
            thumbnail=np.zeros((30, 40, 3), np.uint8),
            tissue_mask=np.ones((30, 40), np.uint8),
            attributes={"width": 4000, "height": 3000},
            provenance={},
        )
        assert pixels.patch("S1", 0, 0).image.size == (256, 256)
    assert ImportOptions(mpp=0.5).asked() == {"mpp": 0.5}
