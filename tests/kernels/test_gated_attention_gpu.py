"""Every back end on a GPU: the conformance tests, large offsets, memory, repeats, compilation, graphs.

Where there is no pytest: `python -m benchmarks.gated_attention --check`, so that only pytest's marks are used here.
SLIDELAKE_TEST_DEVICE=cpu rehearses these tests without a GPU, at small sizes (Triton in its interpreter).
"""

import os
from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from benchmarks.attention.timer import extra_bytes
from slidelake.kernels import gated_attention_pool
from slidelake.kernels.testing import (
    SIZES,
    Case,
    GatedAttentionConformance,
    loop_reference,
    make_case,
    relative_error,
)

pytestmark = pytest.mark.gpu

DEVICE = os.environ.get("SLIDELAKE_TEST_DEVICE", "cuda")
ON_GPU = DEVICE != "cpu"
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
FUSED = ["chunked", "triton"] if ON_GPU or INTERPRETED else ["chunked"]
MIB = 1 << 20


class OnGpu(GatedAttentionConformance):
    """The sums run in another order than the loop's, and exp and tanh are the device's: a few units more."""

    device = DEVICE
    tolerance = {  # noqa: RUF012 - the suite's own kind of table
        torch.float64: 1e-12,
        torch.float32: 1e-5,
        torch.float16: 1e-5,
        torch.bfloat16: 1e-5,
    }


class TestEagerOnGpu(OnGpu):
    backend = "eager"


class TestChunkedOnGpu(OnGpu):
    backend = "chunked"


if "triton" in FUSED:

    class TestTritonOnGpu(OnGpu):
        """No float64; V and U are rounded to 16-bit features' dtype. Float32 products are three of TF32."""

        backend = "triton"
        tolerance = {**OnGpu.tolerance, torch.float32: 2e-5, torch.bfloat16: 3e-5}  # noqa: RUF012

        @pytest.mark.parametrize("gated", [True, False], ids=["gated", "tanh"])
        @pytest.mark.parametrize("size", SIZES, ids=str)
        @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
        def test_agrees_with_the_loop(
            self, dtype: torch.dtype, size: tuple[int, int, int], gated: bool
        ) -> None:
            super().test_agrees_with_the_loop(dtype, size, gated)

        def test_half_features_with_full_parameters(self) -> None:
            case = make_case(device=self.device)
            mixed = case._replace(h=case.h.half())
            rounded = mixed._replace(V=case.V.half().float(), U=case.U.half().float())
            self.assert_near(self.run(mixed), loop_reference(rounded), torch.float16)


def large_case(lengths: tuple[int, ...], size: tuple[int, int, int], dtype: torch.dtype) -> Case:
    """A case drawn on the device in its own dtype: `make_case` draws in float64 on the CPU."""
    dim, hidden, branches = size
    generator = torch.Generator(DEVICE).manual_seed(1)

    def draw(*shape: int, spread: float = 1.0) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=DEVICE).normal_(0, spread, generator=generator)

    borders = torch.tensor([0, *lengths], device=DEVICE).cumsum(0).to(torch.int32)
    return Case(
        draw(sum(lengths), dim),
        *(draw(hidden, dim, spread=dim**-0.5), draw(hidden, spread=0.1)),
        *(draw(hidden, dim, spread=dim**-0.5), draw(hidden, spread=0.1)),
        *(draw(branches, hidden, spread=3 * hidden**-0.5), draw(branches)),
        borders,
    )


def step(case: Case, backend: str, save: str, cotangent: Tensor, **options: object) -> list[Tensor]:
    """pooled, scores, lse and the gradients of everything, for a gradient of pooled."""
    leaves = [each.detach().requires_grad_() for each in case.parameters()]
    outputs = gated_attention_pool(
        *leaves,
        case.cu_seqlens,
        backend=backend,
        save=save,
        **options,  # type: ignore[arg-type]
    )
    return [*(each.detach() for each in outputs), *torch.autograd.grad(outputs[0], leaves, cotangent)]


def cotangent_of(case: Case) -> Tensor:
    bags, branches = len(case.cu_seqlens) - 1, len(case.w)
    return torch.ones(bags, branches, case.h.shape[1], device=DEVICE)


@pytest.mark.parametrize("save", ["recompute", "store"])
@pytest.mark.parametrize("backend", FUSED)
def test_rows_beyond_31_bits(backend: str, save: str) -> None:
    """The last bag starts where row × D, and row × 2L, no longer fit 31 bits: it is as if it were alone."""
    rows, (dim, hidden) = ((1 << 21) + 77, (1032, 520)) if ON_GPU else (301, (40, 24))
    case = large_case((rows, 1000), (dim, hidden, 2), torch.bfloat16)
    assert not ON_GPU or min(rows * dim, rows * 2 * hidden) > 2**31
    cotangent = cotangent_of(case)
    cotangent[0] = 0
    pooled, scores, lse, *gradients = step(case, backend, save, cotangent)
    alone = case._replace(h=case.h[rows:], cu_seqlens=case.cu_seqlens[[0, -1]] - case.cu_seqlens[[0, 1]])
    found = [pooled[1:], scores[:, rows:], lse[1:], gradients[0][rows:], *gradients[1:-1]]
    wanted = step(alone, backend, save, cotangent[1:])[:-1]  # without bw: its gradient is 0
    errors = [relative_error(a, b) for a, b in zip(found, wanted, strict=True)]
    assert max(errors[:3]) < 1e-5, errors
    assert max(errors[3:]) < 2**-8, errors  # rounded to bfloat16
    assert not gradients[0][:rows].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("save", ["recompute", "store"])
