"""Training a slide encoder from the lake: beside the same with all features in memory, beside CLAM's way over HDF5 as
TRIDENT writes it, and beside torchmil's ABMIL.

All sides train one gated ABMIL (L = 128) from the same weights on the same slides in the same order, in steps of
8 slides, with the same loss and optimiser, so that their loss curves are the same; the run ends where they are not.
Slides/s of whole epochs, rounds in turns. Figures are our rate over the other's:

`vs_in_memory`      the same loop, bags that lie in memory and are packed there.
`vs_clam_h5_loop`   CLAM's way: a DataLoader of one bag a batch over HDF5 with chunks of one row in float32, 2 workers,
                    ABMIL in plain torch; gradients of 8 bags are summed before each step, for equal curves.
`vs_torchmil`       torchmil's ABMIL on its own dataset (which keeps what it has read in memory) and padding collate.
`linear_vs_h5_loop` a linear layer on mean-pooled bags: packed batches of ours over the HDF5 loop.
`wait_share`        the share of our epoch in which the loop waits for a batch.

    python -m benchmarks.mil_training --quick
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchmil import models as torchmil_models
from torchmil.data import collate_fn
from torchmil.datasets import ProcessedMILDataset

from benchmarks.feature_bags import commit_bag, random_features, save_h5
from benchmarks.harness import Benchmark, interleaved, parse_arguments
from slidelake.encoders import Bags, create_slide_model
from slidelake.store import BagLoader, FeatureStore

DIM, HIDDEN, STEP = 512, 128, 8
RATE = 1e-3
#: Loss curves of one recipe in other orders of summation may differ by this at the end.
SAME = 0.01

Batch = tuple[Tensor, Tensor, Tensor]  # features (T, D), borders (B + 1,), targets (B,)


class Cohort:
    """Bags of 2,000 to 6,000 patches: in a lake, in memory, as HDF5 and as torchmil wants them."""

    def __init__(self, folder: Path, slides: int) -> None:
        generator = np.random.default_rng(0)
        self.folder = folder
        self.ids = [f"S{number:03d}" for number in range(slides)]
        self.targets = {each: float(number % 2) for number, each in enumerate(self.ids)}
        self.features: dict[str, Tensor] = {}
        self.store = FeatureStore.open(folder / "lake", create=True)
        sign = generator.standard_normal(DIM).astype(np.float32)
        for kind in ("features", "labels"):
            (folder / kind).mkdir()
        for number, each in enumerate(self.ids):
            rows = random_features(int(generator.integers(2000, 6000)), DIM, seed=number)
            if self.targets[each]:  # one patch in fifty shows the class
                rows[::50] += (sign / 2).astype(np.float16)
            commit_bag(self.store, each, rows)
            save_h5(folder / f"{each}.h5", rows)
            np.save(folder / "features" / f"{each}.npy", rows.astype(np.float32))
            np.save(folder / "labels" / f"{each}.npy", np.float32(self.targets[each]))
            self.features[each] = torch.from_numpy(rows)

    def loader(self) -> BagLoader:
        return BagLoader(self.store, bags_per_batch=STEP, seed=0)

    def orders(self, epochs: int) -> list[list[tuple[str, ...]]]:
        """The slides of each step of each epoch, as our loader shuffles them."""
        loader = self.loader()
        return [[batch.slide_ids for batch in loader] for _ in range(epochs)]

    def targets_of(self, ids: Sequence[str]) -> Tensor:
        return torch.tensor([self.targets[each] for each in ids])


def slide_model(name: str) -> nn.Module:
    torch.manual_seed(0)
    options = {"hidden": HIDDEN} if name == "abmil" else {}
    return create_slide_model(name, dim=DIM, outputs=1, **options)


class Trainer:
    """A model, its optimiser, and the mean loss of each epoch."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.train()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
        self.curve: list[float] = []
        self.waited = self.took = 0.0

    def epoch(self, steps: Iterator[Any], loss_of: Callable[[Any], Tensor]) -> None:
        """One pass: `loss_of` gives the mean loss of a step's bags, whose gradients it may have made already."""
        losses = []
        self.waited, began = 0.0, time.perf_counter()
        while True:
            asked = time.perf_counter()
            step = next(steps, None)
            self.waited += time.perf_counter() - asked
            if step is None:
                break
            self.optimizer.zero_grad()
            loss = loss_of(step)
            if loss.requires_grad:
                loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        self.took = time.perf_counter() - began
        self.curve.append(float(torch.stack(losses).mean()))


