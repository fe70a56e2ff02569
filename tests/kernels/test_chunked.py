"""The chunked back end against the float64 loop, whatever the chunks; its memory and its products in 16 bits."""

import pytest
import torch

from slidelake.kernels import chunked_backward, chunked_forward, chunked_products, chunked_rows, chunked_units
from slidelake.kernels import gated_attention_pool as pool
from slidelake.kernels.chunked_plan import BagPlan, chunk_rows
from slidelake.kernels.testing import GatedAttentionConformance, make_case, relative_error
from tests.repository import python


class TestChunked(GatedAttentionConformance):
    backend = "chunked"


@pytest.fixture
def rows_of_a_chunk(request, monkeypatch):
    """Bags shorter and longer than a chunk, borders at its edges and between."""
    for module in (chunked_forward, chunked_backward):
        monkeypatch.setattr(module, "chunk_rows", lambda device, bytes_per_row: request.param)


@pytest.mark.usefixtures("rows_of_a_chunk")
@pytest.mark.parametrize("rows_of_a_chunk", [48], indirect=True)
class TestSmallChunks(GatedAttentionConformance):
    backend = "chunked"
    save = "recompute"


@pytest.fixture
def half_products(monkeypatch):
    """What happens on CUDA: 16-bit factors, products summed in 32 bits."""

    def product(a, b, out):
        assert a.dtype == b.dtype
        return out.copy_(a.to(out.dtype) @ b.to(out.dtype))

    monkeypatch.setattr(chunked_rows, "product_dtype", lambda h: h.dtype)
    for module in (chunked_products, chunked_rows, chunked_units):
        monkeypatch.setattr(module, "product", product)


@pytest.mark.usefixtures("half_products")
class TestHalfProducts(GatedAttentionConformance):
    backend = "chunked"

    def test_half_features_with_full_parameters(self) -> None:
        """The parameters are rounded to the features' 16 bits, 11 of them digits."""
        case = make_case()
        case = case._replace(h=case.h.half())
        found = self.run(case)
        rounded = (
            case.to(torch.float16)
            .to(torch.float32)
            ._replace(h=case.h, w=case.w, bV=case.bV, bU=case.bU, bw=case.bw)
        )
        self.assert_near(found, pool(*rounded, backend="eager"), torch.float16)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    @pytest.mark.parametrize("size", [1e7, 1e-7])
    @pytest.mark.parametrize("save", ["recompute", "store"])
    def test_gradients_of_any_size(self, save, size, dtype):
        """A loss scaled far out of float16's range: the gradients of parameters in 32 bits do not feel it."""
        case = make_case((300, 0, 70), (24, 10, 3))
        case = case._replace(h=case.h.to(dtype))
        found, wanted = (
            self._weight_gradients(case, size, **options)
            for options in ({"backend": "chunked", "save": save}, {"backend": "eager"})
        )
        # Factors are rounded to 11 bits (float16) or 8 (bfloat16), the hidden units too where they are stored.
        bound = 3e-3 if dtype == torch.float16 else 2e-2
        for a, b in zip(found, wanted, strict=True):
            assert relative_error(a, b) < bound

    def _weight_gradients(self, case, size, **options):
        leaves = [x.clone().requires_grad_() for x in case.parameters()[1:]]
        pooled, scores, _ = pool(case.h, *leaves, case.cu_seqlens, **options)
        return torch.autograd.grad(size * (pooled.square().sum() + scores.tanh().sum()), leaves[:-1])


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
@pytest.mark.parametrize("save", ["recompute", "store"])
@pytest.mark.usefixtures("rows_of_a_chunk")
@pytest.mark.parametrize("rows_of_a_chunk", [16], indirect=True)
def test_gradcheck(save, gated):
    case = make_case((3, 1, 0, 14, 20), (4, 3, 2), gated=gated, dtype=torch.float64)
    mask = torch.arange(len(case.h)) % 5 > 0
    mask[3] = False  # all of a bag
    leaves = [x.requires_grad_() for x in case.parameters()]

    def call(*values):
        parts = values if gated else (*values[:3], None, None, *values[3:])
        options = {"mask": mask, "dropout_p": 0.3, "seed": 4, "backend": "chunked", "save": save}
        return tuple(x[x.isfinite()] for x in pool(*parts, case.cu_seqlens, **options))

    assert torch.autograd.gradcheck(call, leaves)


def test_gradcheck_fast_mode_of_chunks_as_they_are():
    case = make_case((300, 0, 700), (6, 4, 1), dtype=torch.float64)
    leaves = [x.requires_grad_() for x in case.parameters()]

    def call(*values):
        return pool(*values, case.cu_seqlens, backend="chunked")[0]

    assert torch.autograd.gradcheck(call, leaves, fast_mode=True)


