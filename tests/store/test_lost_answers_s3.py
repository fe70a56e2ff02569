"""The server stored it, and then its answer was lost: one's own success is known as such, another's too."""

import numpy as np
import pytest
from botocore.retries.standard import ExponentialBackoff

from slidelake.errors import AlreadyCommittedError, StoreUnreachableError
from slidelake.store import FeatureStore, Objects, verify
from slidelake.store.testing import GRID_ID, add_slide
from tests.store.s3_server import Bucket, Failure

HOW: list[Failure] = ["500", "503", "closed", "hang"]
ALWAYS = 100


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.001)


@pytest.fixture
def objects(s3_bucket: Bucket, s3_clients: None, monkeypatch: pytest.MonkeyPatch) -> Objects:
    monkeypatch.setattr("s3fs.S3FileSystem.read_timeout", 0.1)
    return Objects(f"{s3_bucket.url}/lake")


@pytest.mark.parametrize("times", [1, pytest.param(ALWAYS, marks=pytest.mark.long)])
@pytest.mark.parametrize("how", HOW)
def test_ones_own_success(objects: Objects, s3_bucket: Bucket, how: Failure, times: int) -> None:
    s3_bucket.fail(how, key="k/1", times=times, hang=0.2)
    assert objects.put_if_absent("k/1", b"mine")
    assert objects.read("k/1") == b"mine"
    puts = [each for each in s3_bucket.requests() if each.startswith("PUT") and each.endswith("k/1")]
    assert len(puts) > 1, "the client sent it again, and met its own object"


@pytest.mark.parametrize("how", ["500", "closed"])
def test_anothers_success(objects: Objects, s3_bucket: Bucket, how: Failure) -> None:
    assert objects.put_if_absent("k/1", b"theirs")
    s3_bucket.fail(how, key="k/1", times=ALWAYS, hang=0.2)
    assert not objects.put_if_absent("k/1", b"mine")
    assert objects.read("k/1") == b"theirs"


@pytest.mark.parametrize("how", ["503", "closed"])
def test_a_request_that_never_arrived(objects: Objects, s3_bucket: Bucket, how: Failure) -> None:
    s3_bucket.fail(how, key="k/1", times=1, stored=False, hang=0.2)
    assert objects.put_if_absent("k/1", b"first"), "asked again, it was stored"
    s3_bucket.fail(how, key="k/2", times=ALWAYS, stored=False, hang=0.2)
    with pytest.raises(StoreUnreachableError, match="run the same command again"):
        objects.put_if_absent("k/2", b"first")
    assert objects.list("k") == ["k/1"]


def _write(store: FeatureStore, value: float, who: str) -> None:
    with store.bag_writer("S1", GRID_ID, "x.00000000", dim=2) as writer:
        writer.write(np.full((300, 2), value, np.float32))
        writer.commit({"who": who})


def test_a_bag_whose_commit_was_not_confirmed(s3_bucket: Bucket) -> None:
    store = FeatureStore.open(f"{s3_bucket.url}/lake", create=True)
    add_slide(store, "S1")
    s3_bucket.fail("closed", key="~bag~", times=ALWAYS)
    _write(store, 1.0, "mine")
    s3_bucket.drop_faults()
    assert store.bag("S1", "x").commit.generation == 1
    assert np.all(store.bag("S1", "x").features == 1)
    assert verify(store, deep=True).ok


def test_a_server_that_goes_silent_at_the_commit(s3_bucket: Bucket) -> None:
    """Neither the put nor the look afterwards is answered: the writer cannot know, and takes nothing away."""
    store = FeatureStore.open(f"{s3_bucket.url}/lake", create=True)
    add_slide(store, "S1")
    key = "~bag~256px-0.5mpp~x."
    s3_bucket.fail("500", key=key, times=ALWAYS)
    s3_bucket.fail("500", key=key, times=ALWAYS, method="GET", stored=False)
    with pytest.raises(StoreUnreachableError):
        _write(store, 1.0, "mine")
    s3_bucket.drop_faults()
    assert np.all(store.bag("S1", "x").features == 1), "it had landed"
    assert verify(store, deep=True).ok
    _write(store, 2.0, "again")
    assert store.bag("S1", "x").commit.generation == 2


def test_the_loser_knows_it_whatever_it_is_told(s3_bucket: Bucket) -> None:
    store = FeatureStore.open(f"{s3_bucket.url}/lake", create=True)
    add_slide(store, "S1")
    late = store.bag_writer("S1", GRID_ID, "x.00000000", dim=2)
    late.write(np.zeros((300, 2), np.float32))
    lost = late.attempt
    _write(store, 1.0, "first")
    s3_bucket.fail("500", key="~bag~", times=ALWAYS)
    with pytest.raises(AlreadyCommittedError):
        late.commit({"who": "late"})
    s3_bucket.drop_faults()
    assert store.objects.list(lost) == []
    assert store.bag("S1", "x").provenance == {"who": "first"}
    assert verify(store, deep=True).ok
