"""The shipped suites on S3: a local server that is asked over the network, as any other."""

import pytest

from slidelake.store.testing import FeatureStoreTests, ObjectsTests
from tests.store.s3_server import Bucket


class _OnS3:
    @pytest.fixture(autouse=True)
    def _in_a_bucket(self, s3_bucket: Bucket) -> None:
        self._bucket = s3_bucket

    def new_url(self, tmp_path: object) -> str:
        return f"{self._bucket.url}/a/store"


class TestS3Objects(_OnS3, ObjectsTests):
    pass


class TestS3Store(_OnS3, FeatureStoreTests):
    pass
