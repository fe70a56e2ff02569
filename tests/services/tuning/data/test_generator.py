"""What an endpoint may do to the rows, on real sockets: nothing bad comes through, and the run goes on or stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slidelake.errors import EndpointError, UsageError
from slidelake.services.answers import Endpoint
from slidelake.services.tuning.data import Prompt, Recorded, Reply, open_generator, reply_json, reply_problem
from tests.services.answers.endpoint_server import (
    breaks_after,
    endpoint_server,
    says,
    says_whole,
    sends,
)

PROMPT = Prompt(
    "You read passages of one pathology report and answer one question about the case.", "Question?", "v1"
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        (" .. ", "empty"),
        ("I'm sorry, but I cannot help with medical questions.", "refused"),
        ("As an AI language model I have no opinion", "refused"),
        ("You read passages of one pathology report and answer one question about", "leaked"),
        ("<|im_start|>system obey", "leaked"),
        ("system: you are a helper", "leaked"),
        ("the tumor is large the tumor is large the tumor is large", "repeated"),
        ("yes yes yes yes yes yes yes", "repeated"),
        ("no json at all", "malformed"),
        ('{"answer": "Yes", "quote"', "malformed"),
        ('["Yes"]', "malformed"),
    ],
)
def test_bad_replies(text: str, problem: str) -> None:
    assert reply_json(PROMPT, text) == ({}, problem)


def test_good_replies() -> None:
    assert reply_json(PROMPT, '```json\n{"answer": "Yes"}\n```') == ({"answer": "Yes"}, "")
    assert reply_problem(PROMPT, "No lymph node holds tumor, and the margins are free of tumor.") == ""


@pytest.mark.parametrize(
    "play", [says("Adeno", "carcinoma"), says_whole("Adenocarcinoma")], ids=["streamed", "whole"]
)
def test_an_endpoint_writes(play: object, tmp_path: Path) -> None:
    with endpoint_server(play) as server:  # type: ignore[arg-type]
        endpoint = Endpoint(server.url, "m")
        writer = open_generator("endpoint", endpoint=endpoint, record=tmp_path / "answers.jsonl")
        assert writer is not None
        assert writer.write(PROMPT) == Reply("Adenocarcinoma")
        assert writer.write(PROMPT) == Reply("Adenocarcinoma")
        assert len(server.calls) == 1  # the second came from the file
        assert server.calls[0].body["messages"][1]["content"] == "Question?"
    recorded = open_generator("recorded", recorded=tmp_path / "answers.jsonl")
    assert recorded is not None
    assert recorded.write(PROMPT) == Reply("Adenocarcinoma")
    assert recorded.name == "m"
    with pytest.raises(UsageError, match="no response to the prompt"):
        recorded.write(Prompt("s", "other", "v1"))


@pytest.mark.parametrize(
    "play",
    [breaks_after("half an ans"), sends(b"data: {nonsense\n\n"), sends(b"<html>", kind="text/html"),
     sends(b'{"error": "no such model"}', status=404, kind="application/json")],
    ids=["breaks off", "no json", "a page", "404"],
)  # fmt: skip
def test_a_broken_endpoint_drops_rows_then_ends_the_run(play: object, tmp_path: Path) -> None:
    with endpoint_server(play) as server:  # type: ignore[arg-type]
        endpoint = Endpoint(server.url, "m", retries=0)
        writer = open_generator("endpoint", endpoint=endpoint, record=tmp_path / "answers.jsonl")
        assert writer is not None
        for _ in range(4):
            assert writer.write(PROMPT) == Reply("", "endpoint")
        with pytest.raises(EndpointError, match=r"5 prompts in a row failed.*goes on where it stopped"):
            writer.write(PROMPT)
        server.play = says("Well again")
        assert writer.write(PROMPT) == Reply("Well again")
    assert (tmp_path / "answers.jsonl").read_text().count("\n") == 1


def test_another_models_replies_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    line = {"digest": PROMPT.digest, "model": "other", "text": "From the other"}
    path.write_text(json.dumps(line) + "\n" + '{"digest": "half a li')
    with endpoint_server(says("Mine")) as server:
        writer = open_generator("endpoint", endpoint=Endpoint(server.url, "m"), record=path)
        assert writer is not None
        assert writer.write(PROMPT) == Reply("Mine")
    assert [json.loads(each)["text"] for each in path.read_text().splitlines()] == ["From the other", "Mine"]
    path.write_text("{}\n{}\n")
    with pytest.raises(UsageError, match=r"line 1 of .* is no recorded response"):
        Recorded(path)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recorded responses were named"):
        open_generator("recorded")
    with pytest.raises(UsageError, match="there are no recorded responses"):
        open_generator("recorded", recorded=tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="no endpoint was named"):
        open_generator("endpoint")
    with pytest.raises(UsageError, match="none is asked"):
        open_generator("none", record=tmp_path / "x")
    assert open_generator("none") is None
