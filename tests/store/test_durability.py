"""The order in which things are made durable, and what a full or forbidden disk says."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slidelake.errors import StoreFullError, StoreNotWritableError
from slidelake.store import FeatureStore, Objects, verify
from slidelake.store.layout import commit_folder
from slidelake.store.put_if_absent import ASIDE
from slidelake.store.testing import GRID_ID, add_slide


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path / "store", create=True)


def test_files_then_folders_then_commit_then_its_folder(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_slide(store, "S1")
    root = store.objects.local
    assert root is not None
    calls: list[tuple[str, str]] = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        calls.append(("fsync", str(path.relative_to(root)) if path != root else "."))
        real_fsync(handle)

    def link(source: Any, target: Any) -> None:
        calls.append(("link", str(Path(target).relative_to(root))))
        real_link(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    with store.bag_writer("S1", GRID_ID, "x.00000000", dim=2) as writer:
        writer.write(np.ones((300, 2), np.float32))
        attempt = writer.attempt
        commit = writer.commit({})
    monkeypatch.undo()

    at = calls.index(("link", commit.key))
    before, after = calls[:at], calls[at + 1 :]
    files = [
        f"{attempt}/{path.relative_to(root / attempt)}"
        for path in (root / attempt).rglob("*")
        if path.is_file()
    ]
    folders = [
        f"{attempt}/{path.relative_to(root / attempt)}"
        for path in (root / attempt).rglob("*")
        if path.is_dir()
    ]
    above = [str(parent) for parent in Path(attempt).parents]
    assert len(files) == 7
    positions = {
        name: [n for n, (_, path) in enumerate(before) if path == name] for name in [*files, *folders]
    }
    assert all(positions.values()), "each file and folder is synced before the commit"
    last_file = max(n for name in files for n in positions[name])
    first_folder = min(n for name in folders for n in positions[name])
    assert last_file < first_folder
    synced_after_files = {path for _, path in before[last_file:]}
    assert {attempt, *above} <= synced_after_files
    # The commit's own bytes are durable before they get their name, and its folder after.
    aside = [path for _, path in before if Path(path).name.startswith(ASIDE)]
    assert before[-1][1] == aside[-1]
    assert Path(aside[-1]).parent == Path(commit.key).parent
    assert after[0] == ("fsync", str(Path(commit.key).parent))
    assert not list(root.rglob(f"{ASIDE}*"))


@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
def test_every_folder_above_is_durable_before_the_commit(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Also folders that another process made, and may not have synced yet."""
    root = store.objects.local
    assert root is not None
    calls: list[tuple[str, str]] = []
    real_fsync, real_link, real_open = os.fsync, os.link, os.open

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        calls.append(("fsync", path.relative_to(root).as_posix()))
        real_fsync(handle)

    def link(source: Any, target: Any) -> None:
        if not links:
            raise OSError(errno.EPERM, "Operation not permitted")
        calls.append(("name", Path(target).relative_to(root).as_posix()))
        real_link(source, target)

    def opened(path: Any, flags: int, *arguments: Any) -> int:
        if flags & os.O_EXCL and not Path(path).name.startswith(ASIDE):
            calls.append(("name", Path(path).relative_to(root).as_posix()))
        return real_open(path, flags, *arguments)

    folder = Path(commit_folder("S1"))
    (root / folder).mkdir(parents=True)
    (root / "slides/S1/overview").mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "open", opened)
    picture = np.ones((4, 4, 3), np.uint8)
    commit = store.put_overview(
        "S1", thumbnail=picture, tissue_mask=picture[:, :, 0], attributes={}, provenance={}
    )
    monkeypatch.undo()
    at = calls.index(("name", commit.key))
    before = {path for word, path in calls[:at] if word == "fsync"}
    above = {parent.as_posix() for place in (folder, Path(commit.attempt)) for parent in place.parents}
    assert above <= before
    assert {path for path in before if path.startswith(commit.attempt)} >= {
        path.relative_to(root).as_posix() for path in (root / commit.attempt).rglob("*")
    }
    # Where the name comes first, its content follows; in either case its folder is last.
    after = calls[at + 1 :]
    assert after == [*([] if links else [("fsync", commit.key)]), ("fsync", folder.as_posix())]


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Any, target: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


