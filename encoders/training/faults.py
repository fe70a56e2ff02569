"""What goes wrong in a step, said so that somebody can act on it: no number, no memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from slidelake.encoders.training.config import TrainConfig
from slidelake.encoders.training.predict import Outputs
from slidelake.encoders.training.step import Stepped
from slidelake.errors import NotFiniteError, SlidelakeError

if TYPE_CHECKING:
    from slidelake.encoders.training.cohort import Cohort

__all__ = ["memory_told", "refuse_not_finite", "refuse_not_finite_outputs"]

_NAMES = 5


def refuse_not_finite(cohort: "Cohort", steps: Sequence[Stepped], *, scaled: bool) -> None:
    """Raises NotFiniteError where a loss is no number, or (not with fp16's scaled loss) a gradient is none.

    It names the slides of the first such step, and says whether it is their features. Called some steps later on a
    GPU, so that it waits for nothing.
    """
    for step in steps:
        finite = torch.isfinite(step.values).cpu()
        if bool(finite.all()) and (scaled or bool(torch.isfinite(step.norm))):
            continue
        bags = [bag for bag, fine in zip(step.bags, finite.tolist(), strict=True) if not fine] or list(
            step.bags
        )
        _refuse_spoilt(cohort, bags, "the loss")
        what = "loss" if not bool(finite.all()) else "gradient"
        raise NotFiniteError(
            f"the {what} is not finite at a batch with {_listed(bags)}; their features are finite",
            remedy="Lower --lr, pass --clip 1, or use --precision bf16 or no.",
        )


def refuse_not_finite_outputs(cohort: "Cohort", out: Outputs) -> None:
    """Raises NotFiniteError where what a model says of a part is no number: a measure would count it as something."""
    finite = torch.isfinite(out.logits).all(dim=1).tolist()
    bags = [bag for bag, fine in zip(out.bags, finite, strict=True) if not fine]
    if bags:
        _refuse_spoilt(cohort, bags, "what the model makes of them")
        raise NotFiniteError(
            f"what the model makes of {_listed(bags)} is not finite; their features are",
            remedy="Lower --lr, pass --clip 1, or use --precision bf16 or no.",
        )


def _refuse_spoilt(cohort: "Cohort", bags: Sequence[str], what: str) -> None:
    """Raises NotFiniteError where features of these bags are no numbers, and `what` therefore is none."""
    owner = cohort.patient_of
    slides = [slide for slide in owner if (slide if cohort.unit == "slide" else owner[slide]) in bags]
    spoilt = [slide for slide in slides if not _finite_features(cohort, slide)]
    if spoilt:
        raise NotFiniteError(
            f"the features of {_listed(spoilt)} hold NaN or infinity, and {what} with them",
            remedy="Run slidelake verify --deep, and ingest these slides again.",
            slide=spoilt[0],
        )


def _finite_features(cohort: "Cohort", slide: str) -> bool:
    bag = cohort.store.bag(slide, cohort.space)
    return bool(np.isfinite(bag.features[bag.valid.astype(bool)]).all())


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


@contextmanager
def memory_told(config: TrainConfig, where: str, largest: int) -> Iterator[None]:
    """Says what to lower where memory does not suffice, even with the kernel's bounded mode.

    `largest`: patches of the largest slide, which a batch has to hold.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as exc:
        raise _full(config, where, largest, exc) from exc
    except RuntimeError as exc:
        if "can't allocate memory" not in str(exc):
            raise
        raise _full(config, where, largest, exc) from exc


def _full(config: TrainConfig, where: str, largest: int, exc: BaseException) -> SlidelakeError:
    ways = []
    if not config.patches_per_batch:
        ways.append("bound a batch with --patches-per-batch")
    elif config.sample == 0:
        ways.append(f"lower --patches-per-batch ({config.patches_per_batch:,} now)")
    if (config.bags or 2) > 1:
        ways.append("lower --bags-per-batch and raise --accumulate by as much")
    ways.append(
        f"lower --sample ({config.sample:,} rows a bag now)" if config.sample else "pass --sample 8192"
    )
    if config.precision == "no":
        ways.append("pass --precision bf16")
    return SlidelakeError(
        f"memory ran out {where}; the largest slide has {largest:,} patches ({str(exc).splitlines()[0]})",
        remedy=f"Do one of: {'; '.join(ways)}.",
    )
