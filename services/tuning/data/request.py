"""What every `tune-data` command is asked besides its sources: where to, by whom, for whom, how much."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from slidelake.errors import UsageError
from slidelake.services.tuning.data.generator import Generator, Kind, open_generator
from slidelake.services.tuning.data.pipeline import Run
from slidelake.services.tuning.data.split import PatientSplit
from slidelake.services.tuning.data.write import OUTPUTS

__all__ = ["DataRequest"]


@dataclass(frozen=True)
class DataRequest:
    """A run's folder `out`, its `generator`, the split of patients, and the limits on what comes out.

    `splits` is a file of `slidelake split`; without it patients are divided 80/10/10 by a hash with the seed.
    `rows_per_picture` caps the rows about one slide or patch (0: no cap). `workers` prompts wait for the endpoint at a
    time. Raises UsageError for what cannot be.
    """

    out: Path
    seed: int = 0
    generator: Kind = "none"
    endpoint: str | None = None
    model: str | None = None
    recorded: Path | None = None
    record: Path | None = None
    splits: Path | None = None
    rows_per_picture: int = 0
    licence: str = ""
    lance: bool = False
    overwrite: bool = False
    workers: int = 1

    def __post_init__(self) -> None:
        if self.rows_per_picture < 0 or self.workers < 1:
            raise UsageError(
                "the rows per picture or the workers are negative",
                remedy="Give 0 for no cap, and at least one worker.",
            )
        if self.generator != "endpoint" and (self.endpoint or self.model):
            raise UsageError(
                f"an endpoint was named, and the generator is {self.generator}",
                remedy="Pass --generator endpoint with it.",
            )

    @cached_property
    def writer(self) -> Generator | None:
        """The generator; replies of an endpoint are kept in the run's answers.jsonl, or in `record`."""
        if self.generator != "endpoint":
            return open_generator(self.generator, recorded=self.recorded, record=self.record)
        from slidelake.services.answers import Endpoint

        asked = Endpoint.from_environment(self.endpoint, self.model)
        return open_generator("endpoint", endpoint=asked, record=self.record or self.out / "answers.jsonl")

    @cached_property
    def split(self) -> PatientSplit:
        return PatientSplit.load(self.splits, self.seed) if self.splits else PatientSplit(self.seed)

    def run(self, command: str, arguments: Mapping[str, Any]) -> Run:
        """The run's folder, for these arguments of the command and all of the above that changes the outcome."""
        model = self.writer.name if self.writer is not None else "none"
        told = {
            **arguments,
            "generator": f"{self.generator}: {model}" if self.writer is not None else "none",
            "splits": hashlib.sha256(self.splits.read_bytes()).hexdigest()[:16] if self.splits else "by hash",
            "rows_per_picture": self.rows_per_picture,
            "licence": self.licence,
            "lance": self.lance,
        }
        return Run(
            self.out,
            command=command,
            arguments=told,
            seed=self.seed,
            overwrite=self.overwrite,
            outputs=OUTPUTS,
        )
