"""Memory that goes round: only once nothing refers to it, and never more than a few buffers."""

import numpy as np
import torch

from slidelake.store.streaming.buffer_pool import BufferPool

SHAPE = (1024, 1024)  # 2 MiB as float16


def test_memory_comes_back_when_the_last_view_is_gone() -> None:
    pool = BufferPool(2)
    array = pool.empty(SHAPE, np.float16)
    place = array.ctypes.data
    tensor = torch.from_numpy(array)
    part = tensor[5:9].T
    del array
    part.fill_(3)
    del tensor
    other = pool.empty(SHAPE, np.float16)
    assert other.ctypes.data != place
    assert (part == 3).all()
    del part
    again = pool.empty((1000, 1024), np.float16)
    assert again.ctypes.data == place
    assert again.shape == (1000, 1024)
    assert again.flags.writeable
    assert again.flags.c_contiguous


def test_what_is_kept_stays_as_it_is() -> None:
    pool = BufferPool(2)
    kept = []
    for number in range(8):
        array = pool.empty(SHAPE, np.float16)
        array[...] = number
        if number % 2:
            kept.append(torch.from_numpy(array))
        del array
    assert [float(each[-1, -1]) for each in kept] == [1, 3, 5, 7]
    assert len({each.data_ptr() for each in kept}) == 4


def test_few_buffers_are_kept_and_small_ones_not_at_all() -> None:
    pool = BufferPool(2)
    held = [pool.empty(SHAPE, np.float16) for _ in range(6)]
    held.clear()
    assert len(pool._free) == 2
    small = pool.empty((3, 4), np.int32)
    assert small.base is None
    # A small batch that is kept would keep a large buffer.
    large = pool.empty((64, *SHAPE), np.float16)
    place = large.ctypes.data
    del large
    assert pool.empty(SHAPE, np.float16).ctypes.data != place
    assert pool.empty((0, 7), np.float16).shape == (0, 7)
