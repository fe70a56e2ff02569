"""Any order of all that changes a store, with crashes in between, against a dict that says what must be there."""

import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from numpy.typing import NDArray

from slidelake.errors import SlideDeletedError, UnknownSlideError
from slidelake.store import FeatureStore, checksum, collect_garbage, delete_slides, verify, verify_deleted
from slidelake.store.testing import GRID_ID
from tests.store.crashing import Crash, crashing

ROWS, DIM = 5, 2
SLIDES = st.sampled_from(["S1", "S2"])
ENCODERS = st.sampled_from(["a.00000000", "b.00000000"])
STEPS = st.integers(0, 120)
Bags = dict[str, dict[str, NDArray[Any]]]


def write(store: FeatureStore, slide_id: str, encoder_id: str, value: int) -> NDArray[Any]:
    """What an ingest does: overview and grid where they are not there, and one more generation of the bag."""
    told = {"source_uri": f"/archive/{slide_id}.svs", "patient_id": f"P-{slide_id}", "value": value}
    store.put_overview(
        slide_id,
        thumbnail=np.zeros((2, 2, 3), np.uint8),
        tissue_mask=np.zeros((2, 2), np.uint8),
        attributes={"slide_size": [8, 8]},
        provenance=told,
    )
    store.put_grid(
        slide_id,
        GRID_ID,
        coords=np.arange(2 * ROWS).reshape(ROWS, 2),
        columns={"tissue": np.full(ROWS, 9, np.uint8), "blur": np.zeros(ROWS, np.uint8)},
        attributes={},
        provenance=told,
    )
    features = np.full((ROWS, DIM), value, np.float16) + np.arange(DIM, dtype=np.float16)
    with store.bag_writer(slide_id, GRID_ID, encoder_id, dim=DIM) as writer:
        writer.write(features)
        writer.commit(told)
    return features


