"""Slide encoders: a bag of patch features to one embedding a slide.

One file a slide encoder, one line in registry.py.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from slidelake.encoders.slide.attention_health import (
    MEASURES,
    HealthReport,
    HealthRules,
    SlideHealth,
    attention_health,
    measure_attention,
)
from slidelake.encoders.slide.base import Block, SlideEmbedding, SlideEncoder, SlideEncoderSpec
from slidelake.encoders.slide.embed import EmbedReport, embed
from slidelake.encoders.slide.predictions import Prediction, predict, write_predictions
from slidelake.encoders.slide.pretrained import PretrainedEncoder, create_pretrained, pretrained_names
from slidelake.encoders.slide.registry import (
    aggregator_names,
    create_aggregator,
    create_slide_model,
    slide_model_names,
)

if TYPE_CHECKING:
    from slidelake.encoders.slide.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from slidelake.encoders.slide.checkpoint_encoder import CheckpointEncoder
    from slidelake.encoders.slide.entropy import attention_entropy, negative_entropy
    from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
    from slidelake.encoders.slide.patient import slide_attention

__all__ = [
    "MEASURES",
    "Bags",
    "Block",
    "Checkpoint",
    "CheckpointEncoder",
    "EmbedReport",
    "HealthReport",
    "HealthRules",
    "Prediction",
    "PretrainedEncoder",
    "SlideEmbedding",
    "SlideEncoder",
    "SlideEncoderSpec",
    "SlideHealth",
    "SlideModel",
    "SlideOutput",
    "aggregator_names",
    "attention_entropy",
    "attention_health",
    "create_aggregator",
    "create_pretrained",
    "create_slide_model",
    "embed",
    "load_checkpoint",
    "measure_attention",
    "negative_entropy",
    "predict",
    "pretrained_names",
    "save_checkpoint",
    "slide_attention",
    "slide_model_names",
    "write_predictions",
]

#: These bring torch, and wait until they are asked for.
_HOME = {
    "Bags": "model",
    "Checkpoint": "checkpoint",
    "CheckpointEncoder": "checkpoint_encoder",
    "SlideModel": "model",
    "SlideOutput": "model",
    "attention_entropy": "entropy",
    "load_checkpoint": "checkpoint",
    "negative_entropy": "entropy",
    "save_checkpoint": "checkpoint",
    "slide_attention": "patient",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"slidelake.encoders.slide.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
