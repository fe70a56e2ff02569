"""`make demo`: the main job from start to end, on made slides and on real ones."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.end_to_end.conftest import Run
from tests.shared_data import SHARED

#: Every slide of the shared folder: in the lake, or the reason why not. Small DICOM files stand for series.
EXPECTED = {
    "broken.svs": "unsupported-format",
    "cmu-1-small-region.svs": "made",
    "dicom_proxy__multi_frame_jpeg2000_camelyon_challenge_image.dcm": "mpp-implausible",
    "dicom_proxy__multi_frame_jpeg_camelyon_challenge_image.dcm": "mpp-implausible",
    "pathml_small_dicom.dcm": "unreadable",
    "transformation_pipeline__wsi_private_tags.dcm": "unreadable",
    "level-0-frames-0-30.dcm": "made",
    "kidney-48-5.tif": "unsupported-format",
    "highdicom_sm_image.dcm": "too-small",
    "highdicom_sm_image_jpegls.dcm": "unreadable",
    "large_image_grey10kx5k.tif": "unsupported-format",
    "large_image_test_orient3.tif": "unsupported-format",
    "large_image_yb10kx5k.zstd.tiff": "mpp-implausible",
    "large_image_zero_gi.tif": "damaged-pixels",
    "openslidepy_boxes.tiff": "mpp-implausible",
    "openslidepy_boxes_0.dcm": "too-small",
    "openslidepy_small.svs": "too-small",
    "openslidepy_unopenable.tiff": "unreadable",
    "openslidepy_unreadable.svs": "too-small",
    "slideio_CMU-1-Small-Region-page-1.tif": "unsupported-format",
    "slideio_corrupted.svs": "damaged-pixels",
    "pathml_small_vectra.qptiff": "fluorescence",
    "pathml_smalltif.tif": "fluorescence",
    "slaid_patch-8-level.tif": "mpp-missing",
    "slaid_test.tif": "mpp-missing",
    "tcga-cr-7395-01a-01-ts1.svs": "mpp-missing",
}


def test_the_demo_finds_like_tissue_in_other_patients(tmp_path: Path, run: Run) -> None:
    result = run("demo", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    body = json.loads(result.stdout)
    means = {name: table["mean of classes"] for name, table in body["precision_at_10"].items()}
    assert set(means) == {"stain-texture", "colour-histogram", "random"}
    assert means["stain-texture"] >= means["colour-histogram"] + 0.15
    assert means["colour-histogram"] > means["random"]
    assert len(body["precision_at_10"]["stain-texture"]) - 1 >= 8, "fewer than eight tissue classes"
    pictures = [Path(path) for path in body["pictures"]]
    for picture in pictures:
        assert picture.is_relative_to(tmp_path)
        assert picture.stat().st_size > 10_000
    with Image.open(pictures[0]) as sheet:
        assert min(sheet.size) > 1000


@pytest.mark.parametrize("slides", [SHARED / "slides"] if SHARED else [], ids=["shared"])
def test_the_demo_on_real_slides(slides: Path, tmp_path: Path, run: Run) -> None:
    result = run("demo", "--slides", slides, "--out", tmp_path, "--json")
    assert result.exit_code == 3, result.output
    outcomes = json.loads(result.stdout)["report"]["outcomes"]
    found = {Path(o["uri"]).name: o["reason"] or o["state"] for o in outcomes}
    assert found == EXPECTED
    for outcome in outcomes:
        if outcome["state"] == "quarantined":
            assert outcome["message"]
            assert outcome["remedy"]
    assert (tmp_path / "similar_patches.png").exists()
    # An explicit word mends what only lacked it.
    tcga = slides / "tcga-cr-7395-01a-01-ts1.svs"
    mended = run("ingest", tcga, "--assume-mpp", "0.5", "--store", tmp_path / "lake", "--json")
    assert json.loads(mended.stdout)["counts"] == {"made": 1}