class Lake(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="slidelake-machine-"))
        self.store = FeatureStore.open(self.folder / "store", create=True)
        self.now = datetime.now(UTC)
        self.bags: Bags = {}
        self.snapshots: dict[str, Bags] = {}
        self.stages: dict[str, int] = {}
        self.denied: set[str] = set()
        #: Slides whose deletion was cut off: gone, or going; the same command finishes it.
        self.going: set[str] = set()
        self.value = 0

    def teardown(self) -> None:
        try:
            for slide_id in sorted(self.going):
                delete_slides(self.store, [slide_id], now=self.now)
                self._gone(slide_id)
            for days in (8, 16):
                collect_garbage(self.store, now=self.now + timedelta(days=days))
            self.readers_see_the_model()
            assert verify(self.store, deep=True).ok
            assert verify_deleted(self.store, now=self.now + timedelta(days=16)).remains == []
            left = [name for slide_id in self.denied for name in self._naming(slide_id)]
            assert left == []
            attempts = {commit for key in self.store.objects.list("commits") for commit in self._attempt(key)}
            kept = {
                "/".join(key.split("/")[:n]) for key in self.store.objects.list("slides") for n in range(4, 9)
            }
            assert attempts <= kept
        finally:
            shutil.rmtree(self.folder)

    @rule(slide_id=SLIDES, encoder_id=ENCODERS)
    def ingest(self, slide_id: str, encoder_id: str) -> None:
        """A slide is new, gets one more encoder, or its bag is made again."""
        self.value += 1
        if slide_id in self.denied | self.going:
            if self.store.denied.find(slide_id=slide_id):
                with pytest.raises(SlideDeletedError):
                    write(self.store, slide_id, encoder_id, self.value)
                return
            self.going.discard(slide_id)  # the deletion was cut off before it denied anything
        made = write(self.store, slide_id, encoder_id, self.value)
        self.bags.setdefault(slide_id, {})[encoder_id] = made

    @precondition(lambda self: any(self.bags.values()))
    @rule(data=st.data())
    def make_again(self, data: st.DataObject) -> None:
        there = [(slide_id, encoder_id) for slide_id, bags in self.bags.items() for encoder_id in bags]
        self.ingest(*data.draw(st.sampled_from(sorted(there))))

    @precondition(lambda self: {"S1", "S2"} - self.bags.keys() - self.denied)
    @rule(data=st.data(), encoder_id=ENCODERS)
    def ingest_new(self, data: st.DataObject, encoder_id: str) -> None:
        missing = {"S1", "S2"} - self.bags.keys() - self.denied
        self.ingest(data.draw(st.sampled_from(sorted(missing))), encoder_id)

    @rule(slide_id=SLIDES, encoder_id=ENCODERS, step=STEPS)
    def ingest_crashes(self, slide_id: str, encoder_id: str, step: int) -> None:
        if slide_id in self.denied | self.going:
            return
        self.value += 1
        value = self.value
        if self._crashes(step, lambda store: write(store, slide_id, encoder_id, value)):
            # The commit landed, or it did not; what was acknowledged before is what was there before.
            try:
                bag = self.store.bag(slide_id, f"{GRID_ID}/{encoder_id}")
            except LookupError:
                if self.store.state(slide_id).keys:
                    self.bags.setdefault(slide_id, {})
                return
            if bag.provenance["value"] != value:
                return
        features = np.full((ROWS, DIM), value, np.float16) + np.arange(DIM, dtype=np.float16)
        self.bags.setdefault(slide_id, {})[encoder_id] = features

    @rule(slide_id=SLIDES)
    def label(self, slide_id: str) -> None:
        self.value += 1
        self.store.metadata.merge(pd.DataFrame({"slide_id": [slide_id], "stage": [self.value]}))
        if slide_id not in self.denied | self.going:
            self.stages[slide_id] = self.value
        assert set(self.store.catalog()["slide_id"]) - self.going == set(self.bags) - self.going

    @rule(slide_id=SLIDES)
    def delete(self, slide_id: str) -> None:
        delete_slides(self.store, [slide_id], now=self.now)
        self._gone(slide_id)

    @rule(slide_id=SLIDES, step=STEPS)
    def delete_crashes(self, slide_id: str, step: int) -> None:
        now = self.now
        if self._crashes(step, lambda store: delete_slides(store, [slide_id], now=now)):
            if slide_id not in self.denied:
                self.going.add(slide_id)
        else:
            self._gone(slide_id)

    @precondition(lambda self: self.going)
    @rule()
    def delete_goes_on(self) -> None:
        for slide_id in sorted(self.going):
            delete_slides(self.store, [slide_id], now=self.now)
            self._gone(slide_id)

    @precondition(lambda self: self.denied)
    @rule(data=st.data())
    def allow(self, data: st.DataObject) -> None:
        slide_id = data.draw(st.sampled_from(sorted(self.denied)))
        assert self.store.denied.allow(slide_id=slide_id) > 0
        self.denied.discard(slide_id)

    @rule(days=st.sampled_from([0, 8]), looks=st.integers(1, 2))
    def gc(self, days: int, looks: int) -> None:
        for _ in range(looks):
            self.now += timedelta(days=days)
            collect_garbage(self.store, now=self.now)

    @rule(days=st.sampled_from([0, 8]), step=STEPS)
    def gc_crashes(self, days: int, step: int) -> None:
        self.now += timedelta(days=days)
        now = self.now
        self._crashes(step, lambda store: collect_garbage(store, now=now))

    @precondition(lambda self: any(self.bags.values()) and not self.going and len(self.snapshots) < 3)
    @rule()
    def snapshot(self) -> None:
        name = f"v{len(self.snapshots)}"
        self.store.snapshots.create(name)
        self.snapshots[name] = {slide_id: dict(bags) for slide_id, bags in self.bags.items()}

    @invariant()
    def readers_see_the_model(self) -> None:
        store = FeatureStore.open(self.store.url)
        assert set(store.slide_ids()) - self.going == set(self.bags) - self.going
        for slide_id in self.bags.keys() - self.going:
            self._same(store, slide_id, self.bags[slide_id])
        for name, pinned in self.snapshots.items():
            view = store.at(name)
            assert set(view.slide_ids()) - self.going == set(pinned) - self.going
            for slide_id in pinned.keys() - self.going:
                self._same(view, slide_id, pinned[slide_id])

    @invariant()
    def all_is_well(self) -> None:
        report = verify(self.store)
        assert report.ok, report.problems
        if not self.going:
            left = verify_deleted(self.store, now=self.now).remains
            assert [each for each in left if each.until is None] == []

    @invariant()
    def metadata_says_the_model(self) -> None:
        table = self.store.metadata.read()
        said = dict(zip(table["slide_id"], table.get("stage", []), strict=False))
        ours = {slide_id: stage for slide_id, stage in self.stages.items() if slide_id not in self.going}
        assert {slide_id: stage for slide_id, stage in said.items() if slide_id not in self.going} == ours

    def _same(self, store: FeatureStore, slide_id: str, bags: dict[str, NDArray[Any]]) -> None:
        for encoder_id, features in bags.items():
            bag = store.bag(slide_id, f"{GRID_ID}/{encoder_id}")
            np.testing.assert_array_equal(np.asarray(bag.features), features)
            assert bag.commit.arrays["features"]["checksum"] == checksum(features)
        state = store.state(slide_id)
        assert {subject.encoder_id for subject in state.keys if subject.kind == "bag"} == set(bags)
        if not bags:
            with pytest.raises((UnknownSlideError, LookupError)):
                store.bag(slide_id)

    def _crashes(self, step: int, act: Callable[[FeatureStore], object]) -> bool:
        try:
            act(crashing(self.store, step))
        except Crash:
            return True
        return False

    def _gone(self, slide_id: str) -> None:
        self.bags.pop(slide_id, None)
        self.stages.pop(slide_id, None)
        for pinned in self.snapshots.values():
            pinned.pop(slide_id, None)
        self.going.discard(slide_id)
        self.denied.add(slide_id)

    def _naming(self, slide_id: str) -> list[str]:
        return [str(path) for path in self.folder.rglob("*") if slide_id in path.name]

    def _attempt(self, key: str) -> list[str]:
        body = self.store.objects.read_json(key)
        return [body["attempt"]] if "attempt" in body else []


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What survives a power cut is tested elsewhere; here a crash is the end of a process."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def _settings(examples: int, steps: int) -> settings:
    return settings(
        derandomize=True,
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.usefixtures("quick_disk")
def test_any_order_of_everything() -> None:
    run_state_machine_as_test(Lake, settings=_settings(10, 20))


@pytest.mark.long
@pytest.mark.usefixtures("quick_disk")
def test_any_order_of_everything_for_long() -> None:
    run_state_machine_as_test(Lake, settings=_settings(300, 60))
