"""Checkpoints of slide encoders: one safetensors file that says what it was trained on, and makes the model again.

The header's metadata has one key, `slidelake`: JSON with the model's name and options, the space and its patch
encoder's fingerprint, the task (kind of target, classes), and where it came from. No pickles.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.encoders.slide.registry import create_slide_model
from slidelake.encoders.weights import weights_sha256
from slidelake.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from slidelake.encoders.slide.model import SlideModel

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

_FORMAT = 1
_KEY = "slidelake"


@dataclass(frozen=True)
class Checkpoint:
    """A trained slide encoder and what it was trained on.

    `space` = `<grid_id>/<encoder_id>`; `encoder` is that patch encoder's fingerprint ({} where the store did not
    tell); `task` = {"kind": "classification" | "regression" | "survival", …}; `provenance`: snapshot, seed, split,
    versions, time. `sha256` is of the file: "" before it is saved.
    """

    model: "SlideModel"
    space: str
    task: Mapping[str, Any]
    encoder: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def check_space(self, space: str, encoder: Mapping[str, Any] | None = None) -> None:
        """Refuse bags of another space than it was trained on: UsageError with both fingerprints."""
        if space == self.space:
            return
        raise UsageError(
            f"the checkpoint was trained on {self.space} (fingerprint {_shown(self.encoder)}), "
            f"the bags are of {space} (fingerprint {_shown(encoder or {})})",
            remedy=f"Give bags of {self.space}, or train on {space}.",
        )


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all: beside its place first, then renamed onto it."""
    from safetensors.torch import save_file

    model = checkpoint.model
    about = {
        "format": _FORMAT,
        "model": model.name,
        "dim": model.dim,
        "outputs": model.outputs,
        "options": dict(model.options),
        "space": checkpoint.space,
        "encoder": dict(checkpoint.encoder),
        "task": dict(checkpoint.task),
        "provenance": dict(checkpoint.provenance),
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    save_file(tensors, beside, metadata={_KEY: json.dumps(about, sort_keys=True)})
    beside.replace(path)


def load_checkpoint(path: str | Path, *, device: str = "cpu") -> Checkpoint:
    """Read a checkpoint and make its model, in evaluation mode.

    Raises WeightsError for a file that is not there, is damaged, or is no checkpoint of a slide encoder.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(path).expanduser()
    if not file.is_file():
        raise WeightsError(
            f"there is no checkpoint {path}", remedy="Give the .safetensors file that slidelake train wrote."
        )
    try:
        with safe_open(file, framework="pt", device=device) as stream:
            about = json.loads((stream.metadata() or {}).get(_KEY, "{}"))
            state = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, ValueError, OSError) as exc:
        raise WeightsError(
            f"{path} cannot be read ({exc})", remedy="Give the .safetensors file that slidelake train wrote."
        ) from exc
    if about.get("format") != _FORMAT:
        found = f"format {about['format']}" if "format" in about else "no slidelake metadata"
        raise WeightsError(
            f"{path} is no checkpoint that this version reads ({found})",
            remedy="Give the .safetensors file that slidelake train wrote, or update slidelake.",
        )
    model = create_slide_model(
        about["model"], dim=about["dim"], outputs=about["outputs"], **about["options"]
    ).to(device)
    try:
        model.load_state_dict(state)
    except RuntimeError as exc:
        raise WeightsError(
            f"{path} does not fit {about['model']} ({exc})", remedy="The file is damaged: take another copy."
        ) from exc
    return Checkpoint(
        model.eval(),
        about["space"],
        about["task"],
        about["encoder"],
        about["provenance"],
        weights_sha256(file.resolve()),
    )


def _shown(fingerprint: Mapping[str, Any]) -> str:
    return json.dumps(dict(fingerprint), sort_keys=True) if fingerprint else "not told"
