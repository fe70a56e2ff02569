"""A small store and its copies, for the tests of replicate."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slidelake.store import FeatureStore, Objects, verify
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide
from tests.store.lakes import copy_of, make_cohort

__all__ = ["cohort", "in_both", "same", "store", "truth", "url", "writes"]

SPACE = f"{GRID_ID}/{ENCODER_ID}"
OTHER = f"{GRID_ID}/other.00000000"
WRITES = ("put_if_absent", "replace", "delete", "delete_tree", "new_file", "upload")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides in one space, one of them in another too, pooled, with a run and a snapshot of an older bag."""
    store = FeatureStore.open(make_cohort(tmp_path_factory.mktemp("cohort") / "store"))
    store.put_pooled("S0", SPACE, "mean.00000000", embedding=np.ones((1, 2)), provenance={})
    store.snapshots.create("v1")
    add_slide(store, "S0", rows=20, seed=9)
    add_slide(store, "S1", rows=20, encoder_id="other.00000000")
    store.put_run("run-1", {"counts": {}})
    store.quarantine.put("q", {"uri": "file:///x.svs"})
    return store.objects.local or Path()


@pytest.fixture
def store(cohort: Path, tmp_path: Path) -> FeatureStore:
    return copy_of(cohort, tmp_path / "store", "local")


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    local = getattr(request, "param", "memory") == "local"
    return str(tmp_path / "copy") if local else f"memory://{tmp_path.name}-copy"


in_both = pytest.mark.parametrize("url", ["local", "memory"], indirect=True)


def truth(store: FeatureStore) -> dict[str, bytes]:
    """What a copy must hold, byte for byte; metadata has generations of its own."""
    kept = ("slides/", "commits/", "runs/", "snapshots/", "denied/", "slidelake.json")
    return {key: store.objects.read(key) for key in store.objects.list("") if key.startswith(kept)}


def same(store: FeatureStore, url: str) -> FeatureStore:
    copy = FeatureStore.open(url)
    assert truth(copy) == truth(store)
    assert copy.metadata.read().equals(store.metadata.read())
    assert verify(copy, deep=True).ok
    return copy


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    done: list[str] = []
    for name in WRITES:
        real = getattr(Objects, name)

        def counted(self: Objects, *given: Any, _name: str = name, _real: Any = real, **more: Any) -> Any:
            done.append(f"{_name} {given[0]}")
            return _real(self, *given, **more)

        monkeypatch.setattr(Objects, name, counted)
    return done
