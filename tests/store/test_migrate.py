"""Migration between formats: the machinery, tried with steps of the test's own on the archived store."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from slidelake.errors import DamagedStoreError, NotAStoreError, StoreError, StoreVersionError
from slidelake.store import FeatureStore, Objects, migrate, verify
from slidelake.store.info import FORMAT
from slidelake.store.migrate import STEPS

ARCHIVES = Path(__file__).parent / "archives"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ARCHIVES / "v1", tmp_path / "lake"))


def _said(lake: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((lake / "slidelake.json").read_text())
    return found


def _mark(objects: Objects) -> None:
    objects.put_if_absent("runs/marked.json", b'{"run_id": "marked"}')


def _again(objects: Objects) -> None:
    assert objects.exists("runs/marked.json")


@pytest.mark.parametrize("version", range(1, FORMAT + 1))
def test_each_released_format_has_its_archive_and_a_way_on(version: int, tmp_path: Path) -> None:
    """A new format needs `archives/v<n>` (make_archive.py) and a step from the one before."""
    archive = ARCHIVES / f"v{version}"
    assert _said(archive)["format"] == version
    assert version == FORMAT or version in STEPS
    lake = Path(shutil.copytree(archive, tmp_path / "lake"))
    migrate(lake)
    assert verify(FeatureStore.open(lake), deep=True).ok


def test_archives_are_of_released_formats_only() -> None:
    assert {each.name for each in ARCHIVES.iterdir()} == {f"v{version}" for version in range(1, FORMAT + 1)}
    assert set(STEPS) == set(range(1, FORMAT))


def test_todays_format_has_nothing_to_do(lake: Path) -> None:
    before = {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()}
    report = migrate(lake)
    assert (report.before, report.after, report.steps) == (FORMAT, FORMAT, [])
    assert {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()} == before


def test_steps_are_taken_in_turn(lake: Path) -> None:
    said = _said(lake)
    dry = migrate(lake, steps={1: _mark, 2: _again}, target=3, dry_run=True)
    assert (dry.steps, _said(lake)) == ([1, 2], said)
    report = migrate(lake, steps={1: _mark, 2: _again}, target=3)
    assert (report.before, report.after, report.steps) == (1, 3, [1, 2])
    # All else that the store says of itself stays.
    assert _said(lake) == {**said, "format": 3}
    with pytest.raises(StoreVersionError, match="has format 3"):
        FeatureStore.open(lake)
    assert migrate(lake, steps={1: _mark, 2: _again}, target=3).steps == []


def test_a_step_that_is_cut_off_is_taken_again(lake: Path) -> None:
    taken: list[int] = []

    def cut_off(objects: Objects) -> None:
        taken.append(len(taken))
        _mark(objects)
        if len(taken) == 1:
            raise KeyboardInterrupt

    steps = {1: cut_off, 2: _again}
    with pytest.raises(KeyboardInterrupt):
        migrate(lake, steps=steps, target=3)
    # Until its end the store is what it was, and read as such.
    assert _said(lake)["format"] == 1
    assert verify(FeatureStore.open(lake), deep=True).ok
    assert migrate(lake, steps=steps, target=3).steps == [1, 2]
    assert taken == [0, 1]


def test_the_second_step_goes_on_where_the_first_ended(lake: Path) -> None:
    def fails(objects: Objects) -> None:
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        migrate(lake, steps={1: _mark, 2: fails}, target=3)
    assert _said(lake)["format"] == 2
    assert migrate(lake, steps={2: _again}, target=3).steps == [2]


def test_versions_that_cannot_be_migrated(lake: Path) -> None:
    with pytest.raises(StoreVersionError, match="nothing here takes format 1 further") as caught:
        migrate(lake, steps={2: _again}, target=3)
    assert "older slidelake" in caught.value.remedy
    with pytest.raises(StoreVersionError, match="nothing here takes format 2 further"):
        migrate(lake, steps={1: _mark}, target=3, dry_run=True)
    assert _said(lake)["format"] == 1
    (lake / "slidelake.json").write_text(json.dumps({**_said(lake), "format": FORMAT + 1}))
    with pytest.raises(
        StoreVersionError, match=f"has format {FORMAT + 1}; this slidelake knows up to {FORMAT}"
    ):
        migrate(lake)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "one"}', '{"format": true}', '{"format": 0}'])
def test_damage_is_named(lake: Path, text: str) -> None:
    (lake / "slidelake.json").write_text(text)
    with pytest.raises(DamagedStoreError, match=r"slidelake\.json"):
        migrate(lake)


def test_no_store(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotAStoreError):
            migrate(place)


def test_a_store_that_is_being_written_is_left_alone(lake: Path) -> None:
    store = FeatureStore.open(lake)
    with store.bag_writer("S1", "256px-0.5mpp", "late.00000000", dim=2) as writer:
        with pytest.raises(StoreError, match=r"S1: the store .* is being written"):
            migrate(lake, steps={1: _mark}, target=2)
        assert _said(lake)["format"] == 1
        writer.write(np.ones((5, 2), np.float32))
        writer.commit({})
    # A commit names it now; and one that was left an hour ago is a killed writer's.
    left = store.bag_writer("S1", "256px-0.5mpp", "killed.00000000", dim=2)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert migrate(lake, steps={1: _mark}, target=2, now=later).steps == [1]
    with pytest.raises(StoreError, match="--force"):
        migrate(lake, steps={2: _again}, target=3)
    assert migrate(lake, steps={2: _again}, target=3, force=True).after == 3
    left.abandon()
