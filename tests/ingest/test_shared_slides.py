"""Every real slide that lies beside the checkout: in the lake with its patches, or its reason."""

import shutil
from pathlib import Path

import pytest

from slidelake.ingest import ingest
from slidelake.store import FeatureStore, verify
from tests.shared_data import SHARED, shared

ENCODER = "colour-histogram"
#: Path below slides/ → number of patches at 256px@0.5mpp, or the reason why it is not in.
TABLE: dict[str, int | str] = {
    "broken.svs": "unsupported-format",
    "cmu-1-small-region.svs": 44,
    "dicom/dicom_proxy__multi_frame_jpeg2000_camelyon_challenge_image/"
    "dicom_proxy__multi_frame_jpeg2000_camelyon_challenge_image.dcm": "mpp-implausible",
    "dicom/dicom_proxy__multi_frame_jpeg_camelyon_challenge_image/"
    "dicom_proxy__multi_frame_jpeg_camelyon_challenge_image.dcm": "mpp-implausible",
    "dicom/pathml_small_dicom/pathml_small_dicom.dcm": "unreadable",
    "dicom/transformation_pipeline__wsi_private_tags/transformation_pipeline__wsi_private_tags.dcm": "unreadable",
    "kidney-48-5.tif": "unsupported-format",
    "odd/highdicom_sm_image.dcm": "too-small",
    "odd/highdicom_sm_image_jpegls.dcm": "unreadable",
    "odd/large_image_grey10kx5k.tif": "unsupported-format",
    "odd/large_image_notanimage.txt": "unsupported-format",
    "odd/large_image_test_orient3.tif": "unsupported-format",
    "odd/large_image_yb10kx5k.zstd.tiff": "mpp-implausible",
    "odd/large_image_zero_gi.tif": "damaged-pixels",
    "odd/openslidepy_boxes.tiff": "mpp-implausible",
    "odd/openslidepy_boxes_0.dcm": "too-small",
    "odd/openslidepy_boxes_1.dcm": "unreadable",
    "odd/openslidepy_small.svs": "too-small",
    "odd/openslidepy_unopenable.tiff": "unreadable",
    "odd/openslidepy_unreadable.svs": "too-small",
    "odd/slideio_CMU-1-Small-Region-page-1.tif": "unsupported-format",
    "odd/slideio_corrupted.svs": "damaged-pixels",
    "pathml_small_vectra.qptiff": "fluorescence",
    "pathml_smalltif.tif": "fluorescence",
    "slaid_patch-8-level.tif": "mpp-missing",
    "slaid_test.tif": "mpp-missing",
    "tcga-cr-7395-01a-01-ts1.svs": "mpp-missing",
}
FILES = [path for path in shared("slides/**/*") if path.is_file() and path.parent.name != "dicom_wsi_sample"]


def name_of(path: Path) -> str:
    assert SHARED is not None
    return path.resolve().relative_to((SHARED / "slides").resolve()).as_posix()


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path / "lake", create=True)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_shared_slide(path, store, tmp_path):
    expected = TABLE[name_of(path)]
    if path.suffix == ".dcm":  # OpenSlide would take the others of the folder for its series
        (tmp_path / "alone").mkdir()
        path = Path(shutil.copy(path, tmp_path / "alone"))
    (outcome,) = ingest(store, [str(path)], encoder=ENCODER).outcomes
    assert (outcome.reason or outcome.patches) == expected, outcome
    if outcome.reason:
        assert outcome.message
        assert outcome.remedy.endswith(".")
        assert store.slide_ids() == []
        assert [entry["reason"] for entry in store.quarantine.read_all()] == [outcome.reason]
    else:
        assert outcome.invalid == 0
        assert verify(store, deep=True).ok


@pytest.mark.parametrize("folder", shared("slides/dicom_wsi_sample"), ids=lambda path: path.name)
def test_shared_dicom_folder_is_one_slide(folder, store):
    (outcome,) = ingest(store, [str(folder)], encoder=ENCODER).outcomes
    assert (outcome.slide_id, outcome.state, outcome.patches) == ("dicom_wsi_sample", "made", 55)


@pytest.mark.parametrize("path", shared("slides/tcga-cr-7395*"), ids=lambda path: path.name)
def test_shared_slide_without_mpp_goes_in_where_one_is_assumed(path, store):
    (outcome,) = ingest(store, [str(path)], encoder=ENCODER, assume_mpp=0.5).outcomes
    assert (outcome.state, outcome.patches) == ("made", 160)
    assert store.bag(path.stem).provenance["mpp_source"] == "assumed"


@pytest.mark.parametrize("folder", shared("slides"), ids=lambda path: path.name)
def test_shared_folder_as_a_whole(folder, store):
    report = ingest(store, [str(folder)], encoder=ENCODER)
    assert report.exit_code == 3
    assert {outcome.slide_id for outcome in report.outcomes if outcome.state == "made"} == {
        "cmu-1-small-region",
        "dicom_wsi_sample",
    }
    told = {name_of(Path(outcome.uri)): outcome.reason for outcome in report.outcomes if outcome.reason}
    beside_others = {name for name in TABLE if name.startswith("odd/") and name.endswith(".dcm")}
    assert {name: reason for name, reason in told.items() if name not in beside_others} == {
        name: reason
        for name, reason in TABLE.items()
        if isinstance(reason, str) and not name.endswith(".txt") and name not in beside_others
    }
    assert verify(store, deep=True).ok


@pytest.mark.parametrize("folder", shared("slides"), ids=lambda path: path.name)
def test_shared_table_has_every_file_and_no_other(folder):
    assert {name_of(path) for path in FILES} == set(TABLE)
