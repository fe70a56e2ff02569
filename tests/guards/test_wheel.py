"""A wheel holds the files that git has: setuptools leaves out data files that nobody listed, without a word."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.repository import PARTS, ROOT, tracked


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built from a copy: a `build/` left at the root would bring back deleted files."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked(*PARTS, "src", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = Path(out).glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_wheel_holds_what_git_has(wheel):
    wanted = {f"slidelake/{name}" for name in tracked(*PARTS)}
    wanted |= {name.removeprefix("src/") for name in tracked("src") if not (ROOT / name).is_symlink()}
    found = {name for name in wheel if ".dist-info/" not in name}
    assert wanted - found == set(), "in git, not in the wheel: list it under [tool.setuptools.package-data]"
    assert found - wanted == set(), "in the wheel, not in git"


def test_wheel_carries_the_command_and_the_licence(wheel):
    info = {name.split(".dist-info/")[1] for name in wheel if ".dist-info/" in name}
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= info
