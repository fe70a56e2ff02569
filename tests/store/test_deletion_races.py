"""Deletion beside everything else: one step of one call is held up, and another call comes in between."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import SlideDeletedError, StoreError
from slidelake.services.deletion import delete as delete_from_lake
from slidelake.services.lake import Lake
from slidelake.store import FeatureStore, collect_garbage, delete_slides, replicate, verify, verify_deleted
from slidelake.store.layout import commit_folder
from slidelake.store.testing import add_slide
from tests.store.lakes import copy_of, make_cohort

LATER = timedelta(days=8)
Step = Callable[..., Any]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cohort(tmp_path_factory.mktemp("cohort") / "store")


@pytest.fixture
def store(cohort: Path, tmp_path: Path) -> FeatureStore:
    return copy_of(cohort, tmp_path / "store", "local")


def before(owner: Any, name: str, when: Callable[..., bool], do: Callable[[], object]) -> list[str]:
    """Does something once, before the first call of a method that `when` is true of; says whether it came to it."""
    step: Step = getattr(owner, name)
    done: list[str] = []

    def held_up(*args: Any, **named: Any) -> Any:
        if not done and when(*args, **named):
            done.append(name)
            do()
        return step(*args, **named)

    setattr(owner, name, held_up)
    return done


def test_two_that_go_through_one_snapshot(store: FeatureStore) -> None:
    """A call that has nothing to take out must not take away what another writes meanwhile."""
    store.snapshots.create("v1")
    other = FeatureStore.open(store.url)
    came = before(
        store.objects,
        "list",
        lambda prefix: prefix == "snapshots/v1" and "v1" in read,
        lambda: other.snapshots.forget(["S0"]),
    )
    read: list[str] = []
    latest = store.snapshots._latest

    def then(name: str) -> Any:
        found = latest(name)
        read.append(name)
        return found

    store.snapshots._latest = then  # type: ignore[method-assign]
    store.snapshots.forget(["nobody"])
    assert came
    assert store.snapshots.names() == ["v1"]
    assert sorted(store.snapshots.read("v1").slides) == ["S1", "S2"]
    assert len(store.at("v1").metadata.read()) == 1


def test_a_snapshot_that_is_made_meanwhile_stays(store: FeatureStore) -> None:
    """The table of a snapshot comes before the snapshot; who finds it alone must not take both away."""
    maker = FeatureStore.open(store.url)
    found: list[Any] = []
    latest = store.snapshots._latest

    def held_up(name: str) -> Any:
        there = latest(name)
        found.append(there)
        if len(found) == 1:
            maker.snapshots.create("v1")
        return there

    store.snapshots._latest = held_up  # type: ignore[method-assign]
    store.objects.put_if_absent("snapshots/v1/000001-00.parquet", b"a killed writer's")
    store.snapshots.forget(["nobody"])
    assert found[0] is None
    assert sorted(store.snapshots.read("v1").slides) == ["S0", "S1", "S2"]
    assert len(store.at("v1").metadata.read()) == 2


def test_the_table_of_a_snapshot_that_was_never_put_goes(store: FeatureStore) -> None:
    put = store.objects.put_if_absent

    def killed(key: str, data: bytes) -> bool:
        if key == "snapshots/v1/000001.json":
            raise KeyboardInterrupt
        return put(key, data)

    store.objects.put_if_absent = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        store.snapshots.create("v1")
    store = FeatureStore.open(store.url)
    assert len(store.objects.list("snapshots")) == 1
    store.delete_slide("S0")
    assert verify_deleted(store).ok


def test_a_list_is_not_begun_with_another_key(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of two keys that cannot be given at once would lock everybody out for ever."""
    monkeypatch.setenv("SLIDELAKE_KEY", "first")
    store.delete_slide("S0")
    monkeypatch.setenv("SLIDELAKE_KEY", "second")
    with pytest.raises(StoreError, match="another key"):
        store.delete_slide("S1")
    monkeypatch.setenv("SLIDELAKE_KEY", "first")
    assert store.denied.find(slide_id="S0") == "slide"
    assert store.slide_ids() == ["S1", "S2"]


