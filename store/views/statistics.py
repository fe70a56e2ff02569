"""Mean, covariance and principal components of a cohort's features, in one pass and bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.store.views.passes import Weighted, batches, check_weight, over_all
from slidelake.store.views.saved import Saved

if TYPE_CHECKING:
    from slidelake.store.views.cohort import Cohort

__all__ = ["PCA", "Statistics", "compute"]


@dataclass(frozen=True)
class PCA(Saved):
    """Principal components: of the covariance, largest first. Each one's largest entry is positive."""

    space: str
    #: (D,), subtracted first.
    mean: NDArray[np.float64]
    #: (n, D), of length 1, orthogonal.
    components: NDArray[np.float64]
    #: (n,): variance along each component.
    explained_variance: NDArray[np.float64]
    #: (n,): its share of the whole variance.
    explained_variance_ratio: NDArray[np.float64]

    def transform(self, x: Any) -> Any:
        """(…, n) doubles for (…, D) features; of a cohort or dask array lazily, (T, n)."""
        from slidelake.store.views.cohort import Cohort

        if isinstance(x, Cohort):
            x = x.features
        if isinstance(x, np.ndarray):
            return self._project(x)
        return x.rechunk({1: -1}).map_blocks(
            self._project, dtype=np.float64, chunks=(x.chunks[0], (len(self.components),))
        )

    def _project(self, x: NDArray[Any]) -> NDArray[np.float64]:
        if x.shape[-1] != len(self.mean):
            raise UsageError(
                f"features of {x.shape[-1]} dimensions were given", remedy=f"Give {len(self.mean)}."
            )
        return np.asarray((x.astype(np.float64) - self.mean) @ self.components.T)


@dataclass(frozen=True)
class Statistics(Saved):
    """Mean and covariance of the rows of a cohort that are valid and chosen."""

    space: str
    #: "patch": each row weighs the same; "slide": each slide does, so a row weighs 1 / rows of its slide.
    weight: str
    slides: int
    rows: int
    #: (D,)
    mean: NDArray[np.float64]
    #: (D, D), as `numpy.cov(rows, aweights=weights)`: divided by rows - 1 where each row weighs the same.
    covariance: NDArray[np.float64]

    def pca(self, n_components: int | None = None) -> PCA:
        """The first n components (all D by default); raises UsageError for more than D."""
        most = len(self.mean)
        count = most if n_components is None else n_components
        if not 1 <= count <= most:
            raise UsageError(f"n_components={count}", remedy=f"Give 1 to {most}.")
        values, vectors = np.linalg.eigh(self.covariance)
        # Ascending and by columns; what is below 0 is rounding.
        variance = np.clip(values[::-1], 0.0, None)
        components = vectors.T[::-1][:count]
        largest = components[np.arange(count), np.abs(components).argmax(axis=1)]
        components = components * np.where(largest < 0, -1.0, 1.0)[:, None]
        total = variance.sum()
        ratio = variance[:count] / total if total > 0 else np.zeros(count)
        return PCA(self.space, self.mean, components, variance[:count], ratio)


@dataclass
class _Moments:
    """Weights w, mean and scatter, the weighted sum of (x - mean)(x - mean)ᵀ, of some rows."""

    rows: int
    weight: float
    weight_squared: float
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    def add(self, other: "_Moments") -> "_Moments":
        """Takes in other rows, in place (Chan, Golub, LeVeque 1979: no difference of large sums)."""
        whole = self.weight + other.weight
        apart = other.mean - self.mean
        self.scatter += other.scatter
        self.scatter += np.outer(apart * (self.weight * other.weight / whole), apart)
        self.mean = self.mean + apart * (other.weight / whole)
        self.rows += other.rows
        self.weight = whole
        self.weight_squared += other.weight_squared
        return self


def compute(cohort: "Cohort", weight: str = "patch") -> Statistics:
    """One pass over all rows with dask. Raises UsageError for fewer than two rows.

    Memory: for each thread of dask a block of features, a batch of doubles (4 MiB, or 1,024 rows) and three (D, D)
    matrices, and some more (D, D) matrices for what waits to be joined. Blocks of other sizes, or rows in another
    order, give the same to about 1e-12 of the largest variance.
    """
    check_weight(weight)
    if len(cohort) < 2:
        raise UsageError(
            f"the cohort has {len(cohort)} rows",
            remedy="Statistics need two: choose more slides, or looser quality.",
        )
    found = over_all(cohort, weight, partial(_of_group, cohort.dim), _join)
    freedom = found.weight - found.weight_squared / found.weight
    covariance = found.scatter / freedom
    slides = int((cohort.slides["rows"] > 0).sum())
    return Statistics(cohort.space, weight, slides, found.rows, found.mean, (covariance + covariance.T) / 2)


def _of_group(dim: int, blocks: Sequence[Weighted]) -> _Moments:
    total: _Moments | None = None
    for x, w in batches(blocks, dim):
        weight = float(w.sum())
        mean = w @ x / weight
        x -= mean
        x *= np.sqrt(w)[:, None]
        batch = _Moments(len(x), weight, float(w @ w), mean, x.T @ x)
        total = batch if total is None else total.add(batch)
    if total is None:
        raise RuntimeError("a group without rows")
    return total


def _join(one: _Moments, other: _Moments) -> _Moments:
    return one.add(other)
