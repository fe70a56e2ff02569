"""Encoders by name: ours, those of installed packages (entry points), and any "module:factory".

A name is one of
- a registered name ("stain-texture"), ours or from the entry point group `slidelake.encoders`;
- a family and a member ("timm:vit_small_patch16_224");
- "module:factory": an importable function of one's own.

A factory is called as `factory(weights=…, device=…, **options)`; a family's gets the member first.
"""

import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from slidelake.encoders.base import PatchEncoder
from slidelake.errors import EncoderError, MissingDependencyError, UnknownEncoderError, UsageError

__all__ = ["EncoderInfo", "check_encoder", "create_encoder", "describe_encoders", "encoder_names", "register"]

ENTRY_POINT_GROUP = "slidelake.encoders"

#: One line an encoder: the module that registers it. They are imported when names are first asked for.
_OWN_MODULES = (
    "slidelake.encoders.colour_histogram",
    "slidelake.encoders.texture",
    "slidelake.encoders.timm_models",
)

Factory = Callable[..., PatchEncoder]


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """One line of `slidelake encoders`: `dim` and `input_px` are None where they depend on the model chosen."""

    name: str
    dim: int | None
    input_px: int | None
    licence: str
    needs: str
    available: bool
    description: str


@dataclass(frozen=True, slots=True)
class _Registration:
    factory: Factory
    info: EncoderInfo


_registered: dict[str, _Registration] = {}


def register(
    name: str,
    *,
    dim: int | None = None,
    input_px: int | None = None,
    licence: str = "",
    needs: str = "",
    description: str = "",
) -> Callable[[Factory], Factory]:
    """Register the decorated factory under `name`; a name that ends in ":" is a family ("timm:").

    `needs` names the module that must be importable. Raises ValueError when the name is taken: the second one
    of two would silently win.
    """

    def keep(factory: Factory) -> Factory:
        if name in _registered:
            held = _registered[name].factory
            raise ValueError(
                f"encoder {name!r} is registered already, by {held.__module__}.{held.__qualname__}"
            )
        available = not needs or importlib.util.find_spec(needs) is not None
        shown = f"{name}<model>" if name.endswith(":") else name
        info = EncoderInfo(shown, dim, input_px, licence, needs, available, description)
        _registered[name] = _Registration(factory, info)
        return factory

    return keep


def create_encoder(
    name: str, *, weights: str | None = None, device: str = "auto", **options: Any
) -> PatchEncoder:
    """Make the encoder of that name; `weights` is a local path, `device` "auto", "cpu", "cuda", "cuda:1", …

    Raises UnknownEncoderError (which lists the known), UsageError on an option that the encoder does not take,
    MissingDependencyError where a package is missing, WeightsError on weights that cannot be used.
    """
    factory = _find(name)
    arguments = {"weights": weights, "device": device, **options}
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as exc:
        raise UsageError(
            f"encoder {name!r} cannot be made with these options ({exc})",
            remedy="See the encoder's own page for the options that it takes.",
        ) from exc
    encoder = factory(**arguments)
    if not isinstance(encoder, PatchEncoder):
        raise EncoderError(
            f"encoder {name!r} made a {type(encoder).__name__} that has no spec or no encode method",
            remedy="Return an object that follows slidelake.encoders.PatchEncoder.",
        )
    return encoder


def check_encoder(name: str) -> None:
    """Raises UnknownEncoderError, which lists the known, for a name that no encoder has; makes none."""
    _find(name)


def encoder_names() -> list[str]:
    """Names that create_encoder knows, sorted; a family stands as "timm:<model>"."""
    return sorted(info.name for info in describe_encoders())


def describe_encoders() -> list[EncoderInfo]:
    """What is known of each encoder without making it, sorted by name."""
    _load_own()
    infos = [registration.info for registration in _registered.values()]
    for point in _entry_points().values():
        infos.append(EncoderInfo(point.name, None, None, "", "", True, f"from {point.value}"))
    return sorted(infos, key=lambda info: info.name)


def _find(name: str) -> Factory:
    _load_own()
    if name in _registered and not name.endswith(":"):
        return _registered[name].factory
    points = _entry_points()
    if name in points:
        return _load_point(points[name])
    family, colon, member = name.partition(":")
    if colon and member:
        if f"{family}:" in _registered:
            return functools.partial(_registered[f"{family}:"].factory, member)
        if all(part.isidentifier() for part in family.split(".")):
            return _import_factory(name, family, member)
    known = ", ".join(encoder_names())
    raise UnknownEncoderError(
        f"there is no encoder named {name!r}", remedy=f"Choose one of {known}, or give module:factory."
    )


@functools.cache
def _load_own() -> None:
    for module in _OWN_MODULES:
        importlib.import_module(module)


def _entry_points() -> dict[str, EntryPoint]:
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in _registered or point.name in points:
            held = points[point.name].value if point.name in points else "slidelake itself"
            raise EncoderError(
                f"two installed packages offer an encoder named {point.name!r}: {held} and {point.value}",
                remedy="Remove one of the packages, or use module:factory.",
            )
        points[point.name] = point
    return points


def _load_point(point: EntryPoint) -> Factory:
    try:
        factory: Factory = point.load()
    except (ImportError, AttributeError) as exc:
        raise MissingDependencyError(
            f"encoder {point.name!r} cannot be loaded from {point.value} ({exc})",
            remedy="Install the package that offers it again.",
        ) from exc
    return factory


def _import_factory(name: str, module: str, attribute: str) -> Factory:
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as exc:
        known = ", ".join(encoder_names())
        raise UnknownEncoderError(
            f"there is no encoder named {name!r} ({exc})",
            remedy=f"Choose one of {known}, or give an importable module:factory.",
        ) from exc
    if not callable(factory):
        raise UnknownEncoderError(
            f"{name!r} is not a function", remedy="Give module:factory of an encoder factory."
        )
    made: Factory = factory
    return made
