"""A trained slide encoder as one that embeds: a bag in; embedding, scores and logits out, checked before they go on."""

import copy
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slidelake.encoders.device import device_name
from slidelake.encoders.slide.base import Block, SlideEmbedding, SlideEncoder, SlideEncoderSpec
from slidelake.encoders.slide.checkpoint import Checkpoint, load_checkpoint
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
from slidelake.errors import EncoderError
from slidelake.kernels import backend_names
from slidelake.store import split_space

__all__ = ["CheckpointEncoder"]

log = logging.getLogger(__name__)

#: The back end of the kernels that needs least memory.
_BOUNDED = "chunked"
_VARIABLE = "SLIDELAKE_KERNELS"
#: A score's float32 has 7 digits; a model whose scores and lse disagree by more gave other things than these.
_LSE_TOLERANCE = 1e-3


class CheckpointEncoder(SlideEncoder):
    """Encodes bags by a checkpoint, one bag at a time, without gradients and without chance.

    A bag that does not fit into the device's memory is done again in bounded mode (`chunked` kernels), then on the
    CPU; the embedding's `note` says so. Raises EncoderError for a bag that fits nowhere, and for outputs that are not
    finite or not what SlideOutput says.
    """

    whole = True

    def __init__(self, checkpoint: Checkpoint, *, device: str = "auto") -> None:
        self.checkpoint = checkpoint
        self.device = torch.device(device_name(device))
        self._model = checkpoint.model.eval().to(self.device)
        self._on_cpu: SlideModel | None = None
        self.needs_coords = checkpoint.model.needs_coords
        self.spec = SlideEncoderSpec(
            checkpoint.model.name,
            split_space(checkpoint.space)[1],
            checkpoint.sha256,
            description=f"{checkpoint.model.name}, trained for {checkpoint.task.get('kind', 'a task')}",
        )

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> "CheckpointEncoder":
        """Of a file that `slidelake train` wrote; raises WeightsError, UsageError."""
        # To the CPU first: a file that is no checkpoint should not wake a GPU.
        return cls(load_checkpoint(path), device=device)

    def about(self) -> Mapping[str, Any]:
        """The checkpoint for the record: model, task, and the training's own facts but for its lists.

        Lists of slides and patients stay in the checkpoint: a deletion need not look for them in commits.
        """
        model = self.checkpoint.model
        return {
            "sha256": self.checkpoint.sha256,
            "model": model.name,
            "options": dict(model.options),
            "task": dict(self.checkpoint.task),
            "training": _plain(self.checkpoint.provenance),
            "device": str(self.device),
            "torch_version": str(torch.__version__),
        }

    def encode(self, blocks: Iterable[Block]) -> SlideEmbedding:
        """The embedding (K, E), scores (K, N), lse (K,) and logits (C,) of a bag that comes as one block."""
        (bag,) = blocks
        if bag.features.shape[1] != self.checkpoint.model.dim:
            raise EncoderError(
                f"the bag has {bag.features.shape[1]} features a patch, the checkpoint was trained on "
                f"{self.checkpoint.model.dim}",
                remedy=f"Give bags of {self.checkpoint.space}.",
            )
        output, note = self._forward(bag)
        scores, lse = output.scores, output.lse
        if (scores is None) != (lse is None):
            raise _wrong("scores and lse do not come together")
        embedding, logits = _array(output.embedding[0]), _array(output.logits[0])
        for name, array in (("embedding", embedding), ("logits", logits)):
            if not np.isfinite(array).all():
                raise _wrong(
                    f"the {name} hold NaN or infinity" if name == "logits" else f"the {name} is not finite"
                )
        if scores is None or lse is None:
            return SlideEmbedding(embedding, logits=logits, note=note)
        rows, of_bag = _array(scores), _array(lse[0])
        rows[:, ~bag.valid] = -np.inf
        _check_attention(rows, of_bag, (len(embedding), len(bag.valid)))
        return SlideEmbedding(embedding, rows, of_bag, logits, note)

    def _forward(self, bag: Block) -> tuple[SlideOutput, str]:
        """The model's output, and how it came about where that was not the usual way."""
        ways = [(self.device, ""), (self.device, _BOUNDED)]
        if self.device.type != "cpu":
            ways.append((torch.device("cpu"), _BOUNDED))
        for device, backend in ways:
            if backend and backend not in backend_names():
                continue
            try:
                with torch.inference_mode(), _kernels(backend):
                    output = self._model_on(device)(_bags(bag, device, self.needs_coords))
            except (RuntimeError, MemoryError) as exc:
                if not _out_of_memory(exc):
                    raise
                log.warning("out of memory", extra={"rows": len(bag.valid), "device": str(device)})
            else:
                return output, f"out of memory: done by {backend} kernels on {device}" if backend else ""
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        rows, dim = bag.features.shape
        raise EncoderError(
            f"{rows:,} rows of {dim} features do not fit into memory, in bounded mode either",
            remedy="Use a machine with more memory, or --device cpu.",
        )

    def _model_on(self, device: torch.device) -> SlideModel:
        if device == self.device:
            return self._model
        if self._on_cpu is None:
            self._on_cpu = copy.deepcopy(self._model).to(device)
        return self._on_cpu


