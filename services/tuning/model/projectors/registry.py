"""Projectors by name."""

import difflib
import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from slidelake.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from slidelake.services.tuning.model.projectors.base import Projector

__all__ = ["create_projector", "projector_names"]

#: One line makes a projector known: its name, its module here, its class there.
_PROJECTORS: Mapping[str, tuple[str, str]] = {
    "attention": ("attention", "AttentionProjector"),
    "mean": ("mean", "MeanProjector"),
    "regions": ("regions", "RegionsProjector"),
    "resampler": ("resampler", "ResamplerProjector"),
}
_MOST_TOKENS = 1024


def projector_names() -> list[str]:
    """The names that `create_projector` knows, sorted."""
    return sorted(_PROJECTORS)


def create_projector(name: str, *, dim: int, width: int, tokens: int, **options: Any) -> "Projector":
    """A projector from `dim` features a patch to `tokens` vectors of `width`; torch's generator draws its weights.

    Raises UnknownNameError for the name, UsageError for an option or a number of tokens that it cannot have.
    """
    if name not in _PROJECTORS:
        close = difflib.get_close_matches(name, _PROJECTORS, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise UnknownNameError(
            f"there is no projector {name!r}", remedy=f"{hint}Use one of: {', '.join(projector_names())}."
        )
    if not 1 <= tokens <= _MOST_TOKENS:
        raise UsageError(f"tokens is {tokens}", remedy=f"Give a number from 1 to {_MOST_TOKENS}.")
    module, attribute = _PROJECTORS[name]
    make: type[Projector] = getattr(
        import_module(f"slidelake.services.tuning.model.projectors.{module}"), attribute
    )
    takes = [each for each in inspect.signature(make).parameters if each not in ("dim", "width", "tokens")]
    strange = sorted(set(options) - set(takes))
    if strange:
        raise UsageError(
            f"the projector {name} has no option {strange[0]!r}",
            remedy=f"It takes: {', '.join(takes) or 'none'}.",
        )
    bound = inspect.signature(make).bind(dim, width, tokens, **options)
    bound.apply_defaults()
    projector = make(*bound.args, **bound.kwargs)
    projector.name = name
    projector.options = {each: bound.arguments[each] for each in takes}
    return projector
