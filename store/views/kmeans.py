"""k-means of a cohort's features: k-means++ on a sample, then Lloyd's passes over all rows in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.store.views.passes import Weighted, batches, check_weight, over_all
from slidelake.store.views.saved import Saved

if TYPE_CHECKING:
    from slidelake.store.views.cohort import Cohort

__all__ = ["KMeans", "fit"]

_SAMPLE_PASSES = 30
_SAMPLE_ROWS, _SAMPLE_BYTES = 20_000, 32 << 20


@dataclass(frozen=True)
class KMeans(Saved):
    """Clusters by their centers; a row belongs to the nearest, of equally near ones to the first."""

    space: str
    weight: str
    seed: int
    #: (k, D)
    centers: NDArray[np.float64]
    #: (k,) rows of each cluster.
    counts: NDArray[np.int64]
    #: Weighted sum of the squared distances to the centers.
    inertia: float
    #: Passes over all rows that moved the centers.
    iterations: int
    #: Whether the centers had come to rest.
    converged: bool

    def labels(self, x: Any) -> Any:
        """(N,) int32 for (N, D) features; of a cohort or dask array lazily, (T,)."""
        from slidelake.store.views.cohort import Cohort

        if isinstance(x, Cohort):
            x = x.features
        if isinstance(x, np.ndarray):
            return self._assign(x)
        return x.rechunk({1: -1}).map_blocks(self._assign, dtype=np.int32, drop_axis=1)

    def _assign(self, x: NDArray[Any]) -> NDArray[np.int32]:
        dim = self.centers.shape[1]
        if x.ndim != 2 or x.shape[1] != dim:
            raise UsageError(f"features of shape {x.shape} were given", remedy=f"Give (N, {dim}).")
        # Differences of large numbers are kept small, as they were when the centers were found.
        shift = self.centers.mean(axis=0)
        labels = np.empty(len(x), np.int32)
        for start in range(0, len(x), 8192):
            part = x[start : start + 8192].astype(np.float64) - shift
            labels[start : start + 8192] = _nearest(part, self.centers - shift)[0]
        return labels


class _Sums(NamedTuple):
    """What one pass finds: by cluster the weighted sum of rows, the weights and the rows; and the inertia."""

    sums: NDArray[np.float64]
    weights: NDArray[np.float64]
    counts: NDArray[np.int64]
    inertia: float


class _Far(NamedTuple):
    """The rows farthest from their centers: distance squared, weight, cluster and the row itself."""

    distances: NDArray[np.float64]
    weights: NDArray[np.float64]
    labels: NDArray[np.int64]
    rows: NDArray[np.float64]

    def best(self, count: int) -> "_Far":
        order = np.argsort(-self.distances, kind="stable")[:count]
        return _Far(self.distances[order], self.weights[order], self.labels[order], self.rows[order])


def fit(
    cohort: "Cohort",
    k: int,
    *,
    seed: int = 0,
    weight: str = "patch",
    max_iter: int = 20,
    tol: float = 1e-4,
    sample: int | None = None,
    n_init: int = 4,
    init: NDArray[Any] | None = None,
) -> KMeans:
    """k clusters, by `max_iter` passes over all rows at most (Lloyd), until the centers move by less than `tol`
    times the mean variance (squares, in sum), as scikit-learn counts.

    They begin at `init`, (k, D) centers, or at the best of `n_init` draws by k-means++ (Arthur, Vassilvitskii
    2007) on `sample` rows (default: 32 MiB of doubles, 20,000 at most), each moved by Lloyd's iterations on the
    sample first. A cluster that loses all its rows starts again at the row farthest from its center.

    The sample depends on the seed and the rows alone: other block sizes give the same centers to about 1e-9 of
    their spread, unless two centers are equally near to a row to that precision. Raises UsageError (k larger
    than the number of rows, or below 1; centers of another shape).
    """
    check_weight(weight)
    if not 1 <= k <= len(cohort):
        raise UsageError(
            f"k={k} clusters of {len(cohort)} rows", remedy="Give k from 1 to the number of rows."
        )
    if sample is None:
        sample = max(20 * k, min(_SAMPLE_ROWS, _SAMPLE_BYTES // (8 * cohort.dim)))
    if max_iter < 1 or sample < 1 or n_init < 1:
        raise UsageError("max_iter, sample and n_init count from 1", remedy="Give 1 or more.")
    numbers, rows = cohort.sample(max(sample, k), seed=seed)
    weights = (
        np.ones(len(rows)) if weight == "patch" else 1.0 / cohort.rows_per_slide[cohort.slide_of(numbers)]
    )
    shift = rows.mean(axis=0)
    rows -= shift
    still = tol * float(rows.var(axis=0).mean())
    if init is not None:
        centers = np.array(init, np.float64) - shift if np.shape(init) == (k, cohort.dim) else None
        if centers is None:
            raise UsageError(f"init of shape {np.shape(init)}", remedy=f"Give ({k}, {cohort.dim}) centers.")
    else:
        centers = _start(rows, weights, k, seed, n_init, still)
    iterations, converged = 0, False
    while iterations < max_iter and not converged:
        found = over_all(cohort, weight, partial(_sums_of_group, centers, shift), _join_sums)
        moved = _moved(found, centers, lambda count, at=centers: _farthest(cohort, weight, at, shift, count))
        converged = float(((moved - centers) ** 2).sum()) <= still
        centers, iterations = moved, iterations + 1
    found = over_all(cohort, weight, partial(_sums_of_group, centers, shift), _join_sums)
    return KMeans(
        cohort.space, weight, seed, centers + shift, found.counts, found.inertia, iterations, converged
    )


def _start(
    rows: NDArray[np.float64], weights: NDArray[np.float64], k: int, seed: int, draws: int, still: float
) -> NDArray[np.float64]:
    """The centers of the best of some draws, after Lloyd's iterations on the sample."""
    from sklearn.cluster import kmeans_plusplus

    best: tuple[float, NDArray[np.float64]] | None = None
    for draw in range(draws):
        state = np.random.RandomState(np.random.SeedSequence([seed, draw]).generate_state(1)[0])
        centers, _ = kmeans_plusplus(rows, k, sample_weight=weights, random_state=state)
        centers = np.asarray(centers, np.float64)
        for _ in range(_SAMPLE_PASSES):
            labels, distances = _nearest(rows, centers)
            found = _sums(rows, weights, labels, distances, k)

            def far(count: int, at: Any = (labels, distances)) -> _Far:
                return _Far(at[1], weights, at[0], rows).best(count)

            moved = _moved(found, centers, far)
            rest = float(((moved - centers) ** 2).sum()) <= still
            centers = moved
            if rest:
                break
        inertia = float(weights @ _nearest(rows, centers)[1])
        if best is None or inertia < best[0]:
            best = inertia, centers
    if best is None:
        raise RuntimeError("no draw was made")
    return best[1]


