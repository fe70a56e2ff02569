"""Slide encoders: a bag of patch features to one embedding a slide.

One file an aggregator, one line in registry.py.
"""

from slidelake.encoders.slide.base import Block, SlideEmbedding, SlideEncoder, SlideEncoderSpec
from slidelake.encoders.slide.embed import EmbedReport, embed
from slidelake.encoders.slide.registry import aggregator_names, create_aggregator

__all__ = [
    "Block",
    "EmbedReport",
    "SlideEmbedding",
    "SlideEncoder",
    "SlideEncoderSpec",
    "aggregator_names",
    "create_aggregator",
    "embed",
]
