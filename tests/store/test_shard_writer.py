"""The shard writer against zarr-python: the same bytes, the same metadata, read back the same."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from slidelake.errors import GridMismatchError, UsageError
from slidelake.store import Objects, checksum
from slidelake.store.profile import ArrayProfile, chunk_rows
from slidelake.store.shard_writer import ShardWriter, write_array

DTYPES = ["float16", "float32", "int32", "uint8"]


def _numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def _by_zarr(folder: Path, array: NDArray[Any], profile: ArrayProfile) -> None:
    shards = tuple(
        chunk * max(1, profile.chunks) if axis == profile.axis else chunk
        for axis, chunk in enumerate(profile.chunk)
    )
    made = zarr.create_array(
        folder,
        shape=array.shape,
        chunks=profile.chunk,
        shards=shards,
        dtype=array.dtype,
        compressors=None,
        filters=None,
        dimension_names=profile.dimensions,
        config={"write_empty_chunks": True},
    )
    if array.size:
        made[...] = array


def _same(tmp_path: Path, array: NDArray[Any], dimensions: tuple[str, ...], axis: int = 0) -> None:
    profile = ArrayProfile(array.shape, array.dtype.name, dimensions, axis)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    entry = write_array(Objects(ours), "a", array, dimensions, axis)
    _by_zarr(theirs, array, profile)
    assert entry == {"shape": list(array.shape), "dtype": array.dtype.name, "checksum": checksum(array)}
    files = sorted(path.relative_to(theirs) for path in theirs.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(ours / "a") for path in (ours / "a").rglob("*") if path.is_file())
    for file in files:
        assert (ours / "a" / file).read_bytes() == (theirs / file).read_bytes(), file
    if array.size:
        assert (ours / "a" / profile.shard_name).stat().st_size == profile.file_bytes
    np.testing.assert_array_equal(zarr.open_array(ours / "a", mode="r")[...], array)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [0, 1, 2, 255, 256, 257, 511, 513, 8191, 8192, 8193, 9217])
def test_bytes_are_those_of_zarr_python(tmp_path: Path, rows: int, dtype: str) -> None:
    _same(tmp_path, _numbers((rows, 3), dtype), ("patch", "feature"))


@pytest.mark.parametrize(
    ("shape", "dimensions", "axis"),
    [
        ((700,), ("patch",), 0),
        ((2, 700), ("branch", "patch"), 1),
        ((3, 1), ("branch", "patch"), 1),
        ((3, 0), ("branch", "patch"), 1),
        ((1, 9000), ("branch", "patch"), 1),
        ((300, 7, 3), ("y", "x", "channel"), 0),
        ((300, 0), ("patch", "feature"), 0),
    ],
)
def test_other_shapes(tmp_path: Path, shape: tuple[int, ...], dimensions: tuple[str, ...], axis: int) -> None:
    _same(tmp_path, _numbers(shape, "float32"), dimensions, axis)


def test_zeros_are_written_too(tmp_path: Path) -> None:
    # zarr leaves out chunks of zeros by default; then the rows would not lie end to end.
    _same(tmp_path, np.zeros((600, 4), np.float16), ("patch", "feature"))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.one_of(st.sampled_from([0, 1, 255, 256, 257, 1023, 1024, 1025]), st.integers(0, 1100)),
    dim=st.integers(1, 5),
    dtype=st.sampled_from(DTYPES),
    batches=st.lists(st.integers(0, 400), max_size=12),
)
def test_streamed_in_any_batches(
    tmp_path_factory: pytest.TempPathFactory, rows: int, dim: int, dtype: str, batches: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("shard")
    array = _numbers((rows, dim), dtype, seed=rows)
    objects = Objects(folder)
    profile = ArrayProfile(array.shape, dtype, ("patch", "feature"))
    writer = ShardWriter(objects, "streamed", profile)
    at = 0
    for step in [*batches, rows]:
        writer.append(array[at : at + step])
        at = min(rows, at + step)
    entry = writer.close()
    assert entry == write_array(objects, "whole", array, ("patch", "feature"))
    for file in ("zarr.json", profile.shard_name):
        if rows or file == "zarr.json":
            assert objects.read(f"streamed/{file}") == objects.read(f"whole/{file}")


def test_the_file_is_the_rows_and_an_index(tmp_path: Path) -> None:
    array = _numbers((300, 2), "float16")
    write_array(Objects(tmp_path), "a", array, ("patch", "feature"))
    data = (tmp_path / "a/c/0/0").read_bytes()
    assert data[: array.nbytes] == array.astype("<f2").tobytes()
    assert data[array.nbytes : 512 * 4] == bytes(512 * 4 - array.nbytes)
    index = np.frombuffer(data[512 * 4 : -4], "<u8").reshape(-1, 2)
    assert index.tolist() == [[0, 1024], [1024, 1024]]
    # crc32c (Castagnoli) of those 32 bytes.
    assert data[-4:].hex() == "9fc70566"


def test_chunk_rows() -> None:
    assert [chunk_rows(n) for n in (0, 1, 255, 256, 8191, 8192, 10**6)] == [1, 1, 255, 256, 256, 1024, 1024]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.arange(6, dtype=np.int32).reshape(3, 2), "80d4f075dd52f924953f55f86e7d5e23"),
        (np.array([[0.5, -1.0]], np.float16), "6ca5fd7ca8af49bdeecc315f566405d0"),
        (np.array([1.5], np.float32), "8418c44901680acd4657d66061f9bc57"),
        (np.zeros(0, np.uint8), "99aa06d3014798d86001c324468d497f"),
    ],
)
def test_checksums(array: NDArray[Any], expected: str) -> None:
    assert checksum(array) == expected
    assert checksum(array.astype(array.dtype.newbyteorder(">"))) == expected
    assert checksum(np.asfortranarray(array)) == expected


def test_wrong_rows(tmp_path: Path) -> None:
    profile = ArrayProfile((10, 2), "float16", ("patch", "feature"))
    writer = ShardWriter(Objects(tmp_path), "a", profile)
    with pytest.raises(ValueError, match="do not fit"):
        writer.append(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="do not fit"):
        writer.append(np.zeros((2, 3), np.float16))
    writer.append(np.zeros((9, 2), np.float16))
    with pytest.raises(GridMismatchError, match="11 rows"):
        writer.append(np.zeros((2, 2), np.float16))
    with pytest.raises(GridMismatchError, match="9 rows"):
        writer.close()
    writer.abandon()
    assert not (tmp_path / "a/zarr.json").exists()
    with pytest.raises(UsageError, match="int64"):
        ArrayProfile((1,), "int64", ("patch",))


def test_big_endian_rows_are_turned(tmp_path: Path) -> None:
    array = _numbers((30, 2), "float32")
    write_array(Objects(tmp_path), "a", array.astype(">f4"), ("patch", "feature"))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a", mode="r")[...], array)
    assert json.loads((tmp_path / "a/zarr.json").read_text())["data_type"] == "float32"


_STREAM = """
import resource, sys
import numpy as np
from slidelake.store import Objects
from slidelake.store.profile import ArrayProfile
from slidelake.store.shard_writer import ShardWriter

rows, block = 131072, np.ones((1024, 512), np.float16)
writer = ShardWriter(Objects(sys.argv[1]), "a", ArrayProfile((rows, 512), "float16", ("patch", "feature")))
writer.append(block)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(rows // 1024 - 1):
    writer.append(block)
writer.close()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_constant(tmp_path: Path) -> None:
    grown = subprocess.run(
        [sys.executable, "-c", _STREAM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": "src"},
    )
    # 128 MiB went through; macOS counts bytes, Linux KiB.
    kib = int(grown.stdout) / (1024 if sys.platform == "darwin" else 1)
    assert kib < 8 * 1024
