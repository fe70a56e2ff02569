"""A small cohort: eight slides of five patients, each with 20 patches."""

from pathlib import Path

import pandas as pd
import pytest

from slidelake.store import FeatureStore
from slidelake.store.testing import add_slide

PATIENTS = {"S0": "P0", "S1": "P0", "S2": "P1", "S3": "P1", "S4": "P2", "S5": "P3", "S6": "P4", "S7": "P4"}


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """A store that tests read and do not change; its metadata hold `grade`, empty for S7."""
    store = FeatureStore.open(tmp_path_factory.mktemp("cohort") / "store", create=True)
    fill(store)
    return store


@pytest.fixture
def own_cohort(tmp_path: Path) -> FeatureStore:
    """The same, for tests that change it."""
    store = FeatureStore.open(tmp_path / "store", create=True)
    fill(store)
    return store


def fill(store: FeatureStore) -> None:
    for n, (slide_id, patient_id) in enumerate(PATIENTS.items()):
        add_slide(store, slide_id, rows=20, seed=n, patient_id=patient_id)
    grades = ["low", "high", "low", "low", "high", "high", "low", None]
    store.metadata.merge(pd.DataFrame({"slide_id": list(PATIENTS), "grade": grades}))
