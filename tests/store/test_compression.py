"""Compressed stores: zarr-python's own bytes, read back by everyone who knows the codec, in constant memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.codecs.numcodecs import PCodec

from slidelake.errors import (
    DamagedStoreError,
    MissingDependencyError,
    SlidelakeError,
    StoreVersionError,
    UsageError,
)
from slidelake.store import COMPRESSIONS, FeatureStore, Objects, checksum, verify
from slidelake.store.array_reader import ArrayReader
from slidelake.store.cut_across import CutAcross
from slidelake.store.packed_reader import PackedShard
from slidelake.store.profile import ArrayProfile
from slidelake.store.shard_index import MISSING, parse_index
from slidelake.store.shard_writer import ShardWriter, write_array
from slidelake.store.testing import GRID_ID, FeatureStoreTests, add_slide

PACKED = [name for name in COMPRESSIONS if name != "none"]
# zarr-python says so of every codec that it takes from numcodecs.
pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")


def _smooth(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Numbers that compress: a random walk."""
    steps = np.random.default_rng(0).integers(-2, 3, shape)
    return (np.cumsum(steps, axis=0) % 200).astype(dtype)


@pytest.fixture(params=PACKED)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path / "store", create=True, compression=request.param)


@pytest.mark.parametrize("compression", PACKED)
class TestPackedStore(FeatureStoreTests):
    """The whole conformance suite."""

    @pytest.fixture
    def store(self, tmp_path: Path, compression: str) -> FeatureStore:
        return FeatureStore.open(self.new_url(tmp_path), create=True, compression=compression)

    def new_url(self, tmp_path: Path) -> Path:
        return tmp_path / "a store"

    def test_open(self, tmp_path: Path, compression: str) -> None:  # type: ignore[override]
        url = self.new_url(tmp_path)
        made = FeatureStore.open(url, create=True, compression=compression)
        for again in (FeatureStore.open(url), FeatureStore.open(url, create=True, compression=compression)):
            assert again.info == made.info
            assert again.info.compression == compression
        for other in set(COMPRESSIONS) - {compression}:
            with pytest.raises(UsageError, match=f"made with compression {compression}, not {other}"):
                FeatureStore.open(url, create=True, compression=other)


def _by_zarr(folder: Path, array: NDArray[Any], profile: ArrayProfile) -> None:
    options: dict[str, Any] = {"compressors": ZstdCodec(level=1, checksum=True)}
    if profile.compression == "blosc":
        options["compressors"] = BloscCodec(
            typesize=array.itemsize, cname="zstd", clevel=1, shuffle="shuffle", blocksize=0
        )
    elif profile.compression == "pcodec" and array.itemsize > 1:
        options = {"compressors": None, "serializer": PCodec(level=4)}
    made = zarr.create_array(
        folder,
        shape=array.shape,
        chunks=profile.chunk,
        shards=tuple(
            n * (max(1, profile.chunks) if axis == profile.axis else 1)
            for axis, n in enumerate(profile.chunk)
        ),
        dtype=array.dtype,
        filters=None,
        dimension_names=profile.dimensions,
        config={"write_empty_chunks": True},
        **options,
    )
    if array.size:
        made[...] = array


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize(
    ("shape", "dtype", "axis"),
    [
        ((0, 3), "float16", 0),
        ((1, 3), "float16", 0),
        ((255, 3), "float16", 0),
        ((256, 3), "float32", 0),
        ((257, 3), "float16", 0),
        ((8193, 2), "int32", 0),
        ((700,), "uint8", 0),
        ((3, 700), "float32", 1),
    ],
)
def test_the_bytes_are_those_of_zarr_python(
    tmp_path: Path, compression: str, shape: tuple[int, ...], dtype: str, axis: int
) -> None:
    array = _smooth(shape, dtype)
    dimensions = ("branch", "patch") if axis else ("patch", "feature")[: len(shape)]
    profile = ArrayProfile(shape, dtype, dimensions, axis, compression)
    objects = Objects(tmp_path / "ours")
    entry = write_array(objects, "a", array, dimensions, axis, compression)
    assert entry == {"shape": list(shape), "dtype": dtype, "checksum": checksum(array)}
    _by_zarr(tmp_path / "theirs", array, profile)
    for file in ["zarr.json", *([profile.shard_name] if array.size else [])]:
        assert objects.read(f"a/{file}") == (tmp_path / "theirs" / file).read_bytes(), file
    reader = ArrayReader(objects, "a", entry, "S1")
    np.testing.assert_array_equal(reader.read(), array)
    assert b"".join(block.tobytes() for block in reader.blocks()) == array.tobytes()
    chosen = np.arange(shape[0])[::-2]
    np.testing.assert_array_equal(reader.rows(chosen), array[chosen])
    if array.size:
        assert isinstance(reader._stored, CutAcross if axis else PackedShard)
        assert reader.mapped() is None
    if axis == 0 and array.size:
        writer = ShardWriter(objects, "streamed", profile)
        for start in range(0, shape[0], 100):
            writer.append(array[start : start + 100])
        assert writer.close() == entry
        assert objects.read(f"streamed/{profile.shard_name}") == objects.read(f"a/{profile.shard_name}")


