"""What a commit is, when it is refused, and when one that is there does not count."""

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from slidelake.errors import DuplicateSlideError, GridMismatchError, StoreError, UsageError
from slidelake.store import FeatureStore, Subject, commits
from slidelake.store.attempts import GC_GRACE, Attempt
from slidelake.store.commits import read_state
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide

SCHEMA = json.loads((files("slidelake.store") / "schemas/commit.json").read_text())


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path / "store", create=True)


def _bodies(store: FeatureStore) -> dict[str, dict[str, Any]]:
    return {key: json.loads(store.objects.read(key)) for key in store.objects.list("commits")}


def test_bodies_follow_the_schema(store: FeatureStore) -> None:
    add_slide(store, "S1", patient_id="P1")
    add_slide(store, "S2", rows=0)
    store.put_pooled("S1", store.resolve_space(), "mean.0", embedding=np.ones((1, 2)), provenance={})
    bodies = _bodies(store)
    assert len(bodies) == 7
    for body in bodies.values():
        jsonschema.validate(body, SCHEMA, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"attempt": "../elsewhere"},
        {"arrays": {}},
        {"grid_checksum": None},
        {"extra": 1},
        {"provenance": "none"},
    ],
)
def test_the_schema_refuses(store: FeatureStore, change: dict[str, Any]) -> None:
    add_slide(store, "S1")
    body = next(body for key, body in _bodies(store).items() if "~bag~" in key)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**body, **change}, SCHEMA)


def test_a_commit_says_all(store: FeatureStore) -> None:
    add_slide(store, "S1", patient_id="P1")
    commit = store.commit("S1", "bag", GRID_ID, ENCODER_ID)
    assert commit is not None
    assert commit.key == f"commits/36/S1/0001~bag~{GRID_ID}~{ENCODER_ID}~000001.json"
    assert commit.kind == "bag"
    assert commit.arrays["features"]["shape"] == [300, 8]
    assert commit.arrays["features"]["dtype"] == "float16"
    assert commit.arrays["coords"]["checksum"] == commit.grid_checksum
    assert commit.provenance["patient_id"] == "P1"
    assert (store.objects.local or Path()).joinpath(commit.attempt, "zarr.json").is_file()


def test_a_bag_of_other_coords_is_refused(store: FeatureStore) -> None:
    add_slide(store, "S1")
    state = read_state(store.objects, "S1")
    for kind in ("bag", "pooled"):
        subject = Subject(kind, GRID_ID, "other.00000000", "a.0" if kind == "pooled" else "")
        with Attempt(store.objects, state, subject) as attempt:
            attempt.put("features", np.ones((300, 2), np.float32), ("patch", "feature"))
            with pytest.raises(GridMismatchError, match="other coordinates"):
                attempt.commit(attributes={}, provenance={}, grid_checksum="0" * 32)
        assert store.objects.list(attempt.path) == []
    assert not any("other" in key for key in store.objects.list("commits"))


def test_the_first_grid_stands(store: FeatureStore) -> None:
    add_slide(store, "S1")
    first = store.grid("S1", GRID_ID)
    before = store.objects.list("")
    columns = {"tissue": np.zeros(2, np.uint8)}
    again = store.put_grid(
        "S1", GRID_ID, coords=np.zeros((2, 2), int), columns=columns, attributes={}, provenance={}
    )
    assert again.commit == first.commit
    assert store.objects.list("") == before


