"""A linear layer on the pooled bag: what every other slide encoder has to beat, and the fastest to train.

Apart from mean.py and max.py, which make embeddings without torch.
"""

from torch import Tensor, nn

from slidelake.encoders.slide.layers import in_float32
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.packed import bag_max, bag_mean

__all__ = ["MaxModel", "MeanModel"]


class MeanModel(SlideModel):
    """logits = a linear layer on the mean of a bag's rows; embedding (B, 1, D), 0 for an empty bag."""

    def __init__(self, dim: int, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(dim, outputs)

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """No attention, and no loss of its own."""
        mean = bag_mean(bags.features, bags.cu_seqlens, bags.mask)
        return SlideOutput(in_float32(self.head, mean), mean[:, None], None, None, {})


class MaxModel(SlideModel):
    """logits = a linear layer on the maximum of each feature over a bag; embedding (B, 1, D), 0 for an empty bag."""

    def __init__(self, dim: int, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(dim, outputs)

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """No attention, and no loss of its own."""
        largest = bag_max(bags.features, bags.cu_seqlens, bags.mask)
        return SlideOutput(in_float32(self.head, largest), largest[:, None], None, None, {})
