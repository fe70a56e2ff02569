"""Which back end and save mode a call takes, and what happens where there is no memory or no triton."""

import json
import logging

import pytest
import torch

from slidelake.errors import KernelError
from slidelake.kernels import backend_names, dispatch, gated_attention_pool, save, support, winners
from slidelake.kernels.arguments import check_arguments
from slidelake.kernels.dispatch import choose
from slidelake.kernels.testing import make_case
from slidelake.kernels.winners import Mode, Winner, read_winners, winner, write_winners
from tests.repository import python

GOOD = make_case((3, 2), (8, 4, 2))


def arguments_of(case=GOOD, *, grad=True):
    case = case._replace(V=case.V.clone().requires_grad_(grad))
    return check_arguments(*case, mask=None, dropout_p=0.0, seed=None)


@pytest.fixture
def ranked(monkeypatch):
    """A table that says what the test wants."""

    def say(*modes):
        row = Winner("float32", 5, 8, 4, 2, tuple(Mode.parse(m).backend for m in modes), tuple(modes))
        monkeypatch.setattr(winners, "read_winners", lambda device: (row,))

    return say


def test_back_ends(monkeypatch):
    monkeypatch.delenv("SLIDELAKE_KERNELS", raising=False)
    assert backend_names() == ["chunked", "eager", "triton"]
    with pytest.raises(
        KernelError,
        match=r"backend is 'cuda', which is no back end\. Use one of: auto, chunked, eager, triton",
    ):
        gated_attention_pool(*GOOD, backend="cuda")


def test_the_variable_decides_what_auto_is(monkeypatch):
    monkeypatch.setenv("SLIDELAKE_KERNELS", "fast")
    with pytest.raises(KernelError, match="SLIDELAKE_KERNELS is 'fast'"):
        gated_attention_pool(*GOOD)
    gated_attention_pool(*GOOD, backend="eager")  # a name in the call stands
    for plain in ("", " ", "auto", "eager", "chunked"):
        monkeypatch.setenv("SLIDELAKE_KERNELS", plain)
        gated_attention_pool(*GOOD)
    monkeypatch.setenv("SLIDELAKE_KERNELS", "eager")
    with pytest.raises(KernelError, match="SLIDELAKE_KERNELS is 'eager', which keeps its activations"):
        gated_attention_pool(*GOOD, save="recompute")