@pytest.mark.usefixtures("no_links")
def test_without_hard_links(tmp_path: Path) -> None:
    objects = Objects(tmp_path / "store")
    objects.check_put_if_absent()
    assert objects.put_mode().startswith("exclusive create")
    assert objects.put_if_absent("a/1", b"first")
    assert not objects.put_if_absent("a/1", b"second")
    assert objects.read("a/1") == b"first"
    assert [path.name for path in (tmp_path / "store/a").iterdir()] == ["1"]
    store = FeatureStore.open(tmp_path / "other", create=True)
    features = add_slide(store, "S1")
    np.testing.assert_array_equal(store.bag("S1").features, features)


@pytest.mark.usefixtures("no_links")
def test_without_hard_links_a_failed_write_leaves_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = Objects(tmp_path / "store")
    real, calls = os.write, []

    def write(handle: int, data: Any) -> int:
        calls.append(handle)
        if len(calls) == 1:  # the copy aside goes well
            return real(handle, data)
        if len(calls) == 2:
            return real(handle, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StoreFullError):
        objects.put_if_absent("a/1", b"content")
    monkeypatch.setattr(os, "write", real)
    assert objects.list("") == []
    assert objects.put_if_absent("a/1", b"content")


def test_a_link_that_succeeded_though_it_says_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # NFS: the answer to the first request is lost, the resent one meets its own name.
    real = os.link

    def link(source: Any, target: Any) -> None:
        real(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", link)
    assert Objects(tmp_path).put_if_absent("a", b"mine")


def test_a_full_disk(store: FeatureStore) -> None:
    add_slide(store, "S1")
    with store.bag_writer("S1", GRID_ID, "x.00000000", dim=2) as writer:
        # /dev/full refuses every write as a full disk does.
        shard = writer._features._file
        assert shard is not None
        shard._file.close()
        shard._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - the writer closes it
        with pytest.raises(StoreFullError, match=r"no space is left.*Free some space") as caught:
            writer.write(np.ones((300, 2), np.float32))
        attempt = writer.attempt
    assert isinstance(caught.value, OSError)
    assert store.url in str(caught.value)
    assert store.objects.list(attempt) == []


def test_a_writer_that_cannot_begin_leaves_nothing(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_slide(store, "S1")
    before = sorted(Path(store.url).rglob("*"))
    real = Objects.new_file

    def new_file(self: Objects, key: str) -> Any:
        if "/valid/" in key:
            raise StoreFullError("full")
        return real(self, key)

    monkeypatch.setattr(Objects, "new_file", new_file)
    with pytest.raises(StoreFullError):
        store.bag_writer("S1", GRID_ID, "x.00000000", dim=2)
    left = sorted(path for path in Path(store.url).rglob("*") if path not in before)
    assert left == [Path(store.url) / f"slides/S1/bags/{GRID_ID}/x.00000000"]


def test_a_disk_that_is_full_at_the_commit(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add_slide(store, "S1")
    before = store.objects.list("")

    def link(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", link)
    with store.bag_writer("S1", GRID_ID, "x.00000000", dim=2) as writer:
        writer.write(np.ones((300, 2), np.float32))
        with pytest.raises(StoreFullError):
            writer.commit({})
    assert store.objects.list("") == before


def test_a_commit_that_landed_keeps_its_data(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add_slide(store, "S1")
    real = os.link

    def link(source: Any, target: Any) -> None:
        real(source, target)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", link)
    with store.bag_writer("S1", GRID_ID, "x.00000000", dim=2) as writer:
        writer.write(np.ones((300, 2), np.float32))
        with pytest.raises(OSError, match="Input/output"):
            writer.commit({})
    assert verify(store, deep=True).ok
    assert len(store.bag("S1", "x").features) == 300


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EACCES, StoreNotWritableError),
        (errno.EROFS, StoreNotWritableError),
    ],
)
def test_what_the_system_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    objects = Objects(tmp_path / "store")
    objects.put_if_absent("a/1", b"x")

    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)
    for action in (lambda: objects.put_if_absent("a/2", b"x"), lambda: objects.replace("a/1", b"y")):
        with pytest.raises(kind, match=str(tmp_path)):
            action()


def test_a_place_that_cannot_be_written() -> None:
    # Not even root makes folders in /sys.
    with pytest.raises(StoreNotWritableError, match="/sys/slidelake-test"):
        FeatureStore.open("/sys/slidelake-test", create=True)