@pytest.mark.parametrize("when", ["before its arrays", "before its commits"])
def test_a_slide_that_is_allowed_while_a_look_is_at_work_stays(store: FeatureStore, when: str) -> None:
    store.delete_slide("S0")
    other = FeatureStore.open(store.url)

    def come_back() -> None:
        other.denied.allow(slide_id="S0")
        add_slide(other, "S0", rows=20)

    if when == "before its arrays":
        came = before(store.denied, "find", lambda slide_id="": slide_id == "S0", come_back)
    else:
        came = before(store.objects, "list", lambda prefix: prefix == commit_folder("S0"), come_back)
    collect_garbage(store)
    assert came
    assert other.slide_ids() == ["S0", "S1", "S2"]
    assert verify(other, deep=True).ok


def test_a_patients_slide_that_comes_in_meanwhile(store: FeatureStore) -> None:
    other = FeatureStore.open(store.url)
    image = np.zeros((4, 4, 3), np.uint8)

    def another() -> None:
        other.put_overview(
            "S7",
            thumbnail=image,
            tissue_mask=image[..., 0],
            attributes={},
            provenance={"patient_id": "P0", "source_uri": "/a/S7.svs"},
        )

    lake = Lake(store)
    came = before(store.denied, "add", lambda **named: True, another)
    delete_from_lake(lake, patients=["P0"])
    assert came
    assert store.slide_ids() == ["S1", "S2"]
    assert verify_deleted(store).ok


def test_what_is_known_of_a_slide_is_denied_by_whoever_ends_its_deletion(store: FeatureStore) -> None:
    add_slide(store, "S5", rows=20, source_uri="/archive/five.svs", source_checksum="xxh3-128:05")
    other = FeatureStore.open(store.url)
    other.denied.add(slide_id="S5", because=[other.denied.hash_of("slide", "S5")])  # and then it was killed
    collect_garbage(store)
    assert "S5" not in store.slide_ids()
    assert store.denied.find(uri="/archive/five.svs") == "uri"
    assert store.denied.find(checksum="xxh3-128:05") == "checksum"
    store.denied.allow(slide_id="S5")
    assert store.denied.count() == 0


def test_a_report_and_an_entry_that_are_written_meanwhile(store: FeatureStore) -> None:
    other = FeatureStore.open(store.url)
    asked = {"slide_id": "S0", "uri": "/archive/S0.svs"}
    came = before(
        store.objects,
        "put_if_absent",
        lambda key, data: key == "runs/r1.json",
        lambda: other.delete_slide("S0"),
    )
    store.put_run("r1", {"outcomes": [{**asked, "state": "made"}]})
    assert came
    assert verify_deleted(store).ok
    assert [run["run_id"] for run in store.runs()] == ["r1"]
    asked = {"slide_id": "S1", "uri": "/archive/S1.svs"}
    came = before(
        store.objects,
        "replace",
        lambda key, data: key.startswith("quarantine"),
        lambda: other.delete_slide("S1"),
    )
    store.quarantine.put("a" * 32, {**asked, "reason": "x"})
    assert came
    assert store.quarantine.read_all() == []


def test_two_deletions_write_one_report(store: FeatureStore) -> None:
    outcomes = [{"slide_id": f"S{n}", "uri": f"/a/S{n}.svs", "state": "made"} for n in range(3)]
    store.put_run("r1", {"outcomes": outcomes})
    other = FeatureStore.open(store.url)
    came = before(
        store.objects,
        "put_if_absent",
        lambda key, data: key == "runs/r1~2.json",
        lambda: other.delete_slide("S1"),
    )
    store.delete_slide("S0")
    assert came
    (run,) = store.runs()
    assert [each["slide_id"].startswith("deleted:") for each in run["outcomes"]] == [True, True, False]


@pytest.mark.parametrize("scheme", ["local", "memory"])
def test_a_slide_that_is_allowed_before_it_was_closed_is_in_the_catalog(
    cohort: Path, tmp_path: Path, scheme: str
) -> None:
    store = copy_of(cohort, tmp_path / "store", scheme)
    store.denied.add(slide_id="S0")  # and then the deletion was cut off
    store.catalog()
    store.denied.allow(slide_id="S0")
    assert store.slide_ids() == ["S0", "S1", "S2"]
    assert list(store.catalog()["slide_id"]) == ["S0", "S1", "S2"]


def test_a_catalog_that_is_kept_after_the_deletion(store: FeatureStore) -> None:
    other = FeatureStore.open(store.url)
    came = before(
        store.objects,
        "replace",
        lambda key, data: key.startswith("catalog"),
        lambda: other.delete_slide("S0"),
    )
    store.catalog()
    assert came
    assert verify_deleted(store).ok


