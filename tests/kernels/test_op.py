"""The registered operator: torch's own checks of it, compiled whole, and under fake tensors."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from slidelake.kernels import gated_attention_pool, save
from slidelake.kernels.arguments import Projection, check_arguments
from slidelake.kernels.op import Values, _backward_op, _forward_op
from slidelake.kernels.testing import Case, make_case, relative_error

# torch's own checks look at the .grad of what they made themselves.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")

ROWS = 43
OPTIONS = {"mask": torch.arange(ROWS) % 3 > 0, "dropout_p": 0.25, "seed": 2**64 - 1}


def small(*, gated=True, grad=False):
    case = make_case((0, 40, 3, 0), (12, 6, 2), gated=gated)
    return Case._make(x if x is None or not x.is_floating_point() else x.requires_grad_(grad) for x in case)


def values_of(case, **options):
    return Values.of(check_arguments(*case, **{"mask": None, "dropout_p": 0.0, "seed": None, **options}))


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no-grad"])
@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "mask-dropout"])
@pytest.mark.parametrize("store", [True, False], ids=["store", "recompute"])
def test_opcheck(store, options, grad, gated):
    torch.library.opcheck(
        _forward_op, (*values_of(small(gated=gated, grad=grad), **options), "chunked", store)
    )


@pytest.mark.parametrize("need_h", [True, False])
@pytest.mark.parametrize("need_parameters", [True, False])
def test_opcheck_of_the_backward(need_parameters, need_h):
    values = values_of(small())
    pooled, _, _, scores, lse, saved = _forward_op(*values, "chunked", True)
    grads = (torch.ones_like(pooled), torch.ones_like(scores), None)
    needs = (need_h, need_parameters)
    torch.library.opcheck(_backward_op, (*values, "chunked", pooled, scores, lse, saved, *grads, *needs))


@pytest.mark.parametrize("store", [True, False], ids=["store", "recompute"])
def test_opcheck_with_a_projection(store):
    case = small(grad=True)
    weight = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    projection = Projection(weight, torch.zeros(12, requires_grad=True), 0.5)
    values = values_of(case._replace(h=torch.ones(ROWS, 5)), projection=projection, **OPTIONS)
    torch.library.opcheck(_forward_op, (*values, "chunked", store))


@pytest.fixture(autouse=True)
def _forget_compiled_code():
    """Each test compiles anew, with its own count of recompilations."""
    torch._dynamo.reset()


def results_of(call, case, options):
    leaves = [x.clone().requires_grad_() for x in case.parameters()]
    parts = leaves if case.U is not None else [*leaves[:3], None, None, *leaves[3:]]
    pooled, scores, lse = call(*parts, case.cu_seqlens, **options)
    loss = pooled.square().sum() + scores.tanh().sum() + lse[lse.isfinite()].sum()
    return [pooled, scores, lse, *torch.autograd.grad(loss, leaves)]


@pytest.mark.parametrize("backend", ["auto", "eager", "chunked"])
def test_compiles_to_one_graph(backend):
    compiled = torch.compile(gated_attention_pool, backend="aot_eager", fullgraph=True)
    for case, options in (
        (small(), {}),
        (small(), {**OPTIONS, "save": "auto" if backend == "eager" else "recompute"}),
        (small(gated=False), {"save": "store"}),
    ):
        options = {**options, "backend": backend}
        found, wanted = results_of(compiled, case, options), results_of(gated_attention_pool, case, options)
        assert max(relative_error(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-6


def test_compiled_call_takes_other_bags_and_asks_for_no_memory(monkeypatch):
    def asked(device):
        raise AssertionError("free memory was asked for")

    monkeypatch.setattr(save, "free_bytes", asked)
    monkeypatch.setattr(save, "_UNASKED_BYTES", 0)
    compiled = torch.compile(gated_attention_pool, backend="aot_eager", fullgraph=True, dynamic=True)
    for lengths in ((40, 3), (17,), (5, 0, 60)):
        case = make_case(lengths, (12, 6, 2))
        leaves = [x.clone().requires_grad_() for x in case.parameters()]
        pooled, *_ = compiled(*leaves, case.cu_seqlens)
        assert relative_error(pooled, gated_attention_pool(*case)[0]) < 1e-6


@pytest.mark.long
def test_compiles_with_inductor():
    compiled = torch.compile(gated_attention_pool, fullgraph=True)
    for options in ({}, OPTIONS):
        found, wanted = (
            results_of(compiled, small(), options),
            results_of(gated_attention_pool, small(), options),
        )
        assert max(relative_error(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-6


def test_operator_and_direct_path_agree_to_the_bit(monkeypatch):
    direct = results_of(gated_attention_pool, small(), {**OPTIONS, "backend": "chunked"})
    monkeypatch.setattr("slidelake.kernels.op.traced", lambda *tensors: True)
    operator = results_of(gated_attention_pool, small(), {**OPTIONS, "backend": "chunked"})
    assert all(torch.equal(a, b) for a, b in zip(direct, operator, strict=True))


def test_fake_tensors_give_shapes():
    with FakeTensorMode() as mode:
        case = Case._make(None if x is None else mode.from_tensor(x) for x in small())
        pooled, scores, lse = gated_attention_pool(*case)
    assert [tuple(x.shape) for x in (pooled, scores, lse)] == [(4, 2, 12), (2, ROWS), (4, 2)]


@pytest.mark.parametrize("backend", ["eager", "chunked"])
def test_autocast_does_not_reach_the_arithmetic(backend):
    leaves = [x.clone().requires_grad_() for x in small().parameters()]
    borders = small().cu_seqlens
    wanted = gated_attention_pool(*leaves, borders, backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gated_attention_pool(*leaves, borders, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    if backend == "chunked":
        wanted = torch.autograd.grad(wanted[0].square().sum(), leaves)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = torch.autograd.grad(found[0].square().sum(), leaves)
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_without_gradients(guard):
    wanted = gated_attention_pool(*small(), backend="chunked")
    with guard():
        found = gated_attention_pool(*small(grad=True), backend="chunked", save="store")
    assert not any(x.requires_grad for x in found)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
