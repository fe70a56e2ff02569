"""Whether an encoder knows the tissue better than the hospital: its robustness index to the medical centre.

Of each patch's k nearest neighbours from other slides,

    index = (neighbours of the same class from another centre) / (neighbours of another class from the same centre)

summed over all patches. Above 1 the class counts more than the centre. What blind neighbours would give is printed
beside: where classes and centres are not balanced, it is not 1.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidelake.errors import UsageError
from slidelake.index.evaluate import Interval
from slidelake.index.probing.bootstrap import draw_counts, percentile
from slidelake.index.probing.labelled import Labelled, owners

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Robustness", "robustness_index"]

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Robustness:
    """`index` with its 95 % interval by patient (None where no neighbour is of another class in the same centre, or
    an end is not defined); `share` = same class, other centre / both kinds; `chance` what blind neighbours give.

    `neighbours` counts the four kinds; `centres` holds the index of the patches of each centre.
    """

    name: str
    classes: tuple[str, ...]
    centres: dict[str, float | None]
    rows: int
    k: int
    index: float | None
    low: float | None
    high: float | None
    share: Interval
    chance: float
    neighbours: dict[str, int]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """One line a centre, and one of all."""
        import pandas as pd

        lines = [{"centre": "all", "index": self.index}]
        lines += [{"centre": name, "index": value} for name, value in self.centres.items()]
        return pd.DataFrame(lines)


def robustness_index(rows: Labelled, *, k: int = 50, draws: int = 1000, seed: int = 0) -> Robustness:
    """The index of labelled rows with known centres, by exact cosine. Rows of no centre are left out, and told.

    Raises UsageError: k below 1, one class, one centre, classes and centres that coincide, no other slides.
    """
    if k < 1:
        raise UsageError(f"k={k}", remedy="Look at one neighbour at least.")
    known = np.asarray(rows.centres) != ""
    notes = list(rows.notes)
    if not known.all():
        notes.append(f"{int((~known).sum()):,} rows of no known centre are left out")
    centres, centre = np.unique(rows.centres[known], return_inverse=True)
    if len(centres) < 2:
        raise UsageError(
            f"the rows of {rows.name} are of {'one centre, ' + repr(str(centres[0])) if len(centres) else 'no centre'}",
            remedy="Name the metadata column of the medical centre, and label slides of a second one.",
        )
    kept = Labelled(
        rows.name,
        rows.features[known],
        rows.labels[known],
        rows.groups[known],
        rows.slides[known],
        rows.centres[known],
    )
    classes, targets, slides = kept.classes, kept.targets(), owners(kept.slides)
    wanted = _possible(targets, centre, slides)
    if not wanted[:, :2].any(axis=0).all():
        raise UsageError(
            f"classes and centres of {rows.name} coincide: no class is in two centres, or no centre has two classes",
            remedy="An index needs a class from two centres, and a centre with two classes, each on several slides.",
        )
    fewest = int(wanted[:, 2].min())
    if fewest < 1:
        raise UsageError(f"the rows of {rows.name} are of one slide", remedy="Label rows of several slides.")
    if fewest < k:
        notes.append(f"k is {fewest}: some patches have no more rows on other slides")
        k = fewest
    kinds = _neighbours(kept.features, targets, centre, slides, k)
    same, other = kinds[:, 1].astype(np.float64), kinds[:, 2].astype(np.float64)
    share, ends = _intervals(same, other, owners(kept.groups), draws, seed)
    available = wanted[:, :2] / wanted[:, 2:]
    return Robustness(
        rows.name,
        classes,
        {
            str(name): _ratio(same[centre == n].sum(), other[centre == n].sum())
            for n, name in enumerate(centres)
        },
        len(kept),
        k,
        _ratio(same.sum(), other.sum()),
        *ends,
        share,
        float(available[:, 0].sum() / available[:, 1].sum()),
        dict(
            zip(
                (
                    "same class, same centre",
                    "same class, other centre",
                    "other class, same centre",
                    "other class, other centre",
                ),
                kinds.sum(axis=0).tolist(),
                strict=True,
            )
        ),
        tuple(notes),
    )


def _possible(
    targets: npt.NDArray[np.int64], centre: npt.NDArray[np.int64], slides: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """(N, 3) of the rows on other slides: same class and other centre, other class and same centre, all."""
    kinds = np.stack([targets, centre], axis=1)
    found = np.empty((len(targets), 3), np.int64)
    # Rows of one slide, class and centre have the same numbers.
    alike, which = np.unique(np.column_stack([kinds, slides]), axis=0, return_inverse=True)
    for number, (target, where, slide) in enumerate(alike):
        elsewhere = slides != slide
        counts = (
            int((elsewhere & (targets == target) & (centre != where)).sum()),
            int((elsewhere & (targets != target) & (centre == where)).sum()),
            int(elsewhere.sum()),
        )
        found[which.reshape(-1) == number] = counts
    return found


def _neighbours(
    features: npt.NDArray[np.float32],
    targets: npt.NDArray[np.int64],
    centre: npt.NDArray[np.int64],
    slides: npt.NDArray[np.int64],
    k: int,
) -> npt.NDArray[np.int64]:
    """(N, 4): of each row's k nearest on other slides, how many are of each kind, in the order that is reported."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(lengths > 0, lengths, 1)
    found = np.zeros((len(unit), 4), np.int64)
    for start in range(0, len(unit), _ROWS_AT_ONCE):
        part = slice(start, min(start + _ROWS_AT_ONCE, len(unit)))
        cosines = unit[part] @ unit.T
        cosines[slides[part, None] == slides[None]] = -np.inf
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        other_class = targets[nearest] != targets[part, None]
        other_centre = centre[nearest] != centre[part, None]
        kind = 2 * other_class + other_centre
        for number in range(4):
            found[part, number] = (kind == number).sum(axis=1)
    return found


def _intervals(
    same: npt.NDArray[np.float64],
    other: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int64],
    draws: int,
    seed: int,
) -> tuple[Interval, tuple[float | None, float | None]]:
    """The share with its interval, and the ends of the index: patients are drawn, each with what it was found."""
    own, others = np.bincount(groups, same), np.bincount(groups, other)
    value = float(same.sum() / max(same.sum() + other.sum(), 1))
    counts = draw_counts(np.random.default_rng(seed), len(own), max(draws, 1))
    drawn, against = counts @ own, counts @ others
    both = drawn + against
    shares = np.divide(drawn, both, out=np.full(len(both), np.nan), where=both > 0)
    share = percentile(value, shares if draws else np.empty(0))
    # The index grows with the share: the ends of one are those of the other.
    ends = tuple(_ratio(each, 1 - each) if np.isfinite(each) else None for each in (share.low, share.high))
    return share, (ends[0], ends[1])


def _ratio(number: float, by: float) -> float | None:
    return float(number / by) if by > 0 else None
