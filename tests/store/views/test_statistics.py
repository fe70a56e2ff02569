"""Mean, covariance and components, held against numpy and scikit-learn on all rows at once."""

from pathlib import Path

import dask
import numpy as np
import pytest
from sklearn import decomposition

from slidelake.errors import UsageError
from slidelake.store import PCA, FeatureStore, KMeans, Statistics, cohort
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide
from tests.store.views.conftest import DIM, SPACE, all_rows


@pytest.mark.parametrize("block_rows", [None, 7, 333])
def test_mean_and_covariance(store: FeatureStore, block_rows: int | None) -> None:
    x = all_rows(store).astype(np.float64)
    found = cohort(store, block_rows=block_rows).statistics()
    np.testing.assert_allclose(found.mean, x.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.covariance, np.cov(x.T), rtol=1e-11, atol=1e-13)
    assert (found.space, found.weight, found.slides, found.rows) == (SPACE, "patch", 4, 1188)


def test_each_slide_weighs_the_same(store: FeatureStore) -> None:
    x = all_rows(store).astype(np.float64)
    weights = np.concatenate([np.full(n, 1 / n) for n in (270, 17, 1, 900)])
    found = cohort(store, block_rows=100).statistics("slide")
    np.testing.assert_allclose(found.mean, np.average(x, axis=0, weights=weights), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.T, aweights=weights), rtol=1e-11, atol=1e-13)


def test_far_from_the_origin(tmp_path: Path) -> None:
    """Sums of squares would lose all digits here: the mean is a million times the spread."""
    store = FeatureStore.open(tmp_path / "store", create=True)
    rng = np.random.default_rng(3)
    parts = []
    for n in range(3):
        add_slide(store, f"S{n}", rows=400, encoder_id="other.00000000")
        parts.append((1e6 + rng.normal(size=(400, 4)) * [1, 2, 3, 0]).astype(np.float32))
        with store.bag_writer(f"S{n}", GRID_ID, ENCODER_ID, dim=4, dtype="float32") as writer:
            writer.write(parts[-1])
            writer.commit({})
    x = np.concatenate(parts).astype(np.float64)
    found = cohort(store, "test-encoder", block_rows=150).statistics()
    np.testing.assert_allclose(found.covariance, np.cov(x.T), rtol=1e-9, atol=1e-9)
    assert found.covariance[3, 3] == 0
    components = found.pca()
    np.testing.assert_allclose(components.explained_variance[3], 0, atol=1e-12)
    np.testing.assert_allclose(components.transform(x).std(axis=0)[0], x[:, 2].std(), rtol=0.01)


def test_components(store: FeatureStore) -> None:
    x = all_rows(store).astype(np.float64)
    found = cohort(store, block_rows=200)
    components = found.statistics().pca(5)
    theirs = decomposition.PCA(5, svd_solver="full").fit(x)
    np.testing.assert_allclose(components.explained_variance, theirs.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(
        components.explained_variance_ratio, theirs.explained_variance_ratio_, rtol=1e-10
    )
    signs = np.sign((components.components * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(components.components, theirs.components_ * signs[:, None], atol=1e-9)
    lazy = components.transform(found)
    assert lazy.shape == (1188, 5)
    np.testing.assert_allclose(lazy.compute(), theirs.transform(x) * signs, atol=1e-9)
    np.testing.assert_allclose(components.transform(found.features), lazy)
    largest = np.abs(components.components).argmax(axis=1)
    assert (components.components[np.arange(5), largest] > 0).all()
    np.testing.assert_allclose(components.components @ components.components.T, np.eye(5), atol=1e-12)


def test_the_same_bits_again(store: FeatureStore) -> None:
    first = cohort(store).statistics()
    with dask.config.set(scheduler="synchronous"):
        again = cohort(store).statistics()
    np.testing.assert_array_equal(first.covariance, again.covariance)
    np.testing.assert_array_equal(first.pca().components, again.pca().components)


def test_quality_counts(store: FeatureStore) -> None:
    chosen = cohort(store, quality={"tissue": (200, None)})
    found = chosen.statistics()
    assert found.rows == len(chosen) < 400
    np.testing.assert_allclose(
        found.covariance, np.cov(chosen.features.compute().astype(float).T), rtol=1e-10, atol=1e-13
    )


def test_what_is_refused(store: FeatureStore) -> None:
    for slides in (["S1"], ["S3"]):
        with pytest.raises(UsageError, match="rows"):
            cohort(store, slides=slides).statistics()
    with pytest.raises(UsageError, match="weight"):
        cohort(store).statistics("patient")
    found = cohort(store).statistics()
    for count in (0, DIM + 1):
        with pytest.raises(UsageError, match="n_components"):
            found.pca(count)
    with pytest.raises(UsageError, match="3 dimensions"):
        found.pca(2).transform(np.ones((2, 3)))


def test_saved_and_loaded(store: FeatureStore, tmp_path: Path) -> None:
    chosen = cohort(store)
    for found in (chosen.statistics("slide"), chosen.statistics().pca(3), chosen.kmeans(3)):
        again = type(found).load(found.save(tmp_path / "result"))
        for name, value in vars(found).items():
            np.testing.assert_array_equal(getattr(again, name), value)
    for kind in (Statistics, PCA):
        with pytest.raises(UsageError, match=f"holds no {kind.__name__}"):
            kind.load(tmp_path / "result")
    for data in (b"", b"no zip", (tmp_path / "result").read_bytes()[:300]):
        (tmp_path / "broken.npz").write_bytes(data)
        with pytest.raises(UsageError, match="holds no KMeans"):
            KMeans.load(tmp_path / "broken.npz")
    np.savez(tmp_path / "pickled.npz", plain=np.array([{}], dtype=object))
    with pytest.raises(UsageError, match="holds no KMeans"):
        KMeans.load(tmp_path / "pickled.npz")