def test_a_bag(store: FeatureStore) -> None:
    features = add_slide(store, "S1", rows=700)
    bag = store.bag("S1")
    np.testing.assert_array_equal(bag.read(), features)
    np.testing.assert_array_equal(zarr.open_group(bag.path, mode="r")["features"][:], features)  # type: ignore[index]
    rows = [699, 0, 256, 255, 0]
    np.testing.assert_array_equal(bag.rows(rows), features[rows])
    buffer = np.empty((900, 8), np.float16)
    assert bag.read(out=buffer).base is buffer
    np.testing.assert_array_equal(buffer[:700], features)
    np.testing.assert_array_equal(bag.to_xarray().features.values, features)
    assert bag.mapped() is None
    assert verify(store, deep=True).ok


def test_only_the_chunks_of_the_rows_are_unpacked(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = add_slide(store, "S1", rows=2000)
    bag = store.bag("S1")
    wanted: list[int] = []
    ranges = Objects.ranges

    def recorded(objects: Objects, each: Any) -> Any:
        wanted.append(len(each))
        return ranges(objects, each)

    monkeypatch.setattr(Objects, "ranges", recorded)
    rows = [1999, 3, 300, 4]
    np.testing.assert_array_equal(bag.rows(rows), features[rows])
    assert wanted == [1, 3]  # the index, then three of eight chunks


def test_on_a_remote_store(store: FeatureStore) -> None:
    remote = FeatureStore.open(
        f"memory://packed-{store.info.store_id}", create=True, compression=store.info.compression
    )
    features = add_slide(remote, "S1", rows=700)
    np.testing.assert_array_equal(remote.bag("S1").read(), features)
    np.testing.assert_array_equal(remote.bag("S1").rows([400, 3]), features[[400, 3]])
    assert verify(remote, deep=True).ok


def test_a_failing_network_is_not_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FeatureStore.open("memory://packed-away", create=True, compression="zstd")
    add_slide(store, "S1", rows=700)
    bag = store.bag("S1")
    bag.rows([0])
    store.objects.delete(f"{bag.commit.attempt}/features/c/0/0")
    with pytest.raises(DamagedStoreError, match=r"^S1: .*is gone"):
        bag.read()

    def failing(objects: Objects, wanted: Any) -> Any:
        return [TimeoutError("no answer")] * len(wanted)

    monkeypatch.setattr(Objects, "ranges", failing)
    with pytest.raises(SlidelakeError, match=r"^S1: .*no answer") as caught:
        bag.rows([0])
    assert not isinstance(caught.value, DamagedStoreError)


@pytest.mark.parametrize("damage", ["gone", "empty", "short", "index", "cut"])
def test_damage(store: FeatureStore, damage: str) -> None:
    add_slide(store, "S1", rows=700)
    shard = Path(store.bag("S1").path) / "features/c/0/0"
    data = shard.read_bytes()
    changed = {"empty": b"", "short": data[:40], "index": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[50:]}
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes(changed[damage])
    for read in (store.bag("S1").read, lambda: store.bag("S1").rows([0])):
        with pytest.raises(DamagedStoreError, match=r"^S1: .*features.*slidelake verify"):
            read()
    assert len(verify(store).problems) == 1
    assert len(verify(store, deep=True).problems) == 1


def test_one_flipped_bit(store: FeatureStore) -> None:
    add_slide(store, "S1", rows=700)
    shard = Path(store.bag("S1").path) / "features/c/0/0"
    data = bytearray(shard.read_bytes())
    data[1000] ^= 1
    shard.write_bytes(data)
    assert verify(store).ok
    assert len(verify(store, deep=True).problems) == 1
    if store.info.compression == "zstd":
        # Its chunks carry a checksum of their own.
        with pytest.raises(DamagedStoreError, match="its chunk 0 does not unpack"):
            store.bag("S1").read()


def test_a_missing_chunk_is_not_taken_for_zeros(store: FeatureStore) -> None:
    import google_crc32c

    add_slide(store, "S1", rows=700)
    shard = Path(store.bag("S1").path) / "features/c/0/0"
    data = shard.read_bytes()
    index = parse_index(data[-52:], 3).copy()
    index[1] = MISSING
    body = index.astype("<u8").tobytes()
    shard.write_bytes(data[:-52] + body + int(google_crc32c.value(body)).to_bytes(4, "little"))
    with pytest.raises(DamagedStoreError, match="not what was committed"):
        store.bag("S1").read()


def test_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no compression 'gzip'\. Use one of none, zstd, blosc, pcodec"):
        FeatureStore.open(tmp_path / "s", create=True, compression="gzip")
    assert not (tmp_path / "s").exists()
    made = FeatureStore.open(tmp_path / "s", create=True)
    assert made.info.compression == "none"
    with pytest.raises(UsageError, match=r"made with compression none, not zstd\. Leave the compression out"):
        FeatureStore.open(tmp_path / "s", compression="zstd")
    info = json.loads((tmp_path / "s/slidelake.json").read_text())
    (tmp_path / "s/slidelake.json").write_text(json.dumps({**info, "compression": "newer"}))
    with pytest.raises(StoreVersionError, match=r"'newer'.*newer slidelake"):
        FeatureStore.open(tmp_path / "s")


def test_pcodec_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FeatureStore.open(tmp_path / "there", create=True, compression="pcodec")
    add_slide(store, "S1", rows=20)
    monkeypatch.setitem(sys.modules, "numcodecs.pcodec", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'slidelake\[pcodec\]'"):
        FeatureStore.open(tmp_path / "new", create=True, compression="pcodec")
    with pytest.raises(MissingDependencyError, match="pcodec"):
        _ = store.bag("S1").features
    # Flags are bytes, which pcodec does not pack.
    assert store.bag("S1").valid.all()


_STREAM = """
import resource, sys
import numpy as np
from slidelake.store import Objects
from slidelake.store.profile import ArrayProfile
from slidelake.store.shard_writer import ShardWriter

rows = 131072
block = np.random.default_rng(0).normal(size=(1000, 512)).astype(np.float16)
profile = ArrayProfile((rows, 512), "float16", ("patch", "feature"), compression=sys.argv[2])
writer = ShardWriter(Objects(sys.argv[1]), "a", profile)
for _ in range(12):
    writer.append(block)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
while writer.rows < rows:
    writer.append(block[: rows - writer.rows])
writer.close()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_constant(tmp_path: Path) -> None:
    grown = subprocess.run(
        [sys.executable, "-c", _STREAM, str(tmp_path), "zstd"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": "src"},
    )
    # 119 MiB went through; macOS counts bytes, Linux KiB.
    kib = int(grown.stdout) / (1024 if sys.platform == "darwin" else 1)
    assert kib < 8 * 1024


def test_the_invalid_and_the_grid_are_packed_too(store: FeatureStore) -> None:
    add_slide(store, "S1", rows=5000)
    bag = store.bag("S1")
    for name, array in (("coords", bag.coords), ("valid", bag.valid)):
        assert (
            sum(map(store.objects.size, store.objects.list(f"{bag.commit.attempt}/{name}/c"))) < array.nbytes
        )
    assert store.grid("S1", GRID_ID).checksum == checksum(bag.coords)
