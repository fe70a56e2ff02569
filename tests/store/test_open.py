"""Places that are no stores, or not ones that this version can use: each says what to do."""

import json
import threading
from pathlib import Path

import pytest

from slidelake.errors import DamagedStoreError, NotAStoreError, StoreVersionError, UsageError
from slidelake.store import FeatureStore, Objects
from slidelake.store.testing import add_slide


def test_a_folder_that_is_not_a_store(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(
        NotAStoreError, match=r"is not a store: it has no slidelake.json\. Give the store with --store"
    ):
        FeatureStore.open(tmp_path)
    with pytest.raises(NotAStoreError, match=r"holds other things \(photo\.jpg\)"):
        FeatureStore.open(tmp_path, create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError, match="does not exist"):
        FeatureStore.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for create in (False, True):
        with pytest.raises(NotAStoreError, match="is a file"):
            FeatureStore.open(tmp_path / "file", create=create)


def test_an_empty_folder_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".hidden").touch()
    FeatureStore.open(tmp_path / "new", create=True)
    info = json.loads((tmp_path / "new/slidelake.json").read_text())
    assert info["format"] == 1
    assert info["compression"] == "none"
    assert len(info["store_id"]) == 16
    assert len(info["hash_key"]) == 64
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [".hidden", "slidelake.json"]


def test_a_creation_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    (tmp_path / "probe~0123").write_bytes(b"x")
    (tmp_path / "commits").mkdir()
    FeatureStore.open(tmp_path, create=True)


def test_many_make_one_store(tmp_path: Path) -> None:
    stores: list[FeatureStore] = []
    threads = [
        threading.Thread(target=lambda: stores.append(FeatureStore.open(tmp_path / "s", create=True)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 6
    assert len({store.info for store in stores}) == 1


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ('{"format": 2}', StoreVersionError, "has format 2; this slidelake reads up to 1. Install a newer"),
        ('{"format": 1, "store_id": "x", "compression": "lzma"}', StoreVersionError, "Install a newer"),
        ("{", DamagedStoreError, "Restore it from a copy"),
        ("{}", DamagedStoreError, "Restore it from a copy"),
        ("[]", DamagedStoreError, "Restore it from a copy"),
        ('{"format": "one"}', DamagedStoreError, "Restore it from a copy"),
        ('{"format": 1}', DamagedStoreError, "Restore it from a copy"),
    ],
)
def test_what_slidelake_json_says(tmp_path: Path, text: str, kind: type[Exception], message: str) -> None:
    (tmp_path / "slidelake.json").write_text(text)
    for create in (False, True):
        with pytest.raises(kind, match=message):
            FeatureStore.open(tmp_path, create=create)
    assert (tmp_path / "slidelake.json").read_text() == text


def test_fields_of_later_minor_versions_are_passed_over(tmp_path: Path) -> None:
    FeatureStore.open(tmp_path, create=True)
    info = json.loads((tmp_path / "slidelake.json").read_text())
    (tmp_path / "slidelake.json").write_text(json.dumps({**info, "later": 1}))
    assert FeatureStore.open(tmp_path).info.store_id == info["store_id"]


def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = FeatureStore.open("store", create=True)
    add_slide(made, "S1", rows=3)
    assert made.url == str(tmp_path / "store")
    for url in (tmp_path / "store", "./store", f"file://{tmp_path}/store", f"{tmp_path}/store/"):
        assert FeatureStore.open(url).slide_ids() == ["S1"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Objects("~/store").local == tmp_path / "store"
    with pytest.raises(UsageError, match="both slashes"):
        Objects(Path("s3://lake/x"))
    with pytest.raises(UsageError, match="empty"):
        Objects("")
    with pytest.raises(UsageError, match="no URL of a store"):
        Objects("nosuch://x")
