"""Training one slide encoder on a test's bags: the same plain recipe for all of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from slidelake.encoders.mil_tests.bags import DIM, BagsToTest
from slidelake.encoders.slide.model import Bags, SlideModel
from slidelake.encoders.slide.registry import create_slide_model
from slidelake.errors import UsageError

__all__ = ["Fit", "Score", "classifies", "fit_slide_model"]

#: One number a bag, higher for positive ones: (B,).
Score = Callable[[BagsToTest], NDArray[np.float64]]
#: Anything that learns from bags, by a seed.
Fit = Callable[[BagsToTest, int], Score]

BATCH = 32
EPOCHS = 15
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 1e-4


def classifies(name: str) -> bool:
    """Whether a slide encoder of the registry is trained on classes; UnknownAggregatorError for the name."""
    with torch.random.fork_rng(devices=[]):
        return "classification" in create_slide_model(name, dim=DIM, outputs=2).tasks


def fit_slide_model(name: str, *, epochs: int = EPOCHS) -> Fit:
    """A slide encoder of the registry, trained by AdamW in packed batches of 32 bags under a cosine schedule.

    Raises UnknownAggregatorError for the name, UsageError where it is not trained on classes.
    """
    if not classifies(name):
        raise UsageError(f"{name} is not trained on classes", remedy="Test slide encoders that classify.")

    def fit(bags: BagsToTest, seed: int) -> Score:
        # The weights and all chance come from the seed, and the caller's generator stays where it was.
        with torch.random.fork_rng(devices=[]), _one_thread():
            torch.manual_seed(seed)
            model = create_slide_model(name, dim=bags.features.shape[1], outputs=2)
            _train(model, bags, epochs)
        return lambda other: _scores(model.eval(), other)

    return fit


@contextmanager
def _one_thread() -> Iterator[None]:
    """Batches are of a few hundred rows: threads cost more than they give, and their sums depend on how many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(model: SlideModel, bags: BagsToTest, epochs: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(bags) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(epochs):
        for chosen in _batches(torch.randperm(len(bags)).numpy()):
            targets = torch.from_numpy(bags.labels[chosen])
            output = model(_packed(bags, chosen), targets)
            loss = F.cross_entropy(output.logits, targets) + sum(output.losses.values())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            model.after_step()


def _scores(model: SlideModel, bags: BagsToTest) -> NDArray[np.float64]:
    found = []
    with torch.inference_mode(), _one_thread():
        for chosen in _batches(np.arange(len(bags))):
            logits = model(_packed(bags, chosen)).logits.double()
            found.append((logits[:, 1] - logits[:, 0]).numpy())
    return np.concatenate(found)


def _batches(order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [order[first : first + BATCH] for first in range(0, len(order), BATCH)]


def _packed(bags: BagsToTest, chosen: NDArray[np.int64]) -> Bags:
    """Some of the bags, packed. Places mean nothing here: the rows lie in line."""
    lengths = np.diff(bags.cu_seqlens)[chosen]
    borders = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.repeat(bags.cu_seqlens[chosen] - borders[:-1], lengths) + np.arange(borders[-1])
    inside = np.arange(borders[-1]) - np.repeat(borders[:-1], lengths)
    coords = np.stack([inside * 256, np.zeros_like(inside)], axis=1)
    return Bags(
        torch.from_numpy(bags.features[rows]),
        torch.from_numpy(borders.astype(np.int32)),
        coords=torch.from_numpy(coords.astype(np.int32)),
    )