@pytest.mark.parametrize("backend", FUSED)
def test_same_bits_ten_times(backend: str, save: str, dtype: torch.dtype) -> None:
    lengths = (90_000, 1, 0, 20_000, 5_000, 129) if ON_GPU else (300, 1, 0, 129)
    case = large_case(lengths, (768, 256, 3) if ON_GPU else (40, 24, 3), dtype)
    cotangent = cotangent_of(case)
    first = step(case, backend, save, cotangent, dropout_p=0.25, seed=5)
    for _ in range(10 if ON_GPU else 2):
        again = step(case, backend, save, cotangent, dropout_p=0.25, seed=5)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("size", [(1024, 256, 1), (2560, 512, 1)], ids=str)
@pytest.mark.parametrize("backend", FUSED)
def test_memory_of_a_million_rows(backend: str, size: tuple[int, int, int]) -> None:
    """A training step with frozen features in memory mode: at most 128 MiB beyond the inputs."""
    case = (
        large_case((MIB,), size, torch.bfloat16) if ON_GPU else large_case((99,), (40, 24, 1), torch.bfloat16)
    )
    parameters = [each.requires_grad_() for each in case.parameters()[1:]]
    cotangent = cotangent_of(case)

    def train() -> tuple[Tensor, ...]:
        pooled = gated_attention_pool(*case, backend=backend, save="recompute")[0]
        return torch.autograd.grad(pooled, parameters, cotangent)

    extra = extra_bytes(DEVICE, train)
    assert not ON_GPU or 0 < extra <= 128 * MIB, f"{extra / MIB:.0f} MiB"


@pytest.mark.parametrize("backend", FUSED)
def test_compiles_to_one_graph(backend: str) -> None:
    """Inductor, any number of rows without compiling anew; forward and backward."""
    torch._dynamo.reset()
    compiled = torch.compile(
        gated_attention_pool, fullgraph=True, backend="inductor" if ON_GPU else "aot_eager", dynamic=True
    )
    for lengths in ((700, 0, 64), (1500, 3, 2)):
        case = make_case(lengths, (96, 40, 2), device=DEVICE)
        wanted = step(case, backend, "recompute", cotangent_of(case))
        leaves = [each.detach().requires_grad_() for each in case.parameters()]
        outputs = compiled(*leaves, case.cu_seqlens, backend=backend, save="recompute")
        found = [*outputs, *torch.autograd.grad(outputs[0], leaves, cotangent_of(case))]
        errors = [relative_error(a, b) for a, b in zip(found, wanted, strict=True)]
        assert max(errors) < 1e-6, errors


def capture(call: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
    """The result's place and a replay that fills it; without a GPU the call itself."""
    if not ON_GPU:
        place = call()
        return place, lambda: place.copy_(call())
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # compiled and its workspaces taken before anything is recorded
        call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        place = call()
    return place, graph.replay


@pytest.mark.parametrize("backend", FUSED[1:])
def test_forward_is_captured_in_a_graph(backend: str) -> None:
    """No value is read on the host: replayed on other features and other borders, the result is theirs."""
    case = make_case((400, 0, 300), (96, 40, 2), device=DEVICE)
    with torch.no_grad():
        place, replay = capture(lambda: gated_attention_pool(*case, backend=backend)[0])
        other = make_case((5, 690, 5), (96, 40, 2), device=DEVICE, seed=3)
        case.h.copy_(other.h)
        case.cu_seqlens.copy_(other.cu_seqlens)
        replay()
        assert torch.equal(place, gated_attention_pool(*case, backend=backend)[0])


@pytest.mark.parametrize("backend", FUSED)
def test_float32_takes_tf32_only_where_torch_may(backend: str) -> None:
    case = make_case((3000, 500), (512, 128, 2), device=DEVICE)
    exact = gated_attention_pool(*case.to(torch.float64, DEVICE), backend="eager")
    before = torch.get_float32_matmul_precision()
    errors = {}
    try:
        for precision in ("highest", "high"):
            torch.set_float32_matmul_precision(precision)
            found = gated_attention_pool(*case, backend=backend)
            errors[precision] = max(relative_error(a, b) for a, b in zip(found, exact, strict=True))
    finally:
        torch.set_float32_matmul_precision(before)
    assert errors["highest"] < 1e-5, errors
    assert errors["high"] < 2e-3, errors


@pytest.mark.parametrize("backend", FUSED)
def test_on_a_stream_of_its_own(backend: str) -> None:
    case = make_case((900, 40), (96, 40, 2), device=DEVICE)
    wanted = step(case, backend, "recompute", cotangent_of(case))
    if ON_GPU:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            found = step(case, backend, "recompute", cotangent_of(case))
        torch.cuda.current_stream().wait_stream(stream)
    else:
        found = step(case, backend, "recompute", cotangent_of(case))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("backend", FUSED[1:])
def test_autotuning_keeps_its_choice(backend: str) -> None:
    """Asked for by a variable: other blocks, the same result to rounding, and the same bits within a process."""
    case = large_case((70_000, 30), (512, 256, 1), torch.bfloat16) if ON_GPU else make_case((70, 30))
    plain = step(case, backend, "recompute", cotangent_of(case))
    with patch.dict(os.environ, {"SLIDELAKE_TRITON_AUTOTUNE": "1"}):
        first, again = (step(case, backend, "recompute", cotangent_of(case)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    errors = [relative_error(a, b) for a, b in zip(first, plain, strict=True)]
    assert max(errors[:3]) < 3e-5, errors
    assert max(errors[3:]) < 2**-8, errors  # rounded to bfloat16
