"""The Triton back end against the float64 loop and the eager back end: in Triton's interpreter on the CPU
(TRITON_INTERPRET=1), or on a GPU where there is one."""

import pytest
import torch

from slidelake.errors import KernelError
from slidelake.kernels import gated_attention_pool, triton_backward, triton_forward, triton_launch
from slidelake.kernels.arguments import check_arguments
from slidelake.kernels.op import Values, _backward_op, _forward_op
from slidelake.kernels.testing import (
    Case,
    GatedAttentionConformance,
    loop_reference,
    make_case,
    relative_error,
)
from slidelake.kernels.triton_configs import Config

# numpy, which the interpreter computes with, warns of the NaN and the infinities that some cases are about.
pytestmark = [
    pytest.mark.filterwarnings("ignore:(invalid value|overflow|divide by zero):RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]
DEVICE = "cpu" if triton_launch.INTERPRETED else "cuda"
#: Empty, one row, either side of the matrix units' sides and of a block of rows.
SHORT = (0, 1, 15, 16, 17, 127, 129)
#: And more than several blocks.
LENGTHS = (*SHORT, 4097)
#: What rounding to the dtype once more may add to twice the eager back end's error (of the norm).
SLACK = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks along every axis of small arrays, the last of each cut by an edge."""
    config = Config(32, 16, 32, 4, 2)
    for module, name in (
        (triton_forward, "forward_configs"),
        (triton_backward, "backward_configs"),
        (triton_backward, "features_configs"),
    ):
        monkeypatch.setattr(module, name, lambda *args, **options: (config,))
    monkeypatch.setattr(triton_backward, "rows_per_chunk", lambda rows, row_bytes: min(rows, 96))


class TestTriton(GatedAttentionConformance):
    backend = "triton"
    device = DEVICE
    # bfloat16: pooling takes the attention in two terms of 8 bits, and the interpreter cuts them off unrounded.
    tolerance = {**GatedAttentionConformance.tolerance, torch.bfloat16: 1e-5}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("dtype", "size", "gated"),
        [
            (torch.float32, (96, 40, 1), True),
            (torch.float16, (384, 128, 2), True),
            (torch.bfloat16, (100, 33, 5), True),
            (torch.float32, (17, 7, 8), False),
            (torch.bfloat16, (1536, 256, 1), False),
        ],
        ids=str,
    )
    def test_agrees_with_the_loop(self, dtype, size, gated):
        case = make_case(size=size, gated=gated, dtype=dtype, device=self.device)
        found = self.run(case)
        assert [x.dtype for x in found] == [torch.float32] * 3
        self.assert_near(found, loop_reference(case), dtype)

    def test_half_features_with_full_parameters(self):
        """As under autocast: V and U are rounded to the features' dtype, nothing else is."""
        case = make_case(device=self.device)
        mixed = case._replace(h=case.h.half())
        rounded = mixed._replace(V=case.V.half().float(), U=case.U.half().float())
        self.assert_near(self.run(mixed), loop_reference(rounded), torch.float16)
        assert (
            max(relative_error(f, w) for f, w in zip(self.run(mixed), loop_reference(mixed), strict=True))
            < 1e-3
        )

    def test_same_bits_every_time(self):
        case = make_case((700, 1, 0, 90), (64, 32, 3), device=self.device)
        first = self._outputs_and_gradients(case)
        for a, b in zip(first, self._outputs_and_gradients(case), strict=True):
            assert torch.equal(a, b)


def gradients(case, backend, seeds, **options):
    """Outputs, and the gradients of everything through all of them; each output's gradient is drawn."""
    leaves = [x.clone().requires_grad_() for x in case.parameters()]
    parts = leaves if case.U is not None else [*leaves[:3], None, None, *leaves[3:]]
    outputs = gated_attention_pool(*parts, case.cu_seqlens, backend=backend, **options)
    loss = sum((x * seed.to(x))[x.isfinite()].sum() for x, seed in zip(outputs, seeds, strict=True))
    return [*outputs, *torch.autograd.grad(loss, leaves)]


def assert_as_good_as_eager(case, dtype, *, save, **options):
    """err ≤ 2 × the eager back end's at the same dtype + SLACK, against the eager back end in float64."""
    (bags, branches, dim), rows = (len(case.cu_seqlens) - 1, len(case.w), case.h.shape[1]), len(case.h)
    generator = torch.Generator().manual_seed(3)
    seeds = [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(case.h.device)
        for shape in ((bags, branches, dim), (branches, rows), (bags, branches))
    ]
    wanted = gradients(case.to(torch.float64, DEVICE), "eager", seeds, **options)
    eager = gradients(case, "eager", seeds, **options)
    found = gradients(case, "triton", seeds, save=save, **options)
    names = [
        "pooled",
        "scores",
        "lse",
        *(n for n, x in zip(case._fields, case, strict=True) if x is not None),
    ]
    for name, f, e, w in zip(names, found, eager, wanted, strict=False):
        limit = 2 * relative_error(e, w) + SLACK[dtype]
        assert relative_error(f, w) <= limit, name


@pytest.mark.parametrize(
    ("lengths", "dtype", "size", "gated", "masked", "dropout_p", "save"),
    [
        (LENGTHS, torch.float32, (96, 40, 1), True, False, 0.0, "recompute"),
        (SHORT, torch.float16, (384, 128, 2), True, True, 0.25, "store"),
        (SHORT, torch.bfloat16, (1000, 256, 1), True, False, 0.25, "recompute"),
        (SHORT, torch.bfloat16, (384, 384, 5), False, True, 0.0, "store"),
        (SHORT, torch.float32, (1536, 128, 8), False, False, 0.25, "store"),
        (SHORT, torch.float16, (17, 40, 8), True, True, 0.0, "recompute"),
    ],
    ids=str,
)
def test_gradients(lengths, dtype, size, gated, masked, dropout_p, save):
    case = make_case(lengths, size, gated=gated, dtype=dtype, device=DEVICE)
    mask = torch.arange(len(case.h), device=DEVICE) % 3 > 0 if masked else None
    if mask is not None:
        mask[1:32] = False  # two bags and a part of the next
    assert_as_good_as_eager(case, dtype, save=save, mask=mask, dropout_p=dropout_p, seed=2**63 + 5)


@pytest.mark.long
@pytest.mark.parametrize("save", ["recompute", "store"])
@pytest.mark.parametrize("dropout_p", [0.0, 0.25])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "mask"])
@pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
@pytest.mark.parametrize("branches", [1, 2, 5, 8])
@pytest.mark.parametrize(("dim", "hidden"), [(96, 40), (1000, 128)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=lambda d: str(d)[6:])
def test_gradients_of_every_kind(dtype, dim, hidden, branches, gated, masked, dropout_p, save):
    test_gradients(SHORT, dtype, (dim, hidden, branches), gated, masked, dropout_p, save)


@pytest.mark.long
@pytest.mark.parametrize("branches", [1, 2, 5, 8])
@pytest.mark.parametrize("hidden", [40, 128, 256, 384])
@pytest.mark.parametrize("dim", [96, 384, 1000, 1536])
def test_gradients_of_every_size(dim, hidden, branches):
    test_gradients(LENGTHS, torch.float32, (dim, hidden, branches), True, True, 0.25, "recompute")


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("dtype", "branches", "save"),
    [(torch.float32, 2, "recompute"), (torch.float32, 5, "store"), (torch.bfloat16, 5, "recompute")],
    ids=str,
)
def test_many_blocks_along_every_axis(dtype, branches, save):
    """And several chunks of rows, whose borders cut bags and blocks."""
    case = make_case((0, 1, 33, 0, 80, 31), (40, 24, branches), dtype=dtype, device=DEVICE)
    mask = torch.arange(len(case.h), device=DEVICE) % 5 > 0
    assert_as_good_as_eager(case, dtype, save=save, mask=mask, dropout_p=0.25, seed=1)


