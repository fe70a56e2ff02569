"""Tuning: features from the lake through a projector into a Hugging Face language model with LoRA."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from slidelake.services.tuning.model.config import TuneConfig
from slidelake.services.tuning.model.projectors import create_projector, projector_names

if TYPE_CHECKING:
    from slidelake.services.tuning.model.assistant import Assistant, pad_prompts
    from slidelake.services.tuning.model.checkpoint import TunedModel, load_tuned
    from slidelake.services.tuning.model.features import FeatureReader, Waiting, stream
    from slidelake.services.tuning.model.language_model import add_lora, make_tiny, quiet_transformers
    from slidelake.services.tuning.model.phases import Phase, PhaseRun
    from slidelake.services.tuning.model.projectors import Projector
    from slidelake.services.tuning.model.prompts import FEATURES, IGNORED, Prompt
    from slidelake.services.tuning.model.report import TuneReport, load_report
    from slidelake.services.tuning.model.rows import Placed, read_rows
    from slidelake.services.tuning.model.run import tune

__all__ = [
    "FEATURES",
    "IGNORED",
    "Assistant",
    "FeatureReader",
    "Phase",
    "PhaseRun",
    "Placed",
    "Projector",
    "Prompt",
    "TuneConfig",
    "TuneReport",
    "TunedModel",
    "Waiting",
    "add_lora",
    "create_projector",
    "load_report",
    "load_tuned",
    "make_tiny",
    "pad_prompts",
    "projector_names",
    "quiet_transformers",
    "read_rows",
    "stream",
    "tune",
]

_HOME = {
    "FEATURES": "prompts",
    "IGNORED": "prompts",
    "Assistant": "assistant",
    "FeatureReader": "features",
    "Phase": "phases",
    "PhaseRun": "phases",
    "Placed": "rows",
    "Projector": "projectors.base",
    "Prompt": "prompts",
    "TuneReport": "report",
    "TunedModel": "checkpoint",
    "Waiting": "features",
    "add_lora": "language_model",
    "load_report": "report",
    "load_tuned": "checkpoint",
    "make_tiny": "language_model",
    "pad_prompts": "assistant",
    "quiet_transformers": "language_model",
    "read_rows": "rows",
    "stream": "features",
    "tune": "run",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"slidelake.services.tuning.model.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
