"""`slidelake ask`: what is printed, its exit codes, its JSON."""

import json

import pytest
from typer.testing import CliRunner

from slidelake.services.answers import NOTICE
from slidelake.services.cli.app import app
from tests.services.answers.endpoint_server import endpoint_server, says


def run(lake, *arguments):
    return CliRunner().invoke(app, ["ask", *arguments, "--store", lake.store.url])


def test_answer_sources_and_notice_are_printed(lake):
    result = run(lake, "Which patient had a renal vein thrombus?")
    assert result.exit_code == 0
    assert "[1] report R0" in result.stdout
    assert "/#/reports/R0?start=" in result.stdout
    assert "/#/slides/S0" in result.stdout
    assert result.stderr.count(NOTICE) == 1


def test_no_answer_is_exit_code_4(lake):
    result = run(lake, "Who won the football match yesterday?", "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, said["exit_code"], said["abstained"], said["ok"]) == (4, 4, True, True)


def test_a_patch_an_endpoint_and_the_probe(lake, monkeypatch):
    with endpoint_server(says("Alike [1].")) as server:
        monkeypatch.setenv("SLIDELAKE_LLM_KEY", "sk-secret")
        result = run(
            lake, "What was the diagnosis?", "--slide", "S0", "--at", "10,10", "--endpoint", server.url,
            "--model", "m", "--exclude-own-report", "--probe-image-use", "-k", "2", "--json",
        )  # fmt: skip
        keys = {call.headers["authorization"] for call in server.calls}
    said = json.loads(result.stdout)
    assert (result.exit_code, said["model"], said["text"]) == (0, "m", "Alike [1].")
    assert said["image_use"]["changed_when_swapped"] is False
    assert keys == {"Bearer sk-secret"}
    assert "sk-secret" not in result.output


def test_a_region_is_asked_about(lake):
    result = run(lake, "What was the diagnosis?", "--slide", "s0", "--region", "0,0,400,400", "--json")
    said = json.loads(result.stdout)
    assert result.exit_code == 0, said
    assert any(each["x"] is not None for each in said["citations"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("",),
        ("kidney?", "--at", "1,2"),
        ("kidney?", "--slide", "S0", "--at", "here"),
        ("kidney?", "--slide", "S0", "--region", "1,2,3"),
        ("kidney?", "-k", "0"),
        ("kidney?", "--model", "m"),
        ("kidney?", "--endpoint", "nowhere", "--model", "m"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_exit_code_2(lake, arguments):
    result = run(lake, *arguments)
    assert result.exit_code == 2
    assert "error:" in result.stderr
