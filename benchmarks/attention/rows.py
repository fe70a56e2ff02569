"""The rows of a sweep: one a shape, side and mode, in a CSV that a later run goes on from."""

import csv
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

__all__ = ["BACKWARD", "BOTH", "FORWARD", "MODES", "OK", "Row", "read_rows", "write_rows"]

FORWARD, BACKWARD, BOTH = "forward", "backward", "both"
MODES = (FORWARD, BACKWARD, BOTH)
OK = "ok"


@dataclass(frozen=True)
class Row:
    """One side's time on one shape in one mode; times are NaN where `status` is not "ok"."""

    part: str
    bags: int
    rows: int  # of all bags together
    dim: int
    hidden: int
    branches: int
    features: bool  # the features take a gradient
    side: str
    mode: str
    status: str  # ok, out of memory, wrong: …, failed: …
    ms: float  # median
    ms_low: float  # 0.2 quantile
    ms_high: float  # 0.8 quantile
    rounds: int
    extra_mib: float  # peak device memory beyond the inputs
    tflops: float  # least work over the median time
    mm_share: float  # rate of the large products over that of one torch.mm, same run
    roofline_share: float  # least time of the device over the median time
    error: float  # relative, of pooled and of the gradients, against float64 sums
    first_s: float  # first forward and backward, compilation included
    device: str
    torch: str
    triton: str
    date: str

    @property
    def shape(self) -> tuple[int, int, int, int, int, bool]:
        """bags, rows, D, L, K, features with gradient."""
        return self.bags, self.rows, self.dim, self.hidden, self.branches, self.features

    @property
    def case(self) -> tuple[Any, ...]:
        """What one measurement covers: all sides and modes of these are timed together."""
        return self.part, *self.shape


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Put all rows in place of the file at once: a run that is stopped leaves whole measurements only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _text(value) for name, value in asdict(row).items()})
    scratch.replace(path)


def read_rows(path: Path) -> list[Row]:
    """The rows of a file that `write_rows` made; ValueError where its columns are others."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = [each.name for each in fields(Row)]
        if reader.fieldnames != names:
            raise ValueError(f"{path} has other columns than this version writes: choose another --out")
        return [
            Row(**{each.name: _value(each.type, line[each.name]) for each in fields(Row)}) for line in reader
        ]


def _text(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def _value(kind: Any, text: str) -> Any:
    return text == "True" if kind is bool else kind(text)
