"""The direct reader: the same values as zarr-python's, whatever the array; damage is never read as data."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, ShardingCodec, TransposeCodec, ZstdCodec

from slidelake.errors import DamagedStoreError, UsageError
from slidelake.store import Bag, FeatureStore, Objects, shard_reader
from slidelake.store.array_reader import ArrayReader
from slidelake.store.cut_across import CutAcross
from slidelake.store.shard_index import make_index
from slidelake.store.shard_reader import FEW, LocalShard
from slidelake.store.shard_writer import write_array
from slidelake.store.testing import add_slide

ROWS = 700


@pytest.fixture
def bag(tmp_path: Path) -> Bag:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1", rows=ROWS)
    return store.bag("S1")


@pytest.fixture
def features(bag: Bag) -> NDArray[np.float16]:
    """What zarr-python reads."""
    found = zarr.open_group(bag.path, mode="r")["features"]
    return np.asarray(found[...])  # type: ignore[index]


def _reader(folder: Path, array: NDArray[Any], dimensions: tuple[str, ...], axis: int = 0) -> ArrayReader:
    objects = Objects(folder)
    return ArrayReader(objects, "a", write_array(objects, "a", array, dimensions, axis), "S1")


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "uint8"])
@pytest.mark.parametrize("rows", [0, 1, 255, 256, 257, 1023, 1024, 1025, 8191, 8192, 8193])
def test_all_lengths(tmp_path: Path, rows: int, dtype: str) -> None:
    array = np.random.default_rng(rows).integers(0, 250, (rows, 3)).astype(dtype)
    reader = _reader(tmp_path, array, ("patch", "feature"))
    np.testing.assert_array_equal(reader.read(), array)
    np.testing.assert_array_equal(np.concatenate([array[:0], *map(np.copy, reader.blocks())]), array)
    mapped = reader.mapped()
    assert mapped is not None
    np.testing.assert_array_equal(mapped, array)
    if rows:
        assert not mapped.flags.writeable
        assert isinstance(reader._stored, LocalShard)
    chosen = np.arange(rows)[::-7]
    np.testing.assert_array_equal(reader.rows(chosen), array[chosen])
    assert reader.read().dtype == array.dtype


@pytest.mark.parametrize("shape", [(3, 700), (1, 9000), (2, 256), (3, 1), (3, 0), (0, 5)])
def test_scores_are_cut_along_their_second_axis(tmp_path: Path, shape: tuple[int, int]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    reader = _reader(tmp_path, array, ("branch", "patch"), axis=1)
    np.testing.assert_array_equal(reader.read(), array)
    assert b"".join(block.tobytes() for block in reader.blocks()) == array.tobytes()
    chosen = np.arange(shape[0])[::-1]
    np.testing.assert_array_equal(reader.rows(chosen), array[chosen])
    if array.size:
        assert reader.mapped() is None
        assert isinstance(reader._stored, CutAcross)


def test_three_dimensions_and_one(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (600, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(_reader(tmp_path / "1", image, ("y", "x", "channel")).read(), image)
    flags = np.arange(600).astype(np.uint8)
    np.testing.assert_array_equal(_reader(tmp_path / "2", flags, ("patch",)).rows([599, 0]), flags[[599, 0]])


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.integers(0, ROWS - 1), max_size=3 * FEW))
def test_rows_in_any_order_and_repeated(tmp_path_factory: pytest.TempPathFactory, rows: list[int]) -> None:
    array = np.random.default_rng(1).normal(size=(ROWS, 5)).astype(np.float16)
    reader = _reader(tmp_path_factory.mktemp("rows"), array, ("patch", "feature"))
    for given_as in (rows, np.array(rows, np.int32), np.array(rows, np.uint64)):
        found = reader.rows(given_as)
        assert found.shape == (len(rows), 5)
        np.testing.assert_array_equal(found, array[np.array(rows, int)])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([-1], r"S1: row -1 was asked for, of 700 rows\. Rows are numbered from 0 to 699"),
        ([0, 700], "row 700 was asked for"),
        (np.array([2**63], np.uint64), "row 9223372036854775808"),
        ([0.5], "float64.*flat list of integers"),
        (np.ones(700, bool), r"bool.*np\.flatnonzero"),
        ([[1]], r"shape \(1, 1\)"),
        (3, r"shape \(\)"),
    ],
)
def test_rows_that_are_not_there(bag: Bag, rows: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bag.rows(rows)


def test_a_bag_reads_its_arrays(bag: Bag, features: NDArray[np.float16]) -> None:
    np.testing.assert_array_equal(bag.read(), features)
    np.testing.assert_array_equal(bag.features, features)
    np.testing.assert_array_equal(bag.read("coords"), bag.coords)
    np.testing.assert_array_equal(bag.rows([5, 3], "coords"), bag.coords[[5, 3]])
    assert bag.read() is not bag.read()
    with pytest.raises(UsageError, match=r"no array 'colour'. Name one of coords, features, valid"):
        bag.read("colour")


def test_reading_into_a_buffer(bag: Bag, features: NDArray[np.float16]) -> None:
    for buffer in (np.zeros((ROWS, 8), np.float16), np.zeros((ROWS + 9, 8), np.float16)):
        found = bag.read(out=buffer)
        assert found.base is buffer
        np.testing.assert_array_equal(found, features)
        assert not buffer[ROWS:].any()
    tensor = torch.zeros((ROWS + 1, 8), dtype=torch.float16)
    found = bag.read(out=tensor)
    assert found.ctypes.data == tensor.data_ptr()
    assert len(found) == ROWS
    np.testing.assert_array_equal(tensor[:ROWS].numpy(), features)
    rows = np.arange(3 * FEW)[::-1]
    for chosen in (rows, rows[:3]):
        found = bag.rows(chosen, out=tensor)
        assert found.ctypes.data == tensor.data_ptr()
        np.testing.assert_array_equal(found, features[chosen])


@pytest.mark.gpu
def test_reading_into_pinned_memory(bag: Bag, features: NDArray[np.float16]) -> None:
    tensor = torch.zeros((ROWS, 8), dtype=torch.float16, pin_memory=True)
    bag.read(out=tensor)
    np.testing.assert_array_equal(tensor.cuda(non_blocking=True).cpu().numpy(), features)


@pytest.mark.parametrize(
    "buffer",
    [
        np.zeros((ROWS, 8), np.float32),
        np.zeros((ROWS, 9), np.float16),
        np.zeros((ROWS - 1, 8), np.float16),
        np.zeros((ROWS, 8, 1), np.float16),
        np.zeros((ROWS, 8), np.float16, order="F"),
        np.zeros((ROWS, 16), np.float16)[:, ::2],
        np.zeros((ROWS, 8), ">f2"),
        np.frombuffer(bytes(ROWS * 16), np.float16).reshape(ROWS, 8),
        torch.zeros((ROWS, 8)),
        torch.zeros((ROWS, 8), dtype=torch.bfloat16),
        torch.zeros((ROWS, 8), dtype=torch.float16, device="meta"),
        torch.zeros((8, ROWS), dtype=torch.float16).T,
        bytearray(ROWS * 16),
        [0.0] * ROWS,
    ],
    ids=lambda buffer: (
        f"{type(buffer).__name__}-{getattr(buffer, 'dtype', '')}-{getattr(buffer, 'shape', '')}"
    ),
)
def test_buffers_that_do_not_fit(bag: Bag, buffer: Any) -> None:
    with pytest.raises(UsageError, match=r"^S1: .*(Give a C-contiguous one of float16|Give a numpy array)"):
        bag.read(out=buffer)
    with pytest.raises(UsageError, match=r"^S1: "):
        bag.rows(range(ROWS), out=buffer)


def test_no_handle_stays_open(bag: Bag) -> None:
    def held() -> bool:
        return any(str(bag.path) in file.path for file in psutil.Process().open_files()) or any(
            str(bag.path) in each.path for each in psutil.Process().memory_maps()
        )

    bag.read()
    bag.rows([1])
    bag.rows(range(100))
    assert not held()
    mapped = bag.mapped()
    assert held()
    del mapped
    assert not held()


# What zarr-python may have written instead: other profiles.
_SHARDED: dict[str, Any] = {"chunks": (256, 8), "shards": (768, 8)}
OTHERS: dict[str, dict[str, Any]] = {
    "compressed, another level": {**_SHARDED, "compressors": ZstdCodec(level=7)},
    "unsharded": {"chunks": (256, 8), "compressors": None},
    "other chunks": {"chunks": (100, 8), "shards": (700, 8), "compressors": None},
    "several shards": {"chunks": (128, 8), "shards": (256, 8), "compressors": None},
    "cut across": {"chunks": (256, 4), "shards": (768, 8), "compressors": None},
    "big endian": {**_SHARDED, "compressors": None, "serializer": BytesCodec(endian="big")},
    "index at the start": {
        "chunks": (768, 8),
        "compressors": None,
        "serializer": ShardingCodec(chunk_shape=(256, 8), index_location="start", codecs=[BytesCodec()]),
    },
    "F order": {**_SHARDED, "compressors": None, "filters": [TransposeCodec(order=(1, 0))]},
    "attributes": {**_SHARDED, "compressors": None, "attributes": {"unit": "none"}},
    "fill value": {**_SHARDED, "compressors": None, "fill_value": 1.0},
}


def _rewrite(bag: Bag, array: NDArray[Any], write_empty_chunks: bool = True, **options: Any) -> None:
    folder = Path(bag.path) / "features"
    shutil.rmtree(folder)
    made = zarr.create_array(
        folder,
        shape=array.shape,
        dtype=array.dtype,
        dimension_names=("patch", "feature"),
        config={"write_empty_chunks": write_empty_chunks},
        **{"filters": None, **options},
    )
    made[...] = array


@pytest.mark.parametrize("name", OTHERS)
def test_other_profiles_are_read_by_zarr(bag: Bag, features: NDArray[np.float16], name: str) -> None:
    _rewrite(bag, features, **OTHERS[name])
    np.testing.assert_array_equal(bag.read(), features)
    np.testing.assert_array_equal(bag.rows([699, 0, 5]), features[[699, 0, 5]])
    np.testing.assert_array_equal(np.concatenate(list(bag.reader("features").blocks())), features)
    assert bag.mapped() is None
    buffer = np.empty_like(features)
    assert bag.read(out=buffer).base is buffer
    np.testing.assert_array_equal(buffer, features)


def test_chunks_that_zarr_left_out_are_zeros(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1", rows=ROWS)
    features = store.bag("S1").features
    features[256:512] = 0
    with store.bag_writer("S1", "256px-0.5mpp", "x.00000000", dim=8) as writer:
        writer.write(features)
        writer.commit({})
    bag = store.bag("S1", "x")
    _rewrite(bag, features, write_empty_chunks=False, **_SHARDED, compressors=None)
    np.testing.assert_array_equal(bag.read(), features)
    assert bag.mapped() is None


def test_chunks_in_another_order_are_read_by_the_index(bag: Bag, features: NDArray[np.float16]) -> None:
    shard = Path(bag.path) / "features/c/0/0"
    data, size = shard.read_bytes(), 256 * 16
    swapped = data[size : 2 * size] + data[:size] + data[2 * size : 3 * size]
    index = np.array([[size, size], [0, size], [2 * size, size]], "<u8")
    shard.write_bytes(swapped + _with_crc(index))
    np.testing.assert_array_equal(bag.read(), features)
    assert bag.mapped() is None


def _with_crc(index: NDArray[Any]) -> bytes:
    import google_crc32c

    body = index.astype("<u8").tobytes()
    return body + int(google_crc32c.value(body)).to_bytes(4, "little")


def _missing(data: bytes) -> bytes:
    index = np.frombuffer(data[-52:-4], "<u8").reshape(3, 2).copy()
    index[1] = 2**64 - 1
    return data[:-52] + _with_crc(index)


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "truncated: it has 0 bytes"),
    "shorter than its index": (lambda data: data[:51], "truncated"),
    "cut off": (lambda data: data[:5000], "crc32c.*it has 5000 bytes"),
    "one byte short": (lambda data: data[:-1], "crc32c"),
    "longer": (lambda data: data + b"\0", "crc32c"),
    "wrong crc": (lambda data: data[:-4] + b"\0\0\0\0", "crc32c of its index is wrong"),
    "wrong index": (lambda data: data[:-20] + b"\1" + data[-19:], "crc32c"),
    "a chunk missing": (_missing, "not what was committed"),
    "fewer rows, sound index": (
        lambda data: data[: 2 * 256 * 16] + make_index([256 * 16] * 2),
        "crc32c",
    ),
    "rows cut out, sound index": (lambda data: data[4096:], "cannot be read|not what was committed"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(bag: Bag, name: str) -> None:
    damage, message = DAMAGE[name]
    shard = Path(bag.path) / "features/c/0/0"
    shard.write_bytes(damage(shard.read_bytes()))
    for read in (bag.read, lambda: bag.rows([0]), lambda: bag.rows(range(100))):
        with pytest.raises(DamagedStoreError, match=rf"^S1: .*features.*({message}).*slidelake verify"):
            read()


def test_damage_after_the_first_look(bag: Bag) -> None:
    bag.rows([0])
    shard = Path(bag.path) / "features/c/0/0"
    shard.write_bytes(shard.read_bytes()[:100])
    for read in (bag.read, lambda: bag.rows([699]), lambda: bag.rows(range(ROWS)), bag.mapped):
        with pytest.raises(DamagedStoreError, match=r"^S1: .*truncated"):
            read()
    shard.unlink()
    with pytest.raises(DamagedStoreError, match=r"^S1: .*gone"):
        bag.read()


def test_large_arrays_are_read_by_several_threads(
    bag: Bag, features: NDArray[np.float16], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_reader, "_PART", features.nbytes // 3)
    monkeypatch.setattr(shard_reader, "_cores", lambda: 8)
    read = []
    there = os.preadv
    monkeypatch.setattr(shard_reader.os, "preadv", lambda *given: read.append(1) or there(*given))
    np.testing.assert_array_equal(bag.read(), features)
    assert len(read) == 3
    shard = Path(bag.path) / "features/c/0/0"
    os.truncate(shard, shard.stat().st_size // 4)  # after the look at its index
    with pytest.raises(DamagedStoreError, match="is truncated: it ends"):
        bag.read()


def test_arrays_longer_than_their_commit(bag: Bag, features: NDArray[np.float16]) -> None:
    longer = np.concatenate([features, features])
    shutil.rmtree(Path(bag.path) / "features")
    write_array(bag.objects, f"{bag.commit.attempt}/features", longer, ("patch", "feature"))
    with pytest.raises(DamagedStoreError, match=r"holds \[1400, 8\] float16, its commit says \[700, 8\]"):
        bag.read()


@pytest.mark.long
def test_more_than_two_gib_in_one_shard(tmp_path: Path) -> None:
    rows, dim = 1_200_000, 1024
    store = FeatureStore.open(tmp_path / "store", create=True)
    block = np.random.default_rng(0).normal(size=(10_000, dim)).astype(np.float16)
    coords = np.stack([np.arange(rows) % 1000, np.arange(rows) // 1000], axis=1) * 256
    with store.bag_writer("S1", "256px-0.5mpp", "x.00000000", dim=dim, coords=coords) as writer:
        for number in range(rows // len(block)):
            block[0] = number % 1000
            writer.write(block)
        store.put_grid("S1", "256px-0.5mpp", coords=coords, columns={}, attributes={}, provenance={})
        writer.commit({})
    bag = store.bag("S1")
    assert (Path(bag.path) / "features/c/0/0").stat().st_size > 2**31
    whole = bag.read()
    for number in range(rows // len(block)):
        block[0] = number % 1000
        np.testing.assert_array_equal(whole[number * len(block) : (number + 1) * len(block)], block)
    last = [rows - 1, 0, rows - 10_000]
    np.testing.assert_array_equal(bag.rows(last), whole[last])
    chosen = np.arange(0, rows, 9973)
    np.testing.assert_array_equal(bag.rows(chosen), whole[chosen])