def test_a_lost_race_for_a_grid_gives_the_winners(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_slide(store, "S1")
    winner = store.grid("S1", "256px-0.5mpp").commit
    # What a writer sees that looked before the winner's commit.
    monkeypatch.setattr("slidelake.store.feature_store.latest_commit", lambda *_: None)
    monkeypatch.setattr("slidelake.store.layout.SlideState.generation", lambda *_: 0)
    real = store.grid
    monkeypatch.setattr(store, "grid", lambda *args: (monkeypatch.undo(), real(*args))[1])
    grid = store.put_grid(
        "S1", GRID_ID, coords=np.zeros((2, 2), int), columns={}, attributes={}, provenance={}
    )
    assert grid.commit == winner
    assert len(store.objects.folders("slides/S1/grids/256px-0.5mpp")) == 1


def test_an_attempt_that_gc_may_take_is_refused(store: FeatureStore) -> None:
    add_slide(store, "S1")
    state = read_state(store.objects, "S1")
    attempt = Attempt(store.objects, state, Subject("overview"))
    old = datetime.now(UTC) - GC_GRACE / 2 - timedelta(minutes=1)
    attempt.path = f"slides/S1/overview/{old.strftime('%Y%m%dT%H%M%S%fZ')}-0123456789ab"
    with attempt, pytest.raises(StoreError, match="3 days ago"):
        attempt.commit(attributes={}, provenance={})
    assert store.objects.list(attempt.path) == []
    assert read_state(store.objects, "S1").generation(Subject("overview")) == 1
    assert timedelta(days=7) == GC_GRACE


@pytest.mark.parametrize("data", [b"", b"{", b'{"format": 1}', b'{"format": 9}', b"[]", b"\xff\xfe"])
def test_a_commit_that_does_not_parse_is_void(
    store: FeatureStore, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "VOID_AFTER", 0.0)
    add_slide(store, "S1", seed=0)
    good = store.bag("S1").commit
    store.objects.put_if_absent(good.key.replace("000001.json", "000002.json"), data)
    assert store.bag("S1").commit == good
    # The next writer goes above it.
    add_slide(store, "S1", seed=1)
    assert store.bag("S1").commit.generation == 3


def test_void_is_what_is_a_minute_old(store: FeatureStore) -> None:
    add_slide(store, "S1")
    good = store.bag("S1").commit
    assert store.objects.local is not None
    path = store.objects.local / good.key.replace("000001.json", "000002.json")
    path.write_bytes(b"{")
    minute_ago = path.stat().st_mtime - 61
    os.utime(path, (minute_ago, minute_ago))
    assert store.bag("S1").commit == good
    assert commits.VOID_AFTER == 60


def test_a_commit_that_is_being_written_is_waited_for(store: FeatureStore) -> None:
    add_slide(store, "S1")
    grid = store.grid("S1", GRID_ID).commit
    path = Path(store.url) / grid.key
    data = path.read_bytes()
    path.write_bytes(data[:100])
    finish = threading.Timer(0.2, lambda: path.write_bytes(data))
    finish.start()
    # Without the wait this would be a second grid, with rows of its own.
    again = store.put_grid(
        "S1", GRID_ID, coords=np.zeros((2, 2), int), columns={}, attributes={}, provenance={}
    )
    finish.join()
    assert again.commit == grid


def test_ids_that_differ_only_in_case_are_one(store: FeatureStore) -> None:
    add_slide(store, "Slide-A")
    assert store.bag("slide-a").slide_id == "Slide-A"
    assert store.state("SLIDE-A").keys == store.state("Slide-A").keys
    other = FeatureStore.open(store.url)
    with pytest.raises(DuplicateSlideError, match="only in case"):
        add_slide(other, "slide-A")
    assert store.slide_ids() == ["Slide-A"]


def test_provenance_must_be_json(store: FeatureStore) -> None:
    add_slide(store, "S1")
    for provenance in ({"mpp": float("nan")}, {"x": object()}):
        with store.bag_writer("S1", GRID_ID, "x.00000000", dim=2) as writer:
            writer.write(np.ones((300, 2), np.float32))
            attempt = writer.attempt
            with pytest.raises(UsageError, match="not JSON"):
                writer.commit(provenance)
        assert store.objects.list(attempt) == []


def test_the_group_is_written_last(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = type(store.objects).new_file
    monkeypatch.setattr(
        type(store.objects), "new_file", lambda self, key: (made.append(key), real(self, key))[1]
    )
    add_slide(store, "S1")
    for kind in ("overview", "grids", "bags"):
        mine = [key for key in made if f"/{kind}/" in key]
        group = [at for at, key in enumerate(mine) if key.split("-")[-1].count("/") == 1]
        assert group == [len(mine) - 1]
