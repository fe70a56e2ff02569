"""The mean of a bag's valid rows: the plainest slide embedding, and a strong one for retrieval."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from slidelake.encoders.slide.base import Block, SlideEmbedding, SlideEncoder, SlideEncoderSpec
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput


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


class MeanModel(SlideModel):
    """A linear layer on the mean of a bag's rows: what every other slide encoder has to beat."""

    def __init__(self, dim: int, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(dim, outputs)

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """logits (B, C), embedding (B, 1, D); an empty bag's mean is 0."""
        features = bags.features.float()
        counts = torch.diff(bags.cu_seqlens).long()
        if bags.mask is not None:
            features = features.masked_fill(~bags.mask[:, None], 0)
            counts = torch.segment_reduce(bags.mask.float(), "sum", lengths=counts).long()
        lengths = torch.diff(bags.cu_seqlens).long()
        total = torch.segment_reduce(features, "sum", lengths=lengths)
        mean = total / counts.clamp(min=1)[:, None]
        return SlideOutput(self.head(mean), mean[:, None], None, None, {})
