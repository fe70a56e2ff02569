"""What the training benchmark compares is the same training: equal batches, equal weights, equal losses."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import mil_training
from benchmarks.mil_training import Cohort, H5Bags, H5Loop, InMemory, Ours, PlainABMIL, PlainMean, Torchmil

SLIDES = 4


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return Cohort(tmp_path_factory.mktemp("cohort"), SLIDES)


@pytest.fixture(scope="module")
def sides(cohort: Cohort) -> dict[str, Any]:
    """Every side, from one side's weights; none has trained yet."""
    orders = cohort.orders(1)
    made = {
        "ours": Ours(cohort, "abmil"),
        "in_memory": InMemory(cohort, "abmil", orders),
        "clam_h5": H5Loop(cohort, PlainABMIL(), orders),
        "torchmil": Torchmil(cohort, orders),
        "linear": Ours(cohort, "mean"),
        "linear_h5": H5Loop(cohort, PlainMean(), orders),
    }
    mil_training.same_weights(made)
    return made


def test_all_copies_of_a_bag_hold_the_same_numbers(cohort: Cohort) -> None:
    for number, (slide, (h5, target)) in enumerate(
        zip(cohort.ids, H5Bags(cohort.folder, cohort.targets, cohort.ids), strict=True)
    ):
        bag = cohort.store.bag(slide).features
        np.testing.assert_array_equal(bag, cohort.features[slide].numpy())
        np.testing.assert_array_equal(bag.astype(np.float32), h5.numpy())
        np.testing.assert_array_equal(h5.numpy(), np.load(cohort.folder / "features" / f"{slide}.npy"))
        assert target == number % 2 == float(np.load(cohort.folder / "labels" / f"{slide}.npy"))


def test_all_sides_have_one_loss_on_one_step(cohort: Cohort, sides: dict[str, Any]) -> None:
    order = cohort.orders(1)[0][0]
    packed = next(sides["in_memory"].batches([order]))
    padded = next(iter(next(sides["torchmil"].loaders)))
    one_by_one = [(cohort.features[each].float(), cohort.targets[each]) for each in order]
    losses = {name: sides[name].loss(packed).item() for name in ("ours", "in_memory", "linear")}
    losses["torchmil"] = sides["torchmil"].loss(padded).item()
    for name in ("clam_h5", "linear_h5"):
        losses[name] = sides[name].loss([iter(one_by_one)] * len(order)).item()
    for name in ("in_memory", "torchmil", "clam_h5"):
        assert losses[name] == pytest.approx(losses["ours"], rel=1e-4)
    assert losses["linear_h5"] == pytest.approx(losses["linear"], rel=1e-4)


def test_an_epoch_from_the_lake_is_an_epoch_from_memory(cohort: Cohort) -> None:
    lake, memory = Ours(cohort, "abmil"), InMemory(cohort, "abmil", cohort.orders(2))
    for _ in range(2):
        lake()
        memory()
    assert lake.curve == memory.curve
    assert lake.curve[1] < lake.curve[0]
    assert 0 < lake.waited < lake.took


def test_curves_that_part_end_the_run() -> None:
    sides = {
        "a": SimpleNamespace(curve=[0.7, 0.5]),
        "b": SimpleNamespace(curve=[0.7, 0.505]),
        "c": SimpleNamespace(curve=[0.7, 0.6]),
    }
    mil_training.check_curves(sides, [["a", "b"]])
    with pytest.raises(SystemExit, match="a and c differ"):
        mil_training.check_curves(sides, [["a", "b"], ["a", "c"]])
