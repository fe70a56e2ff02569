"""S3 servers that refuse, are away or cannot be trusted: each error says what to do, after a few requests only."""

import socket

import pytest
from botocore.retries.standard import ExponentialBackoff

from slidelake.errors import NotAStoreError, StoreNotWritableError, StoreUnreachableError
from slidelake.store import FeatureStore, Objects, verify
from slidelake.store.testing import add_slide
from tests.store.s3_server import Bucket, Failure, forget_clients


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two attempts botocore waits for up to seconds, which proves nothing here."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.001)


def test_an_endpoint_that_ignores_conditions_gets_no_store(s3_bucket: Bucket) -> None:
    s3_bucket.ignore_conditions()
    with pytest.raises(StoreNotWritableError, match=r"ignores conditional writes.*honours If-None-Match"):
        FeatureStore.open(f"{s3_bucket.url}/lake", create=True)
    assert Objects(s3_bucket.url).list("") == []


def test_no_bucket(s3_bucket: Bucket) -> None:
    url = f"{s3_bucket.url}-that-is-not-there/lake"
    with pytest.raises(NotAStoreError, match=r"bucket that does not exist.*Make the bucket"):
        FeatureStore.open(url)
    with pytest.raises(StoreNotWritableError, match="Make the bucket"):
        FeatureStore.open(url, create=True)


@pytest.mark.usefixtures("s3_clients")
def test_credentials_that_are_wrong_or_missing(s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{s3_bucket.url}/lake"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-nobody")
    forget_clients()
    for create in (False, True):
        with pytest.raises(
            StoreUnreachableError, match=r"refuses these credentials.*Look at the credentials"
        ):
            FeatureStore.open(url, create=create)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    forget_clients()
    with pytest.raises(StoreUnreachableError, match=r"wants credentials.*set AWS_ACCESS_KEY_ID"):
        FeatureStore.open(url)


def test_no_right_to_write(s3_bucket: Bucket) -> None:
    store = FeatureStore.open(f"{s3_bucket.url}/lake", create=True)
    s3_bucket.fail("403", times=100, stored=False)
    with pytest.raises(StoreNotWritableError, match=r"cannot be written.*the right to write"):
        add_slide(store, "S1")
    with pytest.raises(StoreNotWritableError, match="the right to write"):
        store.objects.replace("quarantine/x.json", b"{}")
    assert store.objects.list("commits") == []


@pytest.mark.usefixtures("s3_clients")
def test_nobody_listens(s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        forget_clients()
        with pytest.raises(StoreUnreachableError, match=r"Could not connect.*AWS_ENDPOINT_URL"):
            FeatureStore.open(f"{s3_bucket.url}/lake")


# aiohttp sends again by itself what met a connection that was closed. The clients' defaults would make it 125 times.
@pytest.mark.parametrize(("how", "most"), [("500", 3), ("503", 3), ("closed", 24), ("hang", 12)])
@pytest.mark.usefixtures("s3_clients")
def test_a_server_that_fails_is_not_asked_for_ever(
    s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch, how: Failure, most: int
) -> None:
    monkeypatch.setattr("s3fs.S3FileSystem.read_timeout", 0.05)
    objects = Objects(f"{s3_bucket.url}/lake")
    s3_bucket.fail(how, method="GET", key="a/key", times=1000, stored=False, hang=0.1)
    with pytest.raises(StoreUnreachableError, match="run the same command again"):
        objects.read("a/key")
    asked = [each for each in s3_bucket.requests() if each.startswith("GET") and each.endswith("a/key")]
    assert 2 <= len(asked) <= most


def test_a_server_that_fails_once_is_asked_again(s3_bucket: Bucket) -> None:
    objects = Objects(f"{s3_bucket.url}/lake")
    assert objects.put_if_absent("a/key", b"x")
    hows: list[Failure] = ["500", "503", "closed"]
    for how in hows:
        s3_bucket.fail(how, method="GET", key="a/key", stored=False)
        assert objects.read("a/key") == b"x"


def test_a_server_that_goes_away_is_no_damage(s3_bucket: Bucket) -> None:
    store = FeatureStore.open(f"{s3_bucket.url}/lake", create=True)
    features = add_slide(store, "S1")
    bag = store.bag("S1")
    s3_bucket.fail("403", method="GET", key="features", times=1000, stored=False)
    with pytest.raises(StoreUnreachableError, match="refuses these credentials"):
        _ = bag.features
    s3_bucket.drop_faults()
    assert (store.bag("S1").features == features).all()
    assert verify(store, deep=True).ok
