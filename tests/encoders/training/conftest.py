"""The cohort that the tests of training share."""

import pytest

from slidelake.store import FeatureStore
from tests.encoders.training.lakes import make_lake


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """18 patients, 24 slides; tests read it and do not change it."""
    return make_lake(tmp_path_factory.mktemp("training") / "lake")
