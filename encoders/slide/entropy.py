"""Attention entropy maximisation (AEM: Zhang et al. 2024, arXiv 2406.15303), for any slide encoder with attention.

    loss = task loss + weight · negative_entropy(output, bags.cu_seqlens)

pulls attention away from the few rows by which a small cohort can be learnt by heart. 0.1 is a weight to begin with.
"""

import torch
from torch import Tensor

from slidelake.encoders.slide.model import SlideOutput
from slidelake.encoders.slide.packed import bag_of_row
from slidelake.errors import UsageError
from slidelake.kernels import segment_sum

__all__ = ["attention_entropy", "negative_entropy"]


def attention_entropy(output: SlideOutput, cu_seqlens: Tensor) -> Tensor:
    """(B, K) entropy −Σ a log a of each branch's attention over each bag, in nats: log n where it is uniform.

    0 for a bag without a row that counts. Differentiable through scores and lse. Raises UsageError for a slide
    encoder without attention.
    """
    scores, lse = output.scores, output.lse
    if scores is None or lse is None:
        raise UsageError(
            "this slide encoder has no attention to take the entropy of",
            remedy="Use one that has, or leave the entropy's weight at 0.",
        )
    kept = scores > -torch.inf
    # Left-out rows: −inf − −inf would be NaN, here and in the gradient.
    of_row = lse.T[:, bag_of_row(cu_seqlens, scores.shape[1])].masked_fill(~kept, 0)
    logarithm = scores.masked_fill(~kept, 0) - of_row
    terms = (logarithm.exp() * logarithm).masked_fill(~kept, 0)
    return -segment_sum(terms.T.contiguous(), cu_seqlens.long())


def negative_entropy(output: SlideOutput, cu_seqlens: Tensor) -> Tensor:
    """() float32: the mean over branches and bags of Σ a log a, 0 or below: AEM's term, to be weighted and added.

    Bags without a row that counts have no part in the mean.
    """
    entropy = attention_entropy(output, cu_seqlens)
    counted = output.lse.isfinite() if output.lse is not None else torch.ones_like(entropy, dtype=torch.bool)
    return -entropy.sum() / counted.sum().clamp(min=1)
