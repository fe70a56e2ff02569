"""Changing features by chance while they stream: noise, dropout, and mixing with another bag of the same class.

All keep the number of rows and the dtype and leave their input as it is, so coordinates and row numbers stay in
step. (To leave rows out by chance take `sampling.ShareOfRows`.) Sums are made in float32. All chance comes from
the generator that is handed in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError

__all__ = ["Augmentation", "Compose", "FeatureDropout", "GaussianNoise", "Interpolate", "MixBags"]

# Rows that are worked on at once, in float32: 16 MB at 1,024 dimensions.
_BLOCK = 4096


@runtime_checkable
class Augmentation(Protocol):
    """Makes other features of a bag's features."""

    @property
    def needs_mate(self) -> bool:
        """Does it mix in another bag of the same class?"""
        ...

    def apply(
        self, features: NDArray[Any], rng: np.random.Generator, mate: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """(n, D) features of the same dtype, in memory of their own.

        `mate` holds the (m, D) features of another bag of the same class, where `needs_mate`; None where the
        class has no other bag: then nothing is mixed in.
        """
        ...


@dataclass(frozen=True)
class GaussianNoise:
    """Adds normal noise with mean 0: features of very different scale want it `relative`.

    Relative: the standard deviation is `std` times that of the dimension over the bag's rows. Else it is `std`.
    The dearest augmentation: it draws a number for every value.
    """

    std: float
    relative: bool = True
    needs_mate: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.std) and self.std >= 0):
            raise UsageError(f"noise of std {self.std} cannot be", remedy="Give a number from 0 up.")

    def apply(
        self, features: NDArray[Any], rng: np.random.Generator, mate: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        _check(features)
        scale = np.full(features.shape[1], self.std, np.float32)
        if self.relative and len(features):
            scale = scale * _std(features)
        out = np.empty_like(features)
        for rows in _blocks(len(features)):
            noise = rng.standard_normal(features[rows].shape, np.float32)
            out[rows] = _within(features[rows] + noise * scale, features.dtype)
        return out


@dataclass(frozen=True)
class FeatureDropout:
    """Sets values to zero with chance p, and divides the others by 1 - p, so that the mean stays.

    `per="value"`: each value for itself (Srivastava et al. 2014). `per="dimension"`: a dimension goes in the whole
    bag or not at all. Validation takes the features as they are.
    """

    p: float
    per: Literal["value", "dimension"] = "value"
    needs_mate: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise UsageError(f"a chance of {self.p} cannot be", remedy="Give one in [0, 1).")
        if self.per not in ("value", "dimension"):
            raise UsageError(f"dropout per {self.per!r} is not known", remedy="Use 'value' or 'dimension'.")

    def apply(
        self, features: NDArray[Any], rng: np.random.Generator, mate: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        _check(features)
        scale = np.float32(1 / (1 - self.p))
        whole = rng.random(features.shape[1], np.float32) >= self.p if self.per == "dimension" else None
        out = np.empty_like(features)
        for rows in _blocks(len(features)):
            kept = rng.random(features[rows].shape, np.float32) >= self.p if whole is None else whole
            # The mask is a factor, not an index, so that a block costs one pass.
            out[rows] = _within(features[rows] * (kept * scale), features.dtype)
        return out


@dataclass(frozen=True)
class MixBags:
    """Puts rows of the mate in the place of a share of the rows, both drawn at random without repetition.

    No more than the mate has. The coordinates and row numbers at those places say nothing any more.
    """

    share: float
    needs_mate: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UsageError(f"a share of {self.share} cannot be", remedy="Give one in [0, 1].")

    def apply(
        self, features: NDArray[Any], rng: np.random.Generator, mate: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        _check(features, mate)
        out = features.copy()
        if mate is not None:
            n = min(round(self.share * len(features)), len(mate))
            places = rng.choice(len(features), n, replace=False)
            taken = rng.choice(len(mate), n, replace=False)
            out[places] = _within(mate[taken], features.dtype)
        return out


@dataclass(frozen=True)
class Interpolate:
    """Moves each row towards a row of the mate, drawn at random: λ·row + (1 - λ)·other.

    λ is drawn for each row from Beta(alpha, alpha) (mixup, Zhang et al. 2018) and taken as max(λ, 1 - λ), so that
    a row stays nearer to itself and its coordinates still mean something. Both bags are of one class: the
    target stays.
    """

    alpha: float = 0.4
    needs_mate: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (np.isfinite(self.alpha) and self.alpha > 0):
            raise UsageError(
                f"alpha {self.alpha} cannot be", remedy="Give a number above 0, 0.4 for instance."
            )

    def apply(
        self, features: NDArray[Any], rng: np.random.Generator, mate: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        _check(features, mate)
        if mate is None or not len(mate):
            return features.copy()
        weights = rng.beta(self.alpha, self.alpha, len(features)).astype(np.float32)
        weights = np.maximum(weights, 1 - weights)[:, None]
        others = rng.integers(len(mate), size=len(features))
        out = np.empty_like(features)
        for rows in _blocks(len(features)):
            mixed = features[rows] * weights[rows] + mate[others[rows]] * (1 - weights[rows])
            out[rows] = _within(mixed, features.dtype)
        return out


class Compose:
    """One augmentation after the other, each with the same mate as it was stored."""

    def __init__(self, augmentations: Sequence[Augmentation]) -> None:
        self.augmentations = tuple(augmentations)
        for each in self.augmentations:
            if not isinstance(each, Augmentation):
                raise UsageError(
                    f"{each!r} is no augmentation", remedy="Give objects with `needs_mate` and `apply`."
                )

    def __repr__(self) -> str:
        return f"Compose({list(self.augmentations)!r})"

    @property
    def needs_mate(self) -> bool:
        return any(each.needs_mate for each in self.augmentations)

    def apply(
        self, features: NDArray[Any], rng: np.random.Generator, mate: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        _check(features, mate)
        out = features if self.augmentations else features.copy()
        for each in self.augmentations:
            out = each.apply(out, rng, mate)
        return out


def _check(features: NDArray[Any], mate: NDArray[Any] | None = None) -> None:
    if features.ndim != 2 or features.dtype not in (np.float16, np.float32):
        raise UsageError(
            f"features of shape {features.shape} and {features.dtype} were given",
            remedy="Give (n, D) float16 or float32.",
        )
    if mate is not None and (mate.ndim != 2 or mate.shape[1] != features.shape[1]):
        raise UsageError(
            f"the mate's features have shape {mate.shape}, the bag's {features.shape}",
            remedy="Mix bags of one space.",
        )


def _std(features: NDArray[Any]) -> NDArray[np.float32]:
    """(D,) standard deviation over the rows, in two passes of blocks: no float32 copy of the whole bag."""
    mean = sum(features[rows].sum(axis=0, dtype=np.float64) for rows in _blocks(len(features))) / len(
        features
    )
    squares = np.zeros(features.shape[1])
    for rows in _blocks(len(features)):
        squares += np.square(features[rows] - mean.astype(np.float32)).sum(axis=0, dtype=np.float64)
    return np.sqrt(squares / len(features)).astype(np.float32)


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _BLOCK):
        yield slice(start, start + _BLOCK)


def _within(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """In `dtype`, with what is too large for it at its largest number rather than at infinity."""
    limits = np.finfo(dtype)
    clipped: NDArray[Any] = np.clip(values, limits.min, limits.max).astype(dtype)
    return clipped
