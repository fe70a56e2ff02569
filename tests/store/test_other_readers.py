"""zarrs (Rust) and tensorstore (C++) read what we write, in every profile that they know.

In a process of their own: both start threads, which a later test that forks would not survive.
"""

from pathlib import Path

import numpy as np
import pytest

from slidelake.store import Objects
from slidelake.store.shard_writer import write_array
from tests.repository import python

KNOWN = ["none", "zstd", "blosc"]  # pcodec goes by numcodecs' own name, which neither of them knows
SHAPES = [(700, 8), (1, 3), (8193, 2)]

ZARRS = """
import sys, numpy as np, zarr
zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
for path in sys.argv[1:]:
    array, wanted = zarr.open_array(path, mode="r"), np.load(path + ".npy")
    assert type(array._async_array.codec_pipeline).__name__ == "ZarrsCodecPipeline"
    assert np.array_equal(array[...], wanted) and np.array_equal(array[len(wanted) - 1], wanted[-1]), path
    print(path)
"""
TENSORSTORE = """
import sys, numpy as np, tensorstore
for path in sys.argv[1:]:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
    array, wanted = tensorstore.open(spec, read=True).result(), np.load(path + ".npy")
    assert np.array_equal(array.read().result(), wanted), path
    assert np.array_equal(array[len(wanted) - 1].read().result(), wanted[-1]), path
    print(path)
"""


@pytest.mark.parametrize("code", [ZARRS, TENSORSTORE], ids=["zarrs", "tensorstore"])
def test_others_read_every_profile(tmp_path: Path, code: str) -> None:
    written = []
    for compression in KNOWN:
        for shape in SHAPES:
            array = np.random.default_rng(0).normal(size=shape).astype(np.float16)
            name = f"{compression}-{shape[0]}"
            write_array(Objects(tmp_path), name, array, ("patch", "feature"), compression=compression)
            np.save(tmp_path / f"{name}.npy", array)
            written.append(str(tmp_path / name))
    assert python(code, *written).split() == written