def _bags(bag: Block, device: torch.device, coords: bool) -> Bags:
    rows = len(bag.valid)
    return Bags(
        torch.from_numpy(bag.features).to(device),
        torch.tensor([0, rows], dtype=torch.int64, device=device),
        None if bag.valid.all() else torch.from_numpy(bag.valid).to(device),
        torch.from_numpy(bag.coords).to(device) if coords and bag.coords is not None else None,
    )


def _check_attention(scores: NDArray[np.float32], lse: NDArray[np.float32], wanted: tuple[int, int]) -> None:
    """Refuse what is no attention over a bag's rows."""
    if scores.shape != wanted or lse.shape != wanted[:1]:
        raise _wrong(f"scores are {scores.shape} and lse {lse.shape}, not {wanted} and {wanted[:1]}")
    if np.isnan(scores).any() or np.isposinf(scores).any() or not np.isfinite(lse).all():
        raise _wrong("the scores hold NaN or infinity")
    for branch, of_bag in zip(scores, lse, strict=True):
        top = float(branch.max())
        exact = (
            top + float(np.log(np.exp(branch.astype(np.float64) - top).sum())) if np.isfinite(top) else top
        )
        if not abs(exact - float(of_bag)) <= _LSE_TOLERANCE * max(1.0, abs(exact)):
            raise _wrong(f"lse is {float(of_bag):.6g} where its scores give {exact:.6g}")


def _wrong(problem: str) -> EncoderError:
    return EncoderError(
        f"the checkpoint's output is no embedding: {problem}",
        remedy="Look at the training (did it diverge?), and at the features: slidelake verify --deep.",
    )


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What of a mapping is a number, a word, or a mapping of these; JSON holds no NaN."""
    kept: dict[str, Any] = {}
    for key, value in facts.items():
        if isinstance(value, Mapping):
            kept[key] = _plain(value)
        elif value is None or isinstance(value, str | bool | int):
            kept[key] = value
        elif isinstance(value, float):
            kept[key] = value if np.isfinite(value) else str(value)
    return kept


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array


@contextmanager
def _kernels(backend: str) -> Iterator[None]:
    """Has the kernels use one back end; "" leaves the choice to them."""
    before = os.environ.get(_VARIABLE)
    if backend:
        os.environ[_VARIABLE] = backend
    try:
        yield
    finally:
        if backend and before is None:
            del os.environ[_VARIABLE]
        elif backend and before is not None:
            os.environ[_VARIABLE] = before


def _out_of_memory(exc: BaseException) -> bool:
    # The CPU's allocator and cuBLAS have no error of their own.
    words = str(exc)
    known = isinstance(exc, torch.OutOfMemoryError | MemoryError)
    return known or "allocate memory" in words or "ALLOC_FAILED" in words
