"""Points at which a writer kills itself: calls of the operating system, counted, met before, inside or after."""

import mmap
import os
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slidelake.store import objects

__all__ = ["STAGES", "Plan", "Stage", "install"]

#: What can be cut: inside the write of an array or of a commit, and before and after each call that makes it last.
STAGES = (
    "inside write",
    "after write",
    "before new file",
    "after exclusive create",
    "inside small write",
    "before fsync",
    "after fsync",
    "before link",
    "after link",
    "before unlink",
    "after unlink",
)


class Stage:
    """The stage that a child is at, in memory that it shares with its parent."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 64)

    def enter(self, name: str) -> None:
        self._shared[:] = name.encode().ljust(64)

    @property
    def name(self) -> str:
        return self._shared[:].rstrip(b"\0 ").decode() or "before anything"


@dataclass
class Plan:
    """Kill at the `count`-th time that `stage` is met."""

    stage: str
    count: int


def install(stage: Stage, plan: Plan | None) -> None:
    """Makes this process tell where it is, and kill itself as planned."""

    def meet(name: str) -> None:
        stage.enter(name)
        if plan is not None and plan.stage == name:
            plan.count -= 1
            if plan.count == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            meet(f"before {name}")
            result = real(*arguments, **options)
            meet(f"after {name}")
            return result

        return call

    os.fsync = around("fsync", os.fsync)
    os.link = around("link", os.link)
    os.unlink = around("unlink", os.unlink)
    real_open, real_small = os.open, os.write

    def open_file(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        handle = real_open(path, flags, *arguments, **options)
        if flags & os.O_EXCL:
            meet("after exclusive create")
        return handle

    def small_write(handle: int, data: Any) -> int:
        if stat.S_ISREG(os.fstat(handle).st_mode) and len(data) > 1:
            # Less than asked is what a disk may do too: the caller goes on with the rest.
            written = real_small(handle, data[: len(data) // 2])
            meet("inside small write")
            return written
        return real_small(handle, data)

    os.open, os.write = open_file, small_write
    real_write, real_init = objects.NewFile.write, objects.NewFile.__init__

    def write(self: objects.NewFile, data: bytes | memoryview) -> None:
        view = memoryview(data)
        real_write(self, view[: len(view) // 2])
        meet("inside write")
        real_write(self, view[len(view) // 2 :])
        meet("after write")

    def begin(self: objects.NewFile, *arguments: Any) -> None:
        meet("before new file")
        real_init(self, *arguments)

    objects.NewFile.write = write  # type: ignore[method-assign]
    objects.NewFile.__init__ = begin  # type: ignore[method-assign]