class Ours(Trainer):
    """Batches of the lake's loader."""

    def __init__(self, cohort: Cohort, name: str) -> None:
        super().__init__(slide_model(name))
        self.cohort, self.loader = cohort, cohort.loader()

    def __call__(self) -> None:
        batches = (
            (batch.features, batch.cu_seqlens, self.cohort.targets_of(batch.slide_ids))
            for batch in self.loader
        )
        self.epoch(batches, self.loss)

    def loss(self, step: Batch) -> Tensor:
        features, borders, targets = step
        return F.binary_cross_entropy_with_logits(self.model(Bags(features, borders)).logits[:, 0], targets)


class InMemory(Ours):
    """The same, with every bag in memory."""

    def __init__(self, cohort: Cohort, name: str, orders: list[list[tuple[str, ...]]]) -> None:
        super().__init__(cohort, name)
        self.orders = iter(orders)

    def __call__(self) -> None:
        self.epoch(self.batches(next(self.orders)), self.loss)

    def batches(self, order: list[tuple[str, ...]]) -> Iterator[Batch]:
        for ids in order:
            bags = [self.cohort.features[each] for each in ids]
            borders = np.cumsum([0, *map(len, bags)])
            yield torch.cat(bags), torch.from_numpy(borders), self.cohort.targets_of(ids)


class H5Bags(Dataset[tuple[Tensor, float]]):
    """A lab's own dataset over TRIDENT's files: one slide an item."""

    def __init__(self, folder: Path, targets: dict[str, float], ids: Sequence[str]) -> None:
        self.folder, self.targets, self.ids = folder, targets, ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        each = self.ids[index]
        with h5py.File(self.folder / f"{each}.h5", "r") as file:
            return torch.from_numpy(file["features"][:]), self.targets[each]


class PlainABMIL(nn.Module):
    """Gated attention in plain torch, one bag at a time, as the published code has it."""

    def __init__(self) -> None:
        super().__init__()
        self.tanh, self.gate = nn.Linear(DIM, HIDDEN), nn.Linear(DIM, HIDDEN)
        self.score, self.head = nn.Linear(HIDDEN, 1), nn.Linear(DIM, 1)

    def forward(self, bag: Tensor) -> Tensor:
        hidden = torch.tanh(self.tanh(bag)) * torch.sigmoid(self.gate(bag))
        attention = torch.softmax(self.score(hidden), 0)
        return self.head(attention.T @ bag)[0]  # type: ignore[no-any-return]


class PlainMean(nn.Module):
    """A linear layer on the mean of a bag, in plain torch."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(DIM, 1)

    def forward(self, bag: Tensor) -> Tensor:
        return self.head(bag.mean(0))  # type: ignore[no-any-return]


class H5Loop(Trainer):
    """One bag a batch from a DataLoader with 2 workers; gradients summed over a step's bags."""

    def __init__(self, cohort: Cohort, model: nn.Module, orders: list[list[tuple[str, ...]]]) -> None:
        super().__init__(model)
        self.cohort, self.orders = cohort, iter(orders)
        self.order: list[int] = []
        self.loader: DataLoader[Any] = DataLoader(
            H5Bags(cohort.folder, cohort.targets, cohort.ids),
            batch_size=None,
            sampler=_Fixed(self),
            num_workers=2,
            persistent_workers=True,
            multiprocessing_context="spawn",
        )

    def __call__(self) -> None:
        steps = next(self.orders)
        self.order = [self.cohort.ids.index(each) for ids in steps for each in ids]
        bags = iter(self.loader)
        self.epoch(([bags] * len(ids) for ids in steps), self.loss)

    def loss(self, step: list[Iterator[Any]]) -> Tensor:
        total = torch.zeros(())
        for bags in step:
            bag, target = next(bags)
            loss = F.binary_cross_entropy_with_logits(self.model(bag), torch.tensor([target])) / len(step)
            loss.backward()
            total += loss.detach()
        return total


class _Fixed:
    """A sampler that gives the order its loop is in."""

    def __init__(self, loop: H5Loop) -> None:
        self.loop = loop

    def __iter__(self) -> Iterator[int]:
        return iter(self.loop.order)

    def __len__(self) -> int:
        return len(self.loop.cohort.ids)


