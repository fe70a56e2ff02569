"""Text encoders: sentences in, unit vectors out. Light to import: torch comes with the encoder that uses it."""

from slidelake.encoders.text.base import TextEncoder, TextEncoderSpec
from slidelake.encoders.text.registry import (
    TextEncoderInfo,
    create_text_encoder,
    describe_text_encoders,
    shared_text_encoder,
    text_encoder_names,
)

__all__ = [
    "TextEncoder",
    "TextEncoderInfo",
    "TextEncoderSpec",
    "create_text_encoder",
    "describe_text_encoders",
    "shared_text_encoder",
    "text_encoder_names",
]
