"""How good retrieval is: average precision, precision, paired bootstrap, near-duplicates left out.

One routine scores every encoder, for the benchmark and for the demo alike: exact cosine search over a
labelled set, hits of the query's own group (its patient) and near-identical images left out. Only numpy is
used here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidelake.errors import QueryError

__all__ = [
    "Interval",
    "RetrievalScores",
    "average_precision_at_k",
    "bootstrap_difference",
    "bootstrap_mean",
    "hamming",
    "phash64",
    "precision_at_k",
    "random_scores",
    "retrieval_scores",
]

_PHASH_SIDE = 32


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its percentile interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Scores of each query, in the order asked; NaN where nothing in the set is relevant to the query.

    `average_precision` and `precision` are (Q,) float64, `labels` (Q,) the queries' classes.
    """

    k: int
    k_average: int
    average_precision: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    labels: npt.NDArray[np.str_]

    @property
    def map_at_k(self) -> float:
        """Mean average precision over the queries that have a relevant candidate."""
        return float(np.nanmean(self.average_precision))

    @property
    def mean_precision(self) -> float:
        """Mean precision over the queries that have a relevant candidate."""
        return float(np.nanmean(self.precision))

    def precision_by_label(self) -> dict[str, float]:
        """Mean precision of each class that has a scored query, sorted by class."""
        means: dict[str, float] = {}
        for label in np.unique(self.labels):
            values = self.precision[(self.labels == label) & ~np.isnan(self.precision)]
            if len(values):
                means[str(label)] = float(values.mean())
        return means


def average_precision_at_k(relevant: npt.ArrayLike, k: int, total_relevant: int) -> float:
    """(1 / min(k, R)) · Σ over the first k hits of (hit is relevant) · precision@i, R = `total_relevant`.

    `relevant` are the hits' truth values, best first. NaN where R is 0: such a query says nothing.
    """
    if total_relevant == 0:
        return float("nan")
    flags = np.asarray(relevant, dtype=bool)[:k]
    at = np.cumsum(flags) / np.arange(1, len(flags) + 1)
    return float(at[flags].sum() / min(k, total_relevant))


def precision_at_k(relevant: npt.ArrayLike, k: int) -> float:
    """Share of relevant hits among the first k; missing hits count as not relevant."""
    return float(np.asarray(relevant, dtype=bool)[:k].sum() / k)


def phash64(image: npt.NDArray[np.uint8]) -> int:
    """64-bit perceptual hash of an (H, W, 3) or (H, W) uint8 image.

    Grey (BT.601), area mean down to 32 x 32, DCT-II, the 8 x 8 lowest frequencies, one bit each: above their
    median. Bits row by row, the constant term first and highest. (Zauner 2010; as the common "pHash".)
    """
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise QueryError(
            f"an array of {pixels.dtype} and shape {pixels.shape} is not an image",
            remedy="Give grey or RGB as uint8.",
        )
    grey = pixels.astype(np.float64) if pixels.ndim == 2 else pixels @ np.array([0.299, 0.587, 0.114])
    small = _area_weights(grey.shape[0]) @ grey @ _area_weights(grey.shape[1]).T
    basis = _cosines()
    low = basis @ small @ basis.T
    # Rounded: last-bit differences between machines must not turn a bit.
    low = np.round(low, 6)
    bits = (low > np.median(low)).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def hamming(
    first: npt.NDArray[np.uint64] | Sequence[int], second: npt.NDArray[np.uint64] | Sequence[int]
) -> npt.NDArray[np.uint8]:
    """(N,) and (M,) 64-bit hashes to (N, M) numbers of bits that differ."""
    differing = np.asarray(first, np.uint64)[:, None] ^ np.asarray(second, np.uint64)[None, :]
    bits: npt.NDArray[np.uint8] = np.bitwise_count(differing)
    return bits


