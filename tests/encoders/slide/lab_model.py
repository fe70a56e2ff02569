"""A slide encoder as a lab would write it: what the recipe in encoders/slide/README.md ends in."""

from torch import Tensor, nn

from slidelake.encoders.slide.layers import Projection, in_float32
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.options import whole
from slidelake.encoders.slide.packed import bag_mean


class ProjectedMean(SlideModel):
    """The mean of projected patches."""

    def __init__(self, dim: int, outputs: int, *, width: int = 64) -> None:
        super().__init__()
        self.projection = Projection(dim, whole("width", width))
        self.head = nn.Linear(width, outputs)

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        rows = self.projection(bags.features, bags.mask)
        pooled = bag_mean(rows, bags.cu_seqlens, bags.mask)
        return SlideOutput(in_float32(self.head, pooled), pooled[:, None], None, None, {})
