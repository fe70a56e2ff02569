"""What came out of the tests: one verdict a slide encoder and test, as rows, CSV and a sentence each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from slidelake.encoders.mil_tests.bags import MIL_TESTS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MilTable", "MilVerdict"]

#: A test is passed where each seed's test AUC reaches this: the right rule has 0.98 or more in all three.
PASSED = 0.9
#: Below this mean AUC on its own training bags a model learnt nothing that could be judged.
LEARNT = 0.8

Outcome = Literal["passes", "shortcut", "not learnt", "partly"]


@dataclass(frozen=True)
class MilVerdict:
    """One slide encoder in one test: AUC on the training bags and on the test's, one a seed."""

    encoder: str
    test: str
    train_auc: tuple[float, ...]
    test_auc: tuple[float, ...]

    @property
    def outcome(self) -> Outcome:
        """passes, shortcut (test AUC below 0.5), not learnt (poor on its training bags already), or partly."""
        if min(self.test_auc) >= PASSED:
            return "passes"
        if fmean(self.test_auc) < 0.5:
            return "shortcut"
        return "not learnt" if fmean(self.train_auc) < LEARNT else "partly"

    @property
    def meaning(self) -> str:
        """What it means, in words that follow the encoder's name."""
        return {
            "passes": "learnt the rule and left the shortcut alone",
            "shortcut": f"{MIL_TESTS[self.test].shortcut}: answers turn round where the shortcut does",
            "not learnt": "could not learn to tell the training bags apart",
            "partly": "learnt part of the rule and leaned on the shortcut for the rest",
        }[self.outcome]

    def row(self) -> dict[str, Any]:
        """One row of the table: means, least and most over the seeds, outcome and meaning."""
        return {
            "encoder": self.encoder,
            "test": self.test,
            **_told("train_auc", self.train_auc),
            **_told("test_auc", self.test_auc),
            "seeds": len(self.test_auc),
            "outcome": self.outcome,
            "meaning": self.meaning,
        }


@dataclass(frozen=True)
class MilTable:
    """The verdicts of every slide encoder and test, encoder by encoder."""

    verdicts: tuple[MilVerdict, ...]

    def __iter__(self) -> Iterator[MilVerdict]:
        return iter(self.verdicts)

    @property
    def encoders(self) -> list[str]:
        """The slide encoders that were tested, in their order."""
        return list(dict.fromkeys(verdict.encoder for verdict in self))

    @property
    def tests(self) -> list[str]:
        """The tests that were run, in their order."""
        return list(dict.fromkeys(verdict.test for verdict in self))

    def of(self, encoder: str, test: str) -> MilVerdict:
        """One verdict; KeyError where there is none."""
        for verdict in self:
            if (verdict.encoder, verdict.test) == (encoder, test):
                return verdict
        raise KeyError((encoder, test))

    def rows(self) -> list[dict[str, Any]]:
        """Every verdict as a row of plain values."""
        return [verdict.row() for verdict in self]

    def to_pandas(self) -> "pd.DataFrame":
        """Every verdict as a row of a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows())


def _told(name: str, values: Sequence[float]) -> dict[str, float]:
    return {name: fmean(values), f"{name}_least": min(values), f"{name}_most": max(values)}
