"""Tuning: features from the lake through a projector into a Hugging Face language model with LoRA."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from slidelake.services.tuning.model.config import TuneConfig
from slidelake.services.tuning.model.projectors import create_projector, projector_names

if TYPE_CHECKING:
    from slidelake.services.tuning.model.checkpoint import TunedModel, load_tuned
    from slidelake.services.tuning.model.projectors import Projector
    from slidelake.services.tuning.model.report import TuneReport, load_report
    from slidelake.services.tuning.model.rows import read_rows
    from slidelake.services.tuning.model.run import tune

__all__ = [
    "Projector",
    "TuneConfig",
    "TuneReport",
    "TunedModel",
    "create_projector",
    "load_report",
    "load_tuned",
    "projector_names",
    "read_rows",
    "tune",
]

_HOME = {
    "Projector": "projectors.base",
    "TuneReport": "report",
    "TunedModel": "checkpoint",
    "load_report": "report",
    "load_tuned": "checkpoint",
    "read_rows": "rows",
    "tune": "run",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"slidelake.services.tuning.model.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
