"""Streaming bags to trainers: which slides, which rows, which targets."""

from slidelake.store.streaming.augment import (
    Augmentation,
    Compose,
    FeatureDropout,
    GaussianNoise,
    Interpolate,
    MixBags,
)
from slidelake.store.streaming.balance import draw
from slidelake.store.streaming.sampling import (
    Candidates,
    ClusterRows,
    RandomRows,
    Sampler,
    ShareOfRows,
    SpatialRows,
    TopRows,
)

__all__ = [
    "Augmentation",
    "Candidates",
    "ClusterRows",
    "Compose",
    "FeatureDropout",
    "GaussianNoise",
    "Interpolate",
    "MixBags",
    "RandomRows",
    "Sampler",
    "ShareOfRows",
    "SpatialRows",
    "TopRows",
    "draw",
]
