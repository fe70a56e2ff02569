"""The part's public face."""

import subprocess
import sys
from types import ModuleType

import slidelake.store


def test_all_is_sorted_and_there() -> None:
    names = slidelake.store.__all__
    imported = {name for name in vars(slidelake.store) if not name.startswith("_")}
    modules = {name for name in imported if isinstance(getattr(slidelake.store, name), ModuleType)}
    # `verify` is the function, which hides its module of the same name.
    assert set(names) == imported - modules
    assert len(set(names)) == len(names)


def test_nothing_heavy_is_loaded() -> None:
    heavy = ["torch", "pandas", "xarray", "dask", "pytest"]
    code = f"import sys, slidelake.store; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "src"}
    )
    assert done.stdout.strip() == "[]"
