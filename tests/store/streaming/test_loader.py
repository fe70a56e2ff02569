"""BagLoader: what is in a batch, and that seed, epoch and bag alone decide it."""

import json
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from slidelake.errors import UnknownSpaceError, UsageError
from slidelake.store import BagLoader, Batch, FeatureStore
from slidelake.store.streaming import (
    Classification,
    Compose,
    GaussianNoise,
    Interpolate,
    Labels,
    RandomRows,
    Regression,
    ShareOfRows,
    SpatialRows,
    Splits,
    Survival,
)
from tests.store.streaming.bags import DIM, SPACE, add_bag, all_same, bags_in, features_of, make_store

LENGTHS = [30, 700, 5, 260, 1, 90, 256, 0, 40, 515, 12]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Bags of many lengths; tests read it and do not change it."""
    return make_store(tmp_path_factory.mktemp("loader") / "store", LENGTHS)


@pytest.fixture(scope="module")
def labels(store: FeatureStore) -> Labels:
    table = pd.DataFrame({"slide_id": store.slide_ids(), "grade": ["low", "high"] * 5 + ["low"]})
    return Labels.read(table, Classification("grade"), store=store)


def test_whole_bags(store: FeatureStore) -> None:
    loader = BagLoader(store)
    assert len(loader) == 11
    assert "11 slides, 1909 patches" in repr(loader)
    seen = []
    for step, batch in enumerate(loader):
        (bag_id,) = batch.bag_ids
        seen.append(bag_id)
        rows = LENGTHS[int(bag_id[1:])]
        assert batch.features.dtype == torch.float16
        np.testing.assert_array_equal(batch.features.numpy(), features_of(int(bag_id[1:]), rows))
        assert batch.cu_seqlens.tolist() == batch.slide_seqlens.tolist() == [0, rows]
        assert batch.cu_seqlens.dtype == torch.int32
        assert batch.rows.tolist() == list(range(rows))
        np.testing.assert_array_equal(batch.coords.numpy(), store.bag(bag_id).coords)
        assert batch.slide_ids == batch.bag_ids
        assert batch.patient_ids == (f"P{bag_id[1:]}",)
        assert (batch.targets, batch.mask, batch.epoch, batch.step) == (None, None, 0, step)
    assert sorted(seen) == list(loader.bag_ids) == store.slide_ids()
    assert loader.epoch == 1


def test_packed_padded_and_listed_hold_the_same(store: FeatureStore) -> None:
    packed = next(iter(BagLoader(store, bags_per_batch=11, shuffle=False)))
    assert packed.features.shape == (sum(LENGTHS), DIM)
    assert packed.cu_seqlens.tolist() == np.cumsum([0, *LENGTHS]).tolist()
    assert len(packed) == 11
    padded = next(iter(BagLoader(store, bags_per_batch=11, shuffle=False, layout="padded")))
    assert padded.features.shape == (11, max(LENGTHS), DIM)
    assert padded.coords.shape == (11, max(LENGTHS), 2)
    assert padded.mask.sum(dim=1).tolist() == LENGTHS
    assert torch.equal(padded.features[padded.mask], packed.features)
    assert torch.equal(padded.coords[padded.mask], packed.coords)
    assert torch.equal(padded.rows[padded.mask], packed.rows)
    assert not padded.features[~padded.mask].any()
    assert (padded.rows[~padded.mask] == -1).all()
    listed = next(iter(BagLoader(store, bags_per_batch=11, shuffle=False, layout="list")))
    assert [len(each) for each in listed.features] == LENGTHS
    assert torch.equal(torch.cat(listed.features), packed.features)
    assert torch.equal(torch.cat(listed.coords), packed.coords)
    assert torch.equal(listed.cu_seqlens, packed.cu_seqlens)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bags_per_batch": 3, "sample": RandomRows(20)},
        {"bags_per_batch": 4, "layout": "padded", "sample": SpatialRows(15), "augment": GaussianNoise(0.1)},
        {
            "patches_per_batch": 600,
            "dtype": "float32",
            "augment": Compose([Interpolate(), GaussianNoise(0.1)]),
        },
        {"bags_per_batch": 2, "layout": "list", "balance": "class", "sample": ShareOfRows(0.3)},
    ],
)
def test_any_number_of_threads_gives_the_same(
    store: FeatureStore, labels: Labels, options: dict[str, Any]
) -> None:
    def stream(**more: Any) -> list[Any]:
        loader = BagLoader(store, labels=labels, **{"seed": 3, **options, **more})
        return [batch for _ in range(2) for batch in loader]

    expected = stream(read_ahead=0)
    for threads in ("auto", 1, 3):
        assert all_same(stream(read_ahead=threads), expected)
    assert not all_same(stream(seed=4), expected)
    first, second = expected[: len(expected) // 2], expected[len(expected) // 2 :]
    assert {batch.epoch for batch in first} == {0}
    assert {batch.epoch for batch in second} == {1}
    assert not all_same(first, second)


def test_chance_belongs_to_the_bag_not_to_its_batch(store: FeatureStore) -> None:
    chosen = {}
    for options in ({"bags_per_batch": 1}, {"bags_per_batch": 4, "world_size": 2}, {"patches_per_batch": 70}):
        rows = {}
        for rank in range(options.get("world_size", 1)):
            for batch in BagLoader(store, sample=RandomRows(20), rank=rank, **options):
                for number, bag_id in enumerate(batch.bag_ids):
                    borders = batch.cu_seqlens.tolist()
                    rows[bag_id] = batch.rows[borders[number] : borders[number + 1]].tolist()
        chosen[str(options)] = rows
    one, *others = chosen.values()
    assert others == [one, one]
    assert len(one["S01"]) == 20
    assert one["S02"] == list(range(5))


@pytest.mark.parametrize("threads", [0, 2])
def test_it_goes_on_where_it_stopped(store: FeatureStore, threads: int) -> None:
    options: dict[str, Any] = {"bags_per_batch": 2, "sample": RandomRows(30), "seed": 1}
    whole = list(BagLoader(store, **options)) + list(_at_epoch(BagLoader(store, **options), 1))
    states = []
    loader = BagLoader(store, read_ahead=threads, **options)
    states.append(loader.state_dict())
    for _ in range(2):
        for _ in loader:
            states.append(json.loads(json.dumps(loader.state_dict())))
    steps = len(loader)
    for done, state in enumerate(states):
        other = BagLoader(store, read_ahead=2 - threads, **options)
        other.load_state_dict(state)
        other.set_epoch(state["epoch"])
        rest = list(other)
        assert all_same(rest, whole[done : (done // steps + 1) * steps] if state["step"] < steps else [])
        # The epoch after it is whole.
        assert other.epoch == state["epoch"] + 1
        assert len(list(other)) == steps


def _at_epoch(loader: BagLoader, epoch: int) -> BagLoader:
    loader.set_epoch(epoch)
    return loader


def test_a_state_of_other_batches_is_refused(store: FeatureStore, tmp_path: Path) -> None:
    state = BagLoader(store, bags_per_batch=2).state_dict()
    for options, message in [
        ({"seed": 1}, "seed=0, this loader has 1"),
        ({"world_size": 2}, "world_size=1, this loader has 2"),
        ({"bags_per_batch": 3}, "bags_per_batch=2"),
        ({"layout": "padded"}, "padded=False"),
        ({"slides": ["S01", "S03"]}, "other bags"),
    ]:
        with pytest.raises(UsageError, match=message):
            BagLoader(store, **{"bags_per_batch": 2, **options}).load_state_dict(state)
    with pytest.raises(UsageError, match="no state"):
        BagLoader(store).load_state_dict({"epoch": 0})
    # A bag that was made again is another bag; a snapshot stays.
    own = make_store(tmp_path / "own", [10, 20])
    own.snapshots.create("v1")
    states = {name: BagLoader(own, snapshot=name).state_dict() for name in (None, "v1")}
    add_bag(own, 0, 10)
    with pytest.raises(UsageError, match="other bags"):
        BagLoader(own).load_state_dict(states[None])
    add_bag(own, 2, 30)
    pinned = BagLoader(own, snapshot="v1")
    pinned.load_state_dict(states["v1"])
    assert sorted(bags_in(pinned)) == ["S00", "S01"]
    with pytest.raises(UsageError, match="epoch is -1"):
        pinned.set_epoch(-1)


def test_stopping_early_begins_the_epoch_again(store: FeatureStore) -> None:
    loader = BagLoader(store)
    first = bags_in(BagLoader(store))
    for batch in loader:
        assert batch.bag_ids == (first[batch.step],)
        if batch.step == 3:
            break
    assert loader.state_dict()["step"] == 4
    assert bags_in(loader) == first


def test_an_epoch_begins_during_the_last_step_of_the_one_before(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", [3000] * 4)
    alone = BagLoader(store, seed=3, read_ahead=0)
    expected = [list(alone) for _ in range(4)]
    loader = BagLoader(store, seed=3)

    def slow(loader: BagLoader) -> list[Batch]:
        seen = []
        for batch in loader:
            time.sleep(0.02)  # longer than reading takes: reading ahead pays
            seen.append(batch)
        return seen

    assert all_same(slow(loader), expected[0])
    begun = loader._first
    assert begun is not None
    assert begun[0].epoch == 1
    assert len(loader) == 4
    assert all_same(slow(pickle.loads(pickle.dumps(loader))), expected[1])
    assert all_same(slow(loader), expected[1])
    # Another epoch than the one begun: what was made is let go of.
    loader.set_epoch(3)
    assert all_same(slow(loader), expected[3])
    assert loader._first is not None
    loader.set_epoch(0)
    assert all_same(list(loader), expected[0])


def test_ranks_share_the_epoch(store: FeatureStore) -> None:
    whole = [batch.bag_ids for batch in BagLoader(store, bags_per_batch=2)]
    ranks = [[b.bag_ids for b in BagLoader(store, bags_per_batch=2, rank=r, world_size=4)] for r in range(4)]
    assert {len(each) for each in ranks} == {2}
    dealt = [ranks[rank][step] for step in range(2) for rank in range(4)]
    assert dealt == [*whole, *whole[:2]]
    dropped = [
        [b.bag_ids for b in BagLoader(store, bags_per_batch=2, rank=r, world_size=4, drop_last=True)]
        for r in range(4)
    ]
    assert [each[0] for each in dropped] == whole[:4]
    assert {len(each) for each in dropped} == {1}


def test_invalid_rows_never_come(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", [])
    add_bag(store, 0, 300, invalid=[0, 7, 299])
    add_bag(store, 1, 4, invalid=[0, 1, 2, 3])
    add_bag(store, 2, 6)
    batch = next(iter(BagLoader(store, bags_per_batch=3, shuffle=False)))
    kept = np.setdiff1d(np.arange(300), [0, 7, 299])
    assert batch.cu_seqlens.tolist() == [0, 297, 297, 303]
    np.testing.assert_array_equal(batch.rows[:297].numpy(), kept)
    np.testing.assert_array_equal(batch.features[:297].numpy(), features_of(0, 300)[kept])
    np.testing.assert_array_equal(batch.coords[:297].numpy(), store.bag("S00").coords[kept])
    sampled = next(iter(BagLoader(store, slides=["S00"], sample=RandomRows(290))))
    assert not set(sampled.rows.tolist()) & {0, 7, 299}


def test_patients(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", [])
    for number, (rows, patient) in enumerate([(30, "P1"), (20, "P0"), (50, "P1"), (7, "P2")]):
        add_bag(store, number, rows, patient=patient)
    loader = BagLoader(store, unit="patient", shuffle=False)
    assert loader.bag_ids == ("P0", "P1", "P2")
    one = list(loader)[1]
    assert one.bag_ids == one.patient_ids == ("P1",)
    assert one.slide_ids == ("S00", "S02")
    assert one.cu_seqlens.tolist() == [0, 80]
    assert one.slide_seqlens.tolist() == [0, 30, 80]
    np.testing.assert_array_equal(one.features[30:].numpy(), features_of(2, 50))
    assert one.rows.tolist() == [*range(30), *range(50)]
    sampled = list(BagLoader(store, unit="patient", shuffle=False, sample=SpatialRows(16)))[1]
    assert sampled.cu_seqlens.tolist() == [0, 16]
    first = sampled.slide_seqlens.tolist()[1]
    assert 3 <= first <= 9  # 30 of 80 rows, spread evenly
    assert sampled.features[:, 0].tolist() == [0.0] * first + [2.0] * (16 - first)
    assert sampled.features[:, 1].tolist() == sampled.rows.tolist()
    by_slide = Labels.read(
        pd.DataFrame({"slide_id": ["S00", "S01", "S02", "S03"], "y": ["a", "b", "b", "b"]}),
        Classification("y"),
    )
    with pytest.raises(UsageError, match=r"P1: .*different labels: S00, S02"):
        BagLoader(store, unit="patient", labels=by_slide)
    by_patient = Labels.read(
        pd.DataFrame({"patient_id": ["P0", "P1"], "y": [0.5, 1.5]}), Regression("y"), by="patient"
    )
    batch = next(iter(BagLoader(store, unit="patient", labels=by_patient, shuffle=False, bags_per_batch=2)))
    assert batch.targets.tolist() == [[0.5], [1.5]]
    slides = BagLoader(store, labels=by_patient, shuffle=False, bags_per_batch=3)
    assert next(iter(slides)).targets[:, 0].tolist() == [1.5, 0.5, 1.5]
    assert slides.left_out == {"S03": "no label"}


def test_several_spaces(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", [40, 300])
    add_bag(store, 0, 40, encoder_id="other.00000000", dim=3, invalid=[5])
    add_bag(store, 1, 300, encoder_id="other.00000000", dim=3)
    for number, rows in ((0, 10), (1, 80)):
        add_bag(store, number, rows, grid_id="512px-0.5mpp", encoder_id="other.00000000", dim=3)
    with pytest.raises(UnknownSpaceError, match="several spaces"):
        BagLoader(store)
    beside = BagLoader(store, space=["test-encoder", "256px@0.5mpp/other"], bags_per_batch=2, shuffle=False)
    batch = next(iter(beside))
    assert tuple(batch.features) == beside.spaces == (SPACE, "256px-0.5mpp/other.00000000")
    # Row 5 of S00 could not be read in one of the two: it is left out of both.
    assert [tuple(each.shape) for each in batch.features.values()] == [(339, DIM), (339, 3)]
    assert batch.cu_seqlens.tolist() == [0, 39, 339]
    assert 5 not in batch.rows[:39]
    names = [SPACE, "512px-0.5mpp/other.00000000"]
    apart = next(iter(BagLoader(store, space=names, bags_per_batch=2, shuffle=False, layout="padded")))
    assert {name: borders.tolist() for name, borders in apart.cu_seqlens.items()} == {
        names[0]: [0, 40, 340],
        names[1]: [0, 10, 90],
    }
    assert apart.features[names[1]].shape == (2, 80, 3)
    assert apart.mask[names[1]].sum().item() == 90
    assert apart.rows[names[0]].shape == (2, 300)
    assert apart.to("cpu").coords[names[1]].shape == (2, 80, 2)
    with pytest.raises(UsageError, match="named twice"):
        BagLoader(store, space=[SPACE, SPACE])


def test_targets_of_every_kind(store: FeatureStore, labels: Labels) -> None:
    batch = next(iter(BagLoader(store, labels=labels, bags_per_batch=11, shuffle=False)))
    assert batch.targets.dtype == torch.int64
    assert batch.targets.tolist() == labels.targets(batch.bag_ids).tolist()
    table = pd.DataFrame({"slide_id": ["S00", "S01"], "months": [3.5, 8], "died": [1, 0]})
    survival = Labels.read(table, Survival("months", "died"), store=store)
    loader = BagLoader(store, labels=survival, bags_per_batch=2, shuffle=False)
    assert next(iter(loader)).targets.tolist() == [[3.5, 1], [8, 0]]
    assert loader.left_out["S05"] == "no label"
    with pytest.raises(UsageError, match="1 of the slides named have no label: S05"):
        BagLoader(store, labels=survival, slides=["S00", "S05"])
    stranger = Labels.read(
        pd.DataFrame({"slide_id": ["X"], "y": ["a"]}), Classification("y"), store=store, unknown="ignore"
    )
    assert stranger.unknown == ("X",)
    with pytest.raises(UsageError, match="no bag has a label"):
        BagLoader(store, labels=stranger)


def test_parts_of_splits(store: FeatureStore) -> None:
    table = pd.DataFrame({"slide_id": store.slide_ids(), "split": ["train"] * 7 + ["test"] * 4})
    splits = Splits.from_table(table)
    assert BagLoader(store, splits=splits, part="test").bag_ids == tuple(store.slide_ids()[7:])
    for wrong in (
        {"splits": splits},
        {"part": "test"},
        {"splits": splits, "part": "test", "slides": ["S00"]},
    ):
        with pytest.raises(UsageError):
            BagLoader(store, **wrong)


def test_classes_are_balanced(store: FeatureStore) -> None:
    table = pd.DataFrame({"slide_id": store.slide_ids(), "y": ["rare"] + ["common"] * 10})
    labels = Labels.read(table, Classification("y"), store=store)
    loader = BagLoader(store, labels=labels, balance="class", bags_per_batch=11, sample=RandomRows(5))
    batch = next(iter(loader))
    assert sorted(np.bincount(batch.targets.numpy()).tolist()) == [5, 6]
    # A bag that comes again brings other rows.
    rare = [number for number, bag_id in enumerate(batch.bag_ids) if bag_id == "S00"]
    borders = batch.cu_seqlens.tolist()
    assert len({tuple(batch.rows[borders[n] : borders[n + 1]].tolist()) for n in rare}) == len(rare)
    with pytest.raises(UsageError, match="needs classes"):
        BagLoader(store, balance="class")
    with pytest.raises(UsageError, match="there are no labels"):
        BagLoader(store, augment=Interpolate())
    assert len(bags_in(BagLoader(store, balance="patient"))) == 11


def test_dtypes(store: FeatureStore, tmp_path: Path) -> None:
    stored = next(iter(BagLoader(store, slides=["S05"]))).features
    for dtype in ("float32", torch.float32, np.float32, "bfloat16", torch.bfloat16):
        found = next(iter(BagLoader(store, slides=["S05"], dtype=dtype))).features
        assert found.dtype == (torch.bfloat16 if "bfloat16" in str(dtype) else torch.float32)
        assert torch.equal(found, stored.to(found.dtype))
    with pytest.raises(UsageError, match="int8"):
        BagLoader(store, dtype="int8")
    mixed = make_store(tmp_path / "mixed", [5])
    add_bag(mixed, 1, 6, dtype="float32")
    batch = next(iter(BagLoader(mixed, bags_per_batch=2, shuffle=False)))
    assert batch.features.dtype == torch.float32
    np.testing.assert_array_equal(batch.features[:5].numpy(), features_of(0, 5))
