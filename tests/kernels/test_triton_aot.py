"""The kernels compile for GPUs that are not here, within the limits of each: in a process of their own, since
Triton's interpreter, which the other tests run in, compiles nothing."""

import json
import os
import subprocess
import sys

import pytest

from slidelake.kernels.triton_configs import SHARED_MEMORY
from tests.repository import ROOT

#: The first NVIDIA matrix units with bfloat16, those that take a whole warp group, and AMD's.
DISTINCT = ("sm_80", "sm_90", "gfx942")
LINES = {
    *("forward one", "forward", "forward many", "backward", "backward heavy", "stored", "stored heavy"),
    *("features", "combine"),
}


def compile_for(arch, cache, *options):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "TRITON_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-m", "slidelake.kernels.triton_aot", "--arch", arch, "--json", *options],
        env=environment,
        capture_output=True,
        text=True,
    )
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r for r in reports if r["problem"]] == [], done.stderr
    assert done.returncode == 0, done.stderr
    return reports


@pytest.mark.parametrize("arch", DISTINCT)
def test_compiles_within_the_limits(arch, tmp_path):
    reports = compile_for(arch, tmp_path)
    assert {r["kernel"] for r in reports} == LINES
    for report in reports:
        assert 0 < report["shared"] <= SHARED_MEMORY[arch]
        assert report["spilled"] == 0
        if report["kernel"].split()[0] in ("forward", "backward", "features"):
            assert report["wgmma" if arch == "sm_90" else "mma"] > 0


@pytest.mark.long
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("arch", sorted(SHARED_MEMORY))
def test_every_shape_and_configuration_compiles_within_the_limits(arch, tmp_path):
    assert len(compile_for(arch, tmp_path, "--all")) > 400


def test_the_interpreter_compiles_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "slidelake.kernels.triton_aot"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "TRITON_INTERPRET is set" in done.stderr
