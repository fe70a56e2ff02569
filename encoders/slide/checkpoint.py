"""Checkpoints of slide encoders: one safetensors file that says what it was trained on, and makes the model again.

The header's metadata has one key, `slidelake`: JSON with the model's name and options, the space and its patch
encoder's fingerprint, the task (kind of target, classes), where it came from, and the checksum of the weights, which
safetensors itself lacks. No pickles: a file is never run. Equal models give equal bytes.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.encoders.slide.registry import create_slide_model
from slidelake.encoders.weights import weights_sha256
from slidelake.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from slidelake.encoders.slide.model import SlideModel

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

_FORMAT = 1
_KEY = "slidelake"
_GIVE = "Give the .safetensors file that slidelake train wrote."
#: What the description must hold, and as what.
_KINDS: Mapping[str, type] = {
    "model": str,
    "dim": int,
    "outputs": int,
    "options": dict,
    "space": str,
    "encoder": dict,
    "task": dict,
    "provenance": dict,
    "checksum": str,
}


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
    """Write a checkpoint whole or not at all: beside its place first, then renamed onto it.

    Raises UsageError for a model that was not made by `create_slide_model`, as it could not be made again,
    WeightsError where the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save

    model = checkpoint.model
    if not model.name:
        raise UsageError(
            f"this {type(model).__name__} has no name to make it again by",
            remedy="Make it with create_slide_model; an entry point makes a class of your own known to it.",
        )
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
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
        "checksum": _checksum(tensors),
    }
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # save_file would make a file that nobody else may read, whatever the umask.
        beside.write_bytes(save(tensors, metadata={_KEY: json.dumps(about, sort_keys=True)}))
        beside.replace(path)
    except (OSError, SafetensorError) as exc:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise WeightsError(
            f"{path} cannot be written ({exc})", remedy="Check the folder, its permissions and its space."
        ) from exc


def load_checkpoint(path: str | Path, *, device: str = "cpu") -> Checkpoint:
    """Read a checkpoint and make its model, in evaluation mode; torch's generator stays as it is.

    Raises WeightsError for a file that is not there, is damaged, is no checkpoint of a slide encoder, or of one
    that this version does not have.
    """
    import torch

    file = Path(path).expanduser()
    if file.is_dir():
        inside = sorted([*file.glob("*.safetensors"), *file.glob("fold-*/*.safetensors")])
        named = ", ".join(str(Path(path) / each.relative_to(file)) for each in inside)
        raise WeightsError(
            f"{path} is a folder", remedy=f"Give a checkpoint in it: {named}." if inside else _GIVE
        )
    if not file.is_file():
        raise WeightsError(f"there is no checkpoint {path}", remedy=_GIVE)
    about, state = _read(file)
    try:
        with torch.random.fork_rng(devices=()):  # the first weights are drawn, and then overwritten
            model = create_slide_model(
                about["model"], dim=about["dim"], outputs=about["outputs"], **about["options"]
            )
    except UsageError as exc:
        raise WeightsError(
            f"{path} holds a slide encoder that cannot be made here: {exc.problem}",
            remedy="Update slidelake, or install the package that offers it, as where it was trained.",
        ) from exc
    try:
        if "feature_mean" in state and "feature_spread" in state:
            model.standardise(state["feature_mean"], state["feature_spread"])
        model.load_state_dict(state)
    except RuntimeError as exc:
        raise WeightsError(
            f"{path} does not fit {about['model']} ({exc})", remedy="The file is damaged: take another copy."
        ) from exc
    return Checkpoint(
        model.to(device).eval(),
        about["space"],
        about["task"],
        about["encoder"],
        about["provenance"],
        weights_sha256(file.resolve()),
    )


def _read(file: Path) -> tuple[dict[str, Any], "dict[str, Tensor]"]:
    """What the checkpoint says of itself, checked, and its tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            about = json.loads((opened.metadata() or {}).get(_KEY, "{}"))
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, ValueError, OSError) as exc:
        raise WeightsError(f"{file} cannot be read ({_why(file, exc)})", remedy=_GIVE) from exc
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        found = f"format {about['format']}" if isinstance(about, dict) and about else "no slidelake metadata"
        raise WeightsError(
            f"{file} is no checkpoint that this version reads ({found})",
            remedy="Give the .safetensors file that slidelake train wrote, or update slidelake.",
        )
    wrong = [name for name, kind in _KINDS.items() if not isinstance(about.get(name), kind)]
    if wrong or about["checksum"] != _checksum(state):
        what = (
            f"its description lacks {', '.join(wrong)}"
            if wrong
            else "its weights are not those that were saved"
        )
        raise WeightsError(f"{file} is damaged: {what}", remedy="Take another copy.")
    return about, state


def _why(file: Path, exc: Exception) -> str:
    # Asked only where reading failed: the length of a good file's header may look like the start of a pickle.
    with contextlib.suppress(OSError), file.open("rb") as stream:
        start = stream.read(4)
        if start == b"PK\x03\x04" or start[:1] == b"\x80":
            return "a file of torch.save or TorchScript, which runs code when it is read"
    return str(exc)


def _checksum(tensors: "Mapping[str, Tensor]") -> str:
    """xxh3-128 over the tensors' bytes in the order of their names."""
    import torch
    import xxhash

    digest = xxhash.xxh3_128()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _shown(fingerprint: Mapping[str, Any]) -> str:
    return json.dumps(dict(fingerprint), sort_keys=True) if fingerprint else "not told"
