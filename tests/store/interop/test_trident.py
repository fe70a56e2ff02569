"""TRIDENT's files into the store: bits, places, footprints, and what its files leave open."""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from slidelake.store import FeatureStore, verify
from slidelake.store.interop import ImportOptions, SlideFacts, import_features
from tests.store.interop import peers

GRID = "256px-0.5mpp-ttrident1"


def take(store: FeatureStore, path: Path, **options: Any) -> Any:
    return import_features(store, path, format="trident", options=ImportOptions(**options))


def only(report: Any) -> Any:
    [outcome] = report.outcomes
    return outcome


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_bits_places_and_footprint(store: FeatureStore, tmp_path: Path, dtype: str) -> None:
    data = peers.features(700, dtype=dtype)
    peers.trident(tmp_path / "job", "TCGA-A.1234", data)
    report = take(store, tmp_path / "job", mpp=0.2525, patient_pattern="^TCGA-.")
    assert report.exit_code == 0
    assert only(report).space.startswith(f"{GRID}/uni_v1.")
    bag = store.bag("TCGA-A.1234", "uni_v1")
    assert bag.features.dtype == dtype
    assert bag.features.tobytes() == data.tobytes()
    np.testing.assert_array_equal(bag.coords, peers.lattice(700))
    assert bag.valid.all()
    facts = store.grid("TCGA-A.1234", GRID).attributes
    assert facts["footprint_level0"] == facts["stride_level0"] == [512, 512]
    assert facts["effective_mpp"] == [0.505, 0.505]
    assert facts["slide_size"] == [100_000, 80_000]
    assert facts["spec"] == {"patch_px": 256, "mpp": 0.5, "stride_px": 256}
    assert bag.provenance["mpp_source"] == "given"
    assert bag.provenance["patient_id"] == "TCGA-A"
    assert bag.attributes["encoder"] == {
        "name": "uni_v1", "imported": True, "format": "trident", "dim": peers.DIM,
    }  # fmt: skip
    assert store.grid("TCGA-A.1234", GRID).columns == {}
    assert verify(store, deep=True).ok


def test_again_is_one_look(store: FeatureStore, tmp_path: Path) -> None:
    path = peers.trident(tmp_path / "job", "S1", peers.features())
    assert only(take(store, tmp_path / "job")).state == "made"
    before = sorted(store.objects.list("slides"))
    whole, stat = path.read_bytes(), path.stat()
    path.write_bytes(bytes(len(whole)))  # to be opened it would have to be a file of features
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert only(take(store, tmp_path / "job")).state == "already"
    path.write_bytes(whole)
    # At another place and time the content is compared.
    (tmp_path / "job").rename(tmp_path / "moved")
    assert only(take(store, tmp_path / "moved")).state == "already"
    assert sorted(store.objects.list("slides")) == before
    assert store.bag("S1").commit.generation == 1


def test_other_features_under_one_name_are_refused(store: FeatureStore, tmp_path: Path) -> None:
    peers.trident(tmp_path / "job", "S1", peers.features(seed=0))
    take(store, tmp_path / "job")
    peers.trident(tmp_path / "job", "S1", peers.features(seed=1))
    refused = only(take(store, tmp_path / "job"))
    assert (refused.state, refused.reason) == ("refused", "source-changed")
    assert "--encoder" in refused.remedy
    assert only(take(store, tmp_path / "job", encoder="uni_v1-again")).state == "made"
    assert len(store.spaces()) == 2


def test_overlap_and_broken_footprint(store: FeatureStore, tmp_path: Path) -> None:
    peers.trident(tmp_path, "S1", peers.features(), overlap=64, patch_size_level0=507.5)
    take(store, tmp_path)
    grid = store.grid("S1", "256px-0.5mpp-s192-ttrident1")
    assert grid.attributes["footprint_level0"] == [507.5, 507.5]
    assert grid.attributes["stride_level0"] == [507.5 * 0.75] * 2


