"""BagLoader where something is wrong: damaged bags, bags that went, readers that leave early; and its memory."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from slidelake.errors import DamagedStoreError, GridMismatchError, StoreError, UnknownSlideError, UsageError
from slidelake.store import Bag, BagLoader, FeatureStore
from slidelake.store.streaming import Classification, Labels, MixBags, RandomRows, TopRows
from slidelake.store.streaming.bag_source import BagSource
from tests.store.streaming.bags import SPACE, add_bag, all_same, bags_in, features_of, make_store


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return make_store(tmp_path / "store", [40] * 8)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [each for each in set(threading.enumerate()) - before if "read-ahead" in each.name]
    assert left == []


def damage(store: FeatureStore, slide_id: str) -> None:
    """Cuts the features' shard short."""
    path = Path(store.bag(slide_id).path) / "features" / "c" / "0" / "0"
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize("threads", ["auto", 0, 1, 3])
def test_a_damaged_bag_is_named_at_its_place(store: FeatureStore, threads: int) -> None:
    order = bags_in(BagLoader(store))
    damage(store, order[4])
    seen: list[str] = []
    with pytest.raises(DamagedStoreError, match=f"^{order[4]}: ") as caught:
        seen.extend(batch.bag_ids[0] for batch in BagLoader(store, read_ahead=threads))
    assert seen == order[:4]
    assert caught.value.slide == order[4]


@pytest.mark.parametrize("threads", [0, 3])
def test_skipping_puts_another_bag_of_the_class_in_its_place(store: FeatureStore, threads: int) -> None:
    table = pd.DataFrame({"slide_id": store.slide_ids(), "y": list("aaaabbbb")})
    labels = Labels.read(table, Classification("y"), store=store)
    damage(store, "S05")
    loader = BagLoader(store, labels=labels, bags_per_batch=4, on_error="skip", read_ahead=threads)
    batches = list(loader)
    bags = [bag_id for batch in batches for bag_id in batch.bag_ids]
    assert len(batches) == 2
    assert len(bags) == 8
    assert "S05" not in bags
    assert sum(batch.targets.sum().item() for batch in batches) == 4
    assert list(loader.skipped) == ["S05"]
    assert "S05" in loader.skipped["S05"]
    other = BagLoader(store, labels=labels, bags_per_batch=4, on_error="skip", read_ahead=0)
    assert all_same(list(other), batches)


@pytest.mark.parametrize("threads", [0, 3])
def test_mates_that_cannot_be_read_are_skipped_too(store: FeatureStore, threads: int) -> None:
    table = pd.DataFrame({"slide_id": store.slide_ids(), "y": list("aaaabbbb")})
    labels = Labels.read(table, Classification("y"), store=store)
    for slide_id in ("S01", "S02", "S06"):
        damage(store, slide_id)
    options: dict[str, Any] = {"labels": labels, "augment": MixBags(0.5), "on_error": "skip"}
    loader = BagLoader(store, bags_per_batch=2, read_ahead=threads, **options)
    batches = list(loader)
    assert set(loader.skipped) == {"S01", "S02", "S06"}
    assert {bag_id for batch in batches for bag_id in batch.bag_ids} <= {"S00", "S03", "S04", "S05", "S07"}
    for batch in batches:
        for number, bag_id in enumerate(batch.bag_ids):
            slides = batch.features[40 * number : 40 * number + 40, 0].tolist()
            assert sorted(slides).count(int(bag_id[1:])) == 20
            assert not set(slides) & {1, 2, 6}
    assert all_same(list(BagLoader(store, bags_per_batch=2, read_ahead=1, **options)), batches)
    with pytest.raises(DamagedStoreError, match=r"S0[126]: "):
        list(BagLoader(store, **{**options, "on_error": "raise"}))


def test_nothing_is_left_to_skip_to(store: FeatureStore) -> None:
    for slide_id in store.slide_ids():
        damage(store, slide_id)
    with pytest.raises(StoreError, match="cannot be read, nor any that stood in its place"):
        list(BagLoader(store, on_error="skip"))


def test_skipping_does_not_hide_wrong_use(store: FeatureStore) -> None:
    class Broken:
        needs_mate = False

        def apply(self, features: np.ndarray, rng: np.random.Generator, mate: None = None) -> np.ndarray:
            return features[:3]

    with pytest.raises(UsageError, match=r"made \(3, 8\) of features of shape \(40, 8\)"):
        list(BagLoader(store, augment=Broken(), on_error="skip"))


@pytest.mark.parametrize("threads", ["auto", 1, 3])
def test_leaving_early_leaves_no_thread(store: FeatureStore, threads: int) -> None:
    loader = BagLoader(store, read_ahead=threads)
    for batch in loader:
        if batch.step == 2:
            break
    stream = iter(loader)
    next(stream)
    del stream

    def train() -> None:
        for _ in loader:
            raise RuntimeError("raised by the trainer")

    with pytest.raises(RuntimeError, match="by the trainer"):
        train()


