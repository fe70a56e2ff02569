"""BagLoader over S3: the same batches as from a folder, several bags in flight, a cache between."""

import threading
from pathlib import Path

from slidelake.store import BagLoader, Batch
from slidelake.store.streaming import RandomRows
from tests.store.s3_server import Bucket
from tests.store.streaming.bags import all_same, make_store

LENGTHS = [300, 20, 0, 600]


def test_s3_gives_what_a_folder_gives(s3_bucket: Bucket, s3_clients: None, tmp_path: Path) -> None:
    here, there = make_store(tmp_path / "here", LENGTHS), make_store(f"{s3_bucket.url}/lake", LENGTHS)
    for options in ({}, {"sample": RandomRows(15)}):
        expected = two_epochs(BagLoader(here, bags_per_batch=2, **options))
        assert all_same(two_epochs(BagLoader(there, bags_per_batch=2, **options)), expected)
        cached = BagLoader(there, bags_per_batch=2, cache=tmp_path / "cache", **options)
        assert all_same(two_epochs(cached), expected)
    assert not [thread for thread in threading.enumerate() if "read-ahead" in thread.name]


def two_epochs(loader: BagLoader) -> list[Batch]:
    return [batch for _ in range(2) for batch in loader]
