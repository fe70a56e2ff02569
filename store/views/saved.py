"""Results in a file: arrays and plain values in one .npz, without pickles."""

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import Any, Self

import numpy as np

from slidelake.errors import UsageError

__all__ = ["Saved"]

_PLAIN = "plain"


class Saved:
    """A frozen dataclass of arrays and plain values that can be saved and loaded again, bit for bit."""

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes a .npz file (the name is taken as it is); returns its path."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}  # type: ignore[arg-type]
        arrays = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
        plain = {name: value for name, value in fields.items() if name not in arrays}
        text = json.dumps({"kind": type(self).__name__, **plain}, allow_nan=False)
        with Path(path).open("wb") as file:
            np.savez(file, allow_pickle=False, **{_PLAIN: np.array(text)}, **arrays)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """What `save` wrote; raises UsageError for another file."""
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                plain: dict[str, Any] = json.loads(str(file[_PLAIN]))
                arrays = {name: file[name] for name in file.files if name != _PLAIN}
            if plain.pop("kind") != cls.__name__:
                raise KeyError("kind")
            return cls(**plain, **arrays)
        except (KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, EOFError) as exc:
            raise UsageError(
                f"{path} holds no {cls.__name__}", remedy=f"Give a file that {cls.__name__}.save wrote."
            ) from exc
