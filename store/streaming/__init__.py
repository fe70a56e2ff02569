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
from slidelake.store.streaming.labels import Labels
from slidelake.store.streaming.make_splits import DEFAULT_PARTS, make_splits
from slidelake.store.streaming.patch_labels import PatchLabels
from slidelake.store.streaming.sampling import (
    Candidates,
    ClusterRows,
    RandomRows,
    Sampler,
    ShareOfRows,
    SpatialRows,
    TopRows,
)
from slidelake.store.streaming.splits import SplitCheck, Splits
from slidelake.store.streaming.targets import Classification, Regression, Survival

__all__ = [
    "DEFAULT_PARTS",
    "Augmentation",
    "Candidates",
    "Classification",
    "ClusterRows",
    "Compose",
    "FeatureDropout",
    "GaussianNoise",
    "Interpolate",
    "Labels",
    "MixBags",
    "PatchLabels",
    "RandomRows",
    "Regression",
    "Sampler",
    "ShareOfRows",
    "SpatialRows",
    "SplitCheck",
    "Splits",
    "Survival",
    "TopRows",
    "draw",
    "make_splits",
]
