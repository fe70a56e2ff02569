"""Open slides, shared by requests: bounded, opened once, closed by the last one who reads."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slidelake.errors import TooBusyError

if TYPE_CHECKING:
    from slidelake.ingest import SlideReader

__all__ = ["SlidePool"]

log = logging.getLogger(__name__)

#: Seconds for which a slide that could not be opened is not tried again: every tile of it would try.
_BAD_FOR = 10.0
#: Seconds that a request waits for a place where all open slides are being read.
_PATIENCE = 10.0


class _Entry:
    """One slide: the reader once it is open, and how many read from it."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.reader: SlideReader | None = None
        self.error: Exception | None = None
        self.users = 0
        self.gone = False


class SlidePool:
    """At most `limit` slides stay open; the one least recently used is closed when another is asked for.

    One that is being read is never closed: it goes when its last reader is done. A slide that cannot be opened costs
    itself only, and is tried again after ten seconds.
    """

    def __init__(
        self, limit: int, opener: "Callable[[str], SlideReader] | None" = None, *, patience: float = _PATIENCE
    ) -> None:
        self.limit = max(1, limit)
        self._opener = opener or _open
        self._patience = patience
        self._changed = threading.Condition()
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._bad: OrderedDict[tuple[str, str], tuple[float, Exception]] = OrderedDict()
        #: Slides that are open or being opened, those included that were let go of while somebody reads them.
        self._open = 0

    @property
    def open(self) -> int:
        """How many slides are open now."""
        return self._open

    @contextmanager
    def borrow(self, uri: str, version: str) -> "Iterator[SlideReader]":
        """The open slide at a URI; `version` names its content, so that a file that was replaced is opened anew.

        Raises what opening it raises, and TooBusyError where all places are taken for long.
        """
        key = (uri, version)
        entry, mine = self._take(key)
        try:
            if mine:
                self._open_now(key, entry)
            entry.ready.wait()
            if entry.error is not None:
                # Several threads raise it: each begins its traceback anew.
                raise entry.error.with_traceback(None)
            assert entry.reader is not None
            yield entry.reader
        finally:
            self._give_back(entry)

    def forget(self, uri: str) -> None:
        """Close a slide as soon as nobody reads it: it was deleted or replaced."""
        with self._changed:
            for key in [key for key in self._entries if key[0] == uri]:
                self._let_go(key)
            for key in [key for key in self._bad if key[0] == uri]:
                del self._bad[key]
            self._changed.notify_all()

    def close(self) -> None:
        """Close all that nobody reads; the others close when their readers are done."""
        with self._changed:
            for key in list(self._entries):
                self._let_go(key)
            self._bad.clear()
            self._changed.notify_all()

    def _take(self, key: tuple[str, str]) -> tuple[_Entry, bool]:
        """The slide's entry, with one user more, and whether it is the caller's to open."""
        until = time.monotonic() + self._patience
        with self._changed:
            while True:
                self._raise_if_bad(key)
                entry = self._entries.get(key)
                if entry is not None:
                    self._entries.move_to_end(key)
                    entry.users += 1
                    return entry, False
                if self._make_room():
                    entry = self._entries[key] = _Entry()
                    entry.users = 1
                    self._open += 1
                    return entry, True
                if not self._changed.wait(max(0.0, until - time.monotonic())):
                    raise TooBusyError(
                        f"all {self.limit} places for open slides are being read",
                        remedy="Ask again in a moment; slidelake serve --open-slides gives more places.",
                    )

    def _open_now(self, key: tuple[str, str], entry: _Entry) -> None:
        try:
            entry.reader = self._opener(key[0])
        except Exception as exc:  # noqa: BLE001 - told by `borrow` to all who wait for the slide
            log.info("slide not opened", extra={"uri": key[0], "why": str(exc)})
            entry.error = exc
        finally:
            with self._changed:
                if entry.reader is None:
                    entry.error = entry.error or RuntimeError("interrupted while the slide was opened")
                    self._bad[key] = (time.monotonic(), entry.error)
                    while len(self._bad) > 8 * self.limit:
                        self._bad.popitem(last=False)
                    if self._entries.get(key) is entry:
                        self._let_go(key)
            entry.ready.set()

    def _give_back(self, entry: _Entry) -> None:
        with self._changed:
            entry.users -= 1
            if entry.gone and entry.users == 0:
                self._shut(entry)
            self._changed.notify_all()

    def _raise_if_bad(self, key: tuple[str, str]) -> None:
        bad = self._bad.get(key)
        if bad is None:
            return
        if time.monotonic() - bad[0] < _BAD_FOR:
            raise bad[1].with_traceback(None)
        del self._bad[key]

    def _make_room(self) -> bool:
        """Is there a place for one more? The least recently used slide that nobody reads makes it."""
        while self._open >= self.limit:
            idle = next((key for key, entry in self._entries.items() if entry.users == 0), None)
            if idle is None:
                return False
            self._let_go(idle)
        return True

    def _let_go(self, key: tuple[str, str]) -> None:
        entry = self._entries.pop(key)
        entry.gone = True
        if entry.users == 0:
            self._shut(entry)

    def _shut(self, entry: _Entry) -> None:
        self._open -= 1
        if entry.reader is not None:
            entry.reader.close()


def _open(uri: str) -> "SlideReader":
    from slidelake.ingest import open_slide

    return open_slide(uri)