@pytest.mark.parametrize("knows", [True, False])
def test_a_copy_of_a_slide_that_came_back(store: FeatureStore, tmp_path: Path, knows: bool) -> None:
    """After the grace nothing is left of an epoch; a copy may still have its mark, or all of it."""
    copy = tmp_path / "copy"
    replicate(store, copy)
    store.delete_slide("S0")
    if knows:
        replicate(store, copy)
    collect_garbage(store, now=datetime.now(UTC) + LATER)
    assert not [key for key in store.objects.list("commits") if "closed" in key]
    store.denied.allow(slide_id="S0")
    features = add_slide(store, "S0", rows=20, seed=7, patient_id="P0")
    assert store.state("S0").epoch == 2
    assert replicate(store, copy).ok
    there = FeatureStore.open(copy)
    assert there.slide_ids() == ["S0", "S1", "S2"]
    assert list(there.catalog()["slide_id"]) == ["S0", "S1", "S2"]
    np.testing.assert_array_equal(there.bag("S0").features, features)
    assert not replicate(store, copy).changed


def test_a_copy_that_goes_on_while_gc_looks(store: FeatureStore, tmp_path: Path) -> None:
    """What an interrupted copy left is old enough to be collected, and is committed when the copy goes on."""
    replicate(store, tmp_path / "copy")
    there = FeatureStore.open(tmp_path / "copy")
    add_slide(store, "S4", rows=20)
    shutil.copytree(tmp_path / "store/slides/S4", tmp_path / "copy/slides/S4")
    assert set(collect_garbage(there).waiting) == {"attempts"}
    came = before(there.snapshots, "pinned", lambda: True, lambda: replicate(store, tmp_path / "copy"))
    collect_garbage(there, now=datetime.now(UTC) + LATER)
    assert came
    assert there.slide_ids() == ["S0", "S1", "S2", "S4"]
    assert verify(there, deep=True).ok


def test_a_snapshot_that_is_made_while_a_copy_is(store: FeatureStore, tmp_path: Path) -> None:
    def meanwhile(event: str, **fields: object) -> None:
        if event == "start" and "v1" not in store.snapshots.names():
            add_slide(store, "S4", rows=20)
            store.snapshots.create("v1")

    copy = tmp_path / "copy"
    replicate(store, copy, progress=meanwhile)
    there = FeatureStore.open(copy)
    for name in there.snapshots.names():
        pinned = there.at(name)
        for slide_id in pinned.slide_ids():
            assert len(pinned.bag(slide_id).features) == 20
    replicate(store, copy)
    assert len(there.at("v1").bag("S4").features) == 20


def test_a_report_that_is_written_anew_while_a_copy_is(store: FeatureStore, tmp_path: Path) -> None:
    store.put_run("r1", {"outcomes": [{"slide_id": "S0", "uri": "/a/S0.svs"}]})
    other = FeatureStore.open(store.url)
    came = before(store.objects, "read", lambda key: key == "runs/r1.json", lambda: other.delete_slide("S0"))
    copy = tmp_path / "copy"
    replicate(store, copy)
    assert came
    replicate(store, copy)
    assert verify_deleted(FeatureStore.open(copy)).ok
    assert FeatureStore.open(copy).runs() == store.runs()


def test_a_copys_reports_hold_no_more_than_the_stores(store: FeatureStore, tmp_path: Path) -> None:
    store.put_run(
        "r1",
        {
            "asked": {"filter": "patient P0"},
            "outcomes": [{"slide_id": "S0", "uri": "/a/x.svs", "state": "made"}],
        },
    )
    copy = tmp_path / "copy"
    replicate(store, copy)
    delete_slides(store, ["S0"], patient_id="P0")
    assert store.runs()[0]["asked"]["filter"].startswith("deleted:")
    replicate(store, copy)
    assert FeatureStore.open(copy).runs() == store.runs()


def test_late_commits_of_a_denied_slide_are_refused(store: FeatureStore) -> None:
    other = FeatureStore.open(store.url)
    came = before(
        store.objects,
        "put_if_absent",
        lambda key, data: key.startswith("commits") and "S6" in key,
        lambda: other.delete_slide("S6"),
    )
    with pytest.raises(SlideDeletedError):
        add_slide(store, "S6", rows=20)
    assert came
    assert "S6" not in store.slide_ids()
    store.metadata.merge(pd.DataFrame({"slide_id": ["S6", "S1"], "stage": ["I", "II"]}))
    assert "S6" not in set(store.metadata.read()["slide_id"])
    assert verify_deleted(store).ok
