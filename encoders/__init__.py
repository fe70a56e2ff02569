"""Encoders: patches in, vectors out; bags in, slide embeddings out.

Light to import: torch, timm and numba come with the encoder that uses them.
"""

from typing import TYPE_CHECKING, Any

from slidelake.encoders.base import EncoderSpec, PatchEncoder, check_patches
from slidelake.encoders.device import device_name
from slidelake.encoders.registry import (
    EncoderInfo,
    check_encoder,
    create_encoder,
    describe_encoders,
    encoder_names,
    register,
)
from slidelake.encoders.stain import DECONVOLUTION, STAINS, stain_shift

if TYPE_CHECKING:
    from slidelake.encoders.slide import (
        MEASURES,
        Bags,
        Block,
        Checkpoint,
        CheckpointEncoder,
        EmbedReport,
        HealthReport,
        HealthRules,
        Prediction,
        PretrainedEncoder,
        SlideEmbedding,
        SlideEncoder,
        SlideEncoderSpec,
        SlideHealth,
        SlideModel,
        SlideOutput,
        aggregator_names,
        attention_entropy,
        attention_health,
        create_aggregator,
        create_pretrained,
        create_slide_model,
        embed,
        load_checkpoint,
        measure_attention,
        negative_entropy,
        predict,
        pretrained_names,
        save_checkpoint,
        slide_attention,
        slide_model_names,
        write_predictions,
    )

__all__ = [
    "DECONVOLUTION",
    "MEASURES",
    "STAINS",
    "Bags",
    "Block",
    "Checkpoint",
    "CheckpointEncoder",
    "EmbedReport",
    "EncoderInfo",
    "EncoderSpec",
    "HealthReport",
    "HealthRules",
    "PatchEncoder",
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
    "check_encoder",
    "check_patches",
    "create_aggregator",
    "create_encoder",
    "create_pretrained",
    "create_slide_model",
    "describe_encoders",
    "device_name",
    "embed",
    "encoder_names",
    "load_checkpoint",
    "measure_attention",
    "negative_entropy",
    "predict",
    "pretrained_names",
    "register",
    "save_checkpoint",
    "slide_attention",
    "slide_model_names",
    "stain_shift",
    "write_predictions",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        # What is not above is of the slide encoders, which bring the store.
        from slidelake.encoders import slide

        return getattr(slide, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