def retrieval_scores(
    features: npt.NDArray[np.float32],
    labels: Sequence[str] | npt.NDArray[Any],
    groups: Sequence[str] | npt.NDArray[Any] | None = None,
    hashes: npt.NDArray[np.uint64] | None = None,
    *,
    k: int = 10,
    k_average: int = 5,
    max_bits: int = 6,
    queries: npt.NDArray[np.float32] | None = None,
    asked: npt.NDArray[np.intp] | None = None,
) -> RetrievalScores:
    """Let each of the N labelled rows search the others by cosine, and score what comes first.

    `features` (N, D); `queries` (N, D) are the rows to ask with where they differ from those searched (a shifted
    stain); `asked` restricts who asks. `precision` is taken at `k`, `average_precision` at `k_average`. A
    candidate is left out when it is the query itself, when its group is the query's (an empty group is
    nobody's), or when its hash is within `max_bits` of the query's. Ties go to the lower row. Raises QueryError
    on lengths that do not agree and on what is not finite.
    """
    names = np.asarray(labels, dtype=np.str_)
    rows = len(features)
    owners = np.full(rows, "") if groups is None else np.asarray(groups, dtype=np.str_)
    asking = features if queries is None else queries
    if not (len(names) == len(owners) == len(asking) == rows) or (hashes is not None and len(hashes) != rows):
        raise QueryError(
            f"{rows} rows, {len(asking)} queries, {len(names)} labels and {len(owners)} groups do not agree",
            remedy="Give one of each a row.",
        )
    if not (np.isfinite(features).all() and np.isfinite(asking).all()):
        raise QueryError("features to be scored are not finite", remedy="Leave rows that are not valid out.")
    candidates = _unit(features)
    unit_queries = candidates if queries is None else _unit(queries)
    who = np.arange(rows) if asked is None else np.asarray(asked, dtype=np.intp)
    average, precision = np.empty(len(who)), np.empty(len(who))
    for place, row in enumerate(who):
        allowed = _allowed(row, owners, hashes, max_bits)
        scores = np.where(allowed, candidates @ unit_queries[row], -np.inf)
        order = np.argsort(-scores, kind="stable")[: min(max(k_average, k), int(allowed.sum()))]
        total = int((allowed & (names == names[row])).sum())
        hits = names[order] == names[row]
        average[place] = average_precision_at_k(hits, k_average, total)
        precision[place] = precision_at_k(hits, k) if total else np.nan
    return RetrievalScores(k, k_average, average, precision, names[who])


def random_scores(
    labels: Sequence[str] | npt.NDArray[Any],
    groups: Sequence[str] | npt.NDArray[Any] | None = None,
    hashes: npt.NDArray[np.uint64] | None = None,
    *,
    k: int = 10,
    k_average: int = 5,
    max_bits: int = 6,
    asked: npt.NDArray[np.intp] | None = None,
    rounds: int = 20,
    seed: int = 0,
) -> RetrievalScores:
    """What guessing reaches: the same scoring over random directions, averaged over `rounds`."""
    generator = np.random.default_rng(seed)
    made = [
        retrieval_scores(
            generator.standard_normal((len(labels), 16)).astype(np.float32),
            labels,
            groups,
            hashes,
            k=k,
            k_average=k_average,
            max_bits=max_bits,
            asked=asked,
        )
        for _ in range(rounds)
    ]
    return RetrievalScores(
        k,
        k_average,
        np.mean([one.average_precision for one in made], axis=0),
        np.mean([one.precision for one in made], axis=0),
        made[0].labels,
    )


def bootstrap_mean(
    values: npt.ArrayLike, *, rounds: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Mean over queries with its percentile bootstrap interval; NaN values (nothing relevant) are left out."""
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[~np.isnan(kept)]
    if not len(kept):
        return Interval(float("nan"), float("nan"), float("nan"))
    generator = np.random.default_rng(seed)
    means = np.array([kept[generator.integers(0, len(kept), len(kept))].mean() for _ in range(rounds)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(kept.mean()), float(low), float(high))


def bootstrap_difference(
    ours: npt.ArrayLike, theirs: npt.ArrayLike, *, rounds: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Mean of ours − theirs over the same queries: queries are drawn in pairs, so their common luck cancels."""
    first, second = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if first.shape != second.shape:
        raise QueryError(
            f"scores of {len(first)} and of {len(second)} queries cannot be paired",
            remedy="Score both on the same queries, in the same order.",
        )
    return bootstrap_mean(first - second, rounds=rounds, level=level, seed=seed)


def _allowed(
    row: int, owners: npt.NDArray[np.str_], hashes: npt.NDArray[np.uint64] | None, max_bits: int
) -> npt.NDArray[np.bool_]:
    allowed = np.ones(len(owners), dtype=bool)
    if owners[row]:
        allowed = owners != owners[row]
    if hashes is not None:
        allowed &= np.bitwise_count(np.asarray(hashes, np.uint64) ^ np.uint64(hashes[row])) > max_bits
    allowed[row] = False
    return allowed


def _unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = wide / np.where(lengths > 0, lengths, 1.0)
    return unit


def _area_weights(length: int) -> npt.NDArray[np.float64]:
    """(32, length): each row averages its 1/32 of the side, fractions of pixels counted as such."""
    edges = np.arange(_PHASH_SIDE + 1) * (length / _PHASH_SIDE)
    starts = np.arange(length)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    weights: npt.NDArray[np.float64] = np.clip(overlap, 0.0, None) * (_PHASH_SIDE / length)
    return weights


def _cosines() -> npt.NDArray[np.float64]:
    """(8, 32): the lowest 8 rows of the DCT-II, orthonormal."""
    places = (2 * np.arange(_PHASH_SIDE) + 1) * np.pi / (2 * _PHASH_SIDE)
    basis: npt.NDArray[np.float64] = np.sqrt(2 / _PHASH_SIDE) * np.cos(np.arange(8)[:, None] * places)
    basis[0] /= np.sqrt(2.0)
    return basis
