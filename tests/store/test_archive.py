"""A store written by format version 1, as it was written: it opens for ever."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from slidelake.store import FeatureStore, verify
from tests.store.make_archive import COORDS, ENCODER_ID, FEATURES, GRID_ID, VALID, make

V1 = Path(__file__).parent / "archives" / "v1"


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    # A copy: reading the catalog keeps it, and the archive must stay as it is.
    shutil.copytree(V1, tmp_path / "v1")
    return FeatureStore.open(tmp_path / "v1")


def test_version_1_is_read(store: FeatureStore) -> None:
    assert store.info.format == 1
    assert store.slide_ids() == ["S1", "S2"]
    assert store.spaces() == {f"{GRID_ID}/{ENCODER_ID}": 2}
    assert ENCODER_ID == "stain-texture.3efeeaf5"
    bag = store.bag("S1", "stain-texture")
    expected = np.where(VALID[:, None] == 1, FEATURES, 0).astype(np.float16)
    np.testing.assert_array_equal(bag.features, expected)
    np.testing.assert_array_equal(bag.coords, COORDS)
    np.testing.assert_array_equal(bag.valid, VALID)
    assert bag.provenance["patient_id"] == "P-S1"
    assert store.grid("S1", GRID_ID).columns["blur"].tolist() == [0, 1, 2, 3, 4]
    assert store.overview("S1").thumbnail.tolist()[1][3] == [21, 22, 23]
    pooled = store.pooled("S1", None, "abmil")
    assert pooled.scores is not None
    assert pooled.scores.tolist() == [[0.0, 1.0, -np.inf, 2.0, 3.0]]
    assert (store.state("S2").epoch, len(store.bag("S2"))) == (2, 0)
    assert store.catalog()[["slide_id", "patient_id", "n_patches", "site", "age"]].to_dict("list") == {
        "slide_id": ["S1", "S2"],
        "patient_id": ["P-S1", "P-S2"],
        "n_patches": [5, 0],
        "site": ["lung", "skin"],
        "age": [61, 47],
    }
    assert store.quarantine.read_all()[0]["reason"] == "mpp-missing"
    assert store.runs() == [{"counts": {"made": 2}, "run_id": "run-1"}]


def test_version_1_is_sound(store: FeatureStore) -> None:
    report = verify(store, deep=True)
    assert report.ok, report.problems
    assert (report.slides, report.commits) == (2, 7)


def test_version_1_opens_without_us() -> None:
    (path,) = (V1 / "slides/S1/bags" / GRID_ID / ENCODER_ID).iterdir()
    np.testing.assert_array_equal(zarr.open_group(path, mode="r")["coords"][:], COORDS)
    assert xarray.open_zarr(path, consolidated=False).sizes["patch"] == 5


def test_version_1_takes_more(store: FeatureStore) -> None:
    with store.bag_writer("S1", GRID_ID, "later.00000000", dim=2) as writer:
        writer.write(np.ones((5, 2), np.float32))
        writer.commit({})
    assert verify(store, deep=True).ok


def test_todays_writer_makes_the_same(tmp_path: Path) -> None:
    make(tmp_path / "now")

    def content(root: Path) -> dict[str, str]:
        found = {}
        for path in root.glob("slides/**/*"):
            if path.is_file():
                parts = [part for part in path.relative_to(root).parts if not part.startswith("20")]
                key = "/".join(parts)
                found[f"{key} {hashlib.sha256(path.read_bytes()).hexdigest()}"] = key
        return found

    def keys(root: Path) -> list[str]:
        return sorted(str(path.relative_to(root)) for path in root.glob("commits/**/*.json"))

    assert content(tmp_path / "now") == content(V1)
    assert keys(tmp_path / "now") == keys(V1)
