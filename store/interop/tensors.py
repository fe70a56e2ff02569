"""Tensors that PyTorch saved: `weights_only`, or not at all, since any other pickle is a program."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import FeatureFileError

__all__ = ["load_tensor"]


def load_tensor(path: Path) -> NDArray[Any]:
    """The one tensor in a `.pt` file. Raises FeatureFileError for TorchScript, pickles of other things,
    bfloat16 (numpy has none), and files that claim more than they hold."""
    import torch

    if not path.is_file():
        raise _refused(path, "there is no such file", "Check the path.")
    _look_inside(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # whatever torch raises about a file, the file cannot go in
        text = " ".join(str(exc).split())[:160]
        raise _refused(
            path,
            f"it is not a plain tensor: PyTorch refuses it with weights_only ({text})",
            "Save it again as a tensor, torch.save(torch.from_numpy(features), …), or import the HDF5 files.",
        ) from exc
    if not isinstance(found, torch.Tensor) or found.layout is not torch.strided:
        raise _refused(path, f"it holds a {type(found).__name__}, not one dense tensor", "Save one tensor.")
    if found.dtype is torch.bfloat16:
        raise _refused(
            path,
            "it holds bfloat16, which no bag does",
            "Save it as float32 (the values stay the same): torch.save(tensor.float(), …).",
        )
    if found.numel() * found.element_size() > path.stat().st_size:
        raise _refused(path, f"it claims {tuple(found.shape)}, more than it holds", "Save it again.")
    return np.ascontiguousarray(found.detach().numpy())


def _look_inside(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as exc:
        raise _refused(path, f"its archive is damaged ({exc})", "Make the file again.") from exc
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise _refused(
            path,
            "it is a TorchScript archive: a program, not features",
            "Give the files that the feature extraction wrote.",
        )
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise _refused(path, "it unfolds to more than it holds", "Save it again with torch.save.")


def _refused(path: Path, problem: str, remedy: str) -> FeatureFileError:
    return FeatureFileError(problem, remedy=remedy, slide=str(path))
