"""The store as other programs' files: their layouts exactly, and back again with no bit lost."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from slidelake.errors import StoreFullError, UnknownSpaceError, UsageError
from slidelake.store import FeatureStore
from slidelake.store.interop import ExportOptions, ImportOptions, export_features, import_features
from slidelake.store.testing import ENCODER_ID, GRID_ID
from tests.store.interop import peers

#: 256 px of 0.5 µm/px on a slide of 0.2527: no whole number of level-0 px.
FOOTPRINT = 256 * 0.5 / 0.2527


def put(
    store: FeatureStore,
    slide: str,
    data: np.ndarray,
    *,
    valid: np.ndarray | None = None,
    mpp: float | None = 0.2527,
    side: float = FOOTPRINT,
    **facts: Any,
) -> np.ndarray:
    """A bag of our own on a lattice; returns its coords."""
    coords = peers.lattice(len(data), side).astype(np.int32)
    attributes = {
        "spec": {"patch_px": 256, "mpp": 0.5, "stride_px": 256, "min_tissue": 0.25},
        "footprint_level0": [side, side],
        "stride_level0": [side, side],
        "slide_size": [40_000, 30_000],
        **facts,
    }
    told = {"mpp_x": mpp, "mpp_y": mpp} if mpp else {}
    columns = {"tissue": np.full(len(data), 200, np.uint8)}
    store.put_grid(slide, GRID_ID, coords=coords, columns=columns, attributes=attributes, provenance=told)
    named = {**attributes, "encoder": {"name": "uni_v1"}}
    with store.bag_writer(
        slide, GRID_ID, ENCODER_ID, dim=data.shape[1], dtype=data.dtype.name, attributes=named
    ) as writer:
        writer.write(data, valid)
        writer.commit(told)
    return coords


def one(report: Any) -> Any:
    [outcome] = report.outcomes
    return outcome


def test_trident_layout(store: FeatureStore, tmp_path: Path) -> None:
    data = peers.features(700, dtype="float16")
    coords = put(store, "S1", data)
    assert one(export_features(store, tmp_path / "job", format="trident")).state == "made"
    base = tmp_path / "job" / "20x_256px_0px_overlap"
    with h5py.File(base / "features_uni_v1" / "S1.h5") as file:
        assert sorted(file) == ["coords", "features"]
        assert file["features"].dtype == np.float16
        assert file["features"].chunks == (256, peers.DIM)
        assert file["features"].maxshape == (None, peers.DIM)
        np.testing.assert_array_equal(file["features"][:], data)
        assert file["features"].attrs["encoder"] == "uni_v1"
        assert file["features"].attrs["name"] == "S1"
        assert file["coords"].dtype == np.int64
        np.testing.assert_array_equal(file["coords"][:], coords)
        said = dict(file["coords"].attrs)
    with h5py.File(base / "patches" / "S1_patches.h5") as file:
        np.testing.assert_array_equal(file["coords"][:], coords)
        assert dict(file["coords"].attrs) == said
    del said["slidelake"], said["savetodir"]
    assert said == {
        "patch_size": 256, "patch_size_level0": FOOTPRINT, "level0_magnification": 40,
        "target_magnification": 20, "overlap": 0, "name": "S1", "level0_width": 40_000, "level0_height": 30_000,
    }  # fmt: skip
    assert sorted(path.name for path in base.rglob("*") if path.is_file()) == ["S1.h5", "S1_patches.h5"]


def test_clam_layout(store: FeatureStore, tmp_path: Path) -> None:
    data = peers.features(300, dtype="float16")
    coords = put(store, "S1", data, side=512.0)
    outcome = one(export_features(store, tmp_path / "clam", format="clam"))
    assert any("encoder's name" in note for note in outcome.notes)
    with h5py.File(tmp_path / "clam" / "h5_files" / "S1.h5") as file:
        assert (file["features"].dtype, file["coords"].dtype) == (np.float32, np.int32)
        np.testing.assert_array_equal(file["features"][:], data.astype(np.float32))
    tensor = torch.load(tmp_path / "clam" / "pt_files" / "S1.pt", weights_only=True)
    assert tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy(), data.astype(np.float32))
    with h5py.File(tmp_path / "clam" / "patches" / "S1.h5") as file:
        np.testing.assert_array_equal(file["coords"][:], coords)
        said = file["coords"].attrs
        assert (said["patch_size"], list(said["downsample"])) == (256, [2, 2])
        assert list(said["level_dim"]) == [20_000, 15_000]


def test_stamp_layout(store: FeatureStore, tmp_path: Path) -> None:
    data = peers.features(dtype="float16")
    coords = put(store, "S1", data)
    export_features(store, tmp_path / "stamp", format="stamp")
    mark = ENCODER_ID.rpartition(".")[2]
    with h5py.File(tmp_path / "stamp" / f"uni_v1-{mark}" / "S1.h5") as file:
        assert sorted(file) == ["coords", "feats"]
        assert file["coords"].dtype == np.float32
        assert file["feats"].dtype == np.float16
        assert file["feats"].chunks is None
        np.testing.assert_array_equal(file["feats"][:], data)
        np.testing.assert_allclose(file["coords"][:], coords * 0.2527, rtol=1e-6)
        said = dict(file.attrs)
    del said["slidelake"]
    assert said.pop("tile_size_um") == pytest.approx(128)
    assert said == {
        "stamp_version": "2.1.0", "extractor": "uni_v1", "unit": "um", "tile_size_px": 224 * 256 // 224,
        "code_hash": mark, "feat_type": "tile",
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("format", ["trident", "clam", "stamp"])
def test_there_and_back(store: FeatureStore, tmp_path: Path, format: str, dtype: str) -> None:
    data = peers.features(300, dtype=dtype)
    coords = put(store, "S1", data)
    export_features(store, tmp_path / "out", format=format)
    back = FeatureStore.open(tmp_path / "back", create=True)
    report = import_features(
        back, tmp_path / "out", format=format, options=ImportOptions(encoder="uni_v1", mpp=0.2527)
    )
    assert one(report).space.startswith(f"{GRID_ID}-t{format}1/uni_v1.")
    bag = back.bag("S1")
    assert bag.features.dtype == data.dtype
    assert bag.features.tobytes() == data.tobytes()
    np.testing.assert_array_equal(bag.coords, coords)
    assert bag.attributes["footprint_level0"] == [FOOTPRINT, FOOTPRINT]
    assert bag.attributes["effective_mpp"] == pytest.approx([0.5, 0.5])
    if format == "stamp":  # what came in micrometres goes out as it came
        export_features(back, tmp_path / "again", format="stamp")
        [first], [second] = (list((tmp_path / name).rglob("S1.h5")) for name in ("out", "again"))
        with h5py.File(first) as a, h5py.File(second) as b:
            assert a["coords"][:].tobytes() == b["coords"][:].tobytes()


@pytest.mark.parametrize("format", ["trident", "clam", "stamp"])
def test_there_and_back_without_our_attribute(store: FeatureStore, tmp_path: Path, format: str) -> None:
    """What the other program would have written is enough."""
    data = peers.features(dtype="float32")
    coords = put(store, "S1", data, side=512.0, mpp=0.25)
    export_features(store, tmp_path / "out", format=format)
    for path in (tmp_path / "out").rglob("*.h5"):
        with h5py.File(path, "a") as file:
            for place in (file, file["coords"]):
                place.attrs.pop("slidelake", None)
    back = FeatureStore.open(tmp_path / "back", create=True)
    options = ImportOptions(encoder="uni_v1", mpp=0.25)
    assert one(import_features(back, tmp_path / "out", format="auto", options=options)).state == "made"
    bag = back.bag("S1")
    assert bag.features.tobytes() == data.tobytes()
    np.testing.assert_array_equal(bag.coords, coords)
    assert bag.attributes["footprint_level0"] == [512, 512]


def test_rows_that_are_not_valid_are_left_out(store: FeatureStore, tmp_path: Path) -> None:
    data, valid = peers.features(), np.arange(30) % 10 != 3
    coords = put(store, "S1", data, valid=valid)
    outcome = one(export_features(store, tmp_path, format="trident"))
    assert outcome.notes[0].startswith("3 rows")
    assert outcome.patches == 27
    [path] = tmp_path.rglob("S1.h5")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["features"][:], data[valid])
        np.testing.assert_array_equal(file["coords"][:], coords[valid])


def test_what_is_there_is_left_alone(store: FeatureStore, tmp_path: Path) -> None:
    put(store, "S1", peers.features(seed=1))
    put(store, "S2", peers.features(seed=2))
    out = tmp_path / "out"
    assert export_features(store, out, format="trident", slides=["S1"]).counts == {"made": 1}
    [path] = out.rglob("S1.h5")
    written = path.stat().st_mtime_ns
    assert export_features(store, out, format="trident").counts == {"already": 1, "made": 1}
    assert path.stat().st_mtime_ns == written
    path.write_bytes(b"somebody else's")
    report = export_features(store, out, format="trident")
    assert report.counts == {"refused": 1, "already": 1}
    assert report.exit_code == 3
    assert "--overwrite" in report.outcomes[0].remedy
    again = export_features(store, out, format="trident", options=ExportOptions(overwrite=True))
    assert again.counts == {"made": 2}
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["features"][:], peers.features(seed=1))


def test_a_file_appears_whole_or_not_at_all(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "S1", peers.features())
    whole = h5py.Group.create_dataset

    def full(self: Any, name: str, *arguments: Any, **named: Any) -> Any:
        if name == "features":
            raise OSError(28, "No space left on device")
        return whole(self, name, *arguments, **named)

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(StoreFullError, match="no space is left"):
        export_features(store, tmp_path / "out", format="trident")
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert left == ["S1_patches.h5"]
    monkeypatch.undo()
    assert one(export_features(store, tmp_path / "out", format="trident")).state == "made"


def test_empty_bags(store: FeatureStore, tmp_path: Path) -> None:
    put(store, "S1", np.empty((0, peers.DIM), np.float16))
    for format in ("trident", "clam", "stamp"):
        assert one(export_features(store, tmp_path / format, format=format)).state == "made"
        back = FeatureStore.open(tmp_path / f"back-{format}", create=True)
        options = ImportOptions(encoder="uni_v1", mpp=0.2527)
        import_features(back, tmp_path / format, format=format, options=options)
        assert back.bag("S1").features.shape == (0, peers.DIM)


def test_what_cannot_be_exported(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(UnknownSpaceError):
        export_features(store, tmp_path / "out", format="trident")
    put(store, "S1", peers.features(), mpp=None)
    refused = one(export_features(store, tmp_path / "out", format="stamp"))
    assert (refused.reason, "--mpp" in refused.remedy) == ("mpp-missing", True)
    given = ExportOptions(mpp=0.25)
    assert one(export_features(store, tmp_path / "out", format="stamp", options=given)).state == "made"
    report = export_features(store, tmp_path / "out", format="trident", slides=["S1", "S7"])
    assert report.counts == {"made": 1, "refused": 1}
    with pytest.raises(UsageError, match="trident, clam, stamp"):
        export_features(store, tmp_path / "out", format="atlaspatch")
    with pytest.raises(UsageError, match="lies in the lake"):
        export_features(store, Path(store.url) / "slides", format="trident")
