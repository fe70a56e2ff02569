"""Where a tuning stands, in one file: what learns, the optimiser, the place, the log and what was measured so far.

No state of any generator: chance is drawn anew for each step from (seed, phase, epoch, step). Only tensors, numbers
and text, which torch.load reads with weights_only.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from slidelake.errors import UsageError
from slidelake.services.tuning.model.config import TuneConfig
from slidelake.services.tuning.model.files import put_whole

__all__ = ["load_state", "save_state"]

_VERSION = 1
_ANEW = "Begin again with --overwrite, or in another folder."


def save_state(path: Path, config: TuneConfig, about: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """Writes the state, whole or not at all; `about`: digests of what else decides the weights, by name."""
    whole = {"version": _VERSION, "config": _digest(config), "about": dict(about), **state}
    put_whole(path, lambda beside: torch.save(whole, beside))


def load_state(path: Path, config: TuneConfig, about: Mapping[str, str]) -> dict[str, Any] | None:
    """The state, on the CPU; None where there is none. Raises UsageError: damaged, or of another tuning."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    # torch raises a dozen kinds for a file that is short or no archive: all mean that it cannot be used.
    except Exception as exc:
        raise UsageError(f"{path} cannot be read ({type(exc).__name__}: {exc})", remedy=_ANEW) from exc
    if not isinstance(state, dict) or state.get("version") != _VERSION:
        raise UsageError(f"{path} is no state that this version reads", remedy=_ANEW)
    if state["config"] != _digest(config):
        raise UsageError(f"{path} is of a tuning with other settings: {_others(state, config)}", remedy=_ANEW)
    for name, digest in about.items():
        if state["about"].get(name) != digest:
            raise UsageError(f"the {name} changed since the state was saved", remedy=_ANEW)
    return state


def _digest(config: TuneConfig) -> str:
    return json.dumps(config.lasting(), sort_keys=True)


def _others(state: Mapping[str, Any], config: TuneConfig) -> str:
    then, now = json.loads(state["config"]), json.loads(_digest(config))
    return ", ".join(
        f"{name} ({then.get(name)}, now {now.get(name)})"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    )
