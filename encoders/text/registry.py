"""Text encoders by name: ours, and those of installed packages (entry point group `slidelake.text_encoders`).

A factory is called as `factory(device=…, **options)`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from slidelake.encoders.text.base import TextEncoder
from slidelake.errors import EncoderError, MissingDependencyError, UnknownEncoderError, UsageError

__all__ = [
    "TextEncoderInfo",
    "create_text_encoder",
    "describe_text_encoders",
    "register",
    "shared_text_encoder",
    "text_encoder_names",
]

ENTRY_POINT_GROUP = "slidelake.text_encoders"

#: One line an encoder: the module that registers it.
_OWN_MODULES = ("slidelake.encoders.text.minilm",)

Factory = Callable[..., TextEncoder]


@dataclass(frozen=True, slots=True)
class TextEncoderInfo:
    """One line about a text encoder; `dim` is None where only making it would tell."""

    name: str
    dim: int | None
    licence: str
    available: bool
    description: str


_registered: dict[str, tuple[Factory, TextEncoderInfo]] = {}
_shared: dict[str, TextEncoder] = {}
_making = threading.Lock()


def register(
    name: str, *, dim: int, needs: str = "", licence: str = "", description: str = ""
) -> Callable[[Factory], Factory]:
    """Register the decorated factory under `name`; `needs` names a module that must be importable.

    Raises ValueError when the name is taken: the second one of two would silently win.
    """

    def keep(factory: Factory) -> Factory:
        if name in _registered:
            raise ValueError(
                f"text encoder {name!r} is registered already, by {_registered[name][0].__module__}"
            )
        available = not needs or importlib.util.find_spec(needs) is not None
        _registered[name] = (factory, TextEncoderInfo(name, dim, licence, available, description))
        return factory

    return keep


def text_encoder_names() -> list[str]:
    """All names, sorted."""
    _load_own()
    return sorted({*_registered, *_entry_points()})


def describe_text_encoders() -> list[TextEncoderInfo]:
    """A line an encoder, sorted by name."""
    _load_own()
    theirs = [
        TextEncoderInfo(point.name, None, "", True, f"from {point.value}")
        for point in _entry_points().values()
    ]
    return sorted([info for _, info in _registered.values()] + theirs, key=lambda info: info.name)


def create_text_encoder(name: str = "minilm", *, device: str = "auto", **options: Any) -> TextEncoder:
    """The text encoder of this name; its weights may be read at the first use.

    Raises UnknownEncoderError for a name that nobody registered, MissingDependencyError where its package is not
    installed, UsageError for an option that it does not take.
    """
    _load_own()
    factory = _registered[name][0] if name in _registered else _theirs(name)
    try:
        made = factory(device=device, **options)
    except TypeError as exc:
        raise UsageError(
            f"text encoder {name!r} cannot be made with these options ({exc})",
            remedy="Pass only options that it takes.",
        ) from exc
    if not isinstance(made, TextEncoder):
        raise EncoderError(
            f"text encoder {name!r} is a {type(made).__name__} without spec, id, dim or encode",
            remedy="Give it what slidelake.encoders.text.TextEncoder names.",
        )
    return made


def shared_text_encoder(name: str = "minilm") -> TextEncoder:
    """One encoder a name and process, made at the first call: a search must not read the weights again."""
    with _making:
        if name not in _shared:
            _shared[name] = create_text_encoder(name)
        return _shared[name]


def _theirs(name: str) -> Factory:
    points = _entry_points()
    if name not in points:
        known = text_encoder_names()
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise UnknownEncoderError(
            f"there is no text encoder {name!r}", remedy=f"{hint}Use one of: {', '.join(known)}."
        )
    try:
        factory: Factory = points[name].load()
    except (ImportError, AttributeError) as exc:
        raise MissingDependencyError(
            f"text encoder {name!r} cannot be loaded from {points[name].value} ({exc})",
            remedy="Install the package that offers it again.",
        ) from exc
    return factory


def _entry_points() -> dict[str, EntryPoint]:
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in _registered or point.name in points:
            held = points[point.name].value if point.name in points else "slidelake itself"
            raise EncoderError(
                f"two installed packages offer a text encoder named {point.name!r}: {held} and {point.value}",
                remedy="Remove one of the packages.",
            )
        points[point.name] = point
    return points


def _load_own() -> None:
    for module in _OWN_MODULES:
        importlib.import_module(module)
