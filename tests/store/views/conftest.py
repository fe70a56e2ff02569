"""One small cohort for all tests of views: sizes 300, 0, 17, 1 and 900, some rows of the first not valid."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from slidelake.store import FeatureStore
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide

ROWS = (300, 0, 17, 1, 900)
DIM = 16
SPACE = f"{GRID_ID}/{ENCODER_ID}"


def make(folder: Path) -> FeatureStore:
    store = FeatureStore.open(folder, create=True)
    for n, rows in enumerate(ROWS):
        features = add_slide(store, f"S{n}", rows=rows, dim=DIM, seed=n, patient_id=f"P{n % 3}")
        if n == 0:
            with store.bag_writer("S0", GRID_ID, ENCODER_ID, dim=DIM) as writer:
                writer.write(features, np.arange(rows) % 10 != 3)
                writer.commit({"source_uri": "file:///slides/S0.svs", "patient_id": "P0", "mpp_x": 0.5})
    store.metadata.merge(
        pd.DataFrame(
            {"slide_id": ["S0", "S2", "S4"], "site": ["larynx", "lung", "larynx"], "age": [40, 50, 60]}
        )
    )
    return store


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views") / "store"
    make(folder)
    return folder


@pytest.fixture
def store(shared_folder: Path) -> FeatureStore:
    """Not to be written to."""
    return FeatureStore.open(shared_folder)


def all_rows(store: FeatureStore, *slides: str) -> NDArray[np.float16]:
    """The valid rows of some slides (default: all), read bag by bag."""
    bags = [store.bag(slide_id) for slide_id in slides or [f"S{n}" for n in range(len(ROWS))]]
    return np.concatenate([bag.features[bag.valid != 0] for bag in bags])