def test_other_shapes_and_kinds_of_coordinates(store: FeatureStore, tmp_path: Path) -> None:
    data, coords = peers.features(), peers.lattice()
    peers.trident(tmp_path, "extra-axis", data[None])
    peers.trident(tmp_path, "floats", data, coords.astype(np.float64))
    peers.trident(tmp_path, "fractions", data, coords + 0.3)
    report = take(store, tmp_path)
    assert {each.slide_id: each.state for each in report.outcomes} == {
        "extra-axis": "refused", "floats": "made", "fractions": "made",
    }  # fmt: skip
    assert store.grid("floats", GRID).coords_original is None
    kept = store.grid("fractions", GRID)
    np.testing.assert_array_equal(kept.coords_original, coords + 0.3)
    assert kept.attributes["coords_original"] == {"unit": "level-0 px"}
    np.testing.assert_array_equal(kept.coords, coords)
    assert kept.columns == {}
    assert verify(store, deep=True).ok
    with h5py.File(tmp_path / "20x_256px_0px_overlap" / "features_uni_v1" / "extra-axis.h5", "a") as file:
        del file["coords"]
        file["coords"] = coords
    assert take(store, tmp_path).counts == {"made": 1, "already": 2}
    assert store.bag("extra-axis").features.shape == data.shape


def test_what_is_missing_is_asked_for_by_flag(store: FeatureStore, tmp_path: Path) -> None:
    data = peers.features()
    bare: dict[str, Any] = {"level0_magnification": "None", "target_magnification": "None"}
    path = peers.trident(tmp_path / "1", "S1", data, **bare)
    refused = only(take(store, path))
    assert (refused.reason, "--mpp" in refused.remedy) == ("mpp-missing", True)
    assert only(take(store, path, mpp=0.2525)).space.startswith(GRID)
    path = peers.trident(tmp_path / "2", "S2", data, patch_size_level0=..., **bare)
    assert "--patch-size-level0" in only(take(store, path, mpp=0.25)).remedy
    path = peers.trident(tmp_path / "3", "S3", data, patch_size=...)
    assert "--patch-size " in only(take(store, path)).remedy
    path = peers.trident(tmp_path / "4", "S4", data, encoder="None")
    assert only(take(store, path)).space.startswith(f"{GRID}/uni_v1.")  # its folder says so
    bare_folder = tmp_path / "flat"
    bare_folder.mkdir()
    path.rename(bare_folder / "S4.h5")
    refused = only(take(store, bare_folder))
    assert (refused.reason, "--encoder" in refused.remedy) == ("fact-missing", True)


def test_attributes_from_the_file_of_patches(store: FeatureStore, tmp_path: Path) -> None:
    peers.trident(tmp_path, "S1", peers.features(), own_attributes=False)
    take(store, tmp_path)
    assert store.grid("S1", GRID).attributes["footprint_level0"] == [512, 512]


def test_coordinates_of_clam_below_features_of_trident(store: FeatureStore, tmp_path: Path) -> None:
    no: Any = ...
    peers.trident(
        tmp_path, "S1", peers.features(), patch_level=1, downsample=2.0, patch_size_level0=no,
        target_magnification=no, level0_magnification=no, overlap=no,
    )  # fmt: skip
    take(store, tmp_path, mpp=0.25)
    assert store.grid("S1", GRID).attributes["footprint_level0"] == [512, 512]


def test_empty_slides(store: FeatureStore, tmp_path: Path) -> None:
    none = np.empty((0, 2), np.int64)
    peers.trident(tmp_path, "A-flat", np.empty(0, np.float32), none)
    peers.trident(tmp_path, "B-wide", np.empty((0, peers.DIM), np.float32), none)
    refused = [each for each in take(store, tmp_path).outcomes if each.state == "refused"]
    assert refused == []  # B tells A's width
    assert store.bag("A-flat").features.shape == store.bag("B-wide").features.shape == (0, peers.DIM)
    assert verify(store, deep=True).ok
    other = FeatureStore.open(tmp_path / "other", create=True)
    alone = only(take(other, tmp_path / "20x_256px_0px_overlap" / "features_uni_v1" / "A-flat.h5"))
    assert (alone.state, alone.reason) == ("refused", "fact-missing")


