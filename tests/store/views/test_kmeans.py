"""Clusters, held against scikit-learn on all rows at once."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans as ScikitKMeans
from sklearn.metrics import adjusted_rand_score

from slidelake.errors import UsageError
from slidelake.store import Cohort, FeatureStore, cohort
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide
from slidelake.store.views.kmeans import _moved, _Sums
from tests.store.views.conftest import DIM, all_rows


def make(folder: Path, parts: list[NDArray[np.float32]]) -> Cohort:
    store = FeatureStore.open(folder, create=True)
    for n, part in enumerate(parts):
        add_slide(store, f"S{n}", rows=len(part), encoder_id="other.00000000")
        with store.bag_writer(f"S{n}", GRID_ID, ENCODER_ID, dim=part.shape[1], dtype="float32") as writer:
            writer.write(part)
            writer.commit({})
    return cohort(store, "test-encoder", block_rows=64)


@pytest.mark.parametrize("block_rows", [None, 90])
def test_from_the_same_centers_it_ends_where_scikit_learn_does(
    store: FeatureStore, block_rows: int | None
) -> None:
    x = all_rows(store).astype(np.float64)
    found = cohort(store, block_rows=block_rows)
    ours = found.kmeans(6, init=x[:6], max_iter=200, tol=0.0)
    theirs = ScikitKMeans(6, init=x[:6], n_init=1, max_iter=200, tol=0.0, algorithm="lloyd").fit(x)
    np.testing.assert_allclose(ours.centers, theirs.cluster_centers_, atol=1e-10)
    np.testing.assert_allclose(ours.inertia, theirs.inertia_, rtol=1e-11)
    labels = ours.labels(found)
    assert labels.shape == (1188,)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels.compute(), theirs.labels_)
    np.testing.assert_array_equal(ours.counts, np.bincount(theirs.labels_))
    assert ours.converged


def test_each_slide_weighs_the_same(store: FeatureStore) -> None:
    x = all_rows(store).astype(np.float64)
    weights = np.concatenate([np.full(n, 1 / n) for n in (270, 17, 1, 900)])
    ours = cohort(store).kmeans(4, init=x[:4], weight="slide", max_iter=200, tol=0.0)
    theirs = ScikitKMeans(4, init=x[:4], n_init=1, max_iter=200, tol=0.0).fit(x, sample_weight=weights)
    np.testing.assert_allclose(ours.centers, theirs.cluster_centers_, atol=1e-10)
    np.testing.assert_allclose(ours.inertia, theirs.inertia_, rtol=1e-10)


def test_it_finds_what_is_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 8, 1500)
    places = rng.normal(size=(8, 6)) * 8 + 300
    rows = (places[truth] + rng.normal(size=(1500, 6))).astype(np.float32)
    found = make(tmp_path / "store", np.split(rows, [100, 700]))
    ours = found.kmeans(8, seed=3, sample=400)
    assert adjusted_rand_score(truth, ours.labels(rows)) > 0.99
    theirs = ScikitKMeans(8, n_init=10, random_state=0).fit(rows)
    assert ours.inertia <= theirs.inertia_ * 1.001


def test_the_seed_decides_not_the_blocks(store: FeatureStore) -> None:
    one = cohort(store).kmeans(5, seed=7, sample=300)
    again = cohort(store).kmeans(5, seed=7, sample=300)
    np.testing.assert_array_equal(one.centers, again.centers)
    for block_rows in (33, 500):
        other = cohort(store, block_rows=block_rows).kmeans(5, seed=7, sample=300)
        np.testing.assert_allclose(other.centers, one.centers, atol=1e-9)
    assert not np.allclose(cohort(store).kmeans(5, seed=8, sample=300).centers, one.centers)


def test_the_sample_is_even_and_the_same_whatever_the_blocks(store: FeatureStore) -> None:
    numbers, rows = cohort(store).sample(200, seed=4)
    assert len(set(numbers.tolist())) == 200
    np.testing.assert_array_equal(rows, all_rows(store)[numbers].astype(float))
    again = cohort(store, block_rows=13).sample(200, seed=4)
    np.testing.assert_array_equal(again[0], numbers)
    np.testing.assert_array_equal(again[1], rows)
    everything = cohort(store).sample(5000)[1]
    np.testing.assert_array_equal(everything, all_rows(store).astype(float))
    hits = np.zeros(1188)
    for seed in range(300):
        hits[cohort_numbers(len(hits), 200, seed)] += 1
    assert abs(hits[:270].mean() - hits[288:].mean()) < 3


def cohort_numbers(rows: int, count: int, seed: int) -> NDArray[np.int64]:
    """As the sample draws them."""
    return np.random.default_rng(seed).choice(rows, count, replace=False, shuffle=False)


def test_empty_clusters_start_again_at_the_farthest_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = np.concatenate([rng.normal(size=(150, 3)), [[50, 0, 0], [0, 90, 0]]]).astype(np.float32)
    found = make(tmp_path / "store", [rows[:80], rows[80:]])
    # Two centers that no row is nearest to.
    init = np.array([[0, 0, 0], [0, 0, 1], [1e4, 0, 0], [0, 1e4, 1e4]], float)
    ours = found.kmeans(4, init=init, max_iter=50, tol=0.0)
    assert (ours.counts > 0).all()
    for outlier in rows[150:]:
        assert np.abs(ours.centers - outlier).sum(axis=1).min() < 1e-4
    theirs = ScikitKMeans(4, init=init, n_init=1, max_iter=50, tol=0.0).fit(rows.astype(float))
    np.testing.assert_allclose(ours.inertia, theirs.inertia_, rtol=1e-9)


def test_fewer_different_rows_than_clusters(tmp_path: Path) -> None:
    rows = np.repeat(np.array([[1, 2], [3, 4]], np.float32), 20, axis=0)
    ours = make(tmp_path / "store", [rows]).kmeans(3, seed=0)
    assert sorted(ours.counts.tolist()) == [0, 20, 20]
    assert ours.inertia == pytest.approx(0, abs=1e-12)
    assert np.isfinite(ours.centers).all()


def test_a_cluster_of_one_row_gives_it_up() -> None:
    """The farthest row may be the whole of its cluster, which then keeps its center."""
    from slidelake.store.views.kmeans import _Far

    centers = np.array([[0.0], [8.0], [99.0]])
    found = _Sums(np.array([[0.0], [10.0], [0.0]]), np.array([3.0, 1.0, 0.0]), np.array([3, 1, 0]), 4.0)
    far = _Far(np.array([4.0]), np.array([1.0]), np.array([1]), np.array([[10.0]]))
    moved = _moved(found, centers, lambda count: far)
    np.testing.assert_array_equal(moved, [[0.0], [8.0], [10.0]])


def test_what_is_refused(store: FeatureStore) -> None:
    found = cohort(store)
    for k in (0, 1189):
        with pytest.raises(UsageError, match="clusters of 1188 rows"):
            found.kmeans(k)
    with pytest.raises(UsageError, match="clusters of 0 rows"):
        cohort(store, slides=["S1"]).kmeans(1)
    with pytest.raises(UsageError, match=r"init of shape \(2, 3\)"):
        found.kmeans(2, init=np.ones((2, 3)))
    with pytest.raises(UsageError, match="max_iter"):
        found.kmeans(2, max_iter=0)
    with pytest.raises(UsageError, match="weight"):
        found.kmeans(2, weight="x")
    with pytest.raises(UsageError, match=r"shape \(4, 3\)"):
        found.kmeans(2).labels(np.ones((4, 3)))
    assert cohort(store, slides=["S3"]).kmeans(1).inertia == pytest.approx(0, abs=1e-20)
    assert found.kmeans(2).centers.shape == (2, DIM)
