"""The chunked back end against the float64 loop and the eager one, whatever the chunks."""

import pytest
import torch

from slidelake.kernels import chunked_plan, gated_attention_pool
from slidelake.kernels.testing import GatedAttentionConformance, make_case


class TestChunked(GatedAttentionConformance):
    backend = "chunked"


@pytest.fixture(params=[16, 48])
def small_chunks(request, monkeypatch):
    """Chunks of so many rows: bags shorter and longer than a chunk, borders at its edges and between."""
    monkeypatch.setattr(chunked_plan, "chunk_rows", lambda device, bytes_per_row: request.param)
    for module in ("chunked_forward", "chunked_backward"):
        monkeypatch.setattr(f"slidelake.kernels.{module}.chunk_rows", chunked_plan.chunk_rows)


@pytest.mark.usefixtures("small_chunks")
class TestSmallChunks(GatedAttentionConformance):
    backend = "chunked"


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
@pytest.mark.parametrize("save", ["recompute", "store"])
@pytest.mark.usefixtures("small_chunks")
def test_gradcheck(save, gated):
    case = make_case((3, 1, 0, 14, 20), (5, 3, 2), gated=gated, dtype=torch.float64)
    mask = torch.arange(len(case.h)) % 5 > 0
    mask[3] = False  # all of a bag
    leaves = [x.requires_grad_() for x in case.parameters()]

    def call(*values):
        parts = values if gated else (*values[:3], None, None, *values[3:])
        found = gated_attention_pool(
            *parts, case.cu_seqlens, mask=mask, dropout_p=0.3, seed=4, backend="chunked", save=save
        )
        return tuple(x[x.isfinite()] for x in found)

    assert torch.autograd.gradcheck(call, leaves)
