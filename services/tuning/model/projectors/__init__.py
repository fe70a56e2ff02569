"""Projectors: a bag of patch features to a fixed number of tokens of a language model.

One file a projector, one line in registry.py.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from slidelake.services.tuning.model.projectors.registry import create_projector, projector_names

if TYPE_CHECKING:
    from slidelake.services.tuning.model.projectors.base import Projector

__all__ = ["Projector", "create_projector", "projector_names"]

_HOME = {"Projector": "base"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"slidelake.services.tuning.model.projectors.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
