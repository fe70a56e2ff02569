"""Embedding a whole store: what is committed, what is left alone, and what cannot be."""

import numpy as np
import pytest

from slidelake.encoders.slide import EmbedReport, embed, read_bags
from slidelake.encoders.slide.embed import _Run
from slidelake.encoders.slide.mean import MeanAggregator
from slidelake.errors import UnknownAggregatorError, UnknownSpaceError
from slidelake.store import FeatureStore
from tests.encoders.slide.bags import ENCODER, GRID, SPACE, counts, put_bag


@pytest.fixture
def store(tmp_path):
    return FeatureStore.open(tmp_path / "lake", create=True)


class Watcher:
    def __init__(self):
        self.events = []

    def __call__(self, event, **fields):
        self.events.append((event, fields))


def test_made_then_already(store):
    valid = np.arange(20_000) % 5 > 0  # more than two blocks
    features = {"a": put_bag(store, "a", 20_000, valid=valid), "b": put_bag(store, "b", 3, seed=1)}
    progress = Watcher()
    assert counts(embed(store, progress=progress)) == (2, 0, 0)
    assert progress.events == [
        ("start", {"total": 2}),
        ("slide", {"slide_id": "a", "state": "made"}),
        ("slide", {"slide_id": "b", "state": "made"}),
        ("end", {}),
    ]
    pooled = store.pooled("a", SPACE, "mean")
    wanted = features["a"][valid].astype(np.float64).mean(0)
    np.testing.assert_allclose(pooled.embedding, wanted[None], rtol=1e-6)
    assert pooled.scores is None
    assert pooled.provenance["bag"] == store.bag("a").commit.attempt
    assert pooled.provenance["aggregator"]["encoder_id"] == ENCODER
    assert pooled.commit.grid_checksum == store.grid("a", GRID).checksum
    keys = store.objects.list("")
    progress = Watcher()
    assert counts(embed(store, space="stain-texture", progress=progress)) == (0, 2, 0)
    assert progress.events[1] == ("slide", {"slide_id": "a", "state": "already"})
    assert store.objects.list("") == keys


def test_what_another_run_embedded_meanwhile_stands(store):
    """Runs side by side look at slides ahead: what was not there when they looked may be when they commit."""
    put_bag(store, "a", 50)
    mean = MeanAggregator(ENCODER)
    run, report = _Run(store, store, SPACE, mean), EmbedReport()
    looked = run.look("a", read_bags.Buffer())
    assert embed(store).made == 1
    keys = store.objects.list("")
    assert run.finish(looked, report) == "already"
    assert store.objects.list("") == keys
    assert store.pooled("a", SPACE, "mean").commit.generation == 1


def test_two_aggregators_stand_beside_each_other(store):
    features = put_bag(store, "a", 50)
    assert embed(store).made == 1
    assert embed(store, aggregator="max").made == 1
    np.testing.assert_array_equal(store.pooled("a", None, "max").embedding[0], features.max(0))
    np.testing.assert_allclose(
        store.pooled("a", None, "mean").embedding[0], features.mean(0, dtype=np.float64), rtol=1e-6
    )


def test_a_bag_made_again_is_embedded_again(store):
    put_bag(store, "a", 50)
    embed(store)
    features = put_bag(store, "a", 50, seed=5)
    assert counts(embed(store)) == (1, 0, 0)
    pooled = store.pooled("a", SPACE, "mean")
    np.testing.assert_allclose(pooled.embedding[0], features.mean(0, dtype=np.float64), rtol=1e-6)
    assert pooled.commit.key.endswith("~000002.json")
    assert counts(embed(store)) == (0, 1, 0)


def test_slides_that_cannot_be_embedded_stop_no_other(store):
    put_bag(store, "empty", 0)
    put_bag(store, "fine", 40)
    put_bag(store, "unread", 6, valid=np.zeros(6, bool))
    report = embed(store)
    assert report.made == 1
    reasons = dict(report.failed)
    assert sorted(reasons) == ["empty", "unread"]
    assert reasons["empty"].startswith("the bag is empty")
    assert reasons["unread"].startswith("the bag has no valid row")


@pytest.mark.parametrize("damage", ["gone", "short", "flipped"])
def test_a_damaged_bag_is_not_embedded(store, damage):
    put_bag(store, "a", 3000)
    shard = store.objects.local / store.bag("a").commit.attempt / "features" / "c" / "0" / "0"
    data = bytearray(shard.read_bytes())
    if damage == "gone":
        shard.unlink()
    elif damage == "short":
        shard.write_bytes(data[: len(data) // 2])
    else:
        data[1000] ^= 1
        shard.write_bytes(data)
    report = embed(store)
    assert report.made == 0
    [(slide_id, reason)] = report.failed
    assert slide_id == "a"
    assert "features" in reason
    assert "slidelake verify" in reason
    assert "~pooled~" not in "".join(store.objects.list("commits"))


def test_only_the_slides_asked_for(store):
    put_bag(store, "a", 5)
    put_bag(store, "b", 5)
    put_bag(store, "c", 5, encoder_id="uni2-h.0123abcd")
    assert counts(embed(store, space=SPACE, slides=["b"])) == (1, 0, 0)
    report = embed(store, space="stain-texture", slides=["b", "c", "nobody"])
    assert report.already == 1
    assert sorted(slide_id for slide_id, _ in report.failed) == ["c", "nobody"]
    # A slide of another space is not one that failed.
    assert counts(embed(store, space=SPACE)) == (1, 1, 0)


def test_names_that_fit_nothing(store):
    with pytest.raises(UnknownSpaceError):
        embed(store)
    put_bag(store, "a", 5)
    with pytest.raises(UnknownSpaceError):
        embed(store, space="uni2-h")
    with pytest.raises(UnknownAggregatorError):
        embed(store, aggregator="median")


def test_memory_does_not_grow_with_the_bag(store, monkeypatch):
    """Blocks are what the aggregator gets: no more rows at a time than BLOCK_ROWS."""
    put_bag(store, "a", 1000)
    monkeypatch.setattr(read_bags, "BLOCK_ROWS", 256)
    sizes = []
    encode = MeanAggregator.encode

    def counting(self, blocks):
        return encode(self, (sizes.append(len(block.features)) or block for block in blocks))

    monkeypatch.setattr(MeanAggregator, "encode", counting)
    assert embed(store).made == 1
    assert sizes == [256, 256, 256, 232]
