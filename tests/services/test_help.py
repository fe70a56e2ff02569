"""Every command says what it does, with an example."""

import pytest
import typer.main
from typer.testing import CliRunner

from slidelake.services.cli.app import app


def _commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [(name, each) for each in inner] if inner else [(name,)]
    return found


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_help_shows_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert f"Example: slidelake {' '.join(words)}" in " ".join(result.stdout.split())
    assert "--json" in result.stdout


def test_all_commands_are_there() -> None:
    assert {words[0] for words in _commands()} >= {
        "synth", "ingest", "status", "verify", "embed", "index", "search", "encoders", "doctor", "demo",
        "import", "export",
        "copy", "metadata", "migrate", "snapshot", "stats", "attention", "heatmap",
    }  # fmt: skip


def test_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["inject"]).exit_code == 2


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("slidelake ")
