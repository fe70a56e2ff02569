"""The mean of a bag's valid rows: the plainest slide embedding, and a strong one for retrieval."""

from collections.abc import Iterable

import numpy as np

from slidelake.encoders.slide.base import Block, SlideEmbedding, SlideEncoder, SlideEncoderSpec


class MeanAggregator(SlideEncoder):
    """embedding (1, D) = the arithmetic mean of the valid rows, accumulated in float64."""

    def __init__(self, encoder_id: str) -> None:
        self.spec = SlideEncoderSpec("mean", encoder_id, description="arithmetic mean of the patch features")

    def encode(self, blocks: Iterable[Block]) -> SlideEmbedding:
        """The mean of the valid rows of all blocks; ValueError where there is none."""
        total: np.ndarray | None = None
        count = 0
        for block in blocks:
            part = block.features[block.valid].sum(axis=0, dtype=np.float64)
            total = part if total is None else total + part
            count += int(block.valid.sum())
        if total is None or count == 0:
            raise ValueError("a bag without a valid row has no mean")
        return SlideEmbedding((total / count).astype(np.float32)[None])
