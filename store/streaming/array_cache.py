"""A bounded local cache of a remote store's arrays, shared by processes.

What is kept are whole arrays of attempts, file by file as they lie in the store; attempts never change, so nothing
here is ever stale. An array appears under its name by one rename. Least recently used arrays go first.
"""

import contextlib
import errno
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from slidelake.errors import DamagedStoreError, UsageError
from slidelake.store.bag import Bag
from slidelake.store.objects import Objects

if TYPE_CHECKING:
    from slidelake.store.feature_store import FeatureStore

__all__ = ["ArrayCache", "open_cache"]

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_BYTES = 16 << 30
_ASIDE = ".aside-"
# After an eviction this much of the bound is used, so that not every array evicts one.
_AFTER = 0.9
# Other processes put arrays in too: so often all of them are looked at.
_LOOK = 32
# Seconds after which nobody copies into a folder any more.
_LEFTOVER = 3600.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class ArrayCache:
    """Copies of arrays below `folder`, at most `max_bytes` of them (all stores and processes together, within what
    is being copied at the moment). A full or read-only disk costs the cache, not the stream."""

    def __init__(self, folder: Path, max_bytes: int, store_id: str) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._objects = Objects(folder / store_id)
        self._usable = True
        self._lock = threading.Lock()
        self._bags: dict[str, Bag] = {}
        # A first look is due: what is there already counts.
        self._used, self._since_look = max_bytes, 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_bags": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def through(self, bag: Bag, name: str, read: Callable[[Bag], T]) -> T:
        """What `read` gives of the bag's copy here, made first where there is none; else of the bag itself."""
        place = self._place(bag, name)
        for _ in range(2):
            if not (place.is_dir() or self._fetch(bag, name, place)):
                break
            try:
                self._touch(place)
                found = read(self._copy_of(bag))
            except DamagedStoreError as exc:
                # Another process made room meanwhile, or a power cut came before the files were on the disk.
                log.info("a cached array is dropped", extra={"path": str(place), "error": str(exc)})
                self._bags.pop(bag.commit.attempt, None)
                self._remove(place)
                continue
            return found
        return read(bag)

    def forget_deleted(self, live: Collection[str]) -> None:
        """Removes what is kept of slides that the store does not hold any more: deletion reaches copies too."""
        slides = Path(self._objects.url_of("slides"))
        if slides.is_dir():
            for folder in slides.iterdir():
                if folder.name not in live:
                    log.info("a deleted slide leaves the cache", extra={"slide_id": folder.name})
                    shutil.rmtree(folder, ignore_errors=True)

    def size(self) -> int:
        """Bytes in the cache now."""
        return sum(size for _, size, _ in self._arrays())

    def _place(self, bag: Bag, name: str) -> Path:
        return Path(self._objects.url_of(f"{bag.commit.attempt}/{name}"))

    def _copy_of(self, bag: Bag) -> Bag:
        copy = self._bags.get(bag.commit.attempt)
        if copy is None:
            copy = self._bags[bag.commit.attempt] = Bag(self._objects, bag.commit)
        return copy

    def _fetch(self, bag: Bag, name: str, place: Path) -> bool:
        """Copies an array; False where it cannot be kept."""
        if not self._usable:
            return False
        aside = place.parent / f"{_ASIDE}{secrets.token_hex(8)}"
        try:
            return self._copy(bag, name, place, aside)
        except OSError as exc:
            if place.is_dir():
                return True  # another process or thread was first
            if exc.errno not in _NO_ROOM:
                raise
            self._usable = False
            log.warning(
                "the cache takes no more arrays", extra={"folder": str(self.folder), "error": str(exc)}
            )
            return False
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _copy(self, bag: Bag, name: str, place: Path, aside: Path) -> bool:
        source = f"{bag.commit.attempt}/{name}"
        keys = bag.objects.list(source)
        size = sum(bag.objects.size(key) for key in keys)
        if not keys or size > self.max_bytes:
            return False
        self._make_room(size)
        for key in keys:
            path = aside / key[len(source) + 1 :]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bag.objects.read(key))
        aside.rename(place)
        return True

    def _touch(self, place: Path) -> None:
        # Access times are off or coarse on many systems; a folder's own time is ours to set.
        with contextlib.suppress(OSError):
            os.utime(place)

    def _make_room(self, size: int) -> None:
        """Lets go of what was used least recently, until an array of `size` goes in."""
        with self._lock:
            self._since_look += 1
            if self._used + size <= self.max_bytes and self._since_look % _LOOK:
                self._used += size
                return
            arrays = sorted(self._arrays())
            self._used = sum(each for _, each, _ in arrays) + size
            if self._used <= self.max_bytes:
                return
            for _, each, place in arrays:
                if self._used <= _AFTER * self.max_bytes:
                    break
                self._remove(place)
                self._used -= each
            self._clear_leftovers()

    def _clear_leftovers(self) -> None:
        """Removes what processes that were killed left half copied."""
        old = time.time() - _LEFTOVER
        for aside in self.folder.rglob(f"{_ASIDE}*"):
            with contextlib.suppress(FileNotFoundError):
                if aside.stat().st_mtime < old:
                    shutil.rmtree(aside, ignore_errors=True)

    def _arrays(self) -> list[tuple[float, int, Path]]:
        """(last used, bytes, folder) of every array."""
        found = []
        for below, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(_ASIDE)]
            if "zarr.json" in names and "c" in folders:
                place = Path(below)
                folders.clear()
                with contextlib.suppress(FileNotFoundError):
                    files = [each for each in place.rglob("*") if each.is_file()]
                    found.append((place.stat().st_mtime, sum(each.stat().st_size for each in files), place))
        return found

    def _remove(self, place: Path) -> None:
        aside = place.parent / f"{_ASIDE}{secrets.token_hex(8)}"
        try:
            # Out of sight at once: a reader finds it whole or not at all.
            place.rename(aside)
        except FileNotFoundError:
            return
        shutil.rmtree(aside, ignore_errors=True)


def open_cache(
    cache: "str | os.PathLike[str] | tuple[str | os.PathLike[str], int] | None",
    store: "FeatureStore",
    live: Collection[str] | None,
) -> ArrayCache | None:
    """The cache that a user names by its folder, or by (folder, bytes); None for a local store, which needs none.

    What it keeps of slides that are not `live` goes (None: not known). Raises UsageError for a cache that cannot be.
    """
    if cache is None:
        return None
    folder, size = cache if isinstance(cache, tuple) else (cache, DEFAULT_BYTES)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise UsageError(f"a cache of {size!r} bytes cannot be", remedy="Give cache=(folder, bytes).")
    if "://" in os.fspath(folder):
        raise UsageError(f"a cache at {folder} is not local", remedy="Give a folder on a local disk.")
    if store.objects.local is not None:
        return None
    opened = ArrayCache(Path(folder).expanduser().absolute(), size, store.info.store_id)
    if live is not None:
        opened.forget_deleted(live)
    return opened
