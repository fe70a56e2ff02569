"""Statistics, clusters and AnnData files of a cohort that is several times larger than the memory they take."""

import json
from pathlib import Path

import numpy as np
import pytest

from slidelake.store import FeatureStore
from slidelake.store.testing import ENCODER_ID, GRID_ID
from tests.repository import python

BAGS, ROWS, DIM = 5, 65_536, 256
#: 168 MB of features.
SIZE = BAGS * ROWS * DIM * 2
LIMIT = 32 << 20

MEASURE = """
import json, sys, tracemalloc
import dask, numpy
from slidelake.store import FeatureStore, cohort, write_anndata
import anndata, dask.array, h5py, pandas, pyarrow.parquet, sklearn.cluster
dask.config.set(scheduler="threads", num_workers=2)
store = FeatureStore.open(sys.argv[1])
store.catalog()
peaks = {}
def measure(name, work):
    tracemalloc.start()
    value = work()
    peaks[name] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return value
chosen = cohort(store, block_rows=8192)
found = measure("statistics", chosen.statistics)
clusters = measure("kmeans", lambda: chosen.kmeans(8, sample=1000, n_init=1, max_iter=1))
some = cohort(store, slides=["S0", "S1", "S2", "S3"], block_rows=8192)
measure("anndata", lambda: write_anndata(some, sys.argv[2]))
print(json.dumps({"peaks": peaks, "rows": found.rows, "mean": found.mean.tolist(),
                  "variance": numpy.diag(found.covariance).tolist(), "counts": clusters.counts.tolist()}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large") / "store"
    store = FeatureStore.open(folder, create=True)
    coords = np.stack([np.arange(ROWS) % 256, np.arange(ROWS) // 256], axis=1)
    columns = {name: np.full(ROWS, 200, np.uint8) for name in ("tissue", "blur")}
    tile = np.random.default_rng(0).normal(size=(8192, DIM)).astype(np.float16)
    for n in range(BAGS):
        store.put_grid(f"S{n}", GRID_ID, coords=coords, columns=columns, attributes={}, provenance={})
        with store.bag_writer(f"S{n}", GRID_ID, ENCODER_ID, dim=DIM) as writer:
            for _ in range(ROWS // len(tile)):
                writer.write(tile + np.float16(n))
            writer.commit({})
    return folder


def test_memory_stays_below_a_bound_several_times_smaller(folder: Path, tmp_path: Path) -> None:
    found = json.loads(python(MEASURE, str(folder), str(tmp_path / "cohort.h5ad")))
    assert SIZE > 4 * LIMIT
    assert found["rows"] == sum(found["counts"]) == BAGS * ROWS
    np.testing.assert_allclose(found["mean"], 2.0, atol=0.1)
    np.testing.assert_allclose(found["variance"], 2.0 + 1, atol=0.3)
    # obs of 262,144 rows is made whole, and takes most of it; the features are 134 MB.
    limits = {"statistics": LIMIT, "kmeans": LIMIT, "anndata": 80 << 20}
    assert {name: peak for name, peak in found["peaks"].items() if peak > limits[name]} == {}
    assert (tmp_path / "cohort.h5ad").stat().st_size > 4 * ROWS * DIM * 2
