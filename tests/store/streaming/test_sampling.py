"""Samplers choose rows that are there, each once, by the generator alone; and each does what its name says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.store.streaming import (
    Candidates,
    ClusterRows,
    RandomRows,
    Sampler,
    ShareOfRows,
    SpatialRows,
    TopRows,
)

CENTROIDS = np.eye(3, 4)


def candidates(n: int, seed: int = 0, *, allowed: frozenset[str] | None = None) -> Candidates:
    """n rows of a bag of 2 n; what a sampler does not say that it needs is refused."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(2 * n, n, replace=False)).astype(np.int64)
    given: dict[str, NDArray[Any]] = {
        "coords": np.stack([rows % 32, rows // 32], axis=1).astype(np.int32) * 256,
        "features": rng.normal(size=(n, 4)).astype(np.float16),
        "scores": np.where(rng.random((2, n)) < 0.2, -np.inf, rng.normal(size=(2, n))).astype(np.float32),
    }

    def reader(name: str) -> Callable[[], NDArray[Any]]:
        def read() -> NDArray[Any]:
            assert allowed is None or name in allowed, f"{name} was read, but is not in needs"
            return given[name]

        return read

    return Candidates(rows, reader("coords"), reader("features"), reader("scores"))


samplers = st.one_of(
    st.builds(RandomRows, st.integers(1, 80)),
    st.builds(ShareOfRows, st.floats(0.01, 1)),
    st.builds(SpatialRows, st.integers(1, 80)),
    st.builds(ClusterRows, st.integers(1, 80), st.just(CENTROIDS), st.sampled_from(["euclidean", "cosine"])),
    st.builds(TopRows, st.integers(1, 80), st.just("abmil"), st.integers(0, 1), st.booleans()),
)


@given(samplers, st.integers(0, 100), st.integers(0, 2**31))
@settings(deadline=None, max_examples=150)
def test_rows_are_there_each_once_in_order_and_by_the_seed(sampler: Sampler, n: int, seed: int) -> None:
    assert isinstance(sampler, Sampler)
    given = candidates(n, seed, allowed=sampler.needs)
    chosen = sampler.choose(given, np.random.default_rng(seed))
    assert chosen.dtype == np.int64
    assert (np.diff(chosen) > 0).all()
    assert np.isin(chosen, given.rows).all()
    if isinstance(sampler, ShareOfRows):
        assert len(chosen) == (max(1, round(sampler.share * n)) if n else 0)
    elif isinstance(sampler, TopRows):
        assert len(chosen) == min(sampler.n, int(np.isfinite(given.scores()[sampler.branch]).sum()))
    else:
        assert len(chosen) == min(sampler.n, n)
    again = sampler.choose(candidates(n, seed), np.random.default_rng(seed))
    np.testing.assert_array_equal(chosen, again)


@pytest.mark.parametrize("sampler", [RandomRows(20), SpatialRows(20), ClusterRows(20, CENTROIDS)])
def test_another_seed_chooses_others_and_every_row_has_its_turn(sampler: Sampler) -> None:
    given = candidates(60)
    chosen = [sampler.choose(given, np.random.default_rng(seed)) for seed in range(120)]
    assert len({tuple(each) for each in chosen}) > 100
    assert len(np.unique(np.concatenate(chosen))) == 60


def test_spatial_rows_have_equal_chances() -> None:
    given = candidates(60)
    turns = 1500
    chosen = [SpatialRows(15).choose(given, np.random.default_rng(seed)) for seed in range(turns)]
    counts = np.bincount(np.searchsorted(given.rows, np.concatenate(chosen)), minlength=60)
    # Binomial with p = 1/4: six standard deviations.
    assert np.abs(counts - turns / 4).max() < 6 * np.sqrt(turns * 3 / 16)


def ring() -> NDArray[np.int32]:
    """Patches of a round piece of tissue with a hole in it."""
    y, x = np.mgrid[:120, :120]
    tissue = ((x - 60) ** 2 + (y - 60) ** 2 < 55**2) & ((x - 45) ** 2 + (y - 70) ** 2 > 18**2)
    return np.stack([x[tissue], y[tissue]], axis=1).astype(np.int32) * 224


def unevenness(coords: NDArray[np.int32], chosen: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and largest distance (in patches) from any patch to the next chosen one."""
    from sklearn.neighbors import KDTree

    distance = KDTree(coords[chosen]).query(coords)[0] / 224
    return float(distance.mean()), float(distance.max())


@pytest.mark.parametrize("n", [50, 500])
def test_spatial_rows_leave_no_region_out(n: int) -> None:
    coords = ring()
    none: Any = None
    given = Candidates(np.arange(len(coords)), lambda: coords, none, none)
    measured = {
        kind: np.mean(
            [unevenness(coords, kind(n).choose(given, np.random.default_rng(s))) for s in range(8)], axis=0
        )
        for kind in (RandomRows, SpatialRows)
    }
    mean, largest = measured[SpatialRows] / measured[RandomRows]
    assert mean < 0.92
    assert largest < 0.8


@pytest.mark.parametrize(
    "coords",
    [np.zeros((50, 2)), np.stack([np.arange(50), np.zeros(50)], axis=1), np.full((50, 2), 2**31 - 1)],
)
def test_spatial_rows_where_all_lie_in_a_point_or_a_line(coords: NDArray[Any]) -> None:
    none: Any = None
    given = Candidates(np.arange(50), lambda: coords.astype(np.int32), none, none)
    assert len(np.unique(SpatialRows(7).choose(given, np.random.default_rng(0)))) == 7


def test_clusters_give_equal_shares_and_others_fill_in() -> None:
    features = np.repeat(np.eye(3, 4), [100, 100, 4], axis=0).astype(np.float16) * [[3], *[[0.1]] * 203]
    none: Any = None
    given = Candidates(np.arange(204), none, lambda: features, none)
    for metric in ("euclidean", "cosine"):
        sampler = ClusterRows(31, np.eye(3, 4) * 0.2, metric)  # type: ignore[arg-type]
        chosen = sampler.choose(given, np.random.default_rng(1))
        first, second, third = np.bincount(sampler.nearest(features)[chosen], minlength=3)
        assert third == 4
        assert {first, second} == {13, 14}


def test_top_rows() -> None:
    scores = np.array([[5, -np.inf, 1, 5, 3, 5], [0, 0, 0, 0, 0, 9]], np.float32)
    rows = np.array([2, 3, 5, 7, 11, 13])
    none: Any = None
    given = Candidates(rows, none, none, lambda: scores)
    rng = np.random.default_rng(0)
    assert TopRows(2, "abmil").choose(given, rng).tolist() == [2, 7]
    assert TopRows(9, "abmil").choose(given, rng).tolist() == [2, 5, 7, 11, 13]
    assert TopRows(2, "abmil", largest=False).choose(given, rng).tolist() == [5, 11]
    assert TopRows(2, "abmil", branch=1).choose(given, rng).tolist() == [2, 13]
    with pytest.raises(UsageError, match="no branch 2"):
        TopRows(2, "abmil", branch=2).choose(given, rng)
    scores[0, 0] = np.nan
    with pytest.raises(UsageError, match="NaN"):
        TopRows(2, "abmil").choose(given, rng)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomRows(0), "0 rows"),
        (lambda: SpatialRows(1.5), "1.5 rows"),  # type: ignore[arg-type]
        (lambda: ShareOfRows(0), "share of 0"),
        (lambda: ShareOfRows(float("nan")), "share of nan"),
        (lambda: ClusterRows(3, [1.0, 2.0]), "shape"),
        (lambda: ClusterRows(3, np.zeros((0, 4))), "shape"),
        (lambda: ClusterRows(3, [[np.nan]]), "NaN"),
        (lambda: ClusterRows(3, [[0.0]], "cosine"), "zero"),
        (lambda: ClusterRows(3, [[1.0]], "manhattan"), "metric"),  # type: ignore[arg-type]
        (lambda: TopRows(3, ""), "aggregator"),
        (lambda: TopRows(3, "abmil", branch=-1), "branch"),
        (lambda: ClusterRows(3, [[1.0]]).nearest(np.zeros((2, 5), np.float16)), "5"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
