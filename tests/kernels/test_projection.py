"""A projection before attention, without its output in memory: against the float64 loop and by its gradients."""

import pytest
import torch

from slidelake.errors import KernelError
from slidelake.kernels import chunked_backward, chunked_forward, gated_attention_pool
from slidelake.kernels import projected_gated_attention_pool as pool
from slidelake.kernels.dropout import PROJECTION_STREAM, dropout_masks
from slidelake.kernels.testing import loop_reference, make_case, relative_error

LENGTHS = (40, 0, 3, 90, 1)
INNER, DIM = 9, 12


@pytest.fixture(params=[16, 1024], ids=["small-chunks", "one-chunk"])
def _rows_of_a_chunk(request, monkeypatch):
    for module in (chunked_forward, chunked_backward):
        monkeypatch.setattr(module, "chunk_rows", lambda device, bytes_per_row: request.param)


def projected_case(*, gated=True, dtype=torch.float32, lengths=LENGTHS):
    """x, W1, b1 and the case whose h is still to be made."""
    case = make_case(lengths, (DIM, 6, 2), gated=gated, dtype=dtype)
    generator = torch.Generator().manual_seed(7)
    x, weight, bias = (
        torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)
        for shape in ((sum(lengths), INNER), (DIM, INNER), (DIM,))
    )
    return (x, weight / INNER**0.5, bias), case


def reference(outer, case, mask=None):
    x, weight, bias = (each.to(torch.float64) for each in outer)
    if mask is not None:
        x = x.masked_fill(~mask[:, None], 0)
    return loop_reference(case._replace(h=torch.relu(x @ weight.T + bias)), mask)


def results_of(outer, case, call=pool, **options):
    leaves = [each.clone().requires_grad_() for each in (*outer, *case.parameters()[1:])]
    parts = leaves if case.U is not None else [*leaves[:5], None, None, *leaves[5:]]
    found = call(*parts, case.cu_seqlens, **options)
    loss = found[0].square().sum() + found[1].tanh().sum() + found[2][found[2].isfinite()].sum()
    return [*found, *torch.autograd.grad(loss, leaves)]


MODES = [("eager", "auto"), ("chunked", "recompute"), ("chunked", "store"), ("auto", "auto")]


@pytest.mark.parametrize(("backend", "save"), MODES)
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "all"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.usefixtures("_rows_of_a_chunk")
def test_agrees_with_the_loop(dtype, masked, backend, save):
    outer, case = projected_case(dtype=dtype)
    mask = torch.arange(len(outer[0])) % 3 > 0 if masked else None
    found = pool(*outer, *case[1:], mask=mask, backend=backend, save=save)
    bound = 1e-13 if dtype == torch.float64 else 2e-6
    for a, b in zip(found, reference(outer, case, mask), strict=True):
        assert relative_error(a, b) < bound


@pytest.mark.parametrize(("backend", "save"), MODES)
@pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
@pytest.mark.usefixtures("_rows_of_a_chunk")
def test_gradients_agree_with_autograd_in_float64(gated, backend, save):
    def loop(x, weight, bias, *rest):
        return reference((x, weight, bias), make_case((1,), (1, 1, 1))._make((x, *rest)))

    outer, case = projected_case(gated=gated)
    wanted = results_of([x.double() for x in outer], case.to(torch.float64), loop)
    found = results_of(outer, case, backend=backend, save=save)
    for a, b in zip(found, wanted, strict=True):
        assert relative_error(a, b) < 1e-5


@pytest.mark.parametrize("save", ["recompute", "store"])
@pytest.mark.usefixtures("_rows_of_a_chunk")
def test_gradcheck(save):
    outer, case = projected_case(dtype=torch.float64, lengths=(5, 0, 14))
    leaves = [x.requires_grad_() for x in (*outer, *case.parameters()[1:])]
    options = {"mask": torch.arange(19) % 4 > 0, "projection_dropout_p": 0.3, "dropout_p": 0.3, "seed": 5}

    def call(*values):
        found = pool(*values, case.cu_seqlens, backend="chunked", save=save, **options)
        return tuple(x[x.isfinite()] for x in found)

    assert torch.autograd.gradcheck(call, leaves, fast_mode=True)


@pytest.mark.parametrize(("backend", "save"), MODES)
@pytest.mark.usefixtures("_rows_of_a_chunk")
def test_dropout_of_the_projection_is_a_stream_of_its_own(backend, save):
    outer, case = projected_case(dtype=torch.float64)
    x, weight, bias = outer
    options = {"dropout_p": 0.4, "seed": 11}
    found = pool(*outer, *case[1:], projection_dropout_p=0.25, backend=backend, save=save, **options)
    kept, _ = dropout_masks(11, 0.25, len(x), DIM, device=x.device, stream=PROJECTION_STREAM)
    h = torch.relu(x @ weight.T + bias) * kept / 0.75
    wanted = gated_attention_pool(*case._replace(h=h), backend="eager", **options)
    assert not torch.equal(kept, dropout_masks(11, 0.25, len(x), DIM, device=x.device)[0])
    for a, b in zip(found, wanted, strict=True):
        assert relative_error(a, b) < 1e-13


@pytest.mark.parametrize(("backend", "save"), MODES)
def test_what_a_left_out_row_holds_does_not_matter(backend, save):
    outer, case = projected_case()
    mask = torch.arange(len(outer[0])) % 3 > 0
    poisoned = [outer[0].masked_fill(~mask[:, None], torch.nan), *outer[1:]]
    options = {"mask": mask, "backend": backend, "save": save, "projection_dropout_p": 0.2, "seed": 3}
    clean, found = results_of(outer, case, **options), results_of(poisoned, case, **options)
    for a, b in zip(clean, found, strict=True):
        assert torch.equal(a, b)


def test_compiles_to_one_graph():
    torch._dynamo.reset()
    outer, case = projected_case()
    compiled = torch.compile(pool, backend="aot_eager", fullgraph=True)
    options = {"projection_dropout_p": 0.2, "dropout_p": 0.1, "seed": 2**63 + 1}
    found, wanted = results_of(outer, case, compiled, **options), results_of(outer, case, **options)
    assert max(relative_error(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-6


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": torch.zeros(134)}, r"x has shape \(134,\)"),
        ({"W1": torch.zeros(DIM)}, r"W1 has shape \(12,\)"),
        ({"W1": torch.zeros(DIM, 8)}, r"W1 has shape \(12, 8\).*\(12, 9\)"),
        ({"W1": torch.zeros(DIM, INNER).half()}, r"W1 is torch\.float16, V is torch\.float32"),
        ({"b1": torch.zeros(5)}, r"b1 has shape \(5,\)"),
        ({"b1": None}, "b1 is a NoneType"),
        ({"V": torch.zeros(6, INNER)}, r"V has shape \(6, 9\).*D is W1's 12"),
        ({"projection_dropout_p": 1.0}, r"projection_dropout_p is 1\.0"),
        ({"backend": "triton"}, "triton back end takes no projection"),
        ({"backend": "eager", "save": "recompute"}, "keeps its activations"),
    ],
)
def test_refused_by_name(change, says):
    (x, weight, bias), case = projected_case()
    arguments = {"x": x, "W1": weight, "b1": bias, **case._asdict()}
    del arguments["h"]
    with pytest.raises(KernelError, match=says) as caught:
        pool(**{**arguments, **change})
    assert caught.value.remedy
