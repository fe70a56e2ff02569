"""What importing costs, and under which names."""

import pytest

from tests.repository import PARTS, python, tracked

#: Loaded by what needs them, never by an import of ours.
HEAVY = {"lancedb", "numba", "ray", "timm", "torch", "torchvision", "triton"}

LOADED = "import sys, importlib; importlib.import_module(sys.argv[1]); print(*sorted(sys.modules))"


def loaded_by(module: str) -> set[str]:
    return set(python(LOADED, module).split())


@pytest.mark.parametrize("part", [*PARTS, "services.cli"])
def test_importing_a_part_loads_nothing_heavy(part):
    assert loaded_by(f"slidelake.{part}") & HEAVY == set()


def test_importing_slidelake_loads_nothing_at_all():
    found = loaded_by("slidelake")
    assert found & (HEAVY | {"zarr", "numpy", "pandas", "pyarrow", "fsspec"}) == set()
    assert {name for name in found if name.startswith("slidelake.")} <= {"slidelake._version"}


def test_importing_slidelake_takes_less_than_300_ms():
    """The one time that is demanded: the least of five fresh processes, so that a busy machine does not count."""
    code = "import time; t = time.perf_counter(); import slidelake; print(time.perf_counter() - t)"
    assert min(float(python(code)) for _ in range(5)) < 0.3


def test_no_module_goes_by_a_second_name():
    """At the root `import store` works by accident, and is then another module than slidelake.store."""
    code = """
import pkgutil, importlib, sys, slidelake
names = [m.name for m in pkgutil.walk_packages(slidelake.__path__, "slidelake.") if "__main__" not in m.name]
for name in names:
    importlib.import_module(name)
print(len(names), *(set(sys.argv[1:]) & set(sys.modules)))
"""
    count, *seconds = python(code, *PARTS).split()
    assert seconds == []
    ours = [name for name in tracked(*PARTS, "src", suffix=".py") if not name.endswith("__main__.py")]
    assert int(count) == len(ours) - 1  # the root package itself is not walked
