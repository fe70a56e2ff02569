"""Which rows of a bag are taken: at random, spatially even, by cluster, or by stored attention scores.

A sampler is a frozen description; all chance comes from the generator it is handed, so the same generator gives
the same rows. Adding one is a class with `needs` and `choose`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slidelake.errors import UsageError

__all__ = ["Candidates", "ClusterRows", "RandomRows", "Sampler", "ShareOfRows", "SpatialRows", "TopRows"]

# Rows that are compared with the centroids at once, in float32: 32 MB at 1,024 dimensions.
_BLOCK = 8192


@dataclass(frozen=True)
class Candidates:
    """The rows of one bag that may be chosen. The callables read only when called, and only for these rows."""

    #: (n,) int64, ascending: numbers of the valid rows of the bag.
    rows: NDArray[np.int64]
    #: Gives (n, 2) int32 level-0 pixels of those rows, in order.
    coords: Callable[[], NDArray[np.int32]]
    #: Gives (n, D) features of those rows, in order.
    features: Callable[[], NDArray[Any]]
    #: Gives (K, n) float32 stored scores of those rows, in order.
    scores: Callable[[], NDArray[np.float32]]


@runtime_checkable
class Sampler(Protocol):
    """Chooses rows of a bag."""

    @property
    def needs(self) -> frozenset[str]:
        """What it asks of the candidates: of "coords", "features" and "scores" those that it reads."""
        ...

    def choose(self, candidates: Candidates, rng: np.random.Generator) -> NDArray[np.int64]:
        """The chosen ones of `candidates.rows`: (m,) int64, ascending, none twice."""
        ...


@dataclass(frozen=True)
class RandomRows:
    """n rows, each as likely as any other; all of a bag that has no more."""

    n: int
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        _count(self.n)

    def choose(self, candidates: Candidates, rng: np.random.Generator) -> NDArray[np.int64]:
        return _random(candidates.rows, self.n, rng)


@dataclass(frozen=True)
class ShareOfRows:
    """A share of each bag's rows, at random: round(share · n), and at least one of a bag that has any."""

    share: float
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(f"a share of {self.share} of the rows cannot be", remedy="Give one in (0, 1].")

    def choose(self, candidates: Candidates, rng: np.random.Generator) -> NDArray[np.int64]:
        return _random(candidates.rows, max(1, round(self.share * len(candidates.rows))), rng)


@dataclass(frozen=True)
class SpatialRows:
    """n rows spread evenly over the tissue; each row is as likely as any other.

    The rows are put in the order of a Hilbert curve with a random origin, and every (rows / n)-th is taken from
    a random start: what lies near each other on the slide lies near each other on the curve, so no two chosen
    rows crowd and no region is left out. (The idea of Stevens and Olsen's spatially balanced samples, 2004.)
    """

    n: int
    needs: ClassVar[frozenset[str]] = frozenset({"coords"})

    def __post_init__(self) -> None:
        _count(self.n)

    def choose(self, candidates: Candidates, rng: np.random.Generator) -> NDArray[np.int64]:
        rows = candidates.rows
        if len(rows) <= self.n:
            return rows.copy()
        order = np.argsort(_along_hilbert_curve(candidates.coords(), rng), kind="stable")
        step = len(rows) / self.n
        # The last place is kept inside: (n - 1 + start) · step may round up to the number of rows.
        places = np.minimum((np.arange(self.n) + rng.random()) * step, len(rows) - 1).astype(np.int64)
        return np.sort(rows[order[places]])