def test_slide_embeddings_and_numpy_pickles_are_refused_by_name(store: FeatureStore, tmp_path: Path) -> None:
    path = peers.trident(tmp_path, "S1", peers.features())
    pooled = path.parent.parent / "slide_features_titan" / "S1.h5"
    pooled.parent.mkdir()
    with h5py.File(pooled, "w") as file:
        file["features"] = peers.features(1)[0]
    torch.save(peers.features(), path.with_name("S2.pt"))  # as TRIDENT does: a numpy array
    states = {Path(each.file).name: each for each in take(store, tmp_path).outcomes if each.state != "made"}
    assert set(states) == {"S1.h5", "S2.pt"}
    assert "slide embedding" in states["S1.h5"].message
    assert "weights_only" in states["S2.pt"].message


def test_two_choices_of_patches_are_kept_apart(store: FeatureStore, tmp_path: Path) -> None:
    data = peers.features()
    take(store, peers.trident(tmp_path / "a", "S1", data))
    others = peers.trident(tmp_path / "b", "S1", data, peers.lattice() + 1, encoder="conch")
    refused = only(take(store, others))
    assert (refused.reason, "--tissue-rule" in refused.remedy) == ("grid-mismatch", True)
    assert only(take(store, others, tissue_rule="grandqc")).space.startswith("256px-0.5mpp-tgrandqc/conch.")
    # The same patches in another order are the same grid: rows follow it.
    order = np.random.default_rng(0).permutation(30)
    take(store, peers.trident(tmp_path / "c", "S1", data[order], peers.lattice()[order], encoder="virchow"))
    assert store.bag("S1", "virchow").features.tobytes() == data.tobytes()


def test_names(store: FeatureStore, tmp_path: Path) -> None:
    peers.trident(tmp_path, "Ünïcode slide", peers.features())
    peers.trident(tmp_path, "S1", peers.features())
    peers.trident(tmp_path, "s1", peers.features())
    peers.trident(tmp_path, "a..b", peers.features())
    report = take(store, tmp_path)
    assert [each.reason for each in report.outcomes if each.state == "refused"] == ["duplicate-slide-id"]
    assert all("/" not in slide_id and not slide_id.startswith(".") for slide_id in store.slide_ids())
    assert len(store.slide_ids()) == 3
    later = peers.trident(tmp_path / "later", "s1", peers.features())
    assert only(take(store, later)).reason == "duplicate-slide-id"
    nested = peers.trident(tmp_path / "nested" / "deep", "S9", peers.features())
    assert only(take(store, nested, id_from="path")).slide_id == "S9"
    by_path = only(take(store, tmp_path / "nested", id_from="path")).slide_id
    assert by_path == "deep__20x_256px_0px_overlap__features_uni_v1__S9"


def test_the_wrong_slide_of_that_name(store: FeatureStore, tmp_path: Path) -> None:
    path = peers.trident(tmp_path, "S1", peers.features())
    refused = only(take(store, path, slide_of={"S1": SlideFacts(size=(99_000, 80_000))}.get))
    assert "100,000 × 80,000 px, and that of --slides has 99,000 × 80,000" in refused.message


def test_a_run_that_was_cut_off_goes_on(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        peers.trident(tmp_path, f"S{i}", peers.features(seed=i))
    begin = store.bag_writer

    def cut_off(slide_id: str, *arguments: Any, **named: Any) -> Any:
        if slide_id == "S1":
            raise KeyboardInterrupt
        return begin(slide_id, *arguments, **named)

    monkeypatch.setattr(store, "bag_writer", cut_off)
    with pytest.raises(KeyboardInterrupt):
        take(store, tmp_path)
    monkeypatch.undo()
    assert store.commit("S1", "grid", GRID) is not None  # its grid is in, its bag is not
    assert take(store, tmp_path).counts == {"already": 1, "made": 2}
    assert [store.bag(f"S{i}").features.tobytes() for i in range(3)] == [
        peers.features(seed=i).tobytes() for i in range(3)
    ]
    assert verify(store, deep=True).ok


def test_dry_run_writes_nothing(store: FeatureStore, tmp_path: Path) -> None:
    peers.trident(tmp_path, "S1", peers.features())
    peers.trident(tmp_path, "S2", np.full((30, 4), np.nan, np.float32))
    report = import_features(store, tmp_path, format="auto", dry_run=True)
    assert report.counts == {"would-make": 1, "refused": 1}
    assert report.exit_code == 3
    assert store.slide_ids() == []
