"""The cluster arm: k-means of the features, and as many patches of each cluster, drawn by chance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slidelake.index.representatives.unit_rows import UnitRows

__all__ = ["Clusters", "cluster_order", "find_clusters"]

#: k-means looks at so many rows at most; the others are put to the nearest centre. Ten and more a cluster up to
#: a million rows.
_SAMPLE = 10_000
_PASSES = 30


class Clusters(NamedTuple):
    """(n,) int64 cluster of each row, and (n,) float64 its cosine with the cluster's centre."""

    labels: NDArray[np.int64]
    cosines: NDArray[np.float64]


def find_clusters(units: UnitRows, rows: NDArray[np.int64], k: int, rng: np.random.Generator) -> Clusters:
    """`k` clusters of the rows (fewer where there are fewer different rows), in memory of a sample.

    The same rows and the same generator give the same clusters, if the caller holds the threads to one: sums in
    another order are other sums.
    """
    from sklearn.cluster import KMeans

    chosen = rows if len(rows) <= _SAMPLE else rows[np.sort(rng.permutation(len(rows))[:_SAMPLE])]
    sample = units.take(chosen)
    # Equal rows make no clusters of their own: scikit-learn would warn that it found fewer.
    k = min(k, len(np.unique(sample, axis=0)))
    means = KMeans(k, n_init=1, max_iter=_PASSES, random_state=int(rng.integers(2**31))).fit(sample)
    centres = np.asarray(means.cluster_centers_, np.float64)
    lengths = np.sqrt(np.einsum("kd,kd->k", centres, centres))
    squares = lengths**2
    labels, cosines = np.empty(len(rows), np.int64), np.empty(len(rows))
    for part, block in units.blocks(rows):
        products = block.astype(np.float64) @ centres.T
        nearest = (squares - 2 * products).argmin(axis=1)
        labels[part] = nearest
        # Opposite rows can have a mean of zero, which is a centre without a direction.
        length = np.maximum(lengths[nearest], 1e-12)
        cosines[part] = np.clip(products[np.arange(len(block)), nearest] / length, -1, 1)
    return Clusters(labels, cosines)


def cluster_order(labels: NDArray[np.int64], chance: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """(place, round from 1) of the rows in rounds: of every cluster one in each, the largest cluster first.

    Within a cluster by `chance`, uniform numbers: every row of a cluster is equally likely to come first.
    """
    sizes = np.bincount(labels)
    by_size = np.argsort(-sizes, kind="stable")
    members = {
        int(cluster): found[np.argsort(chance[found], kind="stable")]
        for cluster in by_size
        if len(found := np.flatnonzero(labels == cluster))
    }
    for turn in range(int(sizes.max(initial=0))):
        for cluster in members:
            if turn < len(members[cluster]):
                yield int(members[cluster][turn]), turn + 1
