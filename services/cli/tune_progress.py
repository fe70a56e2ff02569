"""Progress of a tuning: a live bar on a terminal, plain lines elsewhere, and a line for what was measured."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

#: Without a terminal a line of the log is printed at most this often (seconds).
PLAIN_INTERVAL = 10.0
_PHASES = {"align": "phase 1, projector on captions", "tune": "phase 2, projector and LoRA"}


class TuneProgress:
    """Callable(event, **fields) that `tune` reports to."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not self._live,
            transient=True,
        )
        self._task: TaskID | None = None
        self._total = 0
        self._line_at = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: str, **fields: Any) -> None:
        if event == "prepared":
            counts = ", ".join(
                f"{part} {each['rows']:,} rows of {each['patients']:,} patients"
                for part, each in fields["parts"].items()
            )
            self._print(counts)
        elif event == "phase":
            self._total = fields["total"]
            self._next(_PHASES[fields["name"]], fields["total"], fields["done"])
        elif event == "measure":
            self._next("asking patients that are held out", fields["total"])
        elif event in ("step", "asked") and self._task is not None:
            self._bar.update(self._task, completed=fields["done"])
        elif event == "log":
            self._log(fields)
        elif event == "measured":
            self._print(f"{fields['name']}: {_measures(fields)}")

    def _log(self, row: dict[str, Any]) -> None:
        val = "" if row["val_loss"] is None else f", validation {row['val_loss']:.3f}"
        rate = f"{row['tokens'] / max(row['seconds'], 1e-9):,.0f} tokens/s"
        said = f"loss {row['train_loss']:.3f}{val}, {rate}"
        if self._task is not None:
            self._bar.update(self._task, said=said)
        now = time.monotonic()
        if not self._live and (now - self._line_at >= PLAIN_INTERVAL or row["step"] == self._total):
            self._line_at = now
            self._print(f"{_PHASES[row['phase']]}: step {row['step']:,} of {self._total:,}: {said}")

    def _next(self, what: str, total: int, done: int = 0) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=total, completed=done, said="")

    def _print(self, text: str) -> None:
        self._console.print(escape(text), soft_wrap=True, highlight=False)


def _measures(found: dict[str, Any]) -> str:
    told = []
    if found["closed"]:
        told.append(f"closed accuracy {found['closed_accuracy']:.3f} of {found['closed']:,} questions")
    if found["open"]:
        told.append(f"open recall {found['open_recall']:.3f} of {found['open']:,}")
    return ", ".join(told)
