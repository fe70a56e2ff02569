"""`verify --deleted` finds what is left, wherever it is, and says until when it may be."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slidelake.store import FeatureStore, collect_garbage, verify_deleted
from slidelake.store.attempts import GC_GRACE
from slidelake.store.testing import add_slide
from tests.store.test_deletion import fill


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path / "store", create=True)


def test_each_place_is_looked_at(store: FeatureStore) -> None:
    fill(store)
    assert verify_deleted(store).remains == []
    store.denied.add(slide_id="gone-slide", patient_id="gone-patient", uri="/archive/gone-file.svs")
    report = verify_deleted(store)
    assert not report.ok
    places = {each.key.partition("/")[0] for each in report.overdue}
    assert places == {
        "commits",
        "slides",
        "quarantine",
        "metadata",
        "reports",
        "snapshots",
        "catalog",
        "runs",
    }
    assert len([each for each in report.overdue if each.key.startswith("metadata")]) == 2
    assert report.to_dict()["overdue"] == len(report.overdue)
    store.delete_slide("gone-slide")
    after = verify_deleted(store)
    assert after.ok
    assert [each.key.endswith("~closed.json") for each in after.remains] == [True]
    assert after.remains[0].until is not None
    late = after.remains[0].until + timedelta(seconds=1)
    assert not verify_deleted(store, now=late).ok
    collect_garbage(store, now=late)
    assert verify_deleted(store, now=late).remains == []


def test_a_live_slide_of_whom_is_denied(store: FeatureStore) -> None:
    for slide_id in ("A", "B", "C", "D"):
        add_slide(store, slide_id, patient_id=f"P-{slide_id}", source_checksum=f"x:{slide_id}")
    store.denied.add(patient_id="P-A")
    store.denied.add(uri="file:///slides/B.svs")
    store.denied.add(checksum="x:C")
    found = {each.key.split("/")[2]: each for each in verify_deleted(store).overdue if "commits" in each.key}
    assert set(found) == {"A", "B", "C"}
    assert "slidelake delete --slide A" in found["A"].remedy


def test_a_source_that_changed_waits_for_gc(store: FeatureStore) -> None:
    add_slide(store, "S1")
    store.close_epoch("S1")
    add_slide(store, "S1", seed=2)
    report = verify_deleted(store)
    assert report.ok
    assert len(report.remains) == 3
    later = datetime.now(UTC) + GC_GRACE + timedelta(minutes=1)
    assert len(verify_deleted(store, now=later).overdue) == 3
    collect_garbage(store, now=later)
    assert verify_deleted(store, now=later).remains == []
