"""Listing the commits: all of them, or only those that changed since a catalog was kept (FORMAT.md, "Catalog").

A local slide's folder is listed again where its mtime or ctime is not the kept one. A folder that changed
shortly before it was listed is not believed the next time: a second change within one tick of the file
system's clock would leave its times as they are (git calls such entries racily clean). Times are the file
system's own: its clock is read off a file that is made there.
"""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

from slidelake.store.kept_catalog import UNSETTLED, KeptCatalog, Stamp
from slidelake.store.layout import COMMITS, SlideState, states_of
from slidelake.store.objects import Objects
from slidelake.store.put_if_absent import ASIDE

__all__ = ["Changes", "changes_since", "digest_of", "list_commits", "readers"]

#: FAT counts mtimes in 2 s, the coarsest that is in use.
_SETTLED_NS = 2_000_000_000
#: With as many of the 256 prefixes in use there are a thousand slides and more: several pages, one after the other.
_MANY_PREFIXES = 250
_REMOTE_REQUESTS = 32
#: More only wait for one another in Python; but a network file system answers each stat after a while.
_LOCAL_THREADS = 4


@dataclass
class Changes:
    """What a kept catalog does not know, or knows no more."""

    #: Rows of the catalog that stand.
    same: list[int] = field(default_factory=list)
    #: Slides that were listed again, those without a live commit too.
    states: dict[str, SlideState] = field(default_factory=dict)
    #: Their folders' stamps, as far as they may be believed the next time.
    stamps: dict[str, Stamp] = field(default_factory=dict)
    #: The listings' digests by prefix (remote stores).
    prefixes: dict[str, str] = field(default_factory=dict)


def readers(objects: Objects) -> int:
    """How many small objects to read at once."""
    return _LOCAL_THREADS if objects.local is not None else _REMOTE_REQUESTS


def digest_of(state: SlideState) -> str:
    """32 hex digits for a slide's live keys; other keys, other digits."""
    return _digest(sorted(key.key for key in state.keys.values()))


def list_commits(objects: Objects) -> list[str]:
    """Every key below `commits/`, sorted; on a large remote store the prefixes are listed in parallel."""
    if objects.local is None:
        prefixes = objects.folders(COMMITS)
        if len(prefixes) >= _MANY_PREFIXES:
            with ThreadPoolExecutor(_REMOTE_REQUESTS) as pool:
                return [
                    key
                    for keys in pool.map(lambda p: objects.list(f"{COMMITS}/{p}"), prefixes)
                    for key in keys
                ]
    return objects.list(COMMITS)


def changes_since(objects: Objects, kept: KeptCatalog, *, now_ns: int | None = None) -> Changes:
    """Lists what may have changed since the catalog was kept.

    `now_ns` is the file system's time (local stores), read off it where it is not given.
    """
    if objects.local is not None:
        return _changed_folders(objects, objects.local / COMMITS, kept, now_ns)
    return _changed_prefixes(objects, kept)


def _changed_folders(objects: Objects, commits: Path, kept: KeptCatalog, now_ns: int | None) -> Changes:
    found = _stamps(commits)
    known = dict(
        zip(
            kept.places,
            zip(kept.column("mtime_ns"), kept.column("ctime_ns"), strict=True),
            strict=True,
        )
    )
    again = [slide_id for slide_id, (_, stamp) in found.items() if known.get(slide_id) != stamp]
    changes = Changes()
    if not again and len(found) == len(known):
        changes.same = list(range(len(kept)))
        return changes
    listed_again = set(again)
    changes.same = [row for name, row in kept.places.items() if name in found and name not in listed_again]
    # Read before any folder is: what changes from here on differs from what is kept, or is not believed.
    now_ns = now_ns if now_ns is not None else _clock(objects)
    keys: list[str] = []
    for slide_id in again:
        prefix, stamp = found[slide_id]
        names = _names(commits / prefix / slide_id)
        keys += [f"{COMMITS}/{prefix}/{slide_id}/{name}" for name in names]
        settled = now_ns is not None and max(stamp) <= now_ns - _SETTLED_NS
        changes.stamps[slide_id] = stamp if settled else UNSETTLED
    changes.states = states_of(keys)
    return changes


def _stamps(commits: Path) -> dict[str, tuple[str, Stamp]]:
    """Prefix and stamp of each slide's folder."""
    try:
        with os.scandir(commits) as entries:
            prefixes = sorted(entry.name for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return {}

    def look(prefix: str) -> list[tuple[str, tuple[str, Stamp]]]:
        return list(_stamps_below(commits / prefix, prefix))

    with ThreadPoolExecutor(_LOCAL_THREADS) as pool:
        return dict(each for found in pool.map(look, prefixes) for each in found)


def _stamps_below(folder: Path, prefix: str) -> Iterator[tuple[str, tuple[str, Stamp]]]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return  # deleted since
    for entry in entries:
        try:
            if entry.is_dir():
                status = entry.stat()
                yield entry.name, (prefix, Stamp(status.st_mtime_ns, status.st_ctime_ns))
        except FileNotFoundError:
            continue


def _names(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if not name.startswith(ASIDE)]  # noqa: PTH208 - names only
    except FileNotFoundError:
        return []


def _clock(objects: Objects) -> int | None:
    """The file system's time in ns; None where nothing can be written, so nothing will be kept either."""
    folder = Path(objects.url_of("catalog"))
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=ASIDE) as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None


def _changed_prefixes(objects: Objects, kept: KeptCatalog) -> Changes:
    changes = Changes()
    by_prefix: dict[str, list[str]] = {}
    for key in list_commits(objects):
        by_prefix.setdefault(key.split("/", 2)[1], []).append(key)
    changes.prefixes = {prefix: _digest(keys) for prefix, keys in by_prefix.items()}
    same = {prefix for prefix, digest in changes.prefixes.items() if kept.prefixes.get(prefix) == digest}
    changes.states = states_of(
        key for prefix, keys in by_prefix.items() if prefix not in same for key in keys
    )
    if same:
        changes.same = [
            row for prefix, row in zip(_prefixes_of(kept), range(len(kept)), strict=True) if prefix in same
        ]
    return changes


def _prefixes_of(kept: KeptCatalog) -> Iterator[str]:
    from slidelake.store.layout import commit_folder

    return (commit_folder(slide_id).split("/", 2)[1] for slide_id in kept.column("slide_id"))


def _digest(keys: list[str]) -> str:
    return xxhash.xxh3_128("\n".join(keys).encode()).hexdigest()