@pytest.mark.usefixtures("small_blocks")
def test_programs_of_many_tiles(monkeypatch):
    """A program that pools several tiles keeps its sums in memory between them."""
    case = make_case((0, 200, 7, 0, 100), (40, 24, 2), device=DEVICE)
    monkeypatch.setattr(triton_forward, "rows_per_program", lambda *sizes: 128)
    few = gated_attention_pool(*case, backend="triton")
    monkeypatch.setattr(triton_forward, "rows_per_program", lambda *sizes: 32)
    many = gated_attention_pool(*case, backend="triton")
    assert torch.equal(few[1], many[1])
    for found in (few, many):
        for f, w in zip(found, loop_reference(case), strict=True):
            assert relative_error(f, w) < 2e-6


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
def test_dropout_is_that_of_eager(gated):
    """All units fall but a few, so that one wrong mask bit among 3,000 would show."""
    case = make_case((100,), (20, 30, 1), gated=gated, device=DEVICE)
    options = {"dropout_p": 0.9, "seed": 2**64 - 3}
    found, wanted = (gated_attention_pool(*case, backend=b, **options) for b in ("triton", "eager"))
    assert relative_error(found[1], wanted[1]) < 1e-6
    assert relative_error(found[1], gated_attention_pool(*case, backend="eager")[1]) > 0.5


