"""Few-shot linear probing: what a linear classifier learns from 2 to 128 labelled rows of each class.

The protocol of PathGen-1.6M: AdamW with a learning rate of 0.01, 20 epochs, ten draws. A draw holds out a third of
the patients and takes its shots from the others; the shots of 2 are among those of 4, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from slidelake.errors import UsageError
from slidelake.index.evaluate import Interval
from slidelake.index.probing.bootstrap import Tally, tally
from slidelake.index.probing.held_out import check_groups, held_out
from slidelake.index.probing.labelled import Labelled, owners
from slidelake.index.probing.linear import fit_linear

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SHOTS", "FewShot", "FewShotPoint", "few_shot"]

SHOTS = (2, 4, 8, 16, 32, 128)


@dataclass(frozen=True)
class FewShotPoint:
    """What so many shots a class gave: means with 95 % intervals, `sd` over the draws, each draw's own figure."""

    shots: int
    balanced_accuracy: Interval
    accuracy: Interval
    sd: float
    draws: tuple[float, ...]
    recalls: dict[str, float]


@dataclass(frozen=True)
class FewShot:
    """The curve of one encoder on one set of labels. `chance` is what guessing gives; `notes` what was left out."""

    name: str
    classes: tuple[str, ...]
    rows: int
    groups: int
    seeds: int
    standardise: bool
    points: tuple[FewShotPoint, ...]
    notes: tuple[str, ...]
    #: What was said of whom, a number of shots each; for comparisons.
    tallies: tuple[Tally, ...] = field(default=(), repr=False, compare=False)

    @property
    def chance(self) -> float:
        return 1 / len(self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(replace(self, tallies=())) | {"chance": self.chance}

    def gain_over(self, other: FewShot, *, draws: int = 1000, seed: int = 0) -> dict[int, Interval]:
        """Shots → balanced accuracy less that of another encoder, with the 95 % interval of the paired difference.

        Both must have been asked about the same rows in the same draws; raises UsageError where they were not.
        """
        mine = dict(zip((point.shots for point in self.points), self.tallies, strict=True))
        theirs = dict(zip((point.shots for point in other.points), other.tallies, strict=True))
        found = {}
        for shots in sorted(set(mine) & set(theirs)):
            if not np.array_equal(mine[shots].total, theirs[shots].total):
                raise UsageError(
                    f"{self.name} and {other.name} were not asked about the same rows",
                    remedy="Probe both on the same labelled rows, with the same seeds.",
                )
            found[shots] = mine[shots].gain_over(theirs[shots], draws=draws, seed=seed)
        return found

    def to_frame(self) -> pd.DataFrame:
        """One line a number of shots."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "name": self.name,
                    "shots": point.shots,
                    "balanced_accuracy": point.balanced_accuracy.mean,
                    "low": point.balanced_accuracy.low,
                    "high": point.balanced_accuracy.high,
                    "sd": point.sd,
                    "accuracy": point.accuracy.mean,
                }
                for point in self.points
            ]
        )


def few_shot(
    rows: Labelled,
    *,
    shots: Sequence[int] = SHOTS,
    seeds: int = 10,
    share: float = 1 / 3,
    standardise: bool = False,
    short: Literal["skip", "refuse"] = "skip",
    epochs: int = 20,
    lr: float = 1e-2,
    draws: int = 1000,
    seed: int = 0,
    progress: Callable[..., None] | None = None,
) -> FewShot:
    """Probe labelled rows with each number of `shots` a class; `share` of the patients is held out in each draw.

    Where a class has fewer rows to draw from than shots, that number is skipped, and `notes` say so
    (`short="refuse"`: UsageError). Features are taken as they are, which is the protocol, or with `standardise` each
    dimension centred and scaled by the rows that are not held out. `draws` bootstrap draws make the intervals. Raises
    UsageError for one class, a class of one patient, no number of shots that can be drawn.
    """
    if not shots or min(shots) < 1 or seeds < 1 or not 0 < share < 1:
        raise UsageError(
            f"shots {list(shots)}, {seeds} seeds, a share of {share:g} held out",
            remedy="Give 1 shot and 1 seed or more, and a share between 0 and 1.",
        )
    classes, targets, groups = rows.classes, rows.targets(), owners(rows.groups)
    check_groups(targets, groups, classes)
    tested = [held_out(targets, groups, share=share, seed=seed + n) for n in range(seeds)]
    pools = [_pool(targets, asked, len(classes), seed + n) for n, asked in enumerate(tested)]
    wanted, notes = _drawable(sorted(set(shots)), pools, classes, short)
    tell = progress or (lambda event, **fields: None)
    tell("start", total=len(wanted))
    points, tallies = [], []
    for count in wanted:
        chosen = np.stack([np.concatenate([mine[:count] for mine in pool]) for pool in pools])
        fitted = fit_linear(
            rows.features,
            targets,
            chosen,
            [np.flatnonzero(~asked) for asked in tested],
            classes=len(classes),
            standardise=standardise,
            epochs=epochs,
            lr=lr,
            seed=seed,
        )
        asked_rows = [np.flatnonzero(asked) for asked in tested]
        said = [fitted.predict(n, rows.features[each]) for n, each in enumerate(asked_rows)]
        found = tally(
            [answer == targets[each] for answer, each in zip(said, asked_rows, strict=True)],
            [targets[each] for each in asked_rows],
            [groups[each] for each in asked_rows],
            len(classes),
        )
        tallies.append(found)
        balanced, accuracy = found.intervals(draws=draws, seed=seed)
        runs = found.each_run()
        points.append(
            FewShotPoint(
                count,
                balanced,
                accuracy,
                float(runs.std(ddof=1)) if len(runs) > 1 else 0.0,
                tuple(float(each) for each in runs),
                dict(zip(classes, found.recalls().tolist(), strict=True)),
            )
        )
        tell("slide", slide_id=str(count))
    tell("end")
    return FewShot(
        rows.name,
        classes,
        len(rows),
        len(np.unique(groups)),
        seeds,
        standardise,
        tuple(points),
        (*rows.notes, *notes),
        tuple(tallies),
    )


def _pool(
    targets: npt.NDArray[np.int64], asked: npt.NDArray[np.bool_], classes: int, seed: int
) -> list[npt.NDArray[np.int64]]:
    """For each class the rows that shots may be taken of, in the order in which they are."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(np.flatnonzero(~asked & (targets == each))) for each in range(classes)]


def _drawable(
    shots: Sequence[int], pools: list[list[npt.NDArray[np.int64]]], classes: Sequence[str], short: str
) -> tuple[list[int], list[str]]:
    """The numbers of shots that every draw has, and a note on each of the others."""
    least = {name: min(len(pool[place]) for pool in pools) for place, name in enumerate(classes)}
    scarce = min(least, key=lambda name: least[name])
    kept = [count for count in shots if count <= least[scarce]]
    dropped = [str(count) for count in shots if count > least[scarce]]
    notes = [
        f"left out: {', '.join(dropped)} shots; class {scarce!r} has {least[scarce]} rows outside the held-out patients"
    ]
    notes = notes if dropped else []
    if notes and (short == "refuse" or not kept):
        raise UsageError(notes[0], remedy="Label more rows, hold out fewer patients, or ask for fewer shots.")
    return kept, notes
