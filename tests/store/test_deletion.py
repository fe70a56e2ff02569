"""Deleting a slide: nothing of it is left, late writers get nowhere, and a deletion that was cut off goes on."""

import io
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from slidelake.errors import SlideDeletedError
from slidelake.store import FeatureStore, Report, collect_garbage, delete_slides, quarantine_key, verify
from slidelake.store.testing import GRID_ID, add_slide
from tests.store.crashing import Crash, crashing

LATER = timedelta(days=8)
WORDS = ("gone-slide", "gone-patient", "gone-file")


def fill(store: FeatureStore) -> NDArray[np.float16]:
    """One slide to delete, in every place that a store has, and one to keep; the features of the first."""
    features = add_slide(
        store,
        "gone-slide",
        source_uri="/archive/gone-file.svs",
        source_checksum="xxh3-128:00",
        patient_id="gone-patient",
    )
    add_slide(store, "kept", seed=1, patient_id="kept-patient")
    with store.bag_writer("gone-slide", GRID_ID, "other.00000000", dim=8) as writer:
        writer.write(features * np.float16(2))
        writer.commit({"patient_id": "gone-patient", "source_uri": "/archive/gone-file.svs"})
    table = {"slide_id": ["gone-slide", "kept"], "patient_id": ["gone-patient", "kept-patient"]}
    store.metadata.merge(pd.DataFrame({**table, "site": ["a", "b"]}))
    store.metadata.merge(pd.DataFrame({**table, "site": ["c", "b"]}))
    store.snapshots.create("v1")
    store.catalog()
    for slide_id, uri in (("gone-slide", "/archive/gone-file.svs"), ("twin", "/archive/twin.svs")):
        message = "the name is held by /archive/gone-file.svs"
        entry = {"slide_id": slide_id, "uri": uri, "reason": "duplicate-slide-id", "message": message}
        store.quarantine.put(quarantine_key(uri, {}), entry)
    for report in (
        Report("of-gone-slide", "gone-patient", "Text", ("gone-slide",)),
        Report("of-the-patient", "gone-patient", "Text of gone-patient"),
        Report(
            "of-both", "kept-patient", "Seen on gone-slide and kept", ("gone-slide", "kept"), "gone-slide"
        ),
        Report("of-kept", "kept-patient", "Text"),
    ):
        store.reports.put(report)
    store.put_run(
        "run-1",
        {
            "asked": {"sources": ["archive/gone-file.svs", "archive/kept.svs"]},
            "outcomes": [
                {"slide_id": "gone-slide", "uri": "/archive/gone-file.svs", "state": "made", "patches": 300},
                {"slide_id": "kept", "uri": "/archive/kept.svs", "state": "made", "patches": 300},
            ],
        },
    )
    return features


def traces(store: FeatureStore, features: NDArray[np.float16] | None = None) -> list[str]:
    """Where names or features of the deleted slide are, by keys, bytes and decoded tables."""
    words = [word.casefold() for word in WORDS]
    needles = [word.encode() for word in words]
    rows = [] if features is None else [features[i] for i in range(0, len(features), 37)]
    needles += [row.astype(kind).tobytes() for row in rows for kind in (np.float16, np.float32)]
    found = []
    root = store.objects.local
    assert root is not None
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if any(word in name.casefold() for word in words):
            found.append(name)
        if path.is_file():
            data = path.read_bytes()
            text = data.lower()
            if path.suffix == ".parquet":
                text += str(pq.read_table(io.BytesIO(data)).to_pylist()).casefold().encode()
            if any(needle in text or needle in data for needle in needles):
                found.append(f"in {name}")
    return found


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path / "store", create=True)


