"""The runner for machines without pytest finds the tests that pytest finds, and tells what fails."""

import json
import re
import subprocess
import sys

import pytest

from benchmarks.attention.check import collect, run
from benchmarks.gated_attention import TESTS
from tests.repository import ROOT, environment, python

#: torch, Triton, numpy, timm and what torch itself needs: all that a GPU machine may have.
THERE = (
    *("torch", "triton", "numpy", "timm", "torchvision", "torchgen", "functorch", "nvidia", "cuda"),
    *("typing_extensions", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "filelock", "fsspec"),
    *("setuptools", "_distutils_hack", "pkg_resources", "packaging", "yaml", "PIL", "tqdm", "safetensors"),
)
ALONE = f"""
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

class Few(PathFinder):
    there = {{*sys.stdlib_module_names, "slidelake", "benchmarks", "tests", *{THERE!r}}}

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if path is None and name not in cls.there and not name.startswith("_sysconfigdata"):
            return None
        return super().find_spec(name, path, target)

sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Few]
"""
EVERYTHING = """
from importlib.util import find_spec
assert find_spec("pytest") is find_spec("zarr") is find_spec("psutil") is None
import slidelake.kernels as kernels
for name in kernels.__all__:
    getattr(kernels, name)
from benchmarks.gated_attention import main
assert main(["--check", "--device", "cpu", "-k", "few_and_long_bags"]) == 0
assert main(["--device", "cpu", "--part", "branches", "--out", sys.argv[1]]) == 0
"""


def test_the_same_tests_as_pytest():
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "gpu", f"{TESTS.replace('.', '/')}.py"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    wanted = re.findall(r"^\S+\.py::(.+)$", listed, re.MULTILINE)
    plain = [re.sub(r"\[.*", "", name) for name in wanted]
    found = [re.sub(r"\[.*", "", test.name) for test in collect(TESTS)]
    assert sorted(found) == sorted(plain)
    assert len(wanted) > 100


def test_failures_are_told(tmp_path, monkeypatch):
    (tmp_path / "some_tests.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('b', [1, 2], ids=['one', 'two'])\n"
        "@pytest.mark.parametrize(('a', 'c'), [(1, 1), (2, 2)])\n"
        "def test_equal(a, b, c):\n    assert a == b == c\n"
        "class TestOne:\n    def test_new(self):\n        assert not vars(self)\n        self.x = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    told = []
    failed = run(collect("some_tests"), tell=told.append)
    assert failed == ["test_equal[1-1-two]", "test_equal[2-2-one]"]
    assert sum(line.startswith("passed") for line in told) == 3
    assert any("assert a == b == c" in line for line in told)
    assert [test.name for test in collect("some_tests", only="new")] == ["TestOne::test_new"]


def test_a_fixture_is_refused(tmp_path, monkeypatch):
    (tmp_path / "fixture_tests.py").write_text("def test_it(tmp_path):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="test_it takes tmp_path"):
        collect("fixture_tests")


def test_nothing_is_imported_beyond_torch_and_numpy(tmp_path):
    """Everything that runs on a GPU machine, here without one: kernels, tests, sweep, table, figures."""
    shown = python(ALONE + EVERYTHING, str(tmp_path / "x.json"))
    assert re.search(r"^[1-9]\d+ passed, 0 failed on cpu$", shown, re.MULTILINE)
    assert "worst_vs_eager_chunked" in json.loads(shown.splitlines()[-1])["figures"]
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {"x.json", "x.csv", "x.winners/cpu.json"}
