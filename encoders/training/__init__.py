"""Training slide encoders on the bags of a store: configuration, loop, measures, report."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from slidelake.encoders.training.config import LOSSES, METRICS, TITLES, TrainConfig
from slidelake.encoders.training.config_file import make_config, read_config, write_config

if TYPE_CHECKING:
    from slidelake.encoders.training.interrupt import noted_signals
    from slidelake.encoders.training.log import write_log
    from slidelake.encoders.training.metrics import Estimate
    from slidelake.encoders.training.precision import Precision
    from slidelake.encoders.training.report import FoldReport, Measured, TrainReport, load_report
    from slidelake.encoders.training.run import train

__all__ = [
    "LOSSES",
    "METRICS",
    "TITLES",
    "Estimate",
    "FoldReport",
    "Measured",
    "Precision",
    "TrainConfig",
    "TrainReport",
    "load_report",
    "make_config",
    "noted_signals",
    "read_config",
    "train",
    "write_config",
    "write_log",
]

#: These bring torch, and wait until they are asked for.
_HOME = {
    "Estimate": "metrics",
    "FoldReport": "report",
    "Measured": "report",
    "Precision": "precision",
    "TrainReport": "report",
    "load_report": "report",
    "noted_signals": "interrupt",
    "train": "run",
    "write_log": "log",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"slidelake.encoders.training.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
