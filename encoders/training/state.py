"""Where the training of a fold stands, in one file: weights, optimiser, place, what was measured so far.

No state of any generator: chance is drawn anew for each step from (seed, fold, epoch, step, rank). Only tensors,
numbers and text, which torch.load reads with weights_only.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from slidelake.encoders.training.config import TrainConfig
from slidelake.encoders.training.whole_file import whole_file
from slidelake.errors import UsageError

__all__ = ["load_state", "save_state"]

_VERSION = 1


def save_state(path: Path, config: TrainConfig, state: Mapping[str, Any]) -> None:
    """Writes the state, whole or not at all."""
    with whole_file(path) as beside:
        torch.save({"version": _VERSION, "config": _digest(config), **state}, beside)


def load_state(path: Path, config: TrainConfig) -> dict[str, Any] | None:
    """The state, on the CPU; None where there is none. Raises UsageError: damaged, or of another training."""
    if not path.exists():
        return None
    remedy = f"Remove {path} to begin this fold again."
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    # torch raises a dozen kinds for a file that is short or no archive: all mean that it cannot be used.
    except Exception as exc:
        raise UsageError(f"{path} cannot be read ({type(exc).__name__}: {exc})", remedy=remedy) from exc
    if not isinstance(state, dict) or state.get("version") != _VERSION:
        raise UsageError(f"{path} is no state that this version reads", remedy=remedy)
    if state["config"] != _digest(config):
        raise UsageError(f"{path} is of a training with other settings", remedy=remedy)
    return state


def _digest(config: TrainConfig) -> str:
    return json.dumps(config.lasting(), sort_keys=True)
