"""An endpoint on a real socket, well behaved and not: bounded in time and bytes, its failures told in one error."""

import pytest

from slidelake.errors import EndpointError, EndpointTimeoutError, UsageError
from slidelake.services.answers.endpoint import Endpoint
from tests.services.answers.endpoint_server import (
    Play,
    breaks_after,
    drips,
    endpoint_server,
    floods,
    says,
    says_whole,
    sends,
    silent,
)

MESSAGES = [{"role": "user", "content": "hello"}]
KEY = "sk-not-for-anyone"


def written(play: Play, **options: object) -> str:
    with endpoint_server(play) as server:
        endpoint = Endpoint(server.url, "m", key=KEY, **{"retries": 0, "timeout": 5.0, **options})
        return "".join(piece.text for piece in endpoint.write(MESSAGES))


def test_a_stream_and_a_whole_answer_are_read():
    assert written(says("The tumour ", "was 3 cm ", "[1].")) == "The tumour was 3 cm [1]."
    assert written(says_whole("All at once [1].")) == "All at once [1]."


def test_the_key_goes_into_its_header_and_nowhere_else():
    with endpoint_server(says("ok", usage={"prompt_tokens": 7, "completion_tokens": 2})) as server:
        endpoint = Endpoint(server.url, "my-model", key=KEY, max_tokens=33)
        pieces = list(endpoint.write(MESSAGES))
        (call,) = server.calls
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(call.body) + repr(endpoint)
    assert (call.body["model"], call.body["max_tokens"], call.body["stream"]) == ("my-model", 33, True)
    assert pieces[-1].usage == {"prompt_tokens": 7, "completion_tokens": 2}


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (sends(b"<html><h1>It works!</h1></html>", kind="text/html"), "answered text/html"),
        (sends(b"data: \xff\xfe not json\n\n"), "did not answer"),
        (sends(b"data: [1, 2]\n\n"), "no completion"),
        (sends(b"data: " + b"[" * 100_000 + b"\n\n"), "did not answer"),
        (sends(b""), "broke off"),
        (sends(b'data: {"error": {"message": "model overloaded"}}\n\n'), "model overloaded"),
        (sends(b'{"choices": 3}', kind="application/json"), "did not answer"),
        (sends(b"oops", status=500, kind="text/plain"), "status 500"),
        (sends(f'{{"error": {{"message": "Incorrect API key {KEY}"}}}}'.encode(), status=401), "status 401"),
        (sends(f'data: {{"error": "\\u001b[2J no key {KEY}"}}\n\n'.encode()), r"failed: \[2J no key \*\*\*"),
        (sends(f'{{"error": "{"x" * 390}{KEY}"}}'.encode(), kind="application/json"), "failed: xxx"),
        (breaks_after("half an answ"), "broke off"),
    ],
)
def test_what_goes_wrong_is_one_error_that_names_the_endpoint(play, said):
    with pytest.raises(EndpointError, match=said) as caught:
        written(play)
    assert KEY not in str(caught.value)
    assert caught.value.remedy


def test_a_flood_is_cut():
    with pytest.raises(EndpointError, match="more than 1,000,000 bytes"):
        written(floods, max_bytes=1_000_000)


def test_silence_and_dripping_end():
    with pytest.raises(EndpointTimeoutError, match=r"silent for 0\.3 s"):
        written(silent(3), timeout=0.3)
    with pytest.raises(EndpointTimeoutError, match=r"not done after 0\.4 s"):
        written(drips(0.05), deadline=0.4)


def test_nobody_there_is_an_error():
    with endpoint_server(says("x")) as server:
        url = server.url
    with pytest.raises(EndpointError, match="did not answer"):
        list(Endpoint(url, "m", retries=0, timeout=2).write(MESSAGES))


def test_a_server_that_is_busy_once_is_asked_again():
    with endpoint_server(says("x")) as server:

        def busy_once(call: object) -> None:
            server.play = says("now [1].")
            sends(b"busy", status=503, kind="text/plain")(call)

        server.play = busy_once
        text = "".join(p.text for p in Endpoint(server.url, "m", retries=2).write(MESSAGES))
        assert (text, len(server.calls)) == ("now [1].", 2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "localhost:8000", "model": "m"},
        {"url": "file:///etc/passwd", "model": "m"},
        {"url": "http://", "model": "m"},
        {"url": "http://user:secret@host/v1", "model": "m"},
        {"url": "http://host/v1", "model": ""},
        {"url": "http://host/v1", "model": "m", "timeout": 0},
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(arguments):
    with pytest.raises(UsageError) as caught:
        Endpoint(**arguments)
    assert caught.value.remedy


def test_the_environment_names_an_endpoint(monkeypatch):
    for name in ("URL", "MODEL", "KEY"):
        monkeypatch.delenv(f"SLIDELAKE_LLM_{name}", raising=False)
    assert Endpoint.from_environment() is None
    with pytest.raises(UsageError, match="no endpoint"):
        Endpoint.from_environment(model="m")
    monkeypatch.setenv("SLIDELAKE_LLM_URL", "http://host/v1")
    with pytest.raises(UsageError, match="no model"):
        Endpoint.from_environment()
    monkeypatch.setenv("SLIDELAKE_LLM_MODEL", "m")
    monkeypatch.setenv("SLIDELAKE_LLM_KEY", KEY)
    assert Endpoint.from_environment() == Endpoint("http://host/v1", "m", key=KEY)
    assert Endpoint.from_environment("http://other/v1", "n") == Endpoint("http://other/v1", "n", key=KEY)
