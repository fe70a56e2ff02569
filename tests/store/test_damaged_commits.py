"""A commit that parses and does not say what its kind says costs its own slide, and no other."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slidelake.store import FeatureStore, verify
from slidelake.store.testing import add_slide
from tests.store.lakes import copy_of, make_cohort

Body = dict[str, Any]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cohort(tmp_path_factory.mktemp("cohort") / "store", slides=2)


def _no_coords(body: Body) -> None:
    del body["arrays"]["coords"]


def _no_shape(body: Body) -> None:
    body["arrays"]["coords"]["shape"] = None


def _a_list(body: Body) -> None:
    body["attributes"] = [1]


def _a_word(body: Body) -> None:
    body["attributes"]["slide_size"] = "large"


@pytest.mark.parametrize("damage", [_no_coords, _no_shape, _a_list, _a_word])
def test_the_others_are_read(cohort: Path, tmp_path: Path, damage: Callable[[Body], None]) -> None:
    store = copy_of(cohort, tmp_path / "store", "local")
    path = tmp_path / "store" / store.bag("S0").commit.key
    body = json.loads(path.read_text())
    damage(body)
    path.write_text(json.dumps(body))
    (tmp_path / "store" / "catalog" / "slides.parquet").unlink(missing_ok=True)
    catalog = store.catalog().set_index("slide_id")
    assert list(catalog.index) == ["S0", "S1"]
    assert catalog.loc["S1", "n_patches"] == 20
    report = verify(store, deep=True)
    assert {problem.slide_id for problem in report.problems} == {"S0"}
    store.delete_slide("S0")
    assert store.slide_ids() == ["S1"]
    assert verify(store, deep=True).ok


def test_numbers_for_names(tmp_path: Path) -> None:
    """Whoever writes through Python may take a patient's number out of a table."""
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S0", rows=20, patient_id=5, source_uri=7)
    catalog = store.catalog()
    assert catalog.loc[0, ["patient_id", "uri"]].tolist() == ["5", "7"]
    assert list(store.at(store.snapshots.create("v1").name).catalog()["patient_id"]) == ["5"]


def test_a_commit_that_is_nested_without_end(cohort: Path, tmp_path: Path) -> None:
    store = copy_of(cohort, tmp_path / "store", "memory")
    store.objects.replace(store.bag("S0").commit.key, b"[" * 100_000)
    assert store.catalog().set_index("slide_id").loc["S1", "n_patches"] == 20
    assert {problem.slide_id for problem in verify(store).problems} == {"S0"}
