"""Reports in the store: generations, races, and how they go with slides and patients."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slidelake.errors import DamagedStoreError, SlideDeletedError, UnknownNameError, UsageError
from slidelake.store import (
    FeatureStore,
    Objects,
    Report,
    Section,
    Source,
    collect_garbage,
    delete_slides,
    replicate,
    verify,
    verify_deleted,
)
from slidelake.store.testing import add_slide
from tests.store.lakes import copy_of, make_cohort

TEXT = "FINAL DIAGNOSIS\nKidney, left: clear cell carcinoma.\nCOMMENT\nMargins free."


def report(report_id: str = "R1", patient_id: str = "P0", **fields: Any) -> Report:
    return Report(report_id, patient_id, **{"text": TEXT, **fields})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_cohort(tmp_path_factory.mktemp("cohort") / "store")
    store = FeatureStore.open(folder)
    add_slide(store, "S0b", rows=5, seed=7, patient_id="P0")
    store.catalog()
    return folder


@pytest.fixture(params=["local", "memory"])
def store(cohort: Path, tmp_path: Path, request: pytest.FixtureRequest) -> FeatureStore:
    return copy_of(cohort, tmp_path / "store", request.param)


def keys(store: FeatureStore) -> list[str]:
    return store.objects.list("reports")


def test_a_report_comes_back_as_it_was_given(store: FeatureStore) -> None:
    given = report(
        slide_ids=("S0", "S0b"),
        title="Left nephrectomy",
        sections=(Section("FINAL DIAGNOSIS", 0, 52), Section("COMMENT", 52, len(TEXT))),
        source=Source("/in/R1.pdf", "scan", "ab" * 32, 2, 91.5),
        metadata={"site": "kidney", "age": 61, "share": 0.5, "consent": True},
    )
    assert store.reports.put(given) == "made"
    found = store.reports.get("R1")
    assert replace(found, added="") == given
    assert found.added > "2024"
    [head] = store.reports.heads()
    assert (head.report_id, head.sections) == ("R1", ("FINAL DIAGNOSIS", "COMMENT"))
    assert (head.characters, head.source.ocr_confidence) == (len(TEXT), 91.5)
    assert store.reports.ids() == ["R1"]


def test_generations(store: FeatureStore) -> None:
    reports = store.reports
    assert reports.put(report()) == "made"
    first = reports.versions()["R1"]
    assert reports.put(report(source=Source("/elsewhere/R1.txt"))) == "same"
    assert reports.versions() == {"R1": first}
    assert reports.put(report(text="Another text")) == "changed"
    assert reports.versions() == {"R1": first + 1}
    assert len(keys(store)) == 1, "a text that was corrected is not kept"
    assert [each.text for each in reports.iterate()] == ["Another text"]
    reports.remove("R1")
    assert keys(store) == []
    assert reports.versions() == {}
    if store.objects.local:
        assert not list(store.objects.local.glob("reports/*")), "the folder's name tells the id"
    # With another text it is another generation, for whoever knew the first; with the same, the same.
    reports.put(report(text="A third text"))
    assert reports.versions()["R1"] not in (first, first + 1)
    reports.remove("R1")
    reports.put(report())
    assert reports.versions() == {"R1": first}
    with pytest.raises(UnknownNameError, match="no report R9"):
        reports.get("R9")
    with pytest.raises(UnknownNameError, match="no report R9"):
        reports.remove("R9")


def test_by_patient_and_by_slide(store: FeatureStore) -> None:
    for each in (
        report("R1", "P0", slide_ids=("S0",)),
        report("R2", "P0"),
        report("R3", "P1"),
        report("R4", "P0", slide_ids=("S0b",)),
    ):
        store.reports.put(each)
    of_patient = [each.report_id for each in store.reports.of_patient("P0")]
    assert of_patient == ["R1", "R2", "R4"]
    assert [each.report_id for each in store.reports.of_slide("s0", "P0")] == ["R1", "R2"]
    assert store.reports.of_patient("P") == []


def test_heads_follow_and_read_only_what_is_new(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        store.reports.put(report(f"R{number}"))
    store.reports.heads()
    read: list[str] = []
    real = Objects.read
    monkeypatch.setattr(Objects, "read", lambda self, key: read.append(key) or real(self, key))
    assert len(store.reports.heads()) == 4
    assert read == []
    # Another process changes one and removes one.
    other = FeatureStore.open(store.url)
    other.reports.put(report("R1", text="changed"))
    other.reports.remove("R2")
    read.clear()
    heads = {each.report_id: each.characters for each in store.reports.heads()}
    assert heads == {"R0": len(TEXT), "R1": 7, "R3": len(TEXT)}
    assert len(read) == 1


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"report_id": "../x"}, "'../x' cannot be a report_id"),
        ({"report_id": ""}, "cannot be a report_id"),
        ({"slide_ids": ("../../etc",)}, "cannot be a slide_id"),
        ({"patient_id": ""}, "no patient"),
        ({"text": " \n "}, "no text"),
        ({"text": "x" * 2_000_001}, "2,000,001 characters"),
        ({"text": "a\x00b"}, "U\\+0000"),
        ({"title": "a\ud800"}, "U\\+D800"),
        ({"sections": (Section("A", 0, 10**6),)}, "leaves the text"),
        ({"sections": (Section("A", 0, 10), Section("B", 5, 12))}, "overlaps"),
        ({"source": Source(kind="exe")}, "the kind 'exe'"),
        ({"metadata": {"x": float("nan")}}, "metadata 'x'"),
        ({"metadata": {"x": [1]}}, "metadata 'x'"),
    ],
)
def test_reports_that_cannot_be(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Report(**{"report_id": "R1", "patient_id": "P0", "text": TEXT, **fields})


def test_ids_do_not_lead_out(store: FeatureStore) -> None:
    for hostile in ("../../slidelake", "..", "a/b", "R1\0", "con"):
        with pytest.raises(UnknownNameError):
            store.reports.get(hostile)
        with pytest.raises(UnknownNameError):
            store.reports.remove(hostile)


# Races


@pytest.mark.parametrize(("theirs", "said"), [("ours", "same"), ("theirs", None)])
def test_another_writer_is_first(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch, theirs: str, said: str | None
) -> None:
    """Between the look and the put another writer puts the same, or something else under the same id."""
    real = Objects.put_if_absent
    meddled: list[str] = []

    def meddle(self: Objects, key: str, data: bytes) -> bool:
        if not meddled:
            meddled.append("begun")
            meddled.append(FeatureStore.open(self.url).reports.put(report(text=theirs)))
        return real(self, key, data)

    monkeypatch.setattr(Objects, "put_if_absent", meddle)
    found = store.reports.put(report(text="ours"))
    assert meddled == ["begun", "made"]
    assert found == said or said is None
    assert store.reports.get("R1").text == "ours"
    assert len(keys(store)) == 1


def _write(url: str, who: int) -> list[str]:
    reports = FeatureStore.open(url).reports
    return [reports.put(report(f"R{turn}", text=f"{who} " * 2000)) for turn in range(15)]


def test_two_processes_write_the_same_reports(cohort: Path, tmp_path: Path) -> None:
    store = copy_of(cohort, tmp_path / "store", "local")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        said = pool.starmap(_write, [(store.url, 1), (store.url, 2)])
    assert len(keys(store)) == 15
    assert {each.text for each in store.reports.iterate()} <= {f"{who} " * 2000 for who in (1, 2)}
    assert set(said[0] + said[1]) <= {"made", "changed"}
    assert verify(store).ok


def test_a_report_that_is_replaced_while_it_is_read(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.reports.put(report(text="first"))
    real = Objects.read

    def read(self: Objects, key: str) -> bytes:
        if key.startswith("reports/"):
            monkeypatch.undo()
            store.reports.put(report(text="second"))
        return real(self, key)

    monkeypatch.setattr(Objects, "read", read)
    assert store.reports.get("R1").text == "second"


def test_what_a_killed_writer_left_counts_for_nothing(store: FeatureStore) -> None:
    store.reports.put(report(text="first"))
    [first] = keys(store)
    data = store.objects.read(first)
    store.reports.put(report(text="second"))
    store.objects.put_if_absent(first, data)
    assert store.reports.get("R1").text == "second"
    collect_garbage(store)
    assert first not in keys(store)
    assert len(keys(store)) == 1


def test_a_deletion_between_the_look_and_the_put(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Objects.put_if_absent

    def meddle(self: Objects, key: str, data: bytes) -> bool:
        if key.startswith("reports/"):
            monkeypatch.undo()
            delete_slides(FeatureStore.open(self.url), ["S1"], patient_id="P1")
        return real(self, key, data)

    monkeypatch.setattr(Objects, "put_if_absent", meddle)
    with pytest.raises(SlideDeletedError):
        store.reports.put(report("R1", "P1"))
    assert keys(store) == []
    assert verify_deleted(store).ok


# Deletion, copies, verify, snapshots


def test_reports_go_with_whom_they_are_about(store: FeatureStore) -> None:
    given = {
        "patient": report("patient", "P1"),
        "slide": report("slide", "P1", slide_ids=("S1",)),
        "other": report("other", "P2"),
        "foreign": report("foreign", "P1", slide_ids=("S2",)),
    }
    for each in given.values():
        store.reports.put(each)
    done = delete_slides(store, [], patient_id="P1")
    assert done.objects["reports"] == 3
    assert store.reports.ids() == ["other"]
    assert verify_deleted(store).ok
    for name in ("patient", "slide", "foreign"):
        with pytest.raises(SlideDeletedError, match=name):
            store.reports.put(given[name])
    store.denied.allow(patient_id="P1")
    assert store.reports.put(given["patient"]) == "made"


def test_a_slide_goes_and_another_of_its_patient_lives(store: FeatureStore) -> None:
    text = "Seen on S0 and s0b (blocks S0-A)."
    store.reports.put(
        report("both", slide_ids=("S0", "S0b"), text=text, title="S0, S0b", metadata={"main": "S0"})
    )
    store.reports.put(report("one", slide_ids=("S0",)))
    store.reports.put(report("S0", slide_ids=("S0", "S0b")))
    store.reports.put(report("absent", slide_ids=("S0", "S-not-in-yet")))
    store.reports.put(report("patient"))
    delete_slides(store, ["S0"])
    assert store.reports.ids() == ["both", "patient"]
    left = store.reports.get("both")
    assert left.slide_ids == ("S0b",)
    assert left.text == "Seen on ██ and s0b (blocks ██-A)."
    assert (left.title, left.metadata) == ("██, S0b", {"main": "██"})
    assert verify_deleted(store).ok
    # Added again it is what it is now; with no living slide it stays out.
    again = report("both", slide_ids=("S0", "S0b"), text=text, title="S0, S0b", metadata={"main": "S0"})
    assert store.reports.put(again) == "same"
    with pytest.raises(SlideDeletedError):
        store.reports.put(report("one", slide_ids=("S0",)))
    # The last slide takes the patient's own reports along.
    assert delete_slides(store, ["S0b"]).objects["reports"] == 2
    assert store.reports.ids() == []
    with pytest.raises(SlideDeletedError):
        store.reports.put(report("patient"))
    store.denied.allow(slide_id="S0b")
    assert store.reports.put(report("patient")) == "made"


def test_no_byte_of_them_is_left(cohort: Path, tmp_path: Path) -> None:
    store = copy_of(cohort, tmp_path / "store", "local")
    store.reports.put(report("Whipple-1", "P1", text="A rare word: xanthogranulomatous."))
    delete_slides(store, ["S1"], patient_id="P1")
    for path in Path(store.url).rglob("*"):
        assert "Whipple" not in str(path)
        assert not path.is_file() or b"xanthogran" not in path.read_bytes()


def test_verify_deleted_sees_what_is_left(store: FeatureStore) -> None:
    store.reports.put(report("R1", "P1"))
    store.reports.put(report("R2", "P0", slide_ids=("S0", "S0b")))
    store.denied.add(patient_id="P1")
    store.denied.add(slide_id="S0b")
    found = {
        each.key.split("/")[2]: each.what for each in verify_deleted(store).overdue if "reports/" in each.key
    }
    assert found == {
        "R1": "a report of a deleted slide or patient",
        "R2": "a report that names a deleted slide",
    }


def test_a_copy_follows(store: FeatureStore, tmp_path: Path) -> None:
    for each in (report("R0", "P0"), report("R1", "P1"), report("R2", "P9", slide_ids=("S2",))):
        store.reports.put(each)
    done = replicate(store, tmp_path / "copy")
    copy = FeatureStore.open(tmp_path / "copy")
    assert done.reports == 3
    for key in keys(store):
        assert copy.objects.read(key) == store.objects.read(key)
    assert not replicate(store, tmp_path / "copy").changed
    store.reports.put(report("R0", "P0", text="changed"))
    store.reports.remove("R1")
    # A report that came back may have a smaller number than before.
    store.reports.remove("R2")
    store.reports.put(report("R2", "P9", text="new", slide_ids=("S2",)))
    assert replicate(store, tmp_path / "copy").reports == 3
    assert copy.reports.versions() == store.reports.versions()
    assert len(copy.objects.list("reports")) == 2
    part = replicate(store, tmp_path / "part", slides=["S2"])
    assert (part.reports, FeatureStore.open(tmp_path / "part").reports.ids()) == (1, ["R2"])
    delete_slides(store, ["S0"], patient_id="P0")
    replicate(store, tmp_path / "copy")
    assert copy.reports.ids() == ["R2"]


def test_verify_names_damage(store: FeatureStore) -> None:
    for name in ("R1", "R2", "R3"):
        store.reports.put(report(name))
    assert verify(store).ok
    paths = {each.split("/")[2]: each for each in keys(store)}
    store.objects.replace(paths["R1"], b"{")
    body = store.objects.read_json(paths["R2"])
    body["sections"] = [{"name": "", "start": 0, "end": 10**6}]
    store.objects.replace(paths["R2"], json.dumps(body).encode())
    found = verify(store).problems
    assert {each.key for each in found} == {"reports/R1", "reports/R2"}
    assert all("slidelake reports remove" in each.remedy for each in found)
    with pytest.raises(DamagedStoreError):
        store.reports.get("R1")
    # Lists go on without them, and adding a report again mends it.
    assert [each.report_id for each in FeatureStore.open(store.url).reports.heads()] == ["R3"]
    assert store.reports.put(report("R1")) == "changed"
    store.reports.remove("R2")
    assert verify(store).ok


def test_a_snapshot_shows_the_reports_of_now(store: FeatureStore) -> None:
    store.reports.put(report("R1"))
    store.snapshots.create("v1")
    store.reports.put(report("R2"))
    pinned = store.at("v1")
    assert pinned.reports.ids() == ["R1", "R2"]
    assert pinned.reports.get("R2").text == TEXT
    with pytest.raises(UsageError, match="snapshot v1"):
        pinned.reports.put(report("R3"))
    with pytest.raises(UsageError, match="snapshot v1"):
        pinned.reports.remove("R1")
    assert store.reports.ids() == ["R1", "R2"]
