"""Configurations as TOML files: read with strange keys refused, and written so that they can be read again."""

import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from slidelake.encoders.training.config import TrainConfig
from slidelake.encoders.training.whole_file import whole_file
from slidelake.errors import UsageError

__all__ = ["make_config", "read_config", "write_config"]


def make_config(*sources: Mapping[str, Any]) -> TrainConfig:
    """A configuration of several sources, the later over the earlier; dashes in names are underscores.

    Raises UsageError for a name that there is not, with the nearest one, and for what TrainConfig refuses.
    """
    known = [each.name for each in fields(TrainConfig)]
    merged: dict[str, Any] = {}
    for source in sources:
        for name, value in source.items():
            plain = name.replace("-", "_")
            if plain not in known:
                close = difflib.get_close_matches(plain, known, n=1)
                hint = f"Did you mean {close[0]}? " if close else ""
                raise UsageError(
                    f"there is no setting {name!r}", remedy=f"{hint}There are: {', '.join(known)}."
                )
            merged[plain] = value
    needed = [each.name for each in fields(TrainConfig) if _required(each)]
    if missing := [name for name in needed if name not in merged]:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise UsageError(
            f"{' and '.join(missing)} not given", remedy=f"Pass {flags}, or put it into the file."
        )
    return TrainConfig(**merged)


def _required(each: Any) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings in a TOML file, for `make_config`. Raises UsageError where it is none."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise UsageError(f"there is no file {path}", remedy="Give a TOML file with settings.") from exc
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path} is no TOML file ({exc})", remedy="Write NAME = VALUE, one a line.") from exc


def write_config(config: TrainConfig, path: Path) -> None:
    """Writes every setting, whole or not at all; `read_config` gives the same configuration again."""
    plain, tables = [], []
    for name, value in config.to_dict().items():
        if isinstance(value, Mapping):
            tables += ["", f"[{name}]", *(f"{_toml(key)} = {_toml(each)}" for key, each in value.items())]
        else:
            plain.append(f"{name} = {_toml(value)}")
    with whole_file(path) as beside:
        beside.write_text("\n".join([*plain, *tables, ""]), encoding="utf-8")


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_toml(str(key))} = {_toml(each)}' for key, each in value.items())}}}"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(float(value))  # NumPy's own says what it is
    if isinstance(value, str):
        # A basic string of TOML is one of JSON, but for DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
