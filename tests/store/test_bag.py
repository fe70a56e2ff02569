"""Bags as readers and writers meet them: dtypes, invalid rows, other programs' eyes, damage."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
import zarr

from slidelake.errors import DamagedStoreError, NotFiniteError, UnknownSlideError, UsageError
from slidelake.store import FeatureStore, checksum
from slidelake.store.testing import GRID_ID, add_slide


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1", rows=700)
    return store


def _write(
    store: FeatureStore, features: np.ndarray, valid: np.ndarray | None = None, **options: str
) -> None:
    with store.bag_writer("S1", GRID_ID, "x.00000000", dim=features.shape[1], **options) as writer:
        for start in range(0, len(features), 64):
            part = slice(start, start + 64)
            writer.write(features[part], None if valid is None else valid[part])
        writer.commit({"time": "now"})


def test_other_programs_open_it(store: FeatureStore) -> None:
    bag = store.bag("S1")
    group = zarr.open_group(bag.path, mode="r")
    assert sorted(group.array_keys()) == ["coords", "features", "valid"]
    np.testing.assert_array_equal(group["features"][:], bag.features)
    assert group["features"].metadata.dimension_names == ("patch", "feature")
    data = xarray.open_zarr(bag.path, consolidated=False)
    assert dict(data.sizes) == {"patch": 700, "feature": 8, "xy": 2}
    assert data.features.dtype == np.float16
    np.testing.assert_array_equal(data.features.values, bag.features)
    np.testing.assert_array_equal(bag.to_xarray().features.values, data.features.values)
    overview = xarray.open_zarr(store.overview("S1").path, consolidated=False)
    assert overview.thumbnail.dims == ("y", "x", "channel")
    assert xarray.open_zarr(store.grid("S1", GRID_ID).path, consolidated=False).tissue.dims == ("patch",)


def test_torch_shares_the_memory(store: FeatureStore) -> None:
    bag = store.bag("S1")
    tensor = bag.to_torch()
    assert tensor.shape == (700, 8)
    assert tensor.dtype == torch.float16
    assert tensor.data_ptr() == bag.features.ctypes.data


def test_invalid_rows_are_zero_and_keep_their_place(store: FeatureStore) -> None:
    features = np.random.default_rng(0).normal(size=(700, 4)).astype(np.float32)
    valid = np.ones(700, np.uint8)
    valid[[0, 300, 699]] = 0
    features[300] = np.nan
    _write(store, features, valid, dtype="float32")
    bag = store.bag("S1", "x")
    np.testing.assert_array_equal(bag.valid, valid)
    assert not bag.features[valid == 0].any()
    np.testing.assert_array_equal(bag.features[valid == 1], features[valid == 1])
    assert bag.features.dtype == np.float32


def test_equal_input_gives_equal_bytes(store: FeatureStore) -> None:
    features = np.random.default_rng(0).normal(size=(700, 4))
    _write(store, features)
    first = store.bag("S1", "x").commit
    _write(store, features)
    second = store.bag("S1", "x").commit
    assert first.attempt != second.attempt
    assert first.arrays == second.arrays
    assert first.arrays["features"]["checksum"] == checksum(features.astype(np.float16))
    for key in store.objects.list(first.attempt):
        assert store.objects.read(key) == store.objects.read(key.replace(first.attempt, second.attempt))


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.nan, "float16", "NaN or infinity"),
        (-np.inf, "float32", "NaN or infinity"),
        (70000.0, "float16", r"70000, too large for float16.*float32"),
        (1e39, "float32", "too large for float32"),
    ],
)
def test_what_is_not_finite_is_refused(store: FeatureStore, value: float, dtype: str, message: str) -> None:
    features = np.zeros((700, 4))
    features[3, 2] = value
    before = store.objects.list("")
    with pytest.raises(NotFiniteError, match=f"S1: row 3 .*{message}"):
        _write(store, features, dtype=dtype)
    assert store.objects.list("") == before


def test_wrong_arguments(store: FeatureStore) -> None:
    with pytest.raises(UsageError, match="float64"):
        store.bag_writer("S1", GRID_ID, "x.0", dim=4, dtype="float64")
    with pytest.raises(UsageError, match="0 dimensions"):
        store.bag_writer("S1", GRID_ID, "x.0", dim=0)
    with store.bag_writer("S1", GRID_ID, "x.0", dim=4) as writer:
        with pytest.raises(UsageError, match=r"\(B, D\) floats"):
            writer.write(np.zeros((3, 4), np.uint8))
        with pytest.raises(UsageError, match="one flag"):
            writer.write(np.zeros((3, 4), np.float32), np.ones(2))
        with pytest.raises(ValueError, match="do not fit"):
            writer.write(np.zeros((3, 5), np.float32))
    with pytest.raises(UsageError, match="done"):
        writer.write(np.zeros((3, 4), np.float32))
    grid = {"columns": {}, "attributes": {}, "provenance": {}}
    for coords in (np.zeros((3, 3), int), np.zeros((3, 2)), np.full((3, 2), 2**40)):
        with pytest.raises(UsageError, match="coords"):
            store.put_grid("S1", "g", coords=coords, **grid)
    with pytest.raises(UsageError, match="column tissue"):
        store.put_grid(
            "S1", "g", coords=np.zeros((3, 2), int), **{**grid, "columns": {"tissue": np.zeros(2, np.uint8)}}
        )


def test_unknown_slide(store: FeatureStore) -> None:
    with pytest.raises(UnknownSlideError, match="Did you mean S1"):
        store.bag("S12")
    with pytest.raises(UnknownSlideError, match="status"):
        store.overview("zzzz")
    with pytest.raises(UnknownSlideError, match="no grid 9px-level0 of this slide"):
        store.grid("S1", "9px-level0")
    with pytest.raises(UnknownSlideError, match="no pooled"):
        store.pooled("S1", None, "mean")


def test_a_store_crosses_processes(store: FeatureStore) -> None:
    again = pickle.loads(pickle.dumps(store))
    assert again.info == store.info
    assert again.slide_ids() == ["S1"]


@pytest.mark.parametrize("damage", ["gone", "short", "empty", "index", "metadata", "array", "other"])
def test_damage_is_never_read_as_data(store: FeatureStore, damage: str) -> None:
    folder = Path(store.bag("S1").path) / "features"
    shard = folder / "c/0/0"
    data = shard.read_bytes()
    if damage == "gone":
        shard.unlink()
    elif damage == "short":
        shard.write_bytes(data[:1000])
    elif damage == "empty":
        shard.write_bytes(b"")
    elif damage == "index":
        shard.write_bytes(data[:-10] + b"\1" + data[-9:])
    elif damage == "metadata":
        (folder / "zarr.json").write_text("{")
    elif damage == "array":
        (folder / "zarr.json").unlink()
    else:
        (folder / "zarr.json").write_text((folder / "zarr.json").read_text().replace("700", "512"))
    with pytest.raises(DamagedStoreError, match=r"S1: .*slidelake verify"):
        _ = store.bag("S1").features
