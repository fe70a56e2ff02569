"""Progress of a training: a live bar on a terminal, plain lines elsewhere, and a line a fold."""

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
)

#: Without a terminal an epoch is printed at most this often (seconds), so that a log of days stays readable.
PLAIN_INTERVAL = 10.0


class TrainProgress:
    """Callable(event, **fields) that `train` reports to."""

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
            console=console,
            disable=not self._live,
            transient=True,
        )
        self._task: TaskID | None = None
        self._fold = ""
        self._epochs = self._folds = 1
        self._said = ""
        self._line_at = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: str, **fields: Any) -> None:
        if event == "start":
            self._folds, self._epochs = fields["folds"], fields["epochs"]
        elif event == "fold":
            self._fold = "" if fields["fold"] is None else f"fold {fields['fold']} (of {self._folds}): "
            counts = ", ".join(f"{c.part} {c.bags:,}" for c in fields["counts"])
            self._print(f"{self._fold}bags of {counts}")
            self._said = ""
        elif event == "steps":
            self._next(f"{self._fold}epoch {fields['epoch'] + 1} of {self._epochs}", fields["total"])
        elif event == "step" and self._task is not None:
            self._bar.update(self._task, completed=fields["done"])
        elif event == "epoch":
            self._said = _said(fields)
            now = time.monotonic()
            if not self._live and now - self._line_at >= PLAIN_INTERVAL:
                self._line_at = now
                self._print(f"{self._fold}epoch {fields['epoch'] + 1} of {self._epochs}: {self._said}")
        elif event == "trained":
            row = fields["kept"]
            why = "" if fields["ended"] == "epochs" else ", then no better"
            self._print(f"{self._fold}{fields['epochs']} epochs{why}; kept {row['epoch'] + 1}: {_said(row)}")
        elif event == "measure":
            self._next("measuring", None)

    def _next(self, what: str, total: int | None) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(escape(what), total=total, said=escape(self._said))

    def _print(self, text: str) -> None:
        self._console.print(escape(text), soft_wrap=True, highlight=False)


def _said(row: dict[str, Any]) -> str:
    """The losses and the first measure of a row of the log."""
    names = [name for name in row if name in ("train_loss", "val_loss") or name.startswith("val_")][:3]
    return ", ".join(f"{_words(name)} {row[name]:.4g}" for name in names if row[name] is not None)


def _words(name: str) -> str:
    """train_loss is train loss, val_c_index is val C-index."""
    from slidelake.encoders.training import TITLES

    part, _, metric = name.partition("_")
    return f"{part} {TITLES[metric]}" if metric != "loss" else f"{part} loss"
