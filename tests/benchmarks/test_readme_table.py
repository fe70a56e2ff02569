"""The README's figures are those of the committed results."""

import json
import sys

import pytest

from benchmarks import readme_table


def test_the_readme_shows_the_committed_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["readme_table", "--check"])
    assert readme_table.main() == 0, "run `python -m benchmarks.readme_table`"


def test_a_table_for_the_cpu_and_for_each_gpu(monkeypatch, tmp_path):
    """From the results that there are; a rehearsal's are not told."""
    folder = tmp_path / "benchmarks" / "results"
    folder.mkdir(parents=True)
    monkeypatch.setattr(readme_table, "ROOT", tmp_path)
    assert readme_table._kernels() == []
    result = {"benchmark": "gated_attention", "date": "2026-11-21T12:00:00+00:00"}
    cpu = {"cores": 2, "cpu": "a processor", "gpu": None}
    for name, machine, figures in (
        ("gated_attention", cpu, {"cpu_extra_mib_1048576": 12.4, "cpu_fwd_time_vs_eager": 0.951}),
        ("gated_attention.nvidia_h200", {**cpu, "gpu": "NVIDIA H200"}, {"roofline_share_fwd": 0.77}),
        ("gated_attention.cpu.quick", cpu, {"roofline_share_fwd": 0.01}),
    ):
        (folder / f"{name}.json").write_text(json.dumps({**result, "machine": machine, "figures": figures}))
    told = "\n".join(readme_table._kernels())
    assert told.count("| figure |") == 2
    assert "N 1,048,576 | 12 MiB |" in told
    assert "0.95 × the time of eager" in told
    assert "NVIDIA H200" in told
    assert "77% of the rate" in told
    assert "1% of the rate" not in told
