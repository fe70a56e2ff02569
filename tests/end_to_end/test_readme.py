"""The README is run: its commands in order, in one empty folder, then its Python there."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readme_commands import Example, python_blocks, shell_commands
from tests.repository import ROOT, environment

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = shell_commands(README)


def targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))


def kind(command: Example) -> str:
    """`run`, `set` (an export), or what is not run here and is looked at otherwise: `make`, `clone`, `benchmark`."""
    words = shlex.split(command.text, comments=True)
    if words[0] == "slidelake":
        return "run"
    if words[0] == "export" and len(words) == 2 and "=" in words[1]:
        return "set"
    if words[0] == "make":
        return "make"
    if words[:2] == ["git", "clone"] or (words[0] == "cd" and len(words) == 2):
        return "clone"
    if words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
        return "benchmark"
    raise AssertionError(f"README.md:{command.line}: no test knows what to make of `{command.text}`")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.text[:60])
def test_every_command_is_one_that_is_checked(command):
    words = shlex.split(command.text, comments=True)
    match kind(command):
        case "make":
            wanted = {word for word in words[1:] if "=" not in word and not word.startswith("-")}
            assert wanted <= targets((ROOT / "Makefile").read_text(encoding="utf-8"))
        case "benchmark":
            assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file()


def test_the_session_runs(tmp_path, monkeypatch):
    """Each `slidelake` line as it stands; one that fails shows its line of the README and what it printed."""
    tools, folder = tmp_path / "tools", tmp_path / "session"
    tools.mkdir()
    folder.mkdir()
    command = tools / "slidelake"
    command.write_text(
        f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c"
        " 'from slidelake.services.cli import main; main()' \"$@\"\n"
    )
    command.chmod(0o755)
    env = {name: value for name, value in environment().items() if not name.startswith("SLIDELAKE_")}
    env["PATH"] = f"{tools}:{env['PATH']}"
    for each in COMMANDS:
        if kind(each) == "set":
            name, value = shlex.split(each.text, comments=True)[1].split("=", 1)
            env[name] = value
        elif kind(each) == "run":
            _run(["bash", "-c", each.text], folder, env, f"README.md:{each.line}: {each.text}")
    for block in python_blocks(README):
        # Line numbers of a traceback are those of the README.
        script = folder / "README.py"
        script.write_text("\n" * (block.line - 1) + block.text, encoding="utf-8")
        _run([sys.executable, script.name], folder, env, f"README.md:{block.line}: Python")


def _run(words: list[str], folder: Path, env: dict[str, str], what: str) -> None:
    done = subprocess.run(
        words, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, (
        f"{what}\nexit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )


def test_bash_is_here():
    """The README's commands are written for it."""
    assert shutil.which("bash")