def test_triton_on_a_cpu(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(KernelError, match=r"triton back end runs on a GPU, h is on cpu.*chunked"):
        gated_attention_pool(*GOOD, backend="triton")


def test_triton_in_float64(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(KernelError, match="does not compute in float64"):
        gated_attention_pool(*GOOD.to(torch.float64), backend="triton")


def test_auto_takes_the_first_of_the_ranking_that_may_run(ranked, monkeypatch):
    ranked("triton+store", "eager", "chunked+store", "chunked+recompute")
    assert choose(arguments_of(), "auto", "auto") == Mode("eager", "store")  # triton needs a GPU
    assert choose(arguments_of(), "auto", "recompute") == Mode("chunked", "recompute")
    assert choose(arguments_of(), "auto", "store") == Mode("eager", "store")
    assert choose(arguments_of(grad=False), "auto", "auto").backend == "eager"
    monkeypatch.setattr(dispatch, "fits", lambda wanted, device: False)
    assert choose(arguments_of(), "auto", "auto") == Mode("chunked", "recompute")
    assert choose(arguments_of(grad=False), "auto", "auto").backend == "chunked"
    ranked("triton+recompute")  # nothing of it runs here
    assert choose(arguments_of(), "auto", "auto") == Mode("chunked", "recompute")
    with torch.no_grad():
        assert choose(arguments_of(), "auto", "store").backend == "chunked"


def test_named_back_end_stores_what_fits(monkeypatch):
    assert choose(arguments_of(), "chunked", "auto") == Mode("chunked", "store")
    assert choose(arguments_of(grad=False), "chunked", "auto") == Mode("chunked", "recompute")
    monkeypatch.setattr(dispatch, "fits", lambda wanted, device: False)
    assert choose(arguments_of(), "chunked", "auto") == Mode("chunked", "recompute")
    assert choose(arguments_of(), "chunked", "store") == Mode("chunked", "store")


def test_budget_of_save_auto(monkeypatch):
    device = torch.device("cpu")
    monkeypatch.setattr(save, "free_bytes", lambda device: 4 << 30)
    assert save.fits(200 << 20, device)
    assert not save.fits(210 << 20, device)  # 5 % of 4 GiB is 204.8 MiB
    monkeypatch.setattr(save, "free_bytes", lambda device: 1 << 40)
    assert save.fits(512 << 20, device)
    assert not save.fits((512 << 20) + 1, device)
    monkeypatch.setattr(save, "free_bytes", lambda device: 0)
    assert save.fits(16 << 20, device)  # so little is not asked for
    assert not save.fits((16 << 20) + 1, device)


def test_free_memory_is_that_of_the_machine():
    assert 0 < save.free_bytes(torch.device("cpu")) < 1 << 50


def test_bytes_that_are_stored():
    half = GOOD._replace(h=GOOD.h.half())
    assert save.stored_bytes(arguments_of()) == 2 * 5 * 4 * 4
    assert save.stored_bytes(arguments_of(half)) == 2 * 5 * 4 * 2
    assert save.stored_bytes(arguments_of(GOOD._replace(U=None, bU=None))) == 5 * 4 * 4
    assert save.eager_bytes(arguments_of()) == 3 * 5 * 4 * 4
    assert save.eager_bytes(arguments_of(half)) == (3 * 4 + 8) * 5 * 4


#: An address space with 200 MiB to spare: the activations of store mode and of eager (256 and 384 MiB) do not fit.
NO_ROOM = """
import logging, resource, sys, torch
from slidelake.errors import KernelError
from slidelake.kernels import gated_attention_pool, save, winners
from slidelake.kernels.testing import make_case
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")
rows, spare = int(sys.argv[1]), int(sys.argv[2])
case = make_case((rows,), (16, 1024, 1))
case = case._replace(V=case.V.requires_grad_())
small = make_case((50,), (16, 8, 1))
for backend in ("eager", "chunked"):  # whatever is loaded at first use
    gated_attention_pool(*small, backend=backend)
save.free_bytes = lambda device: 1 << 40  # what the machine has, not what this process may take
size = next(int(x.split()[1]) << 10 for x in open("/proc/self/status") if x.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (size + (spare << 20),) * 2)
for options in ({}, {}, {"backend": "chunked"}, {"save": "store"}, {"backend": "eager"}, {"save": "recompute"}):
    try:
        pooled, *_ = gated_attention_pool(*case, **options)
        pooled.sum().backward()
        print("done", options, bool(pooled.isfinite().all() and case.V.grad.isfinite().all()))
    except KernelError as error:
        print("refused", options, error)
"""


def test_out_of_memory_goes_on_in_chunks_and_says_so_once():
    """A real allocation that fails. What is chosen by name is refused, with the remedy."""
    out = python(NO_ROOM, "32768", "200").splitlines()
    warnings = [line for line in out if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert warnings[0].startswith(
        "WARNING slidelake.kernels: chunked+store ran out of memory on cpu at 32768 rows"
    )
    assert "goes on with chunked+recompute" in warnings[0]
    rest = [line for line in out if line not in warnings]
    assert rest[:3] == ["done {} True", "done {} True", "done {'backend': 'chunked'} True"]
    assert rest[3].startswith(
        "refused {'save': 'store'} chunked+store ran out of memory on cpu at 32768 rows"
    )
    assert 'save="auto"' in rest[3]
    assert rest[4].startswith("refused {'backend': 'eager'} eager ran out of memory on cpu at 32768 rows")
    assert rest[5] == "done {'save': 'recompute'} True"


def test_out_of_memory_with_nothing_left_to_try():
    out = python(NO_ROOM, "32768", "8").splitlines()
    assert out[-1].startswith("refused {'save': 'recompute'} chunked+recompute ran out of memory")
    assert "Pass fewer rows at a time" in out[-1]


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("a bug")

    monkeypatch.setattr(dispatch, "fused_pool", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        gated_attention_pool(*GOOD)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_errors_of_devices_that_are_lack_of_memory(monkeypatch, caplog, error):
    calls = []

    def first_fails(arguments, backend, *, store):
        calls.append((backend, store))
        if store:
            raise error
        return arguments.h, arguments.h, arguments.h

    monkeypatch.setattr(dispatch, "fused_pool", first_fails)
    monkeypatch.setattr(dispatch, "_warned", set())
    with caplog.at_level(logging.WARNING, logger="slidelake.kernels"):
        gated_attention_pool(*GOOD._replace(V=GOOD.V.clone().requires_grad_()), backend="chunked")
    assert calls == [("chunked", True), ("chunked", False)]
    assert len(caplog.records) == 1


WITHOUT_TRITON = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "triton":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
import torch
import slidelake.kernels
from slidelake.errors import KernelError
from slidelake.kernels import gated_attention_pool
from slidelake.kernels.testing import make_case
case = make_case((3, 2), (8, 4, 2))
case = case._replace(V=case.V.requires_grad_())
for backend in ("auto", "eager", "chunked"):
    gated_attention_pool(*case, backend=backend)[0].sum().backward()
torch.compile(gated_attention_pool, backend="aot_eager", fullgraph=True)(*case)[0].sum().backward()
try:
    gated_attention_pool(*case, backend="triton")
except KernelError as error:
    print(error)
assert not any(name.split(".")[0] == "triton" for name in sys.modules)
"""


def test_everything_else_works_without_triton():
    assert python(WITHOUT_TRITON).startswith(
        "the triton back end needs the package triton, which is not installed. pip install triton"
    )


def test_winners_are_written_and_read(tmp_path):
    rows = [
        Winner("bfloat16", 4096, 1024, 256, 1, ("triton", "chunked"), ("triton+store", "eager")),
        Winner("bfloat16", 1024, 384, 128, 1, ("eager",), ("chunked+recompute",)),
    ]
    path = write_winners("NVIDIA H200 (80 GB)", rows, folder=tmp_path)
    assert path == tmp_path / "nvidia-h200-80-gb.json"
    assert json.loads(path.read_text())["device"] == "NVIDIA H200 (80 GB)"
    assert set(read_winners("nvidia h200 80 gb", folder=tmp_path)) == set(rows)
    assert read_winners("other", folder=tmp_path) == ()
    with pytest.raises(KernelError, match="'chunked\\+sometimes' is no mode"):
        write_winners(
            "x", [Winner("float32", 1, 1, 1, 1, ("eager",), ("chunked+sometimes",))], folder=tmp_path
        )
    path.write_text('{"winners": [{"dtype": "float32"}]}')
    read_winners.cache_clear()
    with pytest.raises(KernelError, match="is no table of winners"):
        read_winners("NVIDIA H200 (80 GB)", folder=tmp_path)


def test_nearest_winner(monkeypatch):
    def row(dtype, rows, dim, hidden):
        return Winner(dtype, rows, dim, hidden, 1, ("eager",), ("eager",))

    table = (
        row("float32", 1000, 512, 256),
        row("float32", 100_000, 512, 256),
        row("float16", 1000, 1024, 512),
    )
    monkeypatch.setattr(winners, "read_winners", lambda device: table)
    assert winner("x", torch.float32, 4000, 384, 128, 4) is table[0]
    assert winner("x", torch.float32, 40_000, 1024, 512, 1) is table[1]
    assert winner("x", torch.float16, 100_000, 512, 256, 1) is table[2]  # the same dtype before all else
    assert (
        winner("x", torch.bfloat16, 0, 1024, 512, 1) is table[2]
    )  # no rows, and a dtype that was not measured
    monkeypatch.setattr(winners, "read_winners", lambda device: ())
    assert winner("x", torch.float32, 1, 1, 1, 1) is None


def test_tables_that_are_shipped_are_sound():
    tables = sorted(winners._FOLDER.glob("*.json"))
    assert "cpu.json" in [path.name for path in tables]
    for path in tables:
        rows = read_winners(path.stem)
        assert {"float32", "float16"} <= {row.dtype for row in rows}
        for row in rows:
            modes = [Mode.parse(mode) for mode in row.training]
            assert {mode.backend for mode in modes} | set(row.forward) <= set(backend_names())
            # Something that memory cannot forbid, or a large bag has no way.
            assert any(mode.save == "recompute" for mode in modes)


def test_rule_where_nothing_was_measured(monkeypatch):
    monkeypatch.setattr(winners, "read_winners", lambda device: ())
    assert [str(mode) for mode in winners.ranking(arguments_of(), training=True)] == [
        "chunked+store",
        "chunked+recompute",
    ]
    assert support.unsupported("chunked", arguments_of()) is None
