"""AnnData in memory and in a file."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import MissingDependencyError, UsageError
from slidelake.store import FeatureStore, cohort, to_anndata, write_anndata
from slidelake.store.testing import GRID_ID
from tests.store.views.conftest import DIM, SPACE, all_rows

anndata = pytest.importorskip("anndata")


def test_a_cohort(store: FeatureStore) -> None:
    found = cohort(store)
    data = to_anndata(found)
    assert data.shape == (1188, DIM)
    assert data.X.dtype == np.float16
    np.testing.assert_array_equal(data.X, all_rows(store))
    np.testing.assert_array_equal(data.obsm["spatial"], found.coords.compute())
    obs = data.obs
    assert obs.columns.tolist() == [
        "slide", "patient", "x", "y", "row", "blur", "tissue", "mpp", "width", "height", "site", "age",
    ]  # fmt: skip
    assert obs.loc["S4:5", ["slide", "patient", "row", "site", "age"]].tolist() == [
        "S4",
        "P1",
        5,
        "larynx",
        60,
    ]
    assert obs.index.is_unique
    assert obs["slide"].cat.categories.tolist() == ["S0", "S1", "S2", "S3", "S4"]
    assert pd.isna(obs.loc["S3:0", "site"])
    np.testing.assert_array_equal(obs["tissue"][-900:], store.grid("S4", GRID_ID).columns["tissue"])
    told = data.uns["slidelake"]
    assert (told["space"], told["store_id"]) == (SPACE, store.info.store_id)
    assert told["commits"][4] == store.bag("S4").commit.key
    assert to_anndata(found, dtype="float32").X.dtype == np.float32


def test_a_bag(store: FeatureStore) -> None:
    data = to_anndata(store.bag("S0"))
    np.testing.assert_array_equal(data.X, all_rows(store, "S0"))
    assert data.obs["row"].tolist() == [n for n in range(300) if n % 10 != 3]
    assert json.loads(data.uns["slidelake"]["provenance"]) == store.bag("S0").provenance
    assert to_anndata(store.bag("S1")).shape == (0, DIM)


@pytest.mark.parametrize("quality", [None, {"tissue": (200, None)}])
def test_a_file_holds_the_same(
    store: FeatureStore, tmp_path: Path, quality: dict[str, tuple[int | None, int | None]] | None
) -> None:
    found = cohort(store, quality=quality, block_rows=100)
    path = write_anndata(found, tmp_path / "cohort.h5ad")
    assert [each.name for each in tmp_path.iterdir()] == ["cohort.h5ad"]
    read, data = anndata.read_h5ad(path), to_anndata(found)
    np.testing.assert_array_equal(read.X, data.X)
    np.testing.assert_array_equal(read.obsm["spatial"], data.obsm["spatial"])
    assert read.obs.index.tolist() == data.obs.index.tolist()
    for name in data.obs:
        assert read.obs[name].astype("object").equals(data.obs[name].astype("object")), name
    assert read.uns["slidelake"]["quality"] == json.dumps(found.quality)


def test_too_large_is_refused(store: FeatureStore, tmp_path: Path) -> None:
    found = cohort(store)
    with pytest.raises(UsageError, match=r"GiB of memory.*write_anndata"):
        to_anndata(found, memory=100_000)
    with pytest.raises(UsageError, match="several files"):
        write_anndata(found, tmp_path / "x.h5ad", memory=100_000)
    assert list(tmp_path.iterdir()) == []


def test_without_anndata(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(MissingDependencyError, match=r"slidelake\[anndata\]"):
        to_anndata(store.bag("S0"))
