"""Progress of long work: a live bar on a terminal, plain lines elsewhere (logs, CI)."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
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

#: Without a terminal a line is printed at most this often (seconds), so that a log of weeks stays readable.
PLAIN_INTERVAL = 10.0


class WorkProgress:
    """Callable(event, **fields) that ingest, sync, embed and synth report to.

    Events: start (total), patches (n), slide (done by one), end. Shows the count, the rate and the time left.
    """

    def __init__(self, console: Console, what: str, unit: str = "slides") -> None:
        self._console = console
        self._what = what
        self._unit = unit
        self._live = console.is_terminal
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not self._live,
        )
        self._task: TaskID | None = None
        self._total = 0
        self._done = 0
        self._patches = 0
        self._began = time.monotonic()
        self._last_line = self._began

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: str, **fields: Any) -> None:
        if event == "start":
            self._total = int(fields.get("total", 0))
            self._began = time.monotonic()
            self._task = self._bar.add_task(self._what, total=self._total, rate="")
        elif event == "patches":
            self._patches += int(fields.get("n", 0))
        elif event == "slide":
            self._done += 1
        if self._task is not None:
            self._bar.update(self._task, completed=self._done, rate=self._rate())
        if not self._live and event in ("slide", "patches"):
            self._plain_line(last=self._done == self._total and event == "slide")

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._began, 1e-9)
        if self._patches:
            return f"{self._patches / seconds:,.0f} patches/s"
        return f"{self._done / seconds:,.1f} {self._unit}/s" if self._done else ""

    def _plain_line(self, *, last: bool) -> None:
        now = time.monotonic()
        if not last and now - self._last_line < PLAIN_INTERVAL:
            return
        self._last_line = now
        left = ""
        if self._done and not last:
            seconds = (now - self._began) / self._done * (self._total - self._done)
            left = f", about {seconds:,.0f} s left"
        self._console.print(
            f"{self._what}: {self._done} of {self._total} {self._unit}, {self._rate()}{left}", soft_wrap=True
        )
