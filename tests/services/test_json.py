"""`--json`: one object on stdout with `ok` and `exit_code`, also where the words cannot be parsed."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import slidelake
from slidelake.services.cli.app import app
from slidelake.services.cli.session import Session, command


def run(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.parametrize(
    "words",
    [
        ["status"], ["index", "status"], ["migrate"], ["snapshot"], ["verify"], ["gc"],
        ["verify", "--deleted"], ["metadata", "show"], ["encoders"], ["copy", "COPY"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_ok_and_exit_code_are_always_there(words: list[str], tmp_path: Path) -> None:
    slidelake.open(tmp_path / "lake")
    words = [str(tmp_path / "copy") if word == "COPY" else word for word in words]
    code, said = run(*words, "--json", "--store", tmp_path / "lake")
    assert (code, said["exit_code"], said["ok"]) == (0, 0, True)
    assert list(said)[:2] == ["ok", "exit_code"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["inject"], "inject"),
        (["stats", "--pca", "x"], "--pca"),
        (["export"], "DEST"),
        (["index", "sync", "--bogus"], "--bogus"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
@pytest.mark.parametrize("first", [True, False])
def test_what_cannot_be_parsed_is_an_object_too(words: list[str], problem: str, first: bool) -> None:
    code, said = run(*(["--json", *words] if first else [*words, "--json"]))
    assert (code, said["exit_code"], said["ok"]) == (2, 2, False)
    assert problem in said["error"]["problem"]
    # For people nothing is on stdout.
    assert CliRunner().invoke(app, words).stdout == ""


def test_an_error_after_the_result_leaves_one_object() -> None:
    broken = typer.Typer()

    @command(broken, "broken")
    def work(session: Session) -> None:
        """Says it is well, then is not."""
        session.emit({"ok": True})
        raise RuntimeError("a bug")

    result = CliRunner().invoke(broken, ["--json"])
    assert isinstance(result.exception, RuntimeError)  # the traceback is still seen
    assert json.loads(result.stdout)["error"]["kind"] == "RuntimeError"
