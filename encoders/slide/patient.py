"""Attention over the slides of one patient, each of them pooled by any other slide encoder.

    create_slide_model("patient", dim=1024, outputs=2, inner="clam-sb", inner_options={"projection": 256})

A bag is a patient (`BagLoader(unit="patient")`): `Bags.slide_seqlens` has the borders of its slides. Slide s of a
patient gets attention β_s by its embedding, and the patient's logits are Σ β_s · (the slide's logits): with the linear
head of most slide encoders the same as the head on Σ β_s · (the slide's embedding), and right for any other head.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from slidelake.encoders.slide.layers import AttentionPool
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.options import choice, refuse_fixed, share, switch, whole
from slidelake.encoders.slide.packed import bag_of_row, row_counts
from slidelake.encoders.slide.registry import create_slide_model, slide_model_names
from slidelake.errors import UsageError
from slidelake.kernels import attention_weights, segment_sum

__all__ = ["PatientModel", "slide_attention"]


class PatientModel(SlideModel):
    """`inner` = the slide encoder by name, `inner_options` its options; `hidden`, `gated` and `dropout` of the
    attention over slides. What `inner` can be trained on, needs and adds to the loss (each slide with its patient's
    target) is what this can, needs and adds.

    scores (K, T) and lse (B, K) give a row's share of the whole patient: β_s times its share of the slide, spread
    evenly over the slide where `inner` has no attention. `slide_attention` gives β again.
    """

    def __init__(
        self,
        dim: int,
        outputs: int,
        *,
        inner: str = "abmil",
        inner_options: Mapping[str, Any] | None = None,
        hidden: int = 128,
        gated: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        known = [name for name in slide_model_names() if name != "patient"]
        if inner_options is not None and not isinstance(inner_options, Mapping):
            raise UsageError(
                f"inner_options is {inner_options!r}", remedy='Give options by name: {"hidden": 128}.'
            )
        refuse_fixed("inner_options", inner_options or {})
        self.inner = create_slide_model(
            choice("inner", inner, known), dim=dim, outputs=outputs, **(inner_options or {})
        )
        self.tasks, self.task_remedy = self.inner.tasks, self.inner.task_remedy
        self.needs_coords = self.inner.needs_coords
        self.attention = AttentionPool(
            _embedding_width(self.inner),
            whole("hidden", hidden),
            gated=switch("gated", gated),
            dropout=share("dropout", dropout),
        )

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """embedding (B, K, E) as the inner slide encoder's; a bag without slide_seqlens is one slide."""
        slides = bags.slide_seqlens if bags.slide_seqlens is not None else bags.cu_seqlens
        of_bag = _slides_of_bags(slides, bags.cu_seqlens)  # (B + 1,) borders of the bags among the slides
        if targets is not None:
            targets = targets.repeat_interleave(torch.diff(of_bag), 0, output_size=len(slides) - 1)
        made = self.inner(Bags(bags.features, slides, bags.mask, bags.coords), targets)
        counts = row_counts(slides, bags.mask)
        pooled, slide_scores, slide_lse = self.attention(made.embedding.flatten(1), of_bag, counts > 0)
        beta = attention_weights(slide_scores, slide_lse, of_bag)[0]  # (S,)
        logits = segment_sum(made.logits, of_bag, beta)
        branches = made.embedding.shape[1]
        return SlideOutput(
            logits,
            pooled.view(len(bags), branches, -1),
            _row_scores(made, slide_scores[0], slides, counts, bags),
            slide_lse.expand(-1, branches),
            made.losses,
        )

    def after_step(self) -> None:
        """The inner slide encoder's."""
        self.inner.after_step()


def slide_attention(output: SlideOutput, slide_seqlens: Tensor, cu_seqlens: Tensor) -> Tensor:
    """(K, S): the attention that each slide gets, 1 in sum over a patient; of PatientModel the same for each branch."""
    if output.scores is None or output.lse is None:
        raise UsageError("this slide encoder has no attention", remedy="Use the slide encoder 'patient'.")
    attention = attention_weights(output.scores, output.lse, cu_seqlens)
    return segment_sum(attention.T.contiguous(), slide_seqlens.long()).T


def _row_scores(
    made: SlideOutput, slide_scores: Tensor, slides: Tensor, counts: Tensor, bags: Bags
) -> Tensor:
    """(K, T) log of each row's share of its slide, plus the slide's score."""
    of_row = bag_of_row(slides, len(bags.features))
    if made.scores is not None and made.lse is not None:
        inside = made.scores - made.lse.masked_fill(made.lse.isneginf(), 0).T[:, of_row]
    else:
        even = -counts.clamp(min=1).to(slide_scores.dtype).log()
        inside = even[of_row].expand(made.embedding.shape[1], -1)
        if bags.mask is not None:
            inside = inside.masked_fill(~bags.mask, -torch.inf)
    return inside + slide_scores[of_row]


def _slides_of_bags(slides: Tensor, cu_seqlens: Tensor) -> Tensor:
    """(B + 1,) int64: where each bag begins among the slides; UsageError where a bag's border is none of a slide."""
    slides, borders = slides.long(), cu_seqlens.long()
    if borders.device.type == "cpu" and not torch.isin(borders, slides).all():
        raise UsageError(
            "slide_seqlens lack a border of a bag",
            remedy="Let every bag begin and end where one of its slides does, as batches of patients do.",
        )
    first = torch.searchsorted(slides, borders)
    first[-1] = len(slides) - 1  # empty slides at the very end belong to the last bag
    return first


def _embedding_width(model: SlideModel) -> int:
    """How many numbers a slide embedding has, all branches together: seen on a bag of one empty patch."""
    bag = Bags(torch.zeros(1, model.dim), torch.tensor([0, 1]), coords=torch.zeros(1, 2, dtype=torch.int32))
    training = model.training
    with torch.no_grad():
        width = model.eval()(bag).embedding.flatten(1).shape[1]
    model.train(training)
    return width
