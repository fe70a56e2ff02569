"""The stress script in short, and that it would see what it looks for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from slidelake.store import FeatureStore
from slidelake.store.testing import ENCODER_ID, add_slide
from tests.repository import ROOT, environment
from tests.store.stress_kills import Acknowledged, check


def _stress(*arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.stress_kills", *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    report: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert report["violations"] == []
    assert done.returncode == 0, done.stderr
    return report


def test_fifty_rounds() -> None:
    report = _stress("--rounds", "50", "--no-sync")
    stages = report["kills_by_stage"]
    assert isinstance(stages, dict)
    assert sum(stages.values()) >= 50
    assert len(stages) > 6


@pytest.mark.long
def test_without_hard_links() -> None:
    report = _stress("--rounds", "50", "--no-sync", "--no-links")
    assert "after link" not in str(report["kills_by_stage"])


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1")
    return store


def _acknowledged(store: FeatureStore) -> Acknowledged:
    commit = store.bag("S1").commit
    return {commit.key: {name: each["checksum"] for name, each in commit.arrays.items()}}


def test_a_lost_commit_is_seen(store: FeatureStore) -> None:
    acknowledged = _acknowledged(store)
    assert check(store, acknowledged) == []
    [key] = acknowledged
    data = store.objects.read(key)
    store.objects.delete(key)
    assert "is gone" in str(check(store, acknowledged))
    assert store.objects.put_if_absent(key, data)
    assert check(store, acknowledged) == []


def test_another_winner_is_seen(store: FeatureStore) -> None:
    acknowledged = _acknowledged(store)
    [key] = acknowledged
    body = store.objects.read_json(key)
    body["arrays"]["features"]["checksum"] = "0" * 32
    store.objects.replace(key, json.dumps(body).encode())
    assert "other checksums" in str(check(store, acknowledged))


def test_lost_data_is_seen(store: FeatureStore) -> None:
    acknowledged = _acknowledged(store)
    shard = Path(store.bag("S1").path) / "features/c/0/0"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    assert check(store, acknowledged) == []
    assert "checksum differs" in str(check(store, acknowledged, deep=True))
    shard.unlink()
    assert "features is gone" in str(check(store, acknowledged))


def test_what_a_deletion_took_is_no_loss(store: FeatureStore) -> None:
    acknowledged = _acknowledged(store)
    store.close_epoch("S1")
    store.objects.delete_tree(f"slides/S1/bags/256px-0.5mpp/{ENCODER_ID}")
    assert check(store, acknowledged) == []
