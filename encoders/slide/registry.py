"""Slide encoders by name: those that need no checkpoint (aggregators), and those that are trained (models)."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, NamedTuple

from slidelake.encoders.slide.pretrained import pretrained_names
from slidelake.errors import (
    EncoderError,
    MissingDependencyError,
    UnknownAggregatorError,
    UsageError,
)

if TYPE_CHECKING:
    from slidelake.encoders.slide.base import SlideEncoder
    from slidelake.encoders.slide.model import SlideModel


#: Packages of others offer slide encoders to train under this group: `my-model = "my_package.my_model:MyModel"`.
ENTRY_POINT_GROUP = "slidelake.slide_models"


class _Entry(NamedTuple):
    """Where a slide encoder is: its module, imported when asked for, and its classes there ("" = has none)."""

    module: str
    model: str = ""
    aggregator: str = ""
    #: Where the aggregator is in a module of its own: it gets along without torch.
    aggregator_module: str = ""


#: One line makes a slide encoder known.
_SLIDE_ENCODERS: Mapping[str, _Entry] = {
    "abmil": _Entry("abmil", model="ABMIL"),
    "abmilx": _Entry("abmilx", model="ABMILX"),
    "acmil": _Entry("acmil", model="ACMIL"),
    "clam-mb": _Entry("clam", model="ClamMB"),
    "clam-sb": _Entry("clam", model="ClamSB"),
    "dsmil": _Entry("dsmil", model="DSMIL"),
    "max": _Entry("linear", model="MaxModel", aggregator="MaxAggregator", aggregator_module="max"),
    "mean": _Entry("linear", model="MeanModel", aggregator="MeanAggregator", aggregator_module="mean"),
    "mhim": _Entry("mhim", model="MHIM"),
    "otsurv": _Entry("otsurv", model="OTSurv"),
    "patient": _Entry("patient", model="PatientModel"),
    "transmil": _Entry("transmil", model="TransMIL"),
}


def aggregator_names() -> list[str]:
    """The names that `create_aggregator` knows: slide encoders that need no checkpoint, sorted."""
    return sorted(name for name, entry in _SLIDE_ENCODERS.items() if entry.aggregator)


def slide_model_names() -> list[str]:
    """The names that `create_slide_model` knows: slide encoders that can be trained, sorted."""
    return sorted([name for name, entry in _SLIDE_ENCODERS.items() if entry.model] + list(_entry_points()))


def create_aggregator(name: str, *, encoder_id: str) -> "SlideEncoder":
    """An aggregator for the bags of one patch encoder; UnknownAggregatorError lists the known ones."""
    known = aggregator_names()
    if name in pretrained_names():
        raise UnknownAggregatorError(
            f"{name} is pre-trained, and needs weights of your own",
            remedy="Pass them: slidelake embed --weights FOLDER, or create_pretrained in Python.",
        )
    if name not in known:
        raise _unknown("aggregator", name, known)
    entry = _SLIDE_ENCODERS[name]
    make: Callable[[str], SlideEncoder] = _load(entry.aggregator_module or entry.module, entry.aggregator)
    return make(encoder_id)


def create_slide_model(name: str, *, dim: int, outputs: int, **options: Any) -> "SlideModel":
    """A slide encoder to train: D features a patch in, `outputs` logits out; torch's generator draws its weights.

    Raises UnknownAggregatorError for the name, UsageError for an option that it does not have, or a value that
    the option cannot have.
    """
    known = slide_model_names()
    if name not in known:
        raise _unknown("slide encoder to train", name, known)
    for what, count in (("dim", dim), ("outputs", outputs)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise UsageError(f"{what} is {count!r}", remedy="Give a whole number of at least 1.")
    make = _model_class(name)
    signature = inspect.signature(make)
    takes = [each for each in signature.parameters if each not in ("dim", "outputs")]
    strange = sorted(set(options) - set(takes))
    if strange:
        close = difflib.get_close_matches(strange[0], takes, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise UsageError(
            f"{name} has no option {strange[0]!r}",
            remedy=f"{hint}It takes: {', '.join(takes) or 'none'}.",
        )
    bound = signature.bind(dim, outputs, **options)
    bound.apply_defaults()
    try:
        model = make(*bound.args, **bound.kwargs)
    except UsageError as exc:
        raise UsageError(f"{name}: {exc.problem}", remedy=exc.remedy) from exc
    model.name, model.dim, model.outputs = name, dim, outputs
    model.options = {each: bound.arguments[each] for each in takes}
    return model


def _model_class(name: str) -> "type[SlideModel]":
    if name in _SLIDE_ENCODERS:
        entry = _SLIDE_ENCODERS[name]
        own: type[SlideModel] = _load(entry.module, entry.model)
        return own
    point = _entry_points()[name]
    try:
        theirs: type[SlideModel] = point.load()
    except (ImportError, AttributeError) as exc:
        raise MissingDependencyError(
            f"slide encoder {name!r} cannot be loaded from {point.value} ({exc})",
            remedy="Install the package that offers it again.",
        ) from exc
    return theirs


def _entry_points() -> dict[str, EntryPoint]:
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in _SLIDE_ENCODERS or point.name in points:
            held = points[point.name].value if point.name in points else "slidelake itself"
            raise EncoderError(
                f"two installed packages offer a slide encoder named {point.name!r}: {held} and {point.value}",
                remedy="Remove one of the packages.",
            )
        points[point.name] = point
    return points


def _load(module: str, attribute: str) -> Any:
    return getattr(import_module(f"slidelake.encoders.slide.{module}"), attribute)


def _unknown(what: str, name: str, known: list[str]) -> UnknownAggregatorError:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    return UnknownAggregatorError(
        f"there is no {what} {name!r}", remedy=f"{hint}Use one of: {', '.join(known)}."
    )
