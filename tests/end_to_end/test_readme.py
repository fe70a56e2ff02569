"""The README is run: its commands in order, in one empty folder, then its Python there."""

import json
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
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
    if words[:2] == ["slidelake", "serve"]:
        return "serve"
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
    """`make` targets and benchmarks exist; they are run elsewhere. Any other command must be one that is run."""
    words = shlex.split(command.text, comments=True)
    match kind(command):
        case "make":
            wanted = {word for word in words[1:] if "=" not in word and not word.startswith("-")}
            assert wanted <= targets((ROOT / "Makefile").read_text(encoding="utf-8"))
        case "benchmark":
            assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file()


def run_session(document: str, folder: Path) -> None:
    """Each `slidelake` line as it stands, then the Python; a failure shows the line and what it printed."""
    tools, work = folder / "tools", folder / "work"
    tools.mkdir()
    work.mkdir()
    start = f"{shlex.quote(sys.executable)} -c 'from slidelake.services.cli import main; main()'"
    (tools / "slidelake").write_text(f'#!/bin/sh\nexec {start} "$@"\n')
    (tools / "slidelake").chmod(0o755)
    env = {name: value for name, value in environment().items() if not name.startswith("SLIDELAKE_")}
    env["PATH"] = f"{tools}:{env['PATH']}"
    for each in shell_commands(document):
        if kind(each) == "set":
            name, value = shlex.split(each.text, comments=True)[1].split("=", 1)
            env[name] = value
        elif kind(each) == "serve":
            _serve(each, work, env)
        elif kind(each) == "run":
            _run(["bash", "-c", each.text], work, env, f"README.md:{each.line}: {each.text}")
    for block in python_blocks(document):
        # Line numbers of a traceback are those of the README.
        (work / "README.py").write_text("\n" * (block.line - 1) + block.text, encoding="utf-8")
        _run([sys.executable, "README.py"], work, env, f"README.md:{block.line}: Python")


def _serve(command: Example, folder: Path, env: dict[str, str]) -> None:
    """Starts the server on a free port, asks it for the page and its health, and stops it as people do."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {command.text} --port 0 --json"],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        try:
            with urllib.request.urlopen(told["url"]) as page:
                assert b"<title>" in page.read()
            with urllib.request.urlopen(told["url"].rstrip("/") + "/health") as health:
                assert json.load(health)["status"] == "ok"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, f"README.md:{command.line}: {command.text}"


def _run(words: list[str], folder: Path, env: dict[str, str], what: str) -> None:
    done = subprocess.run(
        words,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, (
        f"{what}\nexit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )


@pytest.mark.timeout(900)  # fifty commands, each a process of its own
def test_the_session_runs(tmp_path):
    run_session(README, tmp_path)


SAMPLE = """
```console
$ git clone URL && cd slidelake
$ make demo
$ export SLIDELAKE_STORE=here
$ slidelake --help
```
```python
import os
assert os.environ["SLIDELAKE_STORE"] == "here"
open("was-run", "x").close()
```
"""


def test_a_session_in_which_all_is_well(tmp_path):
    run_session(SAMPLE, tmp_path)
    assert (tmp_path / "work" / "was-run").exists()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("```console\n$ slidelake no-such-command\n```", r"README\.md:2: slidelake no-such-command\s+exit 2"),
        ("```console\n$ rm -rf lake\n```", r"README\.md:2: no test knows"),
        (
            "\n```python\nimport slidelake\nslidelake.nothing\n```",
            r"(?s)README\.md:3: Python.*line 4.*nothing",
        ),
    ],
)
def test_a_session_that_fails_says_where(tmp_path, wrong, says):
    with pytest.raises(AssertionError, match=says):
        run_session(wrong, tmp_path)


def test_make_targets_are_found():
    assert {"demo", "test", "test-long", "lint", "bench", "help"} <= targets(
        (ROOT / "Makefile").read_text(encoding="utf-8")
    )
