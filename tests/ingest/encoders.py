"""Encoders that misbehave on purpose, made by "tests.ingest.encoders:…"; plain means otherwise."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.encoders import EncoderSpec

DIM = 3
Rule = Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32]]


class Means:
    """(B, 3) float32 mean of each channel, through a rule that may break it."""

    def __init__(self, name: str, rule: Rule) -> None:
        self.spec = EncoderSpec(name=name, dim=DIM)
        self._rule = rule

    def encode(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._rule(patches, patches.mean(axis=(1, 2), dtype=np.float32))


def marked(patches: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(B,) whether a patch is of the kind that `mark` makes: nothing is as blue."""
    return (patches[..., 2].astype(int) - patches[..., 0] > 120).mean(axis=(1, 2)) > 0.5


def mark(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The second patch of the second row turned as blue as no tissue is."""
    picture = picture.copy()
    picture[256:512, 256:512] = (60, 50, 210)
    return picture


def plain(weights: Any = None, device: str = "auto") -> Means:
    return Means("plain", lambda patches, features: features)


def raises_on_mark(weights: Any = None, device: str = "auto") -> Means:
    def rule(patches: NDArray[np.uint8], features: NDArray[np.float32]) -> NDArray[np.float32]:
        if marked(patches).any():
            raise RuntimeError("CUDA out of memory")
        return features

    return Means("raises-on-mark", rule)


def nan_on_mark(weights: Any = None, device: str = "auto") -> Means:
    return Means(
        "nan-on-mark",
        lambda patches, features: np.where(marked(patches)[:, None], np.float32("nan"), features),
    )


def one_row_less(weights: Any = None, device: str = "auto") -> Means:
    return Means("one-row-less", lambda patches, features: features[:-1])


def wrong_width(weights: Any = None, device: str = "auto") -> Means:
    return Means("wrong-width", lambda patches, features: features[:, :2])


def dies_on_mark(weights: Any = None, device: str = "auto") -> Means:
    """Takes its process along, as a crash in a library does."""

    def rule(patches: NDArray[np.uint8], features: NDArray[np.float32]) -> NDArray[np.float32]:
        if marked(patches).any():
            os._exit(1)
        return features

    return Means("dies-on-mark", rule)
