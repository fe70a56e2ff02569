"""Disks that fill up, break or forbid, at every call in turn: the error says so, and nothing is half there."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slidelake.errors import StoreFullError, StoreNotWritableError
from slidelake.store import FeatureStore, verify
from slidelake.store.put_if_absent import ASIDE
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide

COORDS = np.stack([np.arange(300), np.arange(300)], axis=1)


class Disk:
    """Counts calls that change the disk, and fails them from the `fail_at`-th on, or that one alone."""

    def __init__(self) -> None:
        self.fail_at, self.code, self.once, self.only = 0, 0, False, ""
        self.calls = 0
        self._lock = threading.Lock()

    def set(self, fail_at: int, code: int, *, once: bool = False, only: str = "") -> None:
        self.fail_at, self.code, self.once, self.only, self.calls = fail_at, code, once, only, 0

    def meet(self, name: str) -> None:
        if self.only not in ("", name):
            return
        with self._lock:
            self.calls += 1
            at = self.calls
        if self.fail_at and (at == self.fail_at if self.once else at >= self.fail_at):
            raise OSError(self.code, os.strerror(self.code))

    @property
    def failed(self) -> bool:
        return bool(self.fail_at) and self.calls >= self.fail_at


class _File:
    """A file that is opened to write an array."""

    def __init__(self, disk: Disk, real: Any) -> None:
        self._disk, self._real = disk, real

    def write(self, data: memoryview) -> int:
        self._disk.meet("write")
        return int(self._real.write(data))

    def truncate(self, size: int) -> int:
        self._disk.meet("write")
        return int(self._real.truncate(size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    real_path_open, real_open, real_write = Path.open, os.open, os.write
    real_link, real_mkdir = os.link, os.mkdir

    def path_open(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "x" not in mode:
            return real_path_open(self, mode, *arguments, **options)
        disk.meet("create")
        return _File(disk, real_path_open(self, mode, *arguments, **options))

    def os_open(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            disk.meet("create")
        return real_open(path, flags, *arguments, **options)

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            disk.meet(name)
            return real(*arguments, **options)

        return call

    monkeypatch.setattr(Path, "open", path_open)
    monkeypatch.setattr(os, "open", os_open)
    monkeypatch.setattr(os, "write", counted("write", real_write))
    monkeypatch.setattr(os, "link", counted("link", real_link))
    monkeypatch.setattr(os, "mkdir", counted("mkdir", real_mkdir))
    # Counted, not done: hundreds of real ones would be most of this test's time.
    monkeypatch.setattr(os, "fsync", counted("fsync", lambda handle: None))
    return disk


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S0")
    return store


def _overview(store: FeatureStore, slide_id: str) -> None:
    picture = np.full((6, 8, 3), 1, np.uint8)
    store.put_overview(
        slide_id, thumbnail=picture, tissue_mask=picture[:, :, 0], attributes={}, provenance={}
    )


def _grid(store: FeatureStore, slide_id: str) -> None:
    columns = {"tissue": np.full(300, 1, np.uint8)}
    store.put_grid(slide_id, GRID_ID, coords=COORDS, columns=columns, attributes={}, provenance={})


def _bag(store: FeatureStore, slide_id: str) -> None:
    with store.bag_writer("S0", GRID_ID, f"{slide_id}.00000000", dim=4) as writer:
        for _ in range(3):
            writer.write(np.ones((100, 4), np.float32))
        writer.commit({})


def _pooled(store: FeatureStore, slide_id: str) -> None:
    store.put_pooled(
        "S0", f"{GRID_ID}/{ENCODER_ID}", f"{slide_id}.00000000", embedding=np.ones((1, 4)), provenance={}
    )


ACTIONS = [_overview, _grid, _bag, _pooled]
# The bag has all that the others have.
IN_TURN = [_bag, *(pytest.param(each, marks=pytest.mark.long) for each in (_overview, _grid, _pooled))]


def _fail_in_turn(
    store: FeatureStore,
    disk: Disk,
    action: Callable[[FeatureStore, str], None],
    kind: type[OSError],
    **how: Any,
) -> int:
    """Fails the first call, the second, … until none is left; returns how many there were."""
    turn = 0
    while True:
        turn += 1
        before = store.objects.list("")
        disk.set(turn, **how)
        try:
            action(store, f"S{turn}")
        except kind:
            assert disk.failed
        else:
            assert not disk.failed, "the disk failed, and nobody was told"
            disk.set(0, 0)
            return turn - 1
        finally:
            disk.fail_at = 0
        assert not list(Path(store.url).rglob(f"{ASIDE}*"))
        left = sorted(set(store.objects.list("")) - set(before))
        commits = [key for key in left if key.startswith("commits/")]
        # Only after the link may something stay: then all of it, as a commit that landed.
        assert bool(left) == bool(commits), f"call {turn} left {left}"
        if left:
            report = verify(store, deep=True)
            assert report.ok, report.problems
        action(store, f"S{turn}")


@pytest.mark.parametrize("action", IN_TURN)
def test_a_disk_that_is_full_from_some_call_on(
    store: FeatureStore, disk: Disk, action: Callable[[FeatureStore, str], None]
) -> None:
    calls = _fail_in_turn(store, disk, action, StoreFullError, code=errno.ENOSPC)
    assert calls > 20
    assert verify(store, deep=True).ok


@pytest.mark.parametrize("action", IN_TURN)
def test_a_disk_that_cannot_sync(
    store: FeatureStore, disk: Disk, action: Callable[[FeatureStore, str], None]
) -> None:
    calls = _fail_in_turn(store, disk, action, OSError, code=errno.EIO, once=True, only="fsync")
    assert calls > 8
    assert verify(store, deep=True).ok


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_store_that_may_only_be_read(store: FeatureStore, disk: Disk, code: int) -> None:
    before = store.objects.list("")
    disk.set(1, code)
    for action in ACTIONS:
        with pytest.raises(StoreNotWritableError, match=r"cannot be written.*the right to write"):
            action(store, "S9")
    for action in (
        lambda: store.close_epoch("S0"),
        lambda: store.put_run("run", {}),
        lambda: store.quarantine.put("abc", {}),
        lambda: FeatureStore.open(f"{store.url}-other", create=True),
    ):
        with pytest.raises(StoreNotWritableError):
            action()
    assert len(store.bag("S0").features) == 300
    assert store.catalog()["slide_id"].tolist() == ["S0"]
    assert verify(store, deep=True).ok
    assert store.objects.list("") == before
