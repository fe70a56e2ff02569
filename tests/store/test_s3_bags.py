"""Bags on S3: whole before their commit, also large ones; zarr and xarray read them with no code of ours."""

import threading

import numpy as np
import pytest
import zarr

from slidelake.store import FeatureStore, verify
from slidelake.store.testing import GRID_ID, add_slide
from tests.store.s3_server import Bucket


@pytest.fixture
def store(s3_bucket: Bucket) -> FeatureStore:
    return FeatureStore.open(f"{s3_bucket.url}/lake", create=True)


def _grid(store: FeatureStore, rows: int) -> None:
    coords = np.stack([np.arange(rows), np.arange(rows)], axis=1)
    store.put_grid("S1", GRID_ID, coords=coords, columns={}, attributes={}, provenance={})


# From 100 MB on s3fs uploads in parts.
@pytest.mark.parametrize("rows", [9_000, pytest.param(55_000, marks=pytest.mark.long)])
def test_a_large_bag_is_whole_before_its_commit(store: FeatureStore, s3_bucket: Bucket, rows: int) -> None:
    _grid(store, rows)
    features = np.random.default_rng(0).normal(size=(rows, 1024)).astype(np.float16)
    with store.bag_writer("S1", GRID_ID, "x.00000000", dim=1024) as writer:
        for first in range(0, rows, 1000):
            writer.write(features[first : first + 1000])
        commit = writer.commit({})
    written = [each for each in s3_bucket.requests() if each.split()[0] in ("PUT", "POST")]
    names = [each.split("/lake/")[1] for each in written if "/bags/" in each or "~bag~" in each]
    assert names[-1] == commit.key
    assert names[-2] == f"{commit.attempt}/zarr.json"
    assert f"{commit.attempt}/features/c/0/0" in names[:-2]
    if rows > 50_000:
        assert names.count(f"{commit.attempt}/features/c/0/0") > 3, "in parts, and one request to join them"
    np.testing.assert_array_equal(store.bag("S1", "x").features, features)
    assert verify(store).ok


def test_an_upload_that_fails_leaves_nothing(store: FeatureStore, s3_bucket: Bucket) -> None:
    add_slide(store, "S1")
    before = store.objects.list("")
    s3_bucket.fail("403", key="/valid/", times=100, stored=False)
    writer = store.bag_writer("S1", GRID_ID, "x.00000000", dim=8)
    writer.write(np.ones((300, 8), np.float32))
    with pytest.raises(PermissionError):
        writer.commit({})
    assert store.objects.list("") == before


def test_what_cannot_be_taken_away_does_not_hide_why(store: FeatureStore, s3_bucket: Bucket) -> None:
    add_slide(store, "S1")
    s3_bucket.fail("403", key="/valid/", times=100, stored=False)
    s3_bucket.fail("403", method="POST", times=100, stored=False)
    s3_bucket.fail("403", method="DELETE", times=100, stored=False)
    writer = store.bag_writer("S1", GRID_ID, "x.00000000", dim=8)
    writer.write(np.ones((300, 8), np.float32))
    with pytest.raises(PermissionError, match="the right to write"):
        writer.commit({})
    s3_bucket.drop_faults()
    assert verify(store, deep=True).ok


def test_zarr_and_xarray_read_by_url_alone(store: FeatureStore) -> None:
    features = add_slide(store, "S1")
    bag = store.bag("S1")
    group = zarr.open_group(bag.path, mode="r")
    np.testing.assert_array_equal(group["features"][:], features)
    np.testing.assert_array_equal(bag.to_xarray()["features"].values, features)
    np.testing.assert_array_equal(bag.group["features"][5:9], features[5:9])


def test_one_client_serves_every_thread(store: FeatureStore) -> None:
    add_slide(store, "S1")
    clients = set()

    def read() -> None:
        bag = store.bag("S1")
        assert bag.array("features").shape == (300, 8)
        clients.add(id(bag.group.store.fs))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clients) == 1
