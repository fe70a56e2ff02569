"""One writer at a time: the index's tables are extended under a lock, whatever the store lies on.

LanceDB lets concurrent writers duplicate rows without an error, so sync and maintenance are serialised here.
In a local folder the lock is the operating system's (`flock`), which a killed process gives back by dying.
Elsewhere it is a lease: a numbered object put if absent, renewed while the work goes on; an expired lease is
taken over by putting the next number, which exactly one of several takers can do.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slidelake.errors import IndexStateError

if TYPE_CHECKING:
    from slidelake.store import Objects

__all__ = ["writer_lock"]

try:
    import fcntl
except ImportError:  # Windows: the lease is used there
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

_PREFIX = "index/lock"
_LEASE_S = 600.0
_POLL_S = 0.05


@contextmanager
def writer_lock(objects: Objects, *, wait_s: float = 900.0) -> Iterator[Callable[[], None]]:
    """Hold the index's only writer's place; yields a function to call between writes, which keeps it held.

    Waits up to `wait_s` seconds for another writer to end, then raises IndexStateError. Raises UsageError for a
    store that is read at a snapshot: there is one index, and it follows what is live.
    """
    objects.check_writable()
    if objects.local is not None and fcntl is not None:
        with _flock(Path(objects.local) / "index", wait_s):
            yield lambda: None
    else:
        with _lease(objects, wait_s) as renew:
            yield renew


@contextmanager
def _flock(folder: Path, wait_s: float) -> Iterator[None]:
    deadline = time.monotonic() + wait_s
    waiting = False
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / ".writer-lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Someone may have removed the index folder since the open: a lock on a file that is gone guards
            # nothing.
            if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                break
            os.close(descriptor)
            continue
        except BlockingIOError:
            os.close(descriptor)
        if not waiting:
            log.info("waiting for another writer of the index")
            waiting = True
        if time.monotonic() > deadline:
            raise _busy(wait_s)
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _lease(objects: Objects, wait_s: float) -> Iterator[Callable[[], None]]:
    deadline = time.monotonic() + wait_s
    holder = uuid.uuid4().hex
    while True:
        keys = objects.list(_PREFIX)
        latest = keys[-1] if keys else ""
        number = int(Path(latest).stem) + 1 if latest else 1
        if not latest or _free(objects, latest):
            key = f"{_PREFIX}/{number:09d}.json"
            if objects.put_if_absent(key, _body(holder)):
                break
        if time.monotonic() > deadline:
            raise _busy(wait_s)
        time.sleep(_POLL_S if objects.local is not None else 1.0)

    def renew() -> None:
        if objects.list(_PREFIX)[-1:] != [key]:
            raise IndexStateError(
                "another writer took over the index while this one was working",
                remedy="Run `slidelake index sync` again: what was written is repaired.",
            )
        objects.replace(key, _body(holder))

    for old in keys:
        objects.delete(old)
    try:
        yield renew
    finally:
        objects.replace(key, _body(holder, released=True))


def _body(holder: str, *, released: bool = False) -> bytes:
    expires = 0.0 if released else time.time() + _LEASE_S
    return json.dumps({"holder": holder, "expires": expires}).encode()


def _free(objects: Objects, key: str) -> bool:
    try:
        return float(json.loads(objects.read(key))["expires"]) < time.time()
    except FileNotFoundError:  # its taker has just tidied it away: look at the list again
        return False


def _busy(wait_s: float) -> IndexStateError:
    return IndexStateError(
        f"another process has been writing the index for more than {wait_s:g} s",
        remedy="Wait until it has ended, then run `slidelake index sync` again.",
    )