@pytest.mark.parametrize("branches", [1, 5])
def test_gradients_of_what_is_constant_count_as_nothing(branches):
    """NaN sent to the outputs of empty and left-out bags, and to the scores of left-out rows, reaches nothing."""
    case = make_case((5, 0, 4, 6), (8, 4, branches), device=DEVICE)
    mask = torch.tensor([True] * 5 + [False] * 5 + [True] * 5, device=DEVICE)
    arguments = check_arguments(*case, mask=mask, dropout_p=0.0, seed=None)
    outputs = triton_forward.forward(arguments, store=False)
    clean = [torch.ones_like(x) for x in outputs[:3]]
    spoilt = [x.clone() for x in clean]
    spoilt[0][1:3] = spoilt[2][1:3] = torch.nan
    spoilt[1][:, ~mask] = torch.nan
    found = (
        triton_backward.backward(arguments, *outputs, *grads, need_h=True, need_parameters=True)
        for grads in (clean, spoilt)
    )
    # The last two are a projection's.
    for a, b in zip(*(each[:6] for each in found), strict=True):
        assert torch.equal(a, b)


def test_only_what_is_asked_for():
    case = make_case((5, 9), (8, 4, 2), device=DEVICE)
    arguments = check_arguments(*case, mask=None, dropout_p=0.0, seed=None)
    outputs = triton_forward.forward(arguments, store=False)
    grads = (torch.ones_like(outputs.pooled), None, None)
    features = triton_backward.backward(arguments, *outputs, *grads, need_h=True, need_parameters=False)
    assert [x is None for x in features[:6]] == [False, *[True] * 5]
    parameters = triton_backward.backward(arguments, *outputs, *grads, need_h=False, need_parameters=True)
    assert [x is None for x in parameters[:6]] == [True, *[False] * 5]


@pytest.mark.parametrize("store", [True, False], ids=["store", "recompute"])
def test_opcheck(store):
    case = make_case((0, 40, 3, 0), (12, 6, 2), device=DEVICE)
    mask = torch.arange(43, device=DEVICE) % 3 > 0
    case = Case._make(x.requires_grad_() if x.is_floating_point() else x for x in case)
    values = Values.of(check_arguments(*case, mask=mask, dropout_p=0.25, seed=2**64 - 1))
    torch.library.opcheck(_forward_op, (*values, "triton", store))


def test_opcheck_of_the_backward():
    values = Values.of(
        check_arguments(
            *make_case((0, 40, 3), (12, 6, 2), device=DEVICE), mask=None, dropout_p=0.0, seed=None
        )
    )
    pooled, _, _, scores, lse, saved = _forward_op(*values, "triton", True)
    grads = (torch.ones_like(pooled), torch.ones_like(scores), None)
    torch.library.opcheck(_backward_op, (*values, "triton", pooled, scores, lse, saved, *grads, True, True))


def test_compiles_to_one_graph():
    case = make_case((0, 40, 3, 0), (12, 6, 2), device=DEVICE)
    leaves = [x.clone().requires_grad_() for x in case.parameters()]

    def loss(*leaves):
        pooled, scores, _ = gated_attention_pool(*leaves, case.cu_seqlens, backend="triton")
        return pooled.square().sum() + scores.sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for a, b in zip(
        torch.autograd.grad(compiled(*leaves), leaves),
        torch.autograd.grad(loss(*leaves), leaves),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_what_it_cannot_do_is_said():
    case = make_case((3,), (8, 4, 1), device=DEVICE)
    with pytest.raises(KernelError, match="float64"):
        gated_attention_pool(*case.to(torch.float64, DEVICE), backend="triton")
    arguments = check_arguments(*case.to(torch.float64, DEVICE), mask=None, dropout_p=0.0, seed=None)
    assert "float64" in triton_launch.supports(arguments)
    arguments = check_arguments(*case, mask=None, dropout_p=0.0, seed=None)
    assert triton_launch.supports(arguments) == ""
