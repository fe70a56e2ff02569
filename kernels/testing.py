"""What every back end of gated attention pooling must satisfy: subclass `GatedAttentionConformance`.

The reference is a plain loop over bags, branches and rows in float64, written from the formula alone.
"""

from itertools import pairwise
from typing import ClassVar, NamedTuple

import pytest
import torch
from torch import Tensor

from slidelake.kernels.gated_attention import attention_weights, gated_attention_pool
from slidelake.kernels.packing import pack_bags

#: Rows of the bags of one call: empty, one row, either side of a tile, longer than a block of sums.
RAGGED = (0, 1, 15, 16, 17, 0, 127, 129, 1500)
#: D, L, K: multiples of nothing, of 16, and the sizes of published models.
SIZES = ((96, 40, 1), (384, 128, 2), (100, 33, 5), (17, 7, 8), (1536, 256, 1))


class Case(NamedTuple):
    """The arguments of one call, in the order that `gated_attention_pool` takes them."""

    h: Tensor
    V: Tensor
    bV: Tensor  # noqa: N815 - the paper's names
    U: Tensor | None
    bU: Tensor | None  # noqa: N815
    w: Tensor
    bw: Tensor
    cu_seqlens: Tensor

    def to(self, dtype: torch.dtype, device: str = "cpu") -> "Case":
        """The same case with its floating point tensors in another dtype."""
        return Case._make(
            None if x is None else x.to(device, dtype if x.is_floating_point() else None) for x in self
        )

    def parameters(self) -> list[Tensor]:
        """Everything that takes a gradient."""
        return [x for x in self[:-1] if x is not None]


def make_case(
    lengths: tuple[int, ...] = RAGGED,
    size: tuple[int, int, int] = (96, 40, 2),
    *,
    gated: bool = True,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    scale: float = 1.0,
    device: str = "cpu",
) -> Case:
    """Random bags of `lengths` rows and random parameters; `scale` multiplies w and so the scores."""
    dim, hidden, branches = size
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, spread: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64) * spread

    h, cu_seqlens = pack_bags([draw(rows, dim) for rows in lengths])
    return Case(
        h,
        draw(hidden, dim, spread=dim**-0.5),
        draw(hidden),
        draw(hidden, dim, spread=dim**-0.5) if gated else None,
        draw(hidden) if gated else None,
        draw(branches, hidden, spread=scale * hidden**-0.5),
        draw(branches),
        cu_seqlens,
    ).to(dtype, device)


