"""Sets of annotations: versions, two writers at once, and that they go where their slide goes."""

import threading
from pathlib import Path

import pytest

from slidelake.errors import (
    AnnotationError,
    DamagedStoreError,
    EditConflictError,
    SlideDeletedError,
    UnknownSlideError,
    UsageError,
)
from slidelake.store import FeatureStore, replicate, verify, verify_deleted
from slidelake.store.testing import add_slide


def point(x: float, name: str = "") -> dict[str, object]:
    properties = {"objectType": "annotation", **({"name": name} if name else {})}
    return {"type": "Feature", "geometry": {"type": "Point", "coordinates": [x, 0]}, "properties": properties}


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    made = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(made, "S1", rows=4)
    add_slide(made, "S2", rows=4, seed=1)
    return made


def xs(store: FeatureStore, name: str = "default") -> list[float]:
    return [each["geometry"]["coordinates"][0] for each in store.annotations.read("S1", name).features]


def test_a_set_is_read_as_it_was_written(store: FeatureStore) -> None:
    assert store.annotations.read("S1").version == ""
    made = store.annotations.put("S1", [point(1), point(2)], after="")
    assert xs(store) == [1, 2]
    assert store.annotations.read("s1").version == made.version  # ids differ in case alone: the same slide
    assert store.annotations.names("S1") == ["default"]
    assert store.annotations.read("S2").features == []
    store.annotations.put("S1", [point(3)], "second", origin=(100, 0))
    assert xs(store, "second") == [103]
    assert store.annotations.names("S1") == ["default", "second"]
    assert verify(store).ok


def test_a_change_from_an_older_version_is_refused(store: FeatureStore) -> None:
    first = store.annotations.put("S1", [point(1)])
    second = store.annotations.put("S1", [point(2)], after=first.version)
    with pytest.raises(EditConflictError, match="changed by someone else"):
        store.annotations.put("S1", [point(3)], after=first.version)
    with pytest.raises(EditConflictError):
        store.annotations.put("S1", [point(3)], after="")
    with pytest.raises(EditConflictError):
        store.annotations.remove("S1", after=first.version)
    assert xs(store) == [2]
    store.annotations.put("S1", [point(4)])  # over whatever is there
    with pytest.raises(EditConflictError):
        store.annotations.put("S1", [point(5)], after=second.version)


def test_a_set_that_was_removed_does_not_begin_again(store: FeatureStore) -> None:
    first = store.annotations.put("S1", [point(1, "secret")])
    store.annotations.remove("S1", after=first.version)
    store.annotations.remove("S1")  # nothing is there: nothing happens
    assert store.annotations.names("S1") == []
    assert not any(b"secret" in store.objects.read(key) for key in store.objects.list("annotations"))
    again = store.annotations.put("S1", [point(1, "secret")], after=store.annotations.read("S1").version)
    assert again.version != first.version
    with pytest.raises(EditConflictError):
        store.annotations.put("S1", [], after=first.version)


def test_of_many_writers_each_change_is_made_once(store: FeatureStore) -> None:
    """Every writer adds its own point to what it read: none may be lost."""

    def write(number: int) -> None:
        own = FeatureStore.open(store.url)
        while True:
            there = own.annotations.read("S1")
            try:
                own.annotations.put("S1", [*there.features, point(number)], after=there.version)
                return
            except EditConflictError:
                continue

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(xs(store)) == list(range(8))


def test_older_versions_are_tidied_away(store: FeatureStore) -> None:
    for number in range(30):
        store.annotations.put("S1", [point(number)])
    assert xs(store) == [29]
    assert len(store.annotations.all_keys()) == 11


