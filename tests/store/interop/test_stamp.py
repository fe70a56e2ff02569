"""STAMP's files into the store: micrometres, and four versions of saying so."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from slidelake.store import FeatureStore, verify
from slidelake.store.interop import ImportOptions, import_features
from tests.store.interop import peers

GRID = "224px-1.142857mpp-tstamp1"


def take(store: FeatureStore, path: Path, **options: Any) -> Any:
    return import_features(store, path, format="stamp", options=ImportOptions(**options))


def only(report: Any) -> Any:
    [outcome] = report.outcomes
    return outcome


def test_micrometres_become_level0_px_and_are_kept(store: FeatureStore, tmp_path: Path) -> None:
    data = peers.features(600, dtype="float16")
    um = (peers.lattice(600, 256.0, 30) + 0.123).astype(np.float32)
    peers.stamp(tmp_path / "uni2-0123abcd" / "sub" / "S1.h5", data, um, **peers.STAMP_24)
    refused = only(take(store, tmp_path))
    assert refused.reason == "mpp-missing"
    assert "--mpp" in refused.remedy
    assert only(take(store, tmp_path, mpp=0.2527)).space.startswith(f"{GRID}/uni2.")
    bag, grid = store.bag("S1"), store.grid("S1", GRID)
    assert bag.features.dtype == np.float16
    assert bag.features.tobytes() == data.tobytes()
    assert np.abs(bag.coords - um.astype(np.float64) / 0.2527).max() <= 0.5
    assert grid.coords_original is not None
    assert grid.coords_original.tobytes() == um.tobytes()
    assert grid.attributes["coords_original"] == {"unit": "um", "per_level0_px": [0.2527, 0.2527]}
    assert grid.attributes["footprint_level0"] == pytest.approx([256 / 0.2527] * 2)
    assert grid.attributes["effective_mpp"] == pytest.approx([256 / 224] * 2)
    assert bag.provenance["imported_from"]["told"]["code_hash"] == "0123abcd"
    assert verify(store, deep=True).ok


def test_version_2_0_has_no_tile_px(store: FeatureStore, tmp_path: Path) -> None:
    path = peers.stamp(
        tmp_path / "S1.h5",
        peers.features(dtype="float16"),
        extractor="ctranspath",
        unit="um",
        tile_size=256.0,
    )
    outcome = only(take(store, path, mpp=0.5))
    assert outcome.space.startswith(f"{GRID}/ctranspath.")
    assert any("224 was taken" in note for note in outcome.notes)


def test_version_1_is_in_px_and_has_augmented_rows(store: FeatureStore, tmp_path: Path) -> None:
    data = peers.features(40, dtype="float16")
    augmented = np.zeros(40, bool)
    augmented[30:] = True
    coords = np.concatenate([peers.lattice(30, 224), peers.lattice(10, 224)])
    path = peers.stamp(tmp_path / "S1.h5", data, coords, augmented=augmented, extractor="ctranspath-0123abcd")
    outcome = only(take(store, path, mpp=0.5))
    assert any("10 augmented" in note for note in outcome.notes)
    assert any("STAMP 1" in note for note in outcome.notes)
    assert outcome.space.startswith(f"{GRID}/ctranspath.")
    bag = store.bag("S1")
    assert bag.features.tobytes() == data[:30].tobytes()
    np.testing.assert_array_equal(bag.coords, peers.lattice(30, 512))  # 224 px are 256 µm are 512 px of 0.5
    np.testing.assert_array_equal(store.grid("S1", GRID).coords_original, coords[:30])


def test_newer_than_known_is_said(store: FeatureStore, tmp_path: Path) -> None:
    said = {**peers.STAMP_24, "stamp_version": "9.1.0"}
    outcome = only(take(store, peers.stamp(tmp_path / "S1.h5", peers.features(), **said), mpp=0.5))
    assert outcome.state == "made"
    assert "STAMP 9.1.0, newer than 2.5.0" in outcome.notes[0]


def test_what_is_no_bag_of_tiles(store: FeatureStore, tmp_path: Path) -> None:
    data = peers.features()
    peers.stamp(tmp_path / "slide.h5", data[0], **{**peers.STAMP_24, "feat_type": "slide"})
    peers.stamp(
        tmp_path / "patient.h5", data[:1], version="2.3.0", encoder="titan", precision="torch.float32"
    )
    peers.stamp(tmp_path / "unit.h5", data, peers.lattice(step=300), extractor="uni2")
    with h5py.File(tmp_path / "kronos.h5", "w") as file:
        file["patch_embeddings"] = data
    said = {each.slide_id: each.message for each in take(store, tmp_path, mpp=0.5).outcomes}
    assert "slide's embedding" in said["slide"]
    assert "slide's embedding" in said["patient"]
    assert "unit of its coordinates" in said["unit"]
    assert "KRONOS" in said["kronos"]
    assert store.slide_ids() == []


def test_same_name_in_two_folders(store: FeatureStore, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        peers.stamp(tmp_path / folder / "S1.h5", peers.features(seed=len(folder)), **peers.STAMP_24)
    assert [each.reason for each in take(store, tmp_path, mpp=0.5).outcomes] == ["", "duplicate-slide-id"]
    by_path = take(store, tmp_path, mpp=0.5, id_from="path")
    assert [each.slide_id for each in by_path.outcomes] == ["a__S1", "b__S1"]
