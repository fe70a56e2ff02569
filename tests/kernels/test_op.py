"""The registered operator: torch's own checks of it, and compiled whole."""

import pytest
import torch

from slidelake.kernels.arguments import check_arguments
from slidelake.kernels.op import Values, _backward_op, _forward_op
from slidelake.kernels.testing import Case, make_case

# torch's own checks look at the .grad of what they made themselves.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


def values_of(case, **options):
    options = {"mask": None, "dropout_p": 0.0, "seed": None, **options}
    return Values.of(check_arguments(*case, **options))


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no-grad"])
@pytest.mark.parametrize(
    "options",
    [{}, {"mask": torch.arange(43) % 3 > 0, "dropout_p": 0.25, "seed": 2**64 - 1}],
    ids=["plain", "mask-dropout"],
)
@pytest.mark.parametrize("store", [True, False], ids=["store", "recompute"])
def test_opcheck(store, options, grad, gated):
    case = make_case((0, 40, 3, 0), (12, 6, 2), gated=gated)
    if grad:
        case = Case._make(x if x is None or not x.is_floating_point() else x.requires_grad_() for x in case)
    torch.library.opcheck(_forward_op, (*values_of(case, **options), "chunked", store))


@pytest.mark.parametrize("need_h", [True, False])
@pytest.mark.parametrize("need_parameters", [True, False])
def test_opcheck_of_the_backward(need_parameters, need_h):
    values = values_of(make_case((0, 40, 3, 0), (12, 6, 2)))
    pooled, _, _, scores, lse, saved = _forward_op(*values, "chunked", True)
    grads = (torch.ones_like(pooled), torch.ones_like(scores), None)
    torch.library.opcheck(
        _backward_op, (*values, "chunked", pooled, scores, lse, saved, *grads, need_h, need_parameters)
    )
