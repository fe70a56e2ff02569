"""Damage that verify finds, and what it says to do about it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slidelake.store import FeatureStore, commits, verify
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1", rows=700)
    store.put_pooled(
        "S1",
        store.resolve_space(),
        "abmil.0",
        embedding=np.ones((2, 3)),
        scores=np.zeros((2, 700)),
        lse=np.zeros(2),
        provenance={},
    )
    add_slide(store, "S2", rows=40)
    return store


def test_a_sound_store(store: FeatureStore) -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    report = verify(store, deep=True, progress=lambda event, **fields: events.append((event, fields)))
    assert report.ok
    assert (report.slides, report.commits) == (2, 7)
    assert events == [
        ("start", {"total": 2}),
        ("slide", {"slide_id": "S1"}),
        ("slide", {"slide_id": "S2"}),
        ("end", {}),
    ]
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


def _change(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return change


SHALLOW: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no data": (lambda folder: (folder / "features/c/0/0").unlink(), "the data of features is gone"),
    "short data": (
        lambda folder: (folder / "valid/c/0").write_bytes(b"12"),
        "the data of valid has 2 bytes, not 820",
    ),
    "no array": (lambda folder: (folder / "coords/zarr.json").unlink(), "coords/zarr.json is gone"),
    "no group": (lambda folder: (folder / "zarr.json").unlink(), "zarr.json is gone"),
    "half a group": (lambda folder: (folder / "zarr.json").write_text("{"), "zarr.json does not parse"),
    "no object": (lambda folder: (folder / "zarr.json").write_text("[]"), "not a JSON object"),
    "shape": (
        _change("features/zarr.json", "700", "701"),
        "features is [701, 8] float16, committed as [700, 8]",
    ),
    "dtype": (_change("features/zarr.json", "float16", "float32"), "features is [700, 8] float32"),
    "attributes": (_change("zarr.json", "{}", '{"a": 1}'), "attributes are not the committed ones"),
}


@pytest.mark.parametrize("name", SHALLOW)
def test_shallow(store: FeatureStore, name: str) -> None:
    damage, message = SHALLOW[name]
    bag = store.bag("S1")
    damage(Path(bag.path))
    report = verify(store)
    assert not report.ok
    assert [problem.slide_id for problem in report.problems] == ["S1"]
    assert report.problems[0].key == bag.commit.key
    assert message in report.problems[0].problem
    assert "ingest the slide again" in report.problems[0].remedy
    assert not verify(store, deep=True).ok


@pytest.mark.parametrize(("what", "where"), [("features", "c/0/0"), ("coords", "c/0/0"), ("valid", "c/0")])
def test_one_flipped_bit_needs_the_deep_look(store: FeatureStore, what: str, where: str) -> None:
    path = Path(store.bag("S1").path) / what / where
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    assert verify(store).ok
    (problem,) = verify(store, deep=True).problems
    assert problem.problem == f"the data of {what} is not what was committed: its checksum differs"


@pytest.mark.parametrize("deep", [False, True])
def test_the_index_is_read(store: FeatureStore, deep: bool) -> None:
    path = Path(store.pooled("S1", None, "abmil").path) / "scores/c/0/0"
    data = path.read_bytes()
    path.write_bytes(data[:-4] + b"\0\0\0\0")
    (problem,) = verify(store, deep=deep).problems
    assert "the data of scores cannot be read" in problem.problem
    assert "crc32c" in problem.problem


def test_the_remedy_helps(store: FeatureStore) -> None:
    bag = store.bag("S1")
    (Path(bag.path) / "features/c/0/0").unlink()
    (problem,) = verify(store).problems
    assert f"{store.url}/{bag.commit.key}" in problem.remedy
    store.objects.delete(problem.key)
    add_slide(store, "S1", rows=700)
    assert verify(store, deep=True).ok


def test_commits_that_do_not_fit(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "VOID_AFTER", 0.0)
    bag = store.bag("S1").commit
    store.objects.replace(bag.key.replace("000001", "000002"), b"{")
    (problem,) = verify(store).problems
    assert "does not parse" in problem.problem
    store.objects.delete(problem.key)

    def rewrite(**changes: Any) -> str:
        store.objects.replace(bag.key, json.dumps({**bag.body, **changes}).encode())
        return " | ".join(problem.problem for problem in verify(store).problems)

    assert "for other coords than those of the grid" in rewrite(grid_checksum="0" * 32)
    assert "not a place of its own" in rewrite(attempt=store.bag("S2").commit.attempt)
    rows = {**bag.arrays, "valid": {**bag.arrays["valid"], "shape": [699]}}
    assert "disagree about the number of patches" in rewrite(arrays=rows)
    assert rewrite() == ""
    store.objects.delete(store.grid("S1", GRID_ID).commit.key)
    assert {p.problem for p in verify(store).problems} == {f"its grid {GRID_ID} is not committed"}


def test_metadata(store: FeatureStore) -> None:
    store.metadata.merge(pd.DataFrame({"slide_id": ["S1"], "site": ["lung"]}))
    store.metadata.merge(pd.DataFrame({"slide_id": ["S1"], "site": ["skin"]}))
    assert verify(store).ok
    store.objects.replace("metadata/000002.parquet", b"PAR1")
    (problem,) = verify(store).problems
    assert problem.key == "metadata/000002.parquet"
    store.objects.delete(problem.key)
    assert verify(store).ok
    assert store.metadata.read().site.tolist() == ["lung"]


def test_the_dead_are_not_looked_at(store: FeatureStore) -> None:
    (Path(store.bag("S1", ENCODER_ID).path) / "zarr.json").unlink()
    store.close_epoch("S1")
    report = verify(store)
    assert report.ok
    assert report.slides == 1
