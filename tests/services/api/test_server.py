"""`slidelake serve` as people start it: a process, its first line, its refusals, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest
from typer.testing import CliRunner

from slidelake.errors import UsageError
from slidelake.services.api.server import is_loopback
from slidelake.services.cli.app import app

COMMAND = [sys.executable, "-c", "from slidelake.services.cli import main; main()", "serve"]


@contextmanager
def process(*arguments, **environment):
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def run(*arguments):
    return CliRunner().invoke(app, ["serve", *map(str, arguments)])


def test_start_ask_stop(archive, tmp_path):
    audit = tmp_path / "audit.jsonl"
    token = "a-token-from-the-environment-01"
    options = (
        "--store",
        archive / "lake",
        "--port",
        0,
        "--json",
        "--prefix",
        "/lake",
        "--audit",
        audit,
        "-v",
    )
    with process(*options, SLIDELAKE_TOKEN=token) as running:
        line = json.loads(running.stdout.readline())
        assert line["ok"] is True
        assert line["token_needed"] is True
        assert line["store"].endswith("lake")
        url = line["url"]
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/lake/")
        assert httpx.get(f"{url}health").json()["status"] == "ok"
        assert httpx.get(f"{url}api/slides").status_code == 401
        assert httpx.get(f"{url}api/slides?token={token}").status_code == 400
        header = {"authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}api/slides", headers=header).json()["total"] == 3
        tile = httpx.get(f"{url}api/slides/S1_files/9/0_0.jpeg", headers=header)
        assert tile.headers["x-slidelake-pixels"] == "slide"
        assert "server" not in tile.headers
        assert httpx.get(f"{url}api/slides", headers={**header, "host": "evil.example"}).status_code == 400
        # A body of 2 GiB is refused before it is sent.
        with socket.create_connection(("127.0.0.1", httpx.URL(url).port), timeout=60) as raw:
            raw.sendall(
                b"POST /lake/api/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2147483648\r\n\r\n"
            )
            assert raw.recv(4096).startswith(b"HTTP/1.1 413 ")
        running.send_signal(signal.SIGTERM)
        out, log = running.communicate(timeout=60)
        assert running.returncode == 0
        assert out == ""
        assert "slidelake.api.access: GET /api/slides" in log or "GET /lake/api/slides" in log
        assert token not in log
        assert "Traceback" not in log


def test_a_port_that_is_taken(archive):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = run("--store", archive / "lake", "--port", taken.getsockname()[1], "--json")
    assert answer.exit_code == 2
    assert "is taken" in json.loads(answer.stdout)["error"]["problem"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "8.8.8.8"])
def test_beyond_loopback_only_with_tokens(archive, host):
    answer = run("--store", archive / "lake", "--host", host, "--json", "--port", 0)
    assert answer.exit_code == 2
    assert "everybody who reaches" in json.loads(answer.stdout)["error"]["problem"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--token", "short"), "too short"),
        (("--tokens", "/nowhere/at/all"), "cannot be read"),
        (("--prefix", "no slash"), "prefix"),
        (("--allow-origin", "*"), "origin"),
        (("--host", "8.8.8.8", "--token", "a-long-enough-token-0123"), "no address of this machine"),
        (("--audit", "/nowhere/at/all/audit"), "cannot be written"),
        (("--snapshot", "none"), "none"),
        (("--new-token", "a"), "needs a file"),
    ],
)
def test_what_cannot_be_served(archive, options, said):
    answer = run("--store", archive / "lake", "--port", 0, "--json", *options)
    assert answer.exit_code in (1, 2)
    assert said in json.loads(answer.stdout)["error"]["problem"]


def test_a_new_token_is_shown_once(tmp_path):
    file = tmp_path / "tokens"
    answer = run("--new-token", "ward", "--scope", "read", "--tokens", file, "--json")
    said = json.loads(answer.stdout)
    assert (said["name"], said["scope"]) == ("ward", "read")
    assert said["token"] not in file.read_text()
    spoken = run("--new-token", "other", "--scope", "write", "--tokens", file)
    assert spoken.exit_code == 0
    assert len(file.read_text().splitlines()) == 2


def test_hosts():
    for host in ("127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"):
        assert is_loopback(host)
    for host in ("0.0.0.0", "::", "192.168.0.1", "8.8.8.8"):
        assert not is_loopback(host)
    with pytest.raises(UsageError, match="no address"):
        is_loopback("no such host.invalid")