def test_a_slow_writer_cannot_put_a_number_that_was_tidied_away(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.annotations.put("S1", [point(0)])
    slow = FeatureStore.open(store.url)
    read = slow.annotations.read

    def read_and_wait(*said: str) -> object:
        found = read(*said)
        for number in range(1, 20):
            store.annotations.put("S1", [point(number)])
        return found

    monkeypatch.setattr(slow.annotations, "read", read_and_wait)
    with pytest.raises(EditConflictError):
        slow.annotations.put("S1", [point(99)], after=first.version)
    assert xs(store) == [19]


@pytest.mark.parametrize("slide_id", ["S9", "../S1", "a/b", "", "..", "S1\x00"])
def test_a_slide_that_is_none_has_none(store: FeatureStore, slide_id: str) -> None:
    for call in (store.annotations.read, store.annotations.names, store.annotations.remove):
        with pytest.raises(UsageError):
            call(slide_id)
    with pytest.raises(UsageError):
        store.annotations.put(slide_id, [point(1)])
    assert store.objects.list("annotations") == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a~1", "x" * 65, "a\nb", ".hidden", "CON"])
def test_a_name_that_is_none_is_refused(store: FeatureStore, name: str) -> None:
    with pytest.raises(UsageError, match="no name for a set"):
        store.annotations.put("S1", [point(1)], name)
    with pytest.raises(UsageError, match="no name for a set"):
        store.annotations.read("S1", name)


def test_what_is_not_of_the_form_changes_nothing(store: FeatureStore) -> None:
    store.annotations.put("S1", [point(1)])
    with pytest.raises(AnnotationError):
        store.annotations.put("S1", [point(float("nan"))])
    assert xs(store) == [1]
    assert len(store.annotations.all_keys()) == 1


def test_they_are_deleted_with_their_slide(store: FeatureStore) -> None:
    store.annotations.put("S1", [point(1, "secret")])
    store.annotations.put("S1", [point(2)], "second")
    store.annotations.put("S2", [point(3)])
    done = store.delete_slide("S1")
    assert done.objects["annotations"] == 2
    assert [key for key in store.objects.list("annotations") if "S1" in key] == []
    assert not list(Path(store.url, "annotations").rglob("S1"))
    assert len(store.annotations.read("S2").features) == 1
    assert verify_deleted(store).ok
    with pytest.raises((UnknownSlideError, SlideDeletedError)):
        store.annotations.put("S1", [point(1)])


def test_what_a_deletion_left_is_found_and_swept(store: FeatureStore) -> None:
    store.annotations.put("S1", [point(1)])
    (key,) = store.annotations.all_keys()
    body = store.objects.read(key)
    store.delete_slide("S1")
    store.objects.put_if_absent(key, body)  # a writer that was at work
    report = verify_deleted(store)
    assert [each.key for each in report.overdue] == [key]
    assert "annotations of a deleted slide" in report.overdue[0].what
    store.delete_slide("S1")
    assert store.objects.list("annotations") == []
    assert verify_deleted(store).ok


def test_a_slide_deleted_while_it_is_written_keeps_none(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = store.objects.put_if_absent

    def deleted_first(key: str, data: bytes) -> bool:
        if key.startswith("annotations/"):
            monkeypatch.undo()
            FeatureStore.open(store.url).delete_slide("S1")
        return put(key, data)

    monkeypatch.setattr(store.objects, "put_if_absent", deleted_first)
    with pytest.raises(SlideDeletedError):
        store.annotations.put("S1", [point(1)])
    assert store.objects.list("annotations") == []


def test_copies_carry_them(store: FeatureStore, tmp_path: Path) -> None:
    store.annotations.put("S1", [point(1)])
    store.annotations.put("S2", [point(2)])
    report = replicate(store, tmp_path / "copy")
    assert report.annotations == 2
    copy = FeatureStore.open(tmp_path / "copy")
    assert copy.annotations.read("S1") == store.annotations.read("S1")
    assert replicate(store, tmp_path / "copy").annotations == 0
    for number in range(12):
        store.annotations.put("S1", [point(number)])
    store.annotations.remove("S2")
    assert replicate(store, tmp_path / "copy").changed
    assert copy.annotations.all_keys() == store.annotations.all_keys()
    assert copy.annotations.read("S2").features == []
    part = replicate(store, tmp_path / "part", slides=["S2"])
    assert not any("/S1/" in key for key in FeatureStore.open(part.url).annotations.all_keys())


def test_a_snapshot_reads_and_does_not_write(store: FeatureStore) -> None:
    store.snapshots.create("v1")
    store.annotations.put("S1", [point(1)])
    pinned = store.at("v1")
    assert len(pinned.annotations.read("S1").features) == 1
    with pytest.raises(UsageError):
        pinned.annotations.put("S1", [point(2)])


def test_damage_is_named(store: FeatureStore) -> None:
    store.annotations.put("S1", [point(1)])
    (key,) = store.annotations.all_keys()
    store.objects.replace(key, b"{")
    with pytest.raises(DamagedStoreError, match=key):
        store.annotations.read("S1")
