"""Copies one slide's commits to a copy of the store: arrays first, checked and durable, then the commit."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event

from slidelake.errors import DamagedStoreError, StoreError
from slidelake.store.commits import Commit, read_commit
from slidelake.store.layout import CommitKey, Subject, commit_folder
from slidelake.store.objects import Objects
from slidelake.store.put_if_absent import ASIDE, remove_if_there
from slidelake.store.verify import problems_of

__all__ = ["SlideCopier", "Travelled"]

#: Bytes read at once: with a few slides in flight memory stays small, whatever their arrays' size.
_BLOCK = 8 * 2**20


@dataclass
class Travelled:
    """How much went to the copy."""

    commits: int = 0
    files: int = 0
    bytes: int = 0


@dataclass
class SlideCopier:
    """Copies slides from `source` to `copy`, several at once; `deep` makes checksums again, `stop` ends it early."""

    source: Objects
    copy: Objects
    deep: bool = False
    stop: Event = field(default_factory=Event)

    def slide(self, keys: Sequence[CommitKey], closed: Sequence[str]) -> Travelled:
        """Copies the commits of `keys`, one slide's, in their order, then the `closed` marks of its epochs.

        What the source loses meanwhile (deleted, collected) is not at the copy afterwards. Raises
        DamagedStoreError where the source's data is not what its commit says, StoreError where the copy holds
        another commit.
        """
        travelled = Travelled()
        commits: dict[Subject, Commit] = {}
        for key in keys:
            commit = _read(self.source, key)
            if commit is None:
                continue
            commits[commit.subject] = commit
            grid = Subject("grid", commit.subject.grid_id)
            if commit.subject.grid_id and grid not in commits:
                # It travelled before: what the copy holds is what the bag must agree with.
                commits |= self._there(key, grid)
            if not self.copy.exists(commit.key):
                self._commit(commit, commits, travelled)
        for mark in closed:
            with suppress(FileNotFoundError):  # gc took it meanwhile
                self.copy.put_if_absent(mark, self.source.read(mark))
        return travelled

    def missing(self, keys: Iterable[CommitKey]) -> bool:
        """Whether the source has commits of `keys`, or what stands for a void one, that the copy does not hold."""
        return any(
            (commit := _read(self.source, key)) is not None and not self.copy.exists(commit.key)
            for key in keys
        )

    def _there(self, key: CommitKey, subject: Subject) -> dict[Subject, Commit]:
        listed = map(CommitKey.parse, self.copy.list(commit_folder(key.slide_id)))
        there = [each for each in listed if each and (each.epoch, each.subject) == (key.epoch, subject)]
        found = _read(self.copy, max(there)) if there else None
        return {subject: found} if found is not None else {}

    def _commit(self, commit: Commit, commits: dict[Subject, Commit], travelled: Travelled) -> None:
        folder = commit.attempt
        if not folder.startswith(f"{commit.subject.folder(commit.slide_id)}/"):
            raise self._damaged(commit, f"it names {folder}, which is not a place of its own")
        try:
            data = self.source.read(commit.key)
            files = self.source.list(folder)
            size = sum(self._file(key) for key in files)
        except FileNotFoundError:
            if self._gone(commit):
                return
            raise
        problems = problems_of(self.copy, commit, commits, self.deep)
        if problems:
            if self._gone(commit):
                return
            self.copy.delete_tree(folder)
            raise self._damaged(commit, problems[0].problem)
        _tidy(self.copy, folder)
        self.copy.sync_tree(folder)
        if not self.copy.put_if_absent(commit.key, data) and self.copy.read(commit.key) != data:
            raise StoreError(
                f"the copy holds another commit under {commit.key}: it was written by others",
                remedy="Copy to an empty place; a copy is written by nothing but slidelake copy.",
                slide=commit.slide_id,
            )
        if not self._gone(commit):
            travelled.commits += 1
            travelled.files += len(files)
            travelled.bytes += size

    def _gone(self, commit: Commit) -> bool:
        """Whether the source has no such commit any more; then the copy does not keep it either."""
        if self.source.exists(commit.key):
            return False
        self.copy.delete(commit.key)
        self.copy.delete_tree(commit.attempt)
        return True

    def _file(self, key: str) -> int:
        """Copies one object, in blocks; its size. A beginning that an interrupted copy left is written over."""
        self._go_on()
        size = self.source.size(key)
        if size <= _BLOCK and self.copy.local is None:
            self.copy.replace(key, self.source.read(key))
        else:
            file = self.copy.new_file(key, aside=True)
            try:
                for start in range(0, size, _BLOCK):
                    self._go_on()
                    file.write(_block(self.source, key, start, min(size, start + _BLOCK)))
                file.finish()
            except BaseException:
                file.discard()
                raise
        found = self.copy.size(key)
        if found != size:
            raise StoreError(
                f"{self.copy.url_of(key)} has {found} bytes after the copy, not {size}",
                remedy="Run the same command again.",
            )
        return size

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise StoreError("the copy was stopped", remedy="Run the same command again: it goes on.")

    def _damaged(self, commit: Commit, problem: str) -> DamagedStoreError:
        return DamagedStoreError(
            f"{commit.key} is damaged at {self.source.url}: {problem}",
            remedy="Run slidelake verify there: it says what to do.",
            slide=commit.slide_id,
        )


def _read(objects: Objects, key: CommitKey) -> Commit | None:
    """A commit; a void one counts as the one before it, as for readers."""
    for generation in range(key.generation, 0, -1):
        commit = read_commit(objects, CommitKey(key.slide_id, key.epoch, key.subject, generation))
        if commit is not None:
            return commit
    return None


def _tidy(objects: Objects, folder: str) -> None:
    """Removes what a killed copy left beside the files of an attempt: gc looks for it among small objects only."""
    if objects.local is not None:
        for path in (objects.local / folder).rglob(f"{ASIDE}*"):
            remove_if_there(path)


def _block(objects: Objects, key: str, start: int, end: int) -> bytes:
    (found,) = objects.ranges([(key, start, end)])
    if isinstance(found, Exception):
        raise found
    if len(found) != end - start:
        raise StoreError(
            f"{objects.url_of(key)} ended at byte {start + len(found)} while it was copied",
            remedy="Run slidelake verify on the source.",
        )
    return found