def loop_reference(case: Case, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """pooled (B, K, D), scores (K, T), lse (B, K) in float64, one bag and one branch at a time."""
    h, V, bV, U, bU, w, bw, cu_seqlens = case.to(torch.float64)
    borders, branches = cu_seqlens.tolist(), w.shape[0]
    pooled = h.new_zeros(len(borders) - 1, branches, h.shape[1])
    scores = h.new_full((branches, h.shape[0]), -torch.inf)
    lse = h.new_full((len(borders) - 1, branches), -torch.inf)
    for bag, (start, stop) in enumerate(pairwise(borders)):
        rows = [n for n in range(start, stop) if mask is None or mask[n]]
        if not rows:
            continue
        x = h[rows]
        hidden = torch.tanh(x @ V.T + bV)
        if U is not None and bU is not None:
            hidden = hidden * torch.sigmoid(x @ U.T + bU)
        for branch in range(branches):
            s = hidden @ w[branch] + bw[branch]
            scores[branch, rows] = s
            lse[bag, branch] = torch.logsumexp(s, 0)
            pooled[bag, branch] = torch.softmax(s, 0) @ x
    return pooled, scores, lse


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """Norm of the difference over that of what is wanted, over finite values; inf where others differ."""
    found, wanted = found.double().cpu(), wanted.double().cpu()
    if found.shape != wanted.shape or not torch.equal(found.isfinite(), wanted.isfinite()):
        return float("inf")
    if not torch.equal(found[~found.isfinite()], wanted[~wanted.isfinite()]):
        return float("inf")
    finite = wanted.isfinite()
    size = wanted[finite].norm().item()
    return float((found[finite] - wanted[finite]).norm().item() / (size or 1.0))


class GatedAttentionConformance:
    """Set `backend` (and `device`, `save`); widen `tolerance` only with an argument from the dtype of the arithmetic.

    The inputs are rounded to the dtype first and the reference takes them as they are: what is left is the
    error of the arithmetic alone, a few units of float32 where everything is accumulated in it.
    """

    backend: ClassVar[str]
    save: ClassVar[str] = "auto"
    device: ClassVar[str] = "cpu"
    tolerance: ClassVar[dict[torch.dtype, float]] = {
        torch.float64: 1e-13,
        torch.float32: 2e-6,
        torch.float16: 2e-6,
        torch.bfloat16: 2e-6,
    }

    def run(self, case: Case, **options: object) -> tuple[Tensor, Tensor, Tensor]:
        return gated_attention_pool(*case, backend=self.backend, save=self.save, **options)  # type: ignore[arg-type]

    def assert_near(
        self, found: tuple[Tensor, ...], wanted: tuple[Tensor, ...], dtype: torch.dtype, factor: float = 1.0
    ) -> None:
        errors = [relative_error(f, w) for f, w in zip(found, wanted, strict=True)]
        assert max(errors) <= factor * self.tolerance[dtype], errors

    @pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
    @pytest.mark.parametrize("size", SIZES, ids=str)
    @pytest.mark.parametrize(
        "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=lambda d: str(d)[6:]
    )
    def test_agrees_with_the_loop(self, dtype: torch.dtype, size: tuple[int, int, int], gated: bool) -> None:
        case = make_case(size=size, gated=gated, dtype=dtype, device=self.device)
        found = self.run(case)
        kind = torch.float64 if dtype == torch.float64 else torch.float32
        assert [x.dtype for x in found] == [kind] * 3
        self.assert_near(found, loop_reference(case), dtype)

    @pytest.mark.parametrize("lengths", [(), (0,), (0, 0), (1,), (1, 1, 1), (4097,)], ids=str)
    def test_few_and_long_bags(self, lengths: tuple[int, ...]) -> None:
        case = make_case(lengths or (0,), device=self.device)
        if not lengths:
            case = case._replace(cu_seqlens=case.cu_seqlens[:1])
        self.assert_near(self.run(case), loop_reference(case), torch.float32)

    def test_half_features_with_full_parameters(self) -> None:
        case = make_case(device=self.device)
        case = case._replace(h=case.h.half())
        self.assert_near(self.run(case), loop_reference(case), torch.float16)

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
    def test_left_out_rows_are_as_if_absent(self, share: float) -> None:
        case = make_case(device=self.device)
        mask = torch.rand(len(case.h), generator=torch.Generator().manual_seed(1)) >= share
        mask[1:16] = False  # a bag of one row and most of the next
        mask = mask.to(self.device)
        found = self.run(case, mask=mask)
        self.assert_near(found, loop_reference(case, mask), torch.float32)
        assert found[1][:, ~mask].isneginf().all()

    def test_what_a_left_out_row_holds_does_not_matter(self) -> None:
        case = make_case(device=self.device)
        mask = torch.arange(len(case.h), device=self.device) % 3 > 0
        poisoned = case.h.clone()
        poisoned[~mask] = torch.nan
        clean = self.run(case, mask=mask)
        for a, b in zip(clean, self.run(case._replace(h=poisoned), mask=mask), strict=True):
            assert torch.equal(a, b)

    def test_bags_do_not_see_each_other(self) -> None:
        case = make_case((40, 1300, 3), device=self.device)
        pooled, scores, lse = self.run(case)
        alone = case._replace(h=case.h[40:1340], cu_seqlens=torch.tensor([0, 1300], device=self.device))
        self.assert_near(self.run(alone), (pooled[1:2], scores[:, 40:1340], lse[1:2]), torch.float32)

    @pytest.mark.parametrize("shift", [1e4, -1e4])
    def test_huge_scores_do_not_overflow(self, shift: float) -> None:
        case = make_case(scale=3e3, device=self.device)
        case = case._replace(bw=case.bw + shift)
        found = self.run(case)
        assert found[1].abs().max() > 1e4
        # float32 scores of 1e4 are good to 1e-3, and the softmax turns that into a relative error of itself.
        self.assert_near(found[1:], loop_reference(case)[1:], torch.float32)
        assert relative_error(found[0], loop_reference(case)[0]) < 1e-2
        assert found[0].isfinite().all()

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=lambda d: str(d)[6:])
    def test_scores_beyond_half_precision_are_finite(self, dtype: torch.dtype) -> None:
        """Weights near float16's largest number: their sum over the hidden units is beyond it."""
        case = make_case(dtype=dtype, device=self.device)
        case = case._replace(w=torch.full_like(case.w, 6e4), bV=torch.full_like(case.bV, 3))
        found = self.run(case)
        assert found[1].max() > 65504
        assert all(
            x[torch.isfinite(y)].isfinite().all() for x, y in zip(found, loop_reference(case), strict=True)
        )
        self.assert_near(found[1:], loop_reference(case)[1:], dtype)

    def test_not_a_number_spoils_its_own_bag_only(self) -> None:
        case = make_case((5, 40, 0, 3, 30), device=self.device)
        spoilt = case.h.clone()
        spoilt[17, 2] = torch.nan  # a row of bag 1
        outputs, rows = self._outputs_and_row_gradient(case)
        found, found_rows = self._outputs_and_row_gradient(case._replace(h=spoilt))
        pooled, scores, lse = found
        assert pooled[1].isnan().all()
        assert scores[:, 17].isnan().all()
        assert lse[1].isnan().all()
        others = [0, 2, 3, 4]
        kept = [*range(5), *range(45, 78)]
        self.assert_near(
            (pooled[others], lse[others]), (outputs[0][others], outputs[2][others]), torch.float32
        )
        self.assert_near((scores[:, kept],), (outputs[1][:, kept],), torch.float32)
        self.assert_near((found_rows[kept],), (rows[kept],), torch.float32, factor=5)

    def _outputs_and_row_gradient(self, case: Case) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        h = case.h.clone().requires_grad_()
        outputs = self.run(case._replace(h=h))
        loss = outputs[0].square().sum() + outputs[1].square().sum()
        return outputs, torch.autograd.grad(loss, h)[0]

    def test_attention_sums_to_one(self) -> None:
        case = make_case(device=self.device)
        mask = torch.arange(len(case.h), device=self.device) % 4 > 0
        mask[16:32] = False  # a whole bag
        pooled, scores, lse = self.run(case, mask=mask)
        attention = attention_weights(scores, lse, case.cu_seqlens)
        assert (attention[:, ~mask] == 0).all()
        borders = case.cu_seqlens.tolist()
        for bag, (start, stop) in enumerate(pairwise(borders)):
            total = attention[:, start:stop].sum(1)
            wanted = 1.0 if mask[start:stop].any() else 0.0
            assert torch.allclose(total, torch.full_like(total, wanted), atol=1e-5)
            again = attention[:, start:stop] @ case.h[start:stop]
            assert torch.allclose(again, pooled[bag], atol=1e-5)

    def test_memory_layout_does_not_matter(self) -> None:
        case = make_case(device=self.device)
        strided = Case._make(_strided(x) if x is not None and x.is_floating_point() else x for x in case)
        assert not strided.h.is_contiguous()
        assert not strided.V.is_contiguous()
        self.assert_near(self.run(strided), loop_reference(case), torch.float32)

    def test_same_bits_every_time(self) -> None:
        case = make_case((3000, 1, 700, 0, 5000), (64, 32, 3), device=self.device)
        first = self._outputs_and_gradients(case)
        for _ in range(5):
            for a, b in zip(first, self._outputs_and_gradients(case), strict=True):
                assert torch.equal(a, b)

    def _outputs_and_gradients(self, case: Case) -> list[Tensor]:
        leaves = [x.clone().requires_grad_() for x in case.parameters()]
        outputs = self.run(Case._make([*leaves, case.cu_seqlens]), dropout_p=0.25, seed=11)
        loss = sum((x.square().sum() for x in _finite(outputs)), start=torch.zeros((), device=self.device))
        return [*outputs, *torch.autograd.grad(loss, leaves)]

    @pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
    def test_gradients_agree_with_the_loop(self, gated: bool) -> None:
        case = make_case((7, 0, 33, 1), (24, 10, 3), gated=gated, device=self.device)
        wanted = self._gradients(case.to(torch.float64), loop=True, gated=gated)
        found = self._gradients(case, loop=False, gated=gated)
        self.assert_near(tuple(found), tuple(wanted), torch.float32, factor=5)

    def _gradients(self, case: Case, *, loop: bool, gated: bool) -> list[Tensor]:
        leaves = [x.clone().requires_grad_() for x in case.parameters()]
        branches = leaves if gated else [*leaves[:3], None, None, *leaves[3:]]
        inner = Case._make([*branches, case.cu_seqlens])
        pooled, scores, lse = loop_reference(inner) if loop else self.run(inner)
        # Scores are used twice, in the softmax and by a loss of their own, as CLAM, ACMIL and DSMIL do.
        loss = (pooled.square().sum() + scores.tanh().sum() + lse[lse.isfinite()].square().sum()).to(
            torch.float64
        )
        return list(torch.autograd.grad(loss, leaves))

    def test_left_out_rows_and_empty_bags_have_no_gradient(self) -> None:
        case = make_case((5, 4, 0, 6), (8, 4, 2), device=self.device)
        mask = torch.tensor([True] * 3 + [False] * 6 + [True] * 6, device=self.device)
        leaves = [x.clone().requires_grad_() for x in case.parameters()]
        outputs = self.run(Case._make([*leaves, case.cu_seqlens]), mask=mask)
        gradients = torch.autograd.grad(sum(x.sum() for x in _finite(outputs)), leaves)  # type: ignore[arg-type]
        assert all(x.isfinite().all() for x in gradients)
        assert (gradients[0][~mask] == 0).all()
        assert (gradients[0][mask] != 0).any(1).all()

    def test_score_bias_has_no_gradient_through_pooled(self) -> None:
        case = make_case(device=self.device)
        leaves = [x.clone().requires_grad_() for x in case.parameters()]
        pooled, scores, lse = self.run(Case._make([*leaves, case.cu_seqlens]))
        (through_pooled,) = torch.autograd.grad(pooled.square().sum(), leaves[-1:], retain_graph=True)
        assert (through_pooled == 0).all()
        (through_scores,) = torch.autograd.grad(scores.sum(), leaves[-1:], retain_graph=True)
        assert torch.equal(through_scores, torch.full_like(through_scores, scores.shape[1]))
        (through_lse,) = torch.autograd.grad(lse[lse.isfinite()].sum(), leaves[-1:])
        assert torch.allclose(through_lse, lse.isfinite().sum(0).to(through_lse.dtype))

    def test_dropout_is_a_function_of_the_seed(self) -> None:
        case = make_case(device=self.device)
        first, again, other = (self.run(case, dropout_p=0.5, seed=seed)[1] for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        torch.manual_seed(5)
        unseeded = self.run(case, dropout_p=0.5)[1]
        torch.manual_seed(5)
        assert torch.equal(unseeded, self.run(case, dropout_p=0.5)[1])


def _strided(x: Tensor) -> Tensor:
    """The same values in every second place of a larger array, the axes' order reversed."""
    wide = torch.empty((*reversed(x.shape), 2), dtype=x.dtype, device=x.device)[..., 0]
    view = wide.permute(*reversed(range(x.ndim)))
    view.copy_(x)
    return view


def _finite(outputs: tuple[Tensor, ...]) -> list[Tensor]:
    return [x[x.isfinite()] for x in outputs]
