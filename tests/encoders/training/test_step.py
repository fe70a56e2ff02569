"""A step's gradient is that of the mean over its bags, however they lie in batches."""

from pathlib import Path
from typing import Any

import pytest
import torch

from slidelake.encoders.slide import create_slide_model
from slidelake.encoders.training.cohort import read_cohort
from slidelake.encoders.training.distributed import World
from slidelake.encoders.training.precision import Precision
from slidelake.encoders.training.step import Stepped, Stepper
from slidelake.encoders.training.tasks import Task, fit_task
from slidelake.store import BagLoader, FeatureStore
from tests.encoders.training.lakes import DIM, config

CPU = torch.device("cpu")
SURVIVAL = {"task": "survival", "labels": "months,died"}


def one_step(
    lake: FeatureStore, out: Path, bags: int, encoder: str = "mean", options: Any = (), **settings: Any
) -> tuple[Stepped, Any, Task]:
    """One step of plain descent over the first 12 bags, `bags` to a batch; the model after it."""
    told = config(out, encoder=encoder, options=dict(options), clip=0.0, **settings)
    cohort = read_cohort(lake, told)
    task, labels = fit_task(told, cohort.labels, cohort.bags("train", None))
    torch.manual_seed(0)
    model = create_slide_model(encoder, dim=DIM, outputs=task.outputs, **dict(options)).train()
    ids = [slide for slide in lake.slide_ids() if slide in labels][:12]
    loader = BagLoader(lake, slides=ids, labels=labels, bags_per_batch=bags, shuffle=False)
    step = Stepper(
        model,
        task,
        torch.optim.SGD(model.parameters(), lr=0.1),
        Precision(told.precision, CPU),
        World(0, 1, CPU),
        told,
    )
    return step(list(loader), 0, 0, len(ids)), model, task


@pytest.mark.parametrize(
    "settings", [{}, SURVIVAL, SURVIVAL | {"loss": "discrete", "bins": 2}], ids=["classes", "cox", "discrete"]
)
def test_batches_of_any_size_make_one_step(
    lake: FeatureStore, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Batches of 12; of 5, 5 and 2: unequal ones, which a mean of means would weigh wrongly; of 1."""
    whole, model, _ = one_step(lake, tmp_path, 12, **settings)
    for bags in (5, 1):
        cut, other, _ = one_step(lake, tmp_path, bags, **settings)
        assert float(cut.loss) == pytest.approx(float(whole.loss), rel=1e-5)
        assert (cut.weight, cut.bags) == (whole.weight, whole.bags)
        assert float(cut.norm) == pytest.approx(float(whole.norm), rel=1e-4)
        torch.testing.assert_close(other.state_dict(), model.state_dict(), rtol=1e-5, atol=1e-6)


def test_cox_compares_the_bags_of_the_whole_window(lake: FeatureStore, tmp_path: Path) -> None:
    """The step's gradient is that of the loss over all its bags at once, taken by autograd; alone, a bag has none."""
    stepped, model, task = one_step(lake, tmp_path, 1, **SURVIVAL)
    assert float(stepped.norm) > 1e-3
    torch.manual_seed(0)
    plain = create_slide_model("mean", dim=DIM, outputs=1)
    before = plain.head.weight.detach().clone()
    told = config(tmp_path, **SURVIVAL)
    labels = read_cohort(lake, told).labels
    [batch] = BagLoader(lake, slides=list(stepped.bags), labels=labels, bags_per_batch=12, shuffle=False)
    means = torch.stack(
        [part.float().mean(0) for part in batch.features.split(batch.cu_seqlens.diff().tolist())]
    )
    task.loss(plain.head(means), batch.targets).backward()
    torch.testing.assert_close(model.head.weight, before - 0.1 * plain.head.weight.grad, rtol=1e-4, atol=1e-6)


def test_both_passes_of_cox_draw_the_same_chance(lake: FeatureStore, tmp_path: Path) -> None:
    """With dropout the second pass sees the log-risks that the gradient was taken at."""
    options = {"dropout": 0.5, "projection": 16}
    stepped, _, task = one_step(lake, tmp_path, 4, "abmil", options, **SURVIVAL)
    labels = read_cohort(lake, config(tmp_path, **SURVIVAL)).labels
    targets = torch.from_numpy(labels.targets(stepped.bags))
    again = task.loss(stepped.values.double()[:, None], targets) * stepped.weight
    assert float(again) == pytest.approx(float(stepped.loss), rel=1e-6)
    other, _, _ = one_step(lake, tmp_path, 4, "abmil", options, seed=1, **SURVIVAL)
    assert not torch.equal(other.values, stepped.values)


def test_entropy_weight_is_in_the_gradient_and_not_in_the_loss(lake: FeatureStore, tmp_path: Path) -> None:
    plain, model, _ = one_step(lake, tmp_path, 12, "abmil")
    spread, other, _ = one_step(lake, tmp_path, 12, "abmil", entropy_weight=5.0)
    assert float(spread.loss) == float(plain.loss)
    moved = [not torch.equal(a, b) for a, b in zip(other.parameters(), model.parameters(), strict=True)]
    assert any(moved)
    assert float(spread.norm) != float(plain.norm)


@pytest.mark.parametrize("encoder", ["clam-mb", "acmil", "dsmil"])
def test_losses_of_a_models_own_are_means_over_bags_too(
    lake: FeatureStore, tmp_path: Path, encoder: str
) -> None:
    """Without chance, a window cut in half gives nearly the step of the whole one."""
    options = {"clam-mb": {"dropout": 0.0}, "acmil": {"dropout": 0.0, "mask_share": 0.0}, "dsmil": {}}[
        encoder
    ]
    whole, _, _ = one_step(lake, tmp_path, 12, encoder, options)
    cut, _, _ = one_step(lake, tmp_path, 6, encoder, options)
    assert float(cut.loss) == pytest.approx(float(whole.loss), rel=1e-5)
    assert float(cut.norm) == pytest.approx(float(whole.norm), rel=1e-4)