def test_nothing_is_left(store: FeatureStore) -> None:
    features = fill(store)
    assert len(traces(store, features)) > 20
    done = store.delete_slide("GONE-Slide")
    assert done.slides == ["gone-slide"]
    assert store.slide_ids() == ["kept"]
    assert set(done.objects) == {
        "runs",
        "quarantine",
        "snapshots",
        "reports",
        "metadata",
        "arrays",
        "commits",
    }
    # The words of the patient were not asked for, and the patient is in the metadata's rows and commits only.
    marks = [key for key in store.objects.list("commits") if "~closed" in key]
    left = traces(store, features)
    assert [name for name in left if name.endswith(".json")] == marks
    assert all(name.startswith("commits/") for name in left)
    assert done.marks_until is not None
    report = collect_garbage(store, now=datetime.now(UTC) + LATER)
    assert report.removed["deleted"] == 1
    assert traces(store, features) == []
    assert verify(store, deep=True).ok
    assert list(store.at("v1").states()) == ["kept"]
    assert store.snapshots.read("v1").gone == 1
    assert len(store.bag("kept").features) == 300
    run = store.runs()[0]
    assert run["run_id"] == "run-1"
    assert run["asked"]["sources"][1] == "archive/kept.svs"
    assert run["asked"]["sources"][0].startswith("deleted:")
    assert [each["patches"] for each in run["outcomes"]] == [300, 300]
    assert [entry["slide_id"] for entry in store.quarantine.read_all()] == ["twin"]
    assert store.metadata.read()["slide_id"].tolist() == ["kept"]
    assert {each.report_id: each.text for each in store.reports.iterate()} == {
        "of-both": "Seen on ██████████ and kept",
        "of-kept": "Text",
    }


def test_a_deleted_slide_stays_out_until_it_is_allowed(store: FeatureStore) -> None:
    features = fill(store)
    delete_slides(store, ["gone-slide"], patient_id="gone-patient")
    for slide_id, told in (
        ("gone-slide", {}),
        ("Gone-Slide", {}),
        ("renamed", {"patient_id": "gone-patient"}),
        ("renamed", {"source_uri": "file:///archive/gone-file.svs"}),
        ("renamed", {"source_checksum": "xxh3-128:00"}),
    ):
        with pytest.raises(SlideDeletedError, match="deny-list"):
            add_slide(store, slide_id, **told)
    with pytest.raises(SlideDeletedError):
        store.bag_writer("gone-slide", GRID_ID, "x.00000000", dim=2)
    store.metadata.merge(pd.DataFrame({"slide_id": ["gone-slide", "kept"], "stage": ["I", "II"]}))
    store.quarantine.put("a" * 32, {"slide_id": "gone-slide", "uri": "u"})
    store.put_run("run-2", {"outcomes": [{"slide_id": "gone-slide", "uri": "/archive/gone-file.svs"}]})
    assert all(name.startswith("commits/") for name in traces(store, features))
    assert store.slide_ids() == ["kept"]
    assert store.denied.allow(slide_id="gone-slide") > 0
    with pytest.raises(SlideDeletedError, match="its patient"):
        add_slide(store, "gone-slide", patient_id="gone-patient")
    assert store.denied.allow(patient_id="gone-patient") > 0
    assert store.denied.count() == 0
    again = add_slide(store, "gone-slide", patient_id="gone-patient")
    assert store.bag("gone-slide").commit.epoch == 2
    np.testing.assert_array_equal(store.bag("gone-slide").features, again)
    assert verify(store, deep=True).ok


def _crash_at(k: int, filled: FeatureStore, folder: Path, features: NDArray[np.float16]) -> bool:
    """Deletes in a copy of a store, with a crash at step k, then again without; False where k is beyond the end."""

    def delete(store: FeatureStore) -> object:
        return delete_slides(store, ["gone-slide"], patient_id="gone-patient")

    shutil.copytree(filled.url, folder)
    store = FeatureStore.open(folder)
    try:
        delete(crashing(store, k))
    except Crash:
        assert verify(store).ok, k
        assert "kept" in store.slide_ids()
    else:
        return False
    delete(store)
    left = traces(store, features)
    assert all(name.startswith("commits/") for name in left), (k, left)
    collect_garbage(store, now=datetime.now(UTC) + LATER)
    assert traces(store, features) == [], k
    with pytest.raises(SlideDeletedError):
        add_slide(store, "gone-slide")
    shutil.rmtree(folder)
    return True


def _crash_everywhere(store: FeatureStore, tmp_path: Path, stride: int) -> None:
    features = fill(store)
    k = 0
    while _crash_at(k, store, tmp_path / str(k), features):
        k += stride
    assert k > 60


def test_a_crash_at_many_steps(store: FeatureStore, tmp_path: Path) -> None:
    _crash_everywhere(store, tmp_path, 11)


@pytest.mark.long
def test_a_crash_at_every_step(store: FeatureStore, tmp_path: Path) -> None:
    _crash_everywhere(store, tmp_path, 1)
