"""Remote stores: the same values through byte ranges, no more of them than needed; damage told as on a disk."""

import threading
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from slidelake.errors import DamagedStoreError, StoreError, UsageError
from slidelake.store import Bag, FeatureStore, Objects, read_many, remote_rows
from slidelake.store.array_reader import ArrayReader
from slidelake.store.remote_rows import RemoteShard, merged_ranges
from slidelake.store.shard_writer import write_array
from slidelake.store.testing import add_slide

ROWS, WIDTH = 700, 16


@pytest.fixture
def store() -> FeatureStore:
    return FeatureStore.open(f"memory://{uuid.uuid4().hex}/store", create=True)


@pytest.fixture
def features(store: FeatureStore) -> NDArray[np.float16]:
    return add_slide(store, "S1", rows=ROWS)


class _Asked:
    """What ranges were asked for, and at most how many bytes at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[tuple[str, int, int]]] = []
        ranges = Objects.ranges

        def recorded(objects: Objects, wanted: Sequence[tuple[str, int, int]]) -> list[bytes | Exception]:
            self.calls.append(list(wanted))
            return ranges(objects, wanted)

        monkeypatch.setattr(Objects, "ranges", recorded)

    @property
    def spans(self) -> list[tuple[int, int]]:
        return [(start, end) for call in self.calls for key, start, end in call if "features/c" in key]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, features: NDArray[np.float16]) -> _Asked:
    return _Asked(monkeypatch)


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 257, 8193])
def test_all_lengths(store: FeatureStore, rows: int) -> None:
    features = add_slide(store, "S1", rows=rows)
    bag = store.bag("S1")
    np.testing.assert_array_equal(bag.read(), features)
    np.testing.assert_array_equal(bag.coords, store.grid("S1", "256px-0.5mpp").coords)
    assert (bag.mapped() is None) == (rows > 0)
    assert b"".join(block.tobytes() for block in bag.reader("features").blocks()) == features.tobytes()
    chosen = np.arange(rows)[::-3]
    np.testing.assert_array_equal(bag.rows(chosen), features[chosen])
    if rows:
        assert isinstance(bag.reader("features")._stored, RemoteShard)


@pytest.mark.parametrize("shape", [(3, 700), (2, 256), (3, 0)])
def test_scores(store: FeatureStore, shape: tuple[int, int]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    entry = write_array(store.objects, "x/scores", array, ("branch", "patch"), axis=1)
    reader = ArrayReader(store.objects, "x/scores", entry, "S1")
    np.testing.assert_array_equal(reader.read(), array)
    np.testing.assert_array_equal(reader.rows([1, 0]), array[[1, 0]])
    assert b"".join(block.tobytes() for block in reader.blocks()) == array.tobytes()


@pytest.mark.parametrize("part", [100, 1 << 24])
@pytest.mark.parametrize("in_flight", [1000, 1 << 27])
def test_large_arrays_come_in_parts(
    store: FeatureStore,
    features: NDArray[np.float16],
    asked: _Asked,
    monkeypatch: pytest.MonkeyPatch,
    part: int,
    in_flight: int,
) -> None:
    monkeypatch.setattr(remote_rows, "PART", part)
    monkeypatch.setattr(remote_rows, "IN_FLIGHT", in_flight)
    bag = store.bag("S1")
    np.testing.assert_array_equal(bag.read(), features)
    index, *spans = asked.spans
    assert index == (768 * WIDTH, 768 * WIDTH + 3 * 16 + 4 + 1)
    assert spans[0][0] == 0
    assert spans[-1][1] == ROWS * WIDTH
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert max(end - start for start, end in spans) <= 1.5 * part
    for call in asked.calls[1:]:
        assert len(call) == 1 or sum(end - start for _, start, end in call) <= in_flight


def test_only_the_rows_are_read(
    store: FeatureStore, features: NDArray[np.float16], asked: _Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_rows, "GAP", 2 * WIDTH)
    rows = [600, 3, 5, 3, 8, 400]
    np.testing.assert_array_equal(store.bag("S1").rows(rows), features[rows])
    assert asked.spans[1:] == [
        (3 * WIDTH, 6 * WIDTH),
        (8 * WIDTH, 9 * WIDTH),
        (400 * WIDTH, 401 * WIDTH),
        (600 * WIDTH, 601 * WIDTH),
    ]
    # One round for what the array is, one for the rows.
    assert len(asked.calls) == 2


@given(st.lists(st.integers(0, 300), max_size=80).map(sorted), st.integers(1, 20), st.integers(1, 40))
def test_merged_ranges(rows: list[int], gap: int, longest: int) -> None:
    ranges = merged_ranges(np.array(rows, np.intp), gap, longest)
    covered = [row for first, last in ranges for row in range(first, last)]
    assert covered == sorted(set(covered))
    assert set(rows) <= set(covered)
    assert all(0 < last - first <= longest for first, last in ranges)
    # Between two ranges lies nothing, or more than the gap.
    assert all(here[1] == after[0] or after[0] - (here[1] - 1) > gap for here, after in pairwise(ranges))


def _shard(bag: Bag) -> str:
    return f"{bag.commit.attempt}/features/c/0/0"


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (slice(0, 0), "truncated|damaged"),
        (slice(0, 5000), r"it has 5000 bytes, not 12340"),
        (slice(0, -1), "damaged"),
        (slice(1, None), "damaged|not what was committed|cannot be read"),
    ],
)
def test_damage(store: FeatureStore, features: NDArray[np.float16], cut: slice, message: str) -> None:
    bag = store.bag("S1")
    data = store.objects.read(_shard(bag))
    store.objects.replace(_shard(bag), data[cut])
    with pytest.raises(DamagedStoreError, match=rf"^S1: .*({message})"):
        bag.read()
    store.objects.replace(_shard(bag), data)
    bag = store.bag("S1")
    np.testing.assert_array_equal(bag.read(), features)
    store.objects.replace(_shard(bag), data[:100])
    for read in (bag.read, lambda: bag.rows([0, 699])):
        with pytest.raises(DamagedStoreError, match=r"^S1: .*truncated"):
            read()
    store.objects.delete(_shard(bag))
    for read in (bag.read, store.bag("S1").read):
        with pytest.raises(DamagedStoreError, match=r"^S1: .*is gone"):
            read()
    store.objects.delete(f"{bag.commit.attempt}/features/zarr.json")
    with pytest.raises(DamagedStoreError, match=r"^S1: .*features/zarr\.json is gone"):
        store.bag("S1").read()


def test_a_wrong_crc(store: FeatureStore, features: NDArray[np.float16]) -> None:
    bag = store.bag("S1")
    data = store.objects.read(_shard(bag))
    store.objects.replace(_shard(bag), data[:-4] + bytes(4))
    with pytest.raises(DamagedStoreError, match="crc32c of its index is wrong"):
        bag.read()


def test_another_profile_is_read_by_zarr(store: FeatureStore, features: NDArray[np.float16]) -> None:
    import zarr

    bag = store.bag("S1")
    folder = f"{bag.commit.attempt}/features"
    store.objects.delete_tree(folder)
    made = zarr.create_array(
        store.objects.url_of(folder),
        shape=features.shape,
        dtype=features.dtype,
        chunks=(100, 8),
        dimension_names=("patch", "feature"),
    )
    made[...] = features
    np.testing.assert_array_equal(bag.read(), features)
    np.testing.assert_array_equal(bag.rows([699, 0]), features[[699, 0]])


def test_a_failing_network_is_not_damage(
    store: FeatureStore, features: NDArray[np.float16], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(objects: Objects, wanted: Sequence[Any]) -> list[bytes | Exception]:
        return [TimeoutError("no answer")] * len(wanted)

    bag = store.bag("S1")
    bag.rows([0])
    monkeypatch.setattr(Objects, "ranges", failing)
    for read in (bag.read, lambda: bag.rows([0]), store.bag("S1").read):
        with pytest.raises(StoreError, match=r"^S1: .*no answer.*network") as caught:
            read()
        assert not isinstance(caught.value, DamagedStoreError)


@pytest.mark.parametrize("in_flight", [1, 3, 50])
def test_many_bags_in_order(store: FeatureStore, in_flight: int) -> None:
    wanted = [add_slide(store, f"S{number}", rows=10 + number, seed=number) for number in range(9)]
    bags = [partial(store.bag, f"S{n}") if n % 2 else store.bag(f"S{n}") for n in range(9)]
    found = list(read_many(bags, in_flight=in_flight))
    assert len(found) == 9
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [len(each) for each in read_many(bags, "coords", in_flight)] == list(range(10, 19))


def test_many_bags_are_not_all_read_ahead(store: FeatureStore) -> None:
    add_slide(store, "S1", rows=5)
    opened = 0

    def bags() -> Iterator[Any]:
        nonlocal opened
        for _ in range(100):
            opened += 1
            yield partial(store.bag, "S1")

    before = threading.active_count()
    stream = read_many(bags(), in_flight=4)
    for taken in range(1, 4):
        next(stream)
        assert opened == taken + 3
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    with pytest.raises(UsageError, match="at least 1"):
        read_many([], in_flight=0)


def test_an_error_comes_at_its_turn(store: FeatureStore) -> None:
    add_slide(store, "S1", rows=5)
    add_slide(store, "S2", rows=6)
    bad = store.bag("S2")
    store.objects.delete(_shard(bad))
    stream = read_many([store.bag("S1"), bad])
    assert len(next(stream)) == 5
    with pytest.raises(DamagedStoreError, match=r"^S2: "):
        next(stream)
