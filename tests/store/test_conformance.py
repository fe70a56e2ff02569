"""The shipped suites, on the back ends that need no server."""

import uuid
from pathlib import Path

from slidelake.store.testing import FeatureStoreTests, ObjectsTests


class TestLocalObjects(ObjectsTests):
    def new_url(self, tmp_path: Path) -> Path:
        return tmp_path / "a store"


class TestMemoryObjects(ObjectsTests):
    def new_url(self, tmp_path: Path) -> str:
        return f"memory://{uuid.uuid4().hex}/store"


class TestLocalStore(FeatureStoreTests):
    def new_url(self, tmp_path: Path) -> Path:
        return tmp_path / "a store"


class TestMemoryStore(FeatureStoreTests):
    def new_url(self, tmp_path: Path) -> str:
        return f"memory://{uuid.uuid4().hex}/store"
