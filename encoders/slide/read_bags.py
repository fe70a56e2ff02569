"""Bags for slide encoders, the next ones read while one is encoded; never rows other than those committed."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from slidelake.encoders.slide.base import Block
from slidelake.errors import DamagedStoreError
from slidelake.store import checksum

if TYPE_CHECKING:
    from slidelake.store import Bag

__all__ = ["BLOCK_ROWS", "Buffer", "in_turn", "is_large", "read_blocks", "read_whole"]

#: Rows that an encoder gets at a time: 25 MB of 1,536 features in float16.
BLOCK_ROWS = 8192
#: A larger bag is not read ahead, and its memory is not kept.
LARGE_BYTES = 1 << 29

T = TypeVar("T")


class Buffer:
    """Memory that bag after bag is read into: fresh memory costs a page fault for every 4 KiB."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """An uninitialised array, valid until the next one is asked for."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size > LARGE_BYTES:
            self._memory = np.empty(0, np.uint8)
            return np.empty(shape, dtype)
        if size > len(self._memory):
            self._memory = np.empty(size, np.uint8)
        return self._memory[:size].view(dtype).reshape(shape)


def read_whole(
    bag: "Bag", valid: NDArray[np.bool_], buffer: Buffer, *, footprint: tuple[float, float] | None = None
) -> Block:
    """The bag as one block, its features in `buffer`; DamagedStoreError where they are not those committed.

    With a patch's `footprint`, for encoders that ask where patches lie, also the coords.
    """
    entry = bag.commit.arrays["features"]
    features = bag.read("features", buffer.array(tuple(entry["shape"]), np.dtype(entry["dtype"])))
    if checksum(features) != entry["checksum"]:
        raise _changed(bag)
    return Block(features, valid, bag.coords if footprint else None, footprint)


def read_blocks(bag: "Bag", valid: NDArray[np.bool_]) -> Iterator[Block]:
    """The bag's rows in blocks of at most BLOCK_ROWS, each valid until the next, in bounded memory.

    DamagedStoreError at the end where they are not those that were committed: who pools them learns it in time.
    """
    digest = xxhash.xxh3_128()
    done = 0
    for part in bag.reader("features").blocks():
        for start in range(0, len(part), BLOCK_ROWS):
            rows = part[start : start + BLOCK_ROWS]
            little = rows.astype(rows.dtype.newbyteorder("<"), order="C", copy=False)
            digest.update(little.reshape(-1).view(np.uint8).data)
            yield Block(rows, valid[done : done + len(rows)])
            done += len(rows)
    if digest.hexdigest() != bag.commit.arrays["features"]["checksum"]:
        raise _changed(bag)


def is_large(bag: "Bag") -> bool:
    """Whether a bag is too large for a second one to be read beside it."""
    entry = bag.commit.arrays["features"]
    size: int = int(np.prod(entry["shape"], dtype=np.int64)) * np.dtype(entry["dtype"]).itemsize
    return size > LARGE_BYTES


class in_turn(Generic[T]):  # noqa: N801 - reads as the statement it makes
    """`make(item, buffer)` of each item in order, `ahead` of them at work while one is looked at.

    Iterating gives (item, a function that returns what was made, or raises what its making raised). A buffer serves
    its item until the next one is asked for. Leave the context to end the threads.
    """

    def __init__(self, items: Sequence[str], make: Callable[[str, Buffer], T], ahead: int) -> None:
        self._items, self._make = items, make
        self._buffers = [Buffer() for _ in range(ahead + 1)]
        self._pool = ThreadPoolExecutor(ahead, thread_name_prefix="slidelake-embed")

    def __enter__(self) -> Iterator[tuple[str, Callable[[], T]]]:
        return self._run()

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> Iterator[tuple[str, Callable[[], T]]]:
        waiting: deque[Future[T]] = deque()
        sent = 0
        for item in self._items:
            # The buffer of the item before this one is free now, and serves the last of those that are sent.
            while sent < len(self._items) and len(waiting) < len(self._buffers):
                buffer = self._buffers[sent % len(self._buffers)]
                waiting.append(self._pool.submit(self._make, self._items[sent], buffer))
                sent += 1
            yield item, waiting.popleft().result


def _changed(bag: "Bag") -> DamagedStoreError:
    return DamagedStoreError(
        f"{bag.path}/features does not hold what was committed",
        remedy="Run slidelake verify, then ingest this slide again.",
        slide=bag.slide_id,
    )