def test_a_bag_that_was_deleted_meanwhile(store: FeatureStore) -> None:
    loader = BagLoader(store)
    store.close_epoch("S03")
    # Nobody has cleared it away yet, and the loader goes by what it was made on.
    assert len(bags_in(loader)) == 8
    loader = BagLoader(store)
    assert "S03" not in loader.bag_ids
    for key in store.objects.list("commits"):
        if "/S04/" in key:
            store.objects.delete(key)
    with pytest.raises(UnknownSlideError, match=r"S04: its bag in .* is gone since"):
        list(loader)
    skipping = BagLoader(make_store(Path(store.url).parent / "two", [5, 5]), on_error="skip")
    skipping.store.objects.delete_tree("commits")
    with pytest.raises(StoreError, match="nor any"):
        list(skipping)


def test_an_operating_systems_error_gets_the_slides_name(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Bag, name: str = "features", out: object = None) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Bag, "read", failing)
    with pytest.raises(StoreError, match=r"S\d\d: .*Input/output error") as caught:
        list(BagLoader(store, with_coords=False))
    assert isinstance(caught.value.__cause__, OSError)


def test_rows_of_two_spaces_that_are_other_patches(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", [20])
    add_bag(store, 0, 20, encoder_id="other.00000000")
    source = BagSource(store, BagLoader(store, space=[SPACE, "other"])._cohort)
    one, other = source.bags("S00", (SPACE, "256px-0.5mpp/other.00000000"))
    assert one.commit.grid_checksum == other.commit.grid_checksum
    other.commit.body["grid_checksum"] = "another"
    with pytest.raises(GridMismatchError, match=r"S00: the rows of .* are not the same patches"):
        source.bags("S00", (SPACE, "256px-0.5mpp/other.00000000"))


def test_top_rows_by_stored_scores(store: FeatureStore) -> None:
    scores = np.random.default_rng(0).normal(size=(1, 40)).astype(np.float32)
    store.put_pooled(
        "S00",
        SPACE,
        "abmil.00000000",
        embedding=np.zeros((1, 8)),
        scores=scores,
        lse=np.zeros(1),
        provenance={},
    )
    batch = next(iter(BagLoader(store, slides=["S00"], sample=TopRows(5, "abmil"))))
    assert batch.rows.tolist() == sorted(np.argsort(-scores[0])[:5].tolist())
    with pytest.raises(UnknownSlideError, match="S01"):
        list(BagLoader(store, slides=["S01"], sample=TopRows(5, "abmil")))


def test_features_that_a_sampler_reads_are_not_read_twice(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Largest:
        needs = frozenset({"features"})

        def choose(self, candidates: object, rng: np.random.Generator) -> np.ndarray:
            return np.sort(np.argsort(candidates.features()[:, 3])[-4:])  # type: ignore[attr-defined]

    reads: list[str] = []
    read, rows = Bag.read, Bag.rows

    def counted(self: Bag, name: str = "features", out: object = None) -> object:
        reads.append(name)
        return read(self, name, out)  # type: ignore[arg-type]

    monkeypatch.setattr(Bag, "read", counted)
    batch = next(iter(BagLoader(store, slides=["S02"], sample=Largest())))
    expected = np.sort(np.argsort(features_of(2, 40)[:, 3])[-4:])
    assert batch.rows.tolist() == expected.tolist()
    np.testing.assert_array_equal(batch.features.numpy(), features_of(2, 40)[expected])
    assert reads.count("features") == 1
    assert rows is Bag.rows


def test_memory_goes_round_and_kept_batches_stay(tmp_path: Path) -> None:
    """Bags of 4 MiB: a loop that keeps none uses three buffers or so, whatever the number of bags."""
    store = make_store(tmp_path / "store", [2048] * 12, dim=1024)
    for threads in (0, 1):
        places = {batch.features.data_ptr() for batch in BagLoader(store, read_ahead=threads)}
        assert len(places) <= 4
        kept = list(BagLoader(store, read_ahead=threads))
        assert len({batch.features.data_ptr() for batch in kept}) == 12
        for batch in kept:
            number = int(batch.bag_ids[0][1:])
            assert (batch.features[:, 0] == number).all()


def test_tensors_share_their_memory_with_arrays(store: FeatureStore) -> None:
    batch = next(iter(BagLoader(store)))
    array = batch.features.numpy()
    array[0, 0] = 77
    assert batch.features[0, 0] == 77
    assert isinstance(batch.features, torch.Tensor)


def test_a_sampled_bag_of_no_rows(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", [0, 3])
    for layout in ("packed", "padded", "list"):
        (batch,) = BagLoader(store, bags_per_batch=2, shuffle=False, sample=RandomRows(2), layout=layout)
        assert batch.cu_seqlens.tolist() == [0, 0, 2]
