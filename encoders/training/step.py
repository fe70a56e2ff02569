"""One step of the optimiser over a window of packed batches.

A window is what is accumulated: `accumulate` batches on each process. Its loss is the mean over all its bags,
however they lie in batches and on processes: each batch adds the sum over its bags, divided by the window's number.

Cox's loss compares bags, so its risk sets are the whole window's, over all processes. The log-risks are one number a
bag: they are brought together, the loss and its gradient by each log-risk are taken there in float64, and each
batch goes backward from its part of that gradient. Of several batches only the features are kept: the log-risks come
from a first pass without gradient, and the second one draws the same chance again (GradCache, Gao et al. 2021).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import xxhash
from torch import Tensor, nn

from slidelake.encoders.slide.entropy import negative_entropy
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
from slidelake.encoders.training.config import TrainConfig
from slidelake.encoders.training.distributed import World
from slidelake.encoders.training.precision import Precision
from slidelake.encoders.training.tasks import Task

if TYPE_CHECKING:
    from slidelake.store.streaming import Batch

__all__ = ["Stepped", "Stepper", "bags_of"]


def bags_of(batch: "Batch", device: torch.device, *, patients: bool) -> tuple[Bags, Tensor]:
    """A loader's packed batch as a slide encoder takes it, and its targets, on the device."""
    here = batch.to(device)
    return Bags(
        here.features, here.cu_seqlens, None, here.coords, here.slide_seqlens if patients else None
    ), here.targets


@dataclass(frozen=True)
class Stepped:
    """What a step gave on this process; tensors stay on the device until somebody looks.

    `loss` () is the sum of losses, `weight` what it is divided by in a mean; `bags` names the bags that `values`
    (losses, or log-risks) belong to; `norm` () is the gradient's, over all processes, before it was cut.
    """

    loss: Tensor
    weight: int
    bags: tuple[str, ...]
    values: Tensor
    norm: Tensor


@dataclass
class Stepper:
    """Takes windows of batches and moves the model by them."""

    model: SlideModel
    task: Task
    optimizer: torch.optim.Optimizer
    precision: Precision
    world: World
    config: TrainConfig
    fold: int | None = None

    def __call__(self, window: "Sequence[Batch]", epoch: int, number: int, bags: int) -> Stepped:
        """One step by a window of batches, the `number`th of its epoch; `bags` are the window's on all processes."""
        inputs = [bags_of(each, self.world.device, patients=self.config.unit == "patient") for each in window]
        weight = sum(self.task.weight(targets) for _, targets in inputs)
        forward = partial(self._forward, epoch, number)
        # A window of one batch needs one pass; its output waits until the log-risks of the others are there.
        ready = [forward(0, *inputs[0])] if len(inputs) == 1 else []
        gradients, joint = None, None
        if self.task.joint:
            gradients, joint = self._joint(inputs, [_risks(each) for each in ready] or forward)
        values, total = [], torch.zeros((), device=self.world.device)
        for place, (packed, targets) in enumerate(inputs):
            output = ready.pop() if ready else forward(place, packed, targets)
            if gradients is None:
                each = self.task.loss(output.logits.float(), targets)
                loss, total = each.sum() / bags, total + each.detach().sum()
            else:
                each = _risks(output)
                loss = (each * gradients[place]).sum()
            values.append(each.detach())
            loss = loss + self._extra(output, packed) * (len(packed) / bags)
            self.precision.scale(loss).backward()  # type: ignore[no-untyped-call]
            del output, loss, each
        ids = tuple(bag for batch in window for bag in batch.bag_ids)
        loss = total if joint is None else joint * weight
        return Stepped(loss, weight, ids, torch.cat(values), self._move())

    def _forward(self, epoch: int, number: int, place: int, packed: Bags, targets: Tensor) -> SlideOutput:
        # Chance belongs to (seed, fold, epoch, step, batch, process): nothing of it has to be saved.
        key = (self.config.seed, self.fold, epoch, number, place, self.world.rank)
        torch.manual_seed(xxhash.xxh3_64_intdigest("\0".join(map(str, key)).encode()) >> 1)
        with self.precision.cast():
            return self.model(packed, targets)

    def _joint(
        self, inputs: "Sequence[tuple[Bags, Tensor]]", risks: "Sequence[Tensor] | Callable[..., SlideOutput]"
    ) -> tuple[list[Tensor], Tensor]:
        """The gradient of the joint loss by each batch's log-risks, and the loss; from the log-risks, or by a pass."""
        if callable(risks):
            with torch.no_grad():
                risks = [_risks(risks(place, *each)) for place, each in enumerate(inputs)]
        own = torch.cat([targets for _, targets in inputs]).cpu()
        gathered = self.world.gather((torch.cat([each.detach() for each in risks]).cpu().double(), own))
        every = torch.cat([each for each, _ in gathered]).requires_grad_()
        loss = self.task.loss(every[:, None], torch.cat([each for _, each in gathered]))
        [gradient] = torch.autograd.grad(loss, every)
        start = sum(len(each) for each, _ in gathered[: self.world.rank])
        part = gradient[start : start + len(own)].float().to(self.world.device)
        return list(torch.split(part, [len(each) for each in risks])), loss.detach()

    def _extra(self, output: SlideOutput, packed: Bags) -> Tensor:
        """The model's own terms, and the entropy's: means over the batch's bags."""
        terms = [term.float() for term in output.losses.values()]
        if self.config.entropy_weight:
            terms.append(self.config.entropy_weight * negative_entropy(output, packed.cu_seqlens))
        return torch.stack(terms).sum() if terms else torch.zeros((), device=self.world.device)

    def _move(self) -> Tensor:
        parameters = [each for each in self.model.parameters() if each.requires_grad]
        self.world.sum_gradients(parameters)
        self.precision.unscale(self.optimizer)
        norm = nn.utils.clip_grad_norm_(parameters, self.config.clip or float("inf"))
        self.precision.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        self.model.after_step()
        return norm


def _risks(output: SlideOutput) -> Tensor:
    return output.logits.float()[:, 0]