class ClusterRows:
    """n rows, the same number from each cluster, at random within it.

    A row belongs to the nearest of the (k, D) centroids (k-means of the cohort, for instance). What a cluster
    cannot give, because it has too few rows here, goes to the others in equal parts.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self, n: int, centroids: ArrayLike, metric: Literal["euclidean", "cosine"] = "euclidean"
    ) -> None:
        self.n = _count(n)
        self.metric = metric
        self.centroids = np.array(centroids, np.float32)
        if self.centroids.ndim != 2 or not self.centroids.size:
            raise UsageError(
                f"centroids of shape {self.centroids.shape} were given", remedy="Give a (k, D) array, k > 0."
            )
        if not np.isfinite(self.centroids).all():
            raise UsageError("the centroids hold NaN or infinity", remedy="Make them from finite features.")
        if metric not in ("euclidean", "cosine"):
            raise UsageError(f"there is no metric {metric!r}", remedy="Use 'euclidean' or 'cosine'.")
        norms = np.linalg.norm(self.centroids, axis=1, keepdims=True)
        if metric == "cosine" and not norms.all():
            raise UsageError("a centroid is zero and has no direction", remedy="Use metric='euclidean'.")
        # The nearest is the largest x·c + offset; what depends on the row alone is left out.
        self._directions = self.centroids / norms if metric == "cosine" else self.centroids
        self._offsets = np.zeros(len(norms), np.float32) if metric == "cosine" else -0.5 * norms[:, 0] ** 2
        self.centroids.flags.writeable = False

    def __repr__(self) -> str:
        k, dim = self.centroids.shape
        return f"ClusterRows(n={self.n}, {k} centroids of {dim} dimensions, {self.metric})"

    def nearest(self, features: NDArray[Any]) -> NDArray[np.int64]:
        """(n,) int64: each (n, D) row's cluster."""
        if features.ndim != 2 or features.shape[1] != self.centroids.shape[1]:
            raise UsageError(
                f"the features have shape {features.shape}, the centroids {self.centroids.shape[1]} dimensions",
                remedy="Make the centroids in the space that is streamed.",
            )
        found = np.empty(len(features), np.int64)
        for start in range(0, len(features), _BLOCK):
            rows = features[start : start + _BLOCK].astype(np.float32)
            found[start : start + _BLOCK] = np.argmax(rows @ self._directions.T + self._offsets, axis=1)
        return found

    def choose(self, candidates: Candidates, rng: np.random.Generator) -> NDArray[np.int64]:
        rows = candidates.rows
        if len(rows) <= self.n:
            return rows.copy()
        clusters = self.nearest(candidates.features())
        there = np.bincount(clusters, minlength=len(self.centroids))
        shares = _equal_shares(there, self.n, rng)
        # By cluster, and within it at random: the first `share` of each are taken.
        order = np.lexsort((rng.permutation(len(rows)), clusters))
        within = np.arange(len(rows)) - np.repeat(np.cumsum(there) - there, there)
        return np.sort(rows[order[within < shares[clusters[order]]]])


@dataclass(frozen=True)
class TopRows:
    """The n rows with the largest (or smallest) stored score of one aggregator's branch; no chance in it.

    Of equal scores the lower row is taken. Rows that the aggregator left out (score -inf) are never chosen, so
    there may be fewer than n.
    """

    n: int
    aggregator: str
    branch: int = 0
    largest: bool = True
    needs: ClassVar[frozenset[str]] = frozenset({"scores"})

    def __post_init__(self) -> None:
        _count(self.n)
        if not self.aggregator:
            raise UsageError("no aggregator was named", remedy="Name the one whose scores are stored.")
        if self.branch < 0:
            raise UsageError(f"there is no branch {self.branch}", remedy="Branches count from 0.")

    def choose(self, candidates: Candidates, rng: np.random.Generator) -> NDArray[np.int64]:
        rows = candidates.rows
        scores = candidates.scores()
        if scores.ndim != 2 or scores.shape[1] != len(rows) or self.branch >= len(scores):
            raise UsageError(
                f"there is no branch {self.branch} in scores of shape {scores.shape} for {len(rows)} rows",
                remedy=f"Look at what {self.aggregator} stored: scores are (branches, rows).",
            )
        chosen = scores[self.branch]
        if np.isnan(chosen).any():
            raise UsageError(
                f"the scores of {self.aggregator} hold NaN", remedy="Make them again: slidelake embed."
            )
        there = np.flatnonzero(chosen != -np.inf)
        keys = chosen[there]
        order = np.argsort(-keys if self.largest else keys, kind="stable")
        return np.sort(rows[there[order[: self.n]]])


def _count(n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise UsageError(f"{n!r} rows cannot be chosen", remedy="Give a whole number from 1 up.")
    return int(n)


def _random(rows: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if len(rows) <= n:
        return rows.copy()
    return np.sort(rng.choice(rows, n, replace=False, shuffle=False))


def _equal_shares(there: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many of n each cluster gives, where cluster c has there[c]: equal, but for those that have fewer."""
    shares = np.zeros(len(there), np.int64)
    while (left := n - int(shares.sum())) > 0:
        open_ones = np.flatnonzero(shares < there)
        each = left // len(open_ones)
        if each == 0:
            shares[rng.choice(open_ones, left, replace=False)] += 1
            return shares
        shares[open_ones] = np.minimum(shares[open_ones] + each, there[open_ones])
    return shares


def _along_hilbert_curve(coords: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) int64: where each (x, y) lies along a Hilbert curve through a square that holds them all."""
    bits = 16
    xy = coords.astype(np.float64) - coords.min(axis=0)
    extent = max(float(xy.max()), 1.0)
    # The square is twice as wide as the rows reach, so that its origin may lie anywhere.
    xy = ((xy / extent + rng.random(2)) * 2.0 ** (bits - 1)).astype(np.int64)
    x, y = np.minimum(xy, 2**bits - 1).T
    place = np.zeros(len(x), np.int64)
    for bit in reversed(range(bits)):
        side = 1 << bit
        right, below = (x & side) > 0, (y & side) > 0
        place += side * side * ((3 * right) ^ below)
        # Each quadrant holds the curve turned, so that its ends meet those of its neighbours.
        turned = ~below
        mirrored = turned & right
        x, y = np.where(mirrored, side - 1 - x, x), np.where(mirrored, side - 1 - y, y)
        x, y = np.where(turned, y, x) & (side - 1), np.where(turned, x, y) & (side - 1)
    return place
