"""Streaming bags to trainers: which slides, which rows, which targets, in which order."""

from typing import TYPE_CHECKING, Any

from slidelake.store.streaming.augment import (
    Augmentation,
    Compose,
    FeatureDropout,
    GaussianNoise,
    Interpolate,
    MixBags,
)
from slidelake.store.streaming.balance import draw
from slidelake.store.streaming.batch import Batch
from slidelake.store.streaming.labels import Labels
from slidelake.store.streaming.loader import BagLoader
from slidelake.store.streaming.make_splits import DEFAULT_PARTS, make_splits
from slidelake.store.streaming.patch_labels import PatchLabels
from slidelake.store.streaming.patches import PatchBatch, PatchLoader
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

if TYPE_CHECKING:
    from slidelake.store.streaming.datasets import BagDataset, BagStream, collate

__all__ = [
    "DEFAULT_PARTS",
    "Augmentation",
    "BagDataset",
    "BagLoader",
    "BagStream",
    "Batch",
    "Candidates",
    "Classification",
    "ClusterRows",
    "Compose",
    "FeatureDropout",
    "GaussianNoise",
    "Interpolate",
    "Labels",
    "MixBags",
    "PatchBatch",
    "PatchLabels",
    "PatchLoader",
    "RandomRows",
    "Regression",
    "Sampler",
    "ShareOfRows",
    "SpatialRows",
    "SplitCheck",
    "Splits",
    "Survival",
    "TopRows",
    "collate",
    "draw",
    "make_splits",
]

_TORCH = ("BagDataset", "BagStream", "collate")


def __getattr__(name: str) -> Any:
    # Their base classes are torch's, which takes a second to load.
    if name in _TORCH:
        from slidelake.store.streaming import datasets

        return getattr(datasets, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
