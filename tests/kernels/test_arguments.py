"""Every argument that does not fit is refused by name, with what to pass instead."""

import numpy as np
import pytest
import torch

from slidelake.errors import KernelError
from slidelake.kernels import attention_weights, gated_attention_pool
from slidelake.kernels.testing import make_case

GOOD = make_case((3, 2), (8, 4, 2))
MASK = torch.ones(5, dtype=torch.bool)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"h": torch.zeros(5)}, r"h has shape \(5,\)"),
        ({"h": torch.zeros(5, 0)}, r"h has shape \(5, 0\)"),
        ({"h": np.zeros((5, 8))}, "h is a ndarray"),
        ({"h": torch.zeros(5, 8, dtype=torch.int32)}, r"h is torch\.int32"),
        ({"h": torch.zeros(5, 8, dtype=torch.float64)}, r"V is torch\.float32, h is torch\.float64"),
        ({"h": torch.zeros(5, 8, device="meta")}, "h is on the meta device"),
        ({"h": torch.zeros(5, 8).to_sparse()}, r"h is a torch\.sparse_coo tensor"),
        ({"h": torch.zeros(5, 8).to(torch.float8_e4m3fn)}, r"h is torch\.float8_e4m3fn"),
        ({"V": None}, "V is a NoneType"),
        ({"V": torch.zeros(4)}, r"V has shape \(4,\)"),
        ({"V": torch.zeros(4, 7)}, r"V has shape \(4, 7\).*\(4, 8\)"),
        ({"V": torch.zeros(4, 8).half()}, r"bV is torch\.float32, V is torch\.float16"),
        ({"bV": torch.zeros(3)}, r"bV has shape \(3,\)"),
        ({"U": torch.zeros(3, 8)}, r"U has shape \(3, 8\)"),
        ({"U": None}, "bU is given without U"),
        ({"bU": None}, "U is given without bU"),
        ({"bU": torch.zeros(4, dtype=torch.int64)}, r"bU is torch\.int64"),
        ({"w": torch.zeros(4)}, r"w has shape \(4,\)"),
        ({"w": torch.zeros(2, 5)}, r"w has shape \(2, 5\)"),
        ({"bw": torch.zeros(())}, r"bw has shape \(\)"),
        ({"cu_seqlens": torch.tensor([[0, 5]])}, r"cu_seqlens has shape \(1, 2\)"),
        ({"cu_seqlens": torch.tensor([], dtype=torch.int32)}, r"cu_seqlens has shape \(0,\)"),
        ({"cu_seqlens": torch.tensor([0.0, 5.0])}, r"cu_seqlens is torch\.float32"),
        ({"cu_seqlens": torch.tensor([1, 5])}, "cu_seqlens starts at 1"),
        ({"cu_seqlens": torch.tensor([0, 4])}, "cu_seqlens ends at 4, but there are 5 rows"),
        ({"cu_seqlens": torch.tensor([0, 6])}, "cu_seqlens ends at 6, but there are 5 rows"),
        ({"cu_seqlens": torch.tensor([0, 4, 3, 5])}, "cu_seqlens falls from 4 to 3 at bag 1"),
        # A view of one row: sizes that no memory holds, in none.
        (
            {"h": torch.zeros(1, 8).expand(2**31, 8), "cu_seqlens": torch.tensor([0, 5], dtype=torch.int32)},
            r"cu_seqlens is torch\.int32, which cannot count 2147483648 rows",
        ),
        (
            {
                "h": torch.zeros(1, 8).expand(2**32, 8),
                "cu_seqlens": torch.tensor([0, 2**32]),
                "dropout_p": 0.1,
            },
            "h has 4294967296 rows, and dropout counts them in 32 bits",
        ),
        ({"mask": MASK.int()}, r"mask is torch\.int32"),
        ({"mask": MASK[:4]}, r"mask has shape \(4,\)"),
        ({"mask": MASK[:, None]}, r"mask has shape \(5, 1\)"),
        ({"dropout_p": 1.0}, r"dropout_p is 1\.0"),
        ({"dropout_p": -0.1}, r"dropout_p is -0\.1"),
        ({"dropout_p": float("nan")}, "dropout_p is nan"),
        ({"dropout_p": 0.5, "seed": -1}, "seed is -1"),
        ({"save": "keep"}, "save is 'keep', which is no save mode"),
        ({"seed": 2**64}, "seed is 18446744073709551616"),
    ],
)
def test_refused_by_name(change, says):
    with pytest.raises(KernelError, match=says) as caught:
        gated_attention_pool(**{**GOOD._asdict(), **change})
    assert caught.value.remedy


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_borders_of_either_width(dtype):
    found = gated_attention_pool(*GOOD._replace(cu_seqlens=GOOD.cu_seqlens.to(dtype)))
    assert all(torch.equal(a, b) for a, b in zip(found, gated_attention_pool(*GOOD), strict=True))


def test_attention_weights_refuses_what_is_not_its_own():
    pooled, scores, lse = gated_attention_pool(*GOOD)
    with pytest.raises(KernelError, match="scores have shape"):
        attention_weights(scores[0], lse, GOOD.cu_seqlens)
    with pytest.raises(KernelError, match="lse has shape"):
        attention_weights(scores, lse.T[:1], GOOD.cu_seqlens)
    with pytest.raises(KernelError, match="ends at 5"):
        attention_weights(scores[:, :4], lse, GOOD.cu_seqlens)
    assert pooled.isfinite().all()
