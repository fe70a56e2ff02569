"""Augmentations keep shape and dtype, leave their input alone, obey the seed, and do what they say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.store.streaming import (
    Augmentation,
    Compose,
    FeatureDropout,
    GaussianNoise,
    Interpolate,
    MixBags,
)

ALL: list[Augmentation] = [
    GaussianNoise(0.1),
    GaussianNoise(0.1, relative=False),
    FeatureDropout(0.2),
    FeatureDropout(0.2, per="dimension"),
    MixBags(0.3),
    Interpolate(0.4),
    Compose([FeatureDropout(0.1), Interpolate(), GaussianNoise(0.05)]),
    Compose([]),
]


def bag(n: int, seed: int = 0, dtype: str = "float16", dim: int = 16) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, dim)) * np.geomspace(0.01, 10, dim) + 1).astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("n", [0, 1, 300])
@pytest.mark.parametrize("augmentation", ALL, ids=repr)
def test_what_holds_for_all(augmentation: Augmentation, n: int, dtype: str) -> None:
    features, mate = bag(n, 1, dtype), bag(40, 2, dtype)
    before, mate_before = features.copy(), mate.copy()
    features.flags.writeable = mate.flags.writeable = False
    out = augmentation.apply(features, np.random.default_rng(3), mate)
    assert out.shape == features.shape
    assert out.dtype == features.dtype
    assert np.isfinite(out).all()
    assert out.flags.writeable
    assert not np.shares_memory(out, features)
    np.testing.assert_array_equal(features, before)
    np.testing.assert_array_equal(mate, mate_before)
    np.testing.assert_array_equal(out, augmentation.apply(features, np.random.default_rng(3), mate))
    if n > 1 and augmentation is not ALL[-1]:
        assert not np.array_equal(out, features)
        assert not np.array_equal(out, augmentation.apply(features, np.random.default_rng(4), mate))


@pytest.mark.parametrize("augmentation", [MixBags(0.5), Interpolate()])
def test_without_a_mate_features_stay(augmentation: Augmentation) -> None:
    assert augmentation.needs_mate
    features = bag(30)
    for mate in (None, bag(0)):
        out = augmentation.apply(features, np.random.default_rng(0), mate)
        np.testing.assert_array_equal(out, features)
        assert not np.shares_memory(out, features)


def test_noise_has_the_size_that_was_asked_for() -> None:
    # More rows than one block, so that blocks are joined rightly.
    features = bag(9000, dtype="float32")
    added = GaussianNoise(0.5).apply(features, np.random.default_rng(0)) - features
    np.testing.assert_allclose(added.std(axis=0), 0.5 * features.std(axis=0), rtol=0.05)
    np.testing.assert_allclose(added.mean(axis=0) / features.std(axis=0), 0, atol=0.03)
    added = GaussianNoise(0.5, relative=False).apply(features, np.random.default_rng(0)) - features
    np.testing.assert_allclose(added.std(axis=0), 0.5, rtol=0.05)


def test_dropout_keeps_the_mean() -> None:
    features = np.full((9000, 16), 2, np.float32)
    out = FeatureDropout(0.25).apply(features, np.random.default_rng(0))
    np.testing.assert_allclose(out.mean(), 2, rtol=0.01)
    np.testing.assert_allclose((out == 0).mean(), 0.25, atol=0.01)
    np.testing.assert_allclose(np.unique(out), [0, 2 / 0.75], rtol=1e-6)
    out = FeatureDropout(0.25, per="dimension").apply(features, np.random.default_rng(0))
    assert ((out == 0).all(axis=0) | (out != 0).all(axis=0)).all()
    assert 0 < (out == 0).all(axis=0).sum() < 16


def test_mixing_takes_rows_of_the_mate_each_once() -> None:
    features, mate = np.zeros((100, 4), np.float16), bag(60, dim=4)
    out = MixBags(0.4).apply(features, np.random.default_rng(0), mate)
    mixed = out[(out != 0).any(axis=1)]
    assert len(mixed) == 40
    assert len(np.unique(mixed, axis=0)) == 40
    assert {tuple(row) for row in mixed.tolist()} <= {tuple(row) for row in mate.tolist()}
    # A small mate gives what it has.
    assert (MixBags(0.9).apply(features, np.random.default_rng(0), mate[:5]) != 0).any(axis=1).sum() == 5


def test_interpolation_stays_nearer_to_the_row_itself() -> None:
    features, mate = np.zeros((5000, 2), np.float32), np.ones((10, 2), np.float32)
    out = Interpolate(0.4).apply(features, np.random.default_rng(0), mate)
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    assert out.min() >= 0
    assert 0.45 < out.max() <= 0.5


def test_half_precision_ends_at_its_largest_number() -> None:
    features = np.full((50, 2), 60000, np.float16)
    for augmentation in (GaussianNoise(1e5, relative=False), FeatureDropout(0.5)):
        assert np.isfinite(augmentation.apply(features, np.random.default_rng(0))).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianNoise(-1), "std -1"),
        (lambda: GaussianNoise(float("inf")), "std inf"),
        (lambda: FeatureDropout(1), "chance of 1"),
        (lambda: FeatureDropout(0.1, per="row"), "row"),  # type: ignore[arg-type]
        (lambda: MixBags(1.5), "share of 1.5"),
        (lambda: Interpolate(0), "alpha 0"),
        (lambda: Compose([3]), "3 is no augmentation"),  # type: ignore[list-item]
        (lambda: MixBags(0.5).apply(bag(3), np.random.default_rng(0), bag(3, dim=4)), "mate"),
        (lambda: GaussianNoise(1).apply(bag(3, dtype="float64"), np.random.default_rng(0)), "float64"),
        (lambda: GaussianNoise(1).apply(np.zeros(3, np.float16), np.random.default_rng(0)), "shape"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
