"""The largest value of each feature over a bag's valid rows."""

from collections.abc import Iterable

import numpy as np

from slidelake.encoders.slide.base import Block, SlideEmbedding, SlideEncoder, SlideEncoderSpec


class MaxAggregator(SlideEncoder):
    """embedding (1, D) = the element-wise maximum of the valid rows."""

    def __init__(self, encoder_id: str) -> None:
        self.spec = SlideEncoderSpec(
            "max", encoder_id, description="element-wise maximum of the patch features"
        )

    def encode(self, blocks: Iterable[Block]) -> SlideEmbedding:
        """The maximum over the valid rows of all blocks; ValueError where there is none."""
        parts = [block.features[block.valid].max(axis=0) for block in blocks if block.valid.any()]
        if not parts:
            raise ValueError("a bag without a valid row has no maximum")
        return SlideEmbedding(np.max(parts, axis=0).astype(np.float32)[None])
