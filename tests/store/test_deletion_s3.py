"""Deletion and gc on an object store: no key and no byte is left."""

from datetime import UTC, datetime, timedelta

import pytest

from slidelake.errors import SlideDeletedError
from slidelake.store import FeatureStore, collect_garbage, delete_slides, verify, verify_deleted
from slidelake.store.testing import add_slide
from tests.store.s3_server import Bucket
from tests.store.test_deletion import WORDS, fill

LATER = timedelta(days=8)


def test_nothing_is_left_on_s3(s3_bucket: Bucket) -> None:
    store = FeatureStore.open(f"{s3_bucket.url}/lake", create=True)
    features = fill(store)
    done = delete_slides(store, ["gone-slide"], patient_id="gone-patient")
    assert done.objects["arrays"] > 5
    assert store.slide_ids() == ["kept"]
    collect_garbage(store, now=datetime.now(UTC) + LATER)
    rows = features[0].tobytes()
    for key in store.objects.list(""):
        data = store.objects.read(key)
        assert not any(word in key for word in WORDS), key
        assert not any(word.encode() in data.lower() for word in WORDS), key
        assert rows not in data, key
    assert verify(store, deep=True).ok
    assert verify_deleted(store).remains == []
    with pytest.raises(SlideDeletedError):
        add_slide(store, "gone-slide")
    store.denied.allow(patient_id="gone-patient")
    add_slide(store, "gone-slide")
    assert verify(store).ok