def _nearest(
    x: NDArray[np.float64], centers: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Number of the nearest center of each row, and the distance squared."""
    apart = (centers * centers).sum(axis=1) - 2.0 * (x @ centers.T)
    labels = apart.argmin(axis=1)
    squares = np.einsum("nd,nd->n", x, x)
    return labels, np.maximum(apart[np.arange(len(x)), labels] + squares, 0.0)


def _sums(
    x: NDArray[np.float64],
    w: NDArray[np.float64],
    labels: NDArray[np.int64],
    distances: NDArray[np.float64],
    k: int,
) -> _Sums:
    member = np.zeros((len(x), k))
    member[np.arange(len(x)), labels] = w
    return _Sums(member.T @ x, member.sum(axis=0), np.bincount(labels, minlength=k), float(w @ distances))


def _sums_of_group(
    centers: NDArray[np.float64], shift: NDArray[np.float64], blocks: Sequence[Weighted]
) -> _Sums:
    k, dim = centers.shape
    total = _Sums(np.zeros((k, dim)), np.zeros(k), np.zeros(k, np.int64), 0.0)
    for x, w in batches(blocks, dim):
        x -= shift
        total = _join_sums(total, _sums(x, w, *_nearest(x, centers), k))
    return total


def _join_sums(one: _Sums, other: _Sums) -> _Sums:
    return _Sums(
        one.sums + other.sums,
        one.weights + other.weights,
        one.counts + other.counts,
        one.inertia + other.inertia,
    )


def _moved(found: _Sums, centers: NDArray[np.float64], farthest: Any) -> NDArray[np.float64]:
    """The next centers: the means of the clusters; empty ones go to the rows that are farthest from theirs."""
    sums, weights = found.sums.copy(), found.weights.copy()
    empty = np.flatnonzero(found.counts == 0)
    if len(empty):
        far: _Far = farthest(len(empty))
        for cluster, distance, weight, label, row in zip(empty, *far, strict=False):
            # At 0 there are fewer different rows than clusters, and nowhere to go.
            if distance > 0:
                sums[cluster], weights[cluster] = row * weight, weight
                sums[label] -= row * weight
                weights[label] -= weight
    moved = centers.copy()
    there = weights > 1e-12 * max(float(found.weights.max()), 1e-300)
    moved[there] = sums[there] / weights[there, None]
    return moved


def _farthest(
    cohort: "Cohort", weight: str, centers: NDArray[np.float64], shift: NDArray[np.float64], count: int
) -> _Far:
    """The rows farthest from their centers, by one more pass."""
    of_group = partial(_far_of_group, centers, shift, count)
    far: _Far = over_all(cohort, weight, of_group, partial(_join_far, count))
    return far


def _far_of_group(
    centers: NDArray[np.float64], shift: NDArray[np.float64], count: int, blocks: Sequence[Weighted]
) -> _Far:
    dim = centers.shape[1]
    total = _Far(np.empty(0), np.empty(0), np.empty(0, np.int64), np.empty((0, dim)))
    for x, w in batches(blocks, dim):
        x -= shift
        labels, distances = _nearest(x, centers)
        total = _join_far(count, total, _Far(distances, w, labels, x).best(count))
    return total


def _join_far(count: int, one: _Far, other: _Far) -> _Far:
    both = _Far(
        np.concatenate([one.distances, other.distances]),
        np.concatenate([one.weights, other.weights]),
        np.concatenate([one.labels, other.labels]),
        np.concatenate([one.rows, other.rows]),
    )
    return both.best(count)
