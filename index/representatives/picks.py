"""What a selection gives back: the rows, why each was picked, and what was dropped by which rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ARMS", "Arm", "Pick", "Representatives"]

Arm = Literal["report", "attributes", "clusters"]
#: In the order in which they pick: what one has taken, the next passes over.
ARMS: tuple[Arm, ...] = get_args(Arm)


@dataclass(frozen=True)
class Pick:
    """Why a row was picked.

    `rank` counts from 1: the place among the patches nearest to `query`, or which of its `cluster`'s picks it is.
    `score` is the cosine with the query, or with the centre of the cluster. `cluster` is -1 where a query picked it.
    """

    row: int
    arm: Arm
    rank: int
    score: float
    query: str = ""
    cluster: int = -1

    @property
    def reason(self) -> str:
        """The reason in words."""
        if self.arm == "clusters":
            return f"pick {self.rank} of cluster {self.cluster}"
        source = "report" if self.arm == "report" else "prompt"
        return f"number {self.rank} for the {source}: {self.query}"


@dataclass(frozen=True)
class Representatives:
    """The representative patches of one slide, in the order in which they were picked.

    `rows` are rows of the bag and grid; `coords` their top-left corners and `footprint` their sides in level-0 px
    (None where the grid does not say); `reasons` one for each row. `dropped` counts rows by the rule that left them
    out. `space` and `attempt` name the features, `options` what was asked, so that the selection can be made again.
    """

    slide_id: str
    patient_id: str
    space: str
    attempt: str
    #: (n,) int64
    rows: NDArray[np.int64]
    #: (n, 2) int32, x before y
    coords: NDArray[np.int32]
    footprint: tuple[float, float] | None
    reasons: tuple[Pick, ...]
    #: Rows of the bag.
    total: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> dict[Arm, int]:
        """Picks by arm, of the arms that have any."""
        found: dict[Arm, int] = {arm: sum(pick.arm == arm for pick in self.reasons) for arm in ARMS}
        return {arm: number for arm, number in found.items() if number}

    def to_frame(self) -> pd.DataFrame:
        """One row a pick, with its slide and patient, its place in level-0 px, and the reason."""
        import pandas as pd

        width, height = self.footprint or (np.nan, np.nan)
        return pd.DataFrame(
            {
                "slide_id": pd.Series([self.slide_id] * len(self), dtype="str"),
                "patient_id": pd.Series([self.patient_id] * len(self), dtype="str"),
                "row": self.rows,
                "x": self.coords[:, 0],
                "y": self.coords[:, 1],
                "width": np.full(len(self), width),
                "height": np.full(len(self), height),
                "arm": pd.Series([pick.arm for pick in self.reasons], dtype="str"),
                "rank": np.array([pick.rank for pick in self.reasons], np.int64),
                "score": np.array([pick.score for pick in self.reasons], np.float64),
                "query": pd.Series([pick.query for pick in self.reasons], dtype="str"),
                "cluster": np.array([pick.cluster for pick in self.reasons], np.int64),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, the same for the same selection."""
        return {
            "slide_id": self.slide_id,
            "patient_id": self.patient_id,
            "space": self.space,
            "attempt": self.attempt,
            "total": self.total,
            "footprint": None if self.footprint is None else list(self.footprint),
            "counts": self.counts,
            "dropped": dict(self.dropped),
            "notes": list(self.notes),
            "options": dict(self.options),
            "picks": [
                {**asdict(pick), "x": int(x), "y": int(y)}
                for pick, (x, y) in zip(self.reasons, self.coords.tolist(), strict=True)
            ],
        }
