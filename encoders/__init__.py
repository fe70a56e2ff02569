"""Encoders: patches in, vectors out. Light to import: torch, timm and numba come with the encoder that uses them."""

from slidelake.encoders.base import EncoderSpec, PatchEncoder, check_patches
from slidelake.encoders.registry import (
    EncoderInfo,
    create_encoder,
    describe_encoders,
    encoder_names,
    register,
)
from slidelake.encoders.stain import stain_shift

__all__ = [
    "EncoderInfo",
    "EncoderSpec",
    "PatchEncoder",
    "check_patches",
    "create_encoder",
    "describe_encoders",
    "encoder_names",
    "register",
    "stain_shift",
]