class Torchmil(Trainer):
    """torchmil's model, dataset and collate; bags of a step padded to the longest."""

    def __init__(self, cohort: Cohort, orders: list[list[tuple[str, ...]]]) -> None:
        super().__init__(torchmil_models.ABMIL(in_shape=(DIM,), att_dim=HIDDEN, gated=True))
        self.orders = orders
        folder = cohort.folder
        bags = ProcessedMILDataset(
            str(folder / "features"), str(folder / "labels"), bag_keys=["X", "Y"], verbose=False
        )
        places = {name: number for number, name in enumerate(bags.bag_names)}
        self.loaders = iter(
            [
                DataLoader(
                    bags,
                    batch_sampler=[[places[each] for each in ids] for ids in order],
                    collate_fn=collate_fn,
                )
                for order in orders
            ]
        )

    def __call__(self) -> None:
        self.epoch(iter(next(self.loaders)), self.loss)

    def loss(self, step: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(self.model(step["X"], step["mask"]), step["Y"])


def same_weights(sides: dict[str, Trainer]) -> None:
    """Every ABMIL starts from our weights, every linear head too."""
    ours, linear = sides["ours"].model, sides["linear"].model
    names = {"tanh": "attention.tanh", "gate": "attention.gate", "score": "attention.score", "head": "head"}
    theirs = {
        "pool.fc1.module": "tanh",
        "pool.fc_gated.module": "gate",
        "pool.fc2": "score",
        "classifier.module": "head",
    }
    with torch.no_grad():
        for name in names:
            for kind in ("weight", "bias"):
                value = ours.get_parameter(f"{names[name]}.{kind}")
                sides["clam_h5"].model.get_parameter(f"{name}.{kind}").copy_(value)
                for place in (place for place, each in theirs.items() if each == name):
                    # torchmil's last layer has no bias of the score: it cancels in the softmax.
                    if f"{place}.{kind}" in dict(sides["torchmil"].model.named_parameters()):
                        sides["torchmil"].model.get_parameter(f"{place}.{kind}").copy_(value)
        for kind in ("weight", "bias"):
            sides["linear_h5"].model.get_parameter(f"head.{kind}").copy_(linear.get_parameter(f"head.{kind}"))


def check_curves(sides: dict[str, Trainer], groups: Sequence[Sequence[str]]) -> None:
    """The sides of a group have learnt the same; raises SystemExit where not."""
    for group in groups:
        first = np.array(sides[group[0]].curve)
        for name in group[1:]:
            apart = float(np.abs(np.array(sides[name].curve) - first).max())
            if apart > SAME * max(1.0, float(first.max())):
                sys.exit(
                    f"the loss curves of {group[0]} and {name} differ by {apart:.3g}: {first} {sides[name].curve}"
                )


def main() -> int:
    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("mil_training", quick=arguments.quick)
    slides, rounds = (16, 5) if arguments.quick else (64, 7)
    with tempfile.TemporaryDirectory() as name:
        cohort = Cohort(Path(name), slides)
        orders = cohort.orders(rounds + 1)
        sides: dict[str, Any] = {
            "ours": Ours(cohort, "abmil"),
            "in_memory": InMemory(cohort, "abmil", orders),
            "clam_h5": H5Loop(cohort, PlainABMIL(), orders),
            "torchmil": Torchmil(cohort, orders),
            "linear": Ours(cohort, "mean"),
            "linear_h5": H5Loop(cohort, PlainMean(), orders),
        }
        same_weights(sides)
        waits: list[float] = []

        def ours() -> None:
            sides["ours"]()
            waits.append(sides["ours"].waited / sides["ours"].took)

        seconds = interleaved({**sides, "ours": ours}, rounds=rounds)
    check_curves(sides, [["ours", "in_memory", "clam_h5", "torchmil"], ["linear", "linear_h5"]])

    def ratio(other: str, mine: str) -> list[float]:
        return [b / a for a, b in zip(seconds[mine], seconds[other], strict=True)]

    rate = slides / float(np.median(seconds["ours"]))
    benchmark.record("vs_in_memory", ratio("in_memory", "ours"), shown=f"{rate:.1f} slides/s")
    benchmark.record("wait_share", waits[1:])
    benchmark.record("vs_clam_h5_loop", ratio("clam_h5", "ours"))
    benchmark.record("vs_torchmil", ratio("torchmil", "ours"))
    rate = slides / float(np.median(seconds["linear"]))
    benchmark.record("linear_vs_h5_loop", ratio("linear_h5", "linear"), shown=f"{rate:.0f} slides/s")
    last = {name: round(side.curve[-1], 4) for name, side in sides.items()}
    benchmark.note(f"loss of the last epoch: {last}")
    return benchmark.finish(arguments.out)


if __name__ == "__main__":
    raise SystemExit(main())
