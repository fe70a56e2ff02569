"""Aggregators by name."""

import difflib
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from slidelake.errors import UnknownAggregatorError

if TYPE_CHECKING:
    from slidelake.encoders.slide.base import SlideEncoder

#: name → "module:class", loaded when it is asked for; one line makes an aggregator known.
_AGGREGATORS = {
    "max": "slidelake.encoders.slide.max:MaxAggregator",
    "mean": "slidelake.encoders.slide.mean:MeanAggregator",
}


def aggregator_names() -> list[str]:
    """The names that `create_aggregator` knows, sorted."""
    return sorted(_AGGREGATORS)


def create_aggregator(name: str, *, encoder_id: str) -> "SlideEncoder":
    """An aggregator for the bags of one patch encoder; UnknownAggregatorError lists the known ones."""
    if name not in _AGGREGATORS:
        close = difflib.get_close_matches(name, _AGGREGATORS, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise UnknownAggregatorError(
            f"there is no aggregator {name!r}", remedy=f"{hint}Use one of: {', '.join(aggregator_names())}."
        )
    module, attribute = _AGGREGATORS[name].split(":")
    make: Callable[[str], SlideEncoder] = getattr(import_module(module), attribute)
    return make(encoder_id)