@pytest.mark.parametrize("save", ["recompute", "store"])
@pytest.mark.usefixtures("rows_of_a_chunk")
@pytest.mark.parametrize("rows_of_a_chunk", [16, 64], indirect=True)
def test_dropout_is_that_of_eager(save):
    """Masks made chunk by chunk are those made at once: outputs and gradients agree to rounding."""
    case = make_case((40, 0, 3, 90), (12, 6, 2))
    options = {"mask": torch.arange(133) % 4 > 0, "dropout_p": 0.4, "seed": 2**63 + 5}
    found, wanted = [], []
    for results, more in ((found, {"backend": "chunked", "save": save}), (wanted, {"backend": "eager"})):
        leaves = [x.clone().requires_grad_() for x in case.parameters()]
        pooled, scores, lse = pool(*leaves, case.cu_seqlens, **options, **more)
        loss = pooled.square().sum() + scores.tanh().sum() + lse[lse.isfinite()].sum()
        results += [pooled, scores, lse, *torch.autograd.grad(loss, leaves)]
    assert max(relative_error(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-5


def test_only_what_is_asked_for():
    case = make_case((40, 3), (12, 6, 2))
    frozen = [x.clone() for x in case.parameters()]
    frozen[0].requires_grad_()  # h alone
    pooled, *_ = pool(*frozen, case.cu_seqlens, backend="chunked")
    pooled.sum().backward()
    assert frozen[0].grad is not None
    assert all(x.grad is None for x in frozen[1:])
    leaves = [case.h, *(x.clone().requires_grad_() for x in case.parameters()[1:])]
    pooled, *_ = pool(*leaves, case.cu_seqlens, backend="chunked")
    pooled.square().sum().backward()
    assert all(x.grad is not None and x.grad.dtype == x.dtype for x in leaves[1:])
    assert (leaves[-1].grad == 0).all()  # bw: zeros, which a distributed trainer waits for


def test_gradient_is_not_differentiable_again():
    case = make_case((40, 3), (12, 6, 1))
    leaves = [x.clone().requires_grad_() for x in case.parameters()]
    pooled, *_ = pool(*leaves, case.cu_seqlens, backend="chunked")
    (grad,) = torch.autograd.grad(pooled.square().sum(), leaves[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_chunks_are_bounded_and_bags_in_order():
    assert chunk_rows(torch.device("cpu"), 1 << 40) == 16
    assert chunk_rows(torch.device("cpu"), 1) == 1 << 16
    plan = BagPlan(torch.tensor([0, 0, 5, 5, 40, 41, 41]), 41, 16)
    assert plan.bags.tolist() == [1, 3, 4]
    chunks = list(plan)
    assert [(c.start, c.stop, c.first, c.last, c.goes_on, c.bag) for c in chunks] == [
        (0, 16, 0, 1, True, 1),
        (16, 32, 1, 1, True, 3),
        (32, 41, 1, 2, False, 3),
    ]
    assert [plan.borders(c).tolist() for c in chunks] == [[0, 5, 16], [0, 16], [0, 8, 9]]


def test_many_bags_take_no_more_operations_than_few():
    counts = []
    for lengths in ((10,) * 20, (1,) * 200):
        case = make_case(lengths, (12, 6, 1))
        leaves = [x.clone().requires_grad_() for x in case.parameters()]
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            pool(*leaves, case.cu_seqlens, backend="chunked", save="recompute")[0].sum().backward()
        counts.append(sum(event.count for event in profile.key_averages()))
    assert counts[0] == counts[1]


#: Peak of the resident set over what the inputs take, in bytes.
PEAK = """
import sys, torch
from pathlib import Path
from slidelake.kernels import gated_attention_pool
torch.set_num_threads(2)
rows = int(sys.argv[1])
h = torch.empty(rows, 512).normal_()
layers = [torch.nn.Linear(512, 256), torch.nn.Linear(512, 256), torch.nn.Linear(256, 1)]
parameters = [x for layer in layers for x in (layer.weight, layer.bias)]
status = lambda key: next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(key))
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = status("VmRSS")
pooled, scores, lse = gated_attention_pool(h, *parameters, torch.tensor([0, rows]), backend="chunked", save="recompute")
torch.autograd.grad(pooled.square().sum(), parameters)
print(status("VmHWM") - before)
"""


@pytest.mark.parametrize(
    "rows", [65_536, *(pytest.param(rows, marks=pytest.mark.long) for rows in (131_072, 1_048_576))]
)
def test_memory_does_not_grow_with_the_rows(rows):
    """At most 200 MiB and the two score arrays beyond the inputs, forward and backward.

    Eager takes 340 MiB at 65,536 rows.
    """
    assert int(python(PEAK, str(rows))) < (200 << 20) + 8 * rows
