"""Standardised features: the part that is trained on decides, the checkpoint carries it."""

import numpy as np
import pandas as pd
import pytest
import torch

from slidelake.encoders import Bags, create_slide_model, load_checkpoint, save_checkpoint
from slidelake.encoders.slide import Checkpoint
from slidelake.encoders.training import train
from slidelake.encoders.training.row_statistics import row_statistics
from slidelake.store import FeatureStore
from slidelake.store.streaming import Splits
from tests.encoders.training.lakes import DIM, add_slide, config


class Rows:
    """What `row_statistics` asks of a batch."""

    def __init__(self, features: torch.Tensor) -> None:
        self.features = features


@pytest.fixture(scope="module")
def small_numbers(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Features of 0.001 around 0.5: the label is in one column, below what a fresh network feels."""
    store = FeatureStore.open(tmp_path_factory.mktemp("standardise") / "lake", create=True)
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(18):
        features = rng.normal(size=(12, DIM))
        features[:, 0] += 3 * (patient % 2)
        add_slide(store, f"S{patient:02d}", f"P{patient:02d}", 0.001 * features + 0.0625)
        rows.append({"slide_id": f"S{patient:02d}", "grade": ("low", "high")[patient % 2]})
    store.metadata.merge(pd.DataFrame(rows))
    return store


def test_statistics_of_batches_are_those_of_all_rows():
    rows = torch.randn(100, 3, dtype=torch.float64, generator=torch.manual_seed(0)) * 0.01 + 1000
    rows[:, 2] = 7
    mean, spread = row_statistics([Rows(rows[:1]), Rows(rows[1:1]), Rows(rows[1:40]), Rows(rows[40:])])
    torch.testing.assert_close(mean, rows.mean(0).float())
    torch.testing.assert_close(spread, rows.std(0, correction=0).float())
    assert spread[2] == 0


def test_small_features_are_learnt_at_once_where_they_are_standardised(small_numbers, tmp_path):
    plain = train(small_numbers, config(tmp_path / "plain"))
    standard = train(small_numbers, config(tmp_path / "standard", standardise=True))
    assert standard.metrics()["auroc"].value == 1.0
    last = [float(pd.read_csv(report.out / "log.csv")["train_loss"].iloc[-1]) for report in (plain, standard)]
    assert last[1] < 0.5 * last[0]


def test_the_checkpoint_carries_the_training_parts_statistics(small_numbers, tmp_path):
    report = train(small_numbers, config(tmp_path / "run", standardise=True))
    model = load_checkpoint(report.checkpoints()[0]).model
    splits = Splits.load(report.out / "splits.json")
    trained_on = [
        np.array(small_numbers.bag(slide).features, np.float64)
        for slide in small_numbers.slide_ids()
        if small_numbers.bag(slide).provenance["patient_id"] in splits.patients("train")
    ]
    rows = np.concatenate(trained_on)
    np.testing.assert_allclose(model.feature_mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.feature_spread, rows.std(0), rtol=1e-5)


def test_a_saved_model_gives_the_same_logits(tmp_path):
    torch.manual_seed(0)
    model = create_slide_model("abmil", dim=4, outputs=2).eval()
    bags = Bags(torch.randn(9, 4), torch.tensor([0, 3, 9]))
    before = model(bags).logits
    model.standardise(torch.tensor([1.0, 0, 0, 0]), torch.tensor([2.0, 1, 0, 1]))
    shifted = model(bags).logits
    assert not torch.allclose(before, shifted)
    by_hand = bags.features.clone()
    by_hand[:, 0] = (by_hand[:, 0] - 1) / 2
    twin = create_slide_model("abmil", dim=4, outputs=2).eval()
    twin.load_state_dict({name: v for name, v in model.state_dict().items() if "feature_" not in name})
    torch.testing.assert_close(twin(Bags(by_hand, bags.cu_seqlens)).logits, shifted)
    save_checkpoint(tmp_path / "m.safetensors", Checkpoint(model, "g/e", {"kind": "classification"}))
    again = load_checkpoint(tmp_path / "m.safetensors").model
    assert torch.equal(again(bags).logits, shifted)
