"""Weights files: their digest, read once a file and not once a run, and their tensors."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.errors import WeightsError

if TYPE_CHECKING:
    import torch

__all__ = ["read_state", "weights_file", "weights_sha256"]

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
#: Under these keys training scripts keep the weights beside optimiser and epoch.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "teacher")


def weights_file(path: str) -> Path:
    """The file that `path` names; raises WeightsError where there is none or its kind is not known."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise WeightsError(
            f"there is no weights file {path}",
            remedy=f"Give the path of a local {', '.join(_SUFFIXES)} file.",
        )
    if file.suffix.lower() not in _SUFFIXES:
        raise WeightsError(
            f"{path} is not a kind of weights file that can be read",
            remedy=f"Give a file that ends in {', '.join(_SUFFIXES)}.",
        )
    return file.resolve()


def weights_sha256(file: Path) -> str:
    """sha256 of the file as hex digits, remembered by path, size and time of change."""
    try:
        state = file.stat()
    except OSError as exc:
        raise WeightsError(
            f"{file} cannot be read ({exc})", remedy="Check the path and its permissions."
        ) from exc
    key = json.dumps([str(file), state.st_size, state.st_mtime_ns])
    memory = _memory_file()
    known = _remembered(memory)
    if key in known:
        return known[key]
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 22):
            digest.update(chunk)
    known[key] = digest.hexdigest()
    # A cache that cannot be written costs the next run a reading, nothing more.
    with contextlib.suppress(OSError):
        _remember(memory, known)
    return digest.hexdigest()


def read_state(file: Path) -> dict[str, "torch.Tensor"]:
    """The tensors of a weights file on the CPU; pickles are read with weights_only. Raises WeightsError."""
    import torch

    try:
        if file.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            loaded: Any = load_file(file)
        else:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    # torch and safetensors raise a dozen kinds, pickle any: all mean that this is no weights file.
    except Exception as exc:
        raise WeightsError(
            f"{file} does not hold weights that can be read safely ({type(exc).__name__}: {exc})",
            remedy="Save the state dict alone, as .safetensors if you can.",
        ) from exc
    for wrapper in _WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise WeightsError(f"{file} holds no state dict", remedy="Save model.state_dict() and nothing else.")
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


def _memory_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "slidelake" / "weights_sha256.json"


def _remembered(memory: Path) -> dict[str, str]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}


def _remember(memory: Path, known: dict[str, str]) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and moved: another run never reads half a file.
    with tempfile.NamedTemporaryFile("w", dir=memory.parent, delete=False, encoding="utf-8") as aside:
        json.dump(known, aside)
    Path(aside.name).replace(memory)
