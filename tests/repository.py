"""The checkout as tests see it: its root, its parts, its tracked files, and Python processes beside this one."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: The folders at the root that are `slidelake.<name>`, in the order of DESIGN: later ones may import earlier ones.
PARTS = ("kernels", "store", "encoders", "ingest", "index", "services")


def tracked(*places: str, suffix: str = "") -> list[str]:
    """Files that git knows below some places (all of them by default) and that are there, as posix paths."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *places],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    return sorted({name for name in listed if name and name.endswith(suffix) and (ROOT / name).exists()})


def module_of(name: str) -> str:
    """`slidelake.store.bag` for `store/bag.py`; `slidelake.store` for `store/__init__.py`."""
    parts = name.removeprefix("src/slidelake/").removesuffix(".py").split("/")
    return ".".join(["slidelake", *(part for part in parts if part != "__init__")])


def environment() -> dict[str, str]:
    """This process's environment, with slidelake importable whether or not it is installed."""
    inherited = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([str(ROOT / "src"), inherited]) if inherited else str(ROOT / "src")
    return {**os.environ, "PYTHONPATH": path}


def python(code: str, *arguments: str) -> str:
    """What a fresh Python, started at the root, prints when it runs `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
