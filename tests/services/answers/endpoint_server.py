"""A server on a real socket that plays an OpenAI-compatible endpoint, well or badly; it keeps what it was sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Play = Callable[["Call"], None]


@dataclass
class Call:
    """One request: its body and headers, and the wire on which to answer."""

    body: dict[str, Any]
    headers: dict[str, str]
    handler: BaseHTTPRequestHandler

    @property
    def prompt(self) -> str:
        """All text of all messages."""
        parts = []
        for message in self.body["messages"]:
            content = message["content"]
            parts += (
                [content] if isinstance(content, str) else [p["text"] for p in content if p["type"] == "text"]
            )
        return "\n".join(parts)

    @property
    def passages(self) -> list[dict[str, Any]]:
        """The passages as the endpoint reads them."""
        return [json.loads(line) for line in self.prompt.splitlines() if line.startswith('{"n": ')]

    def start(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()

    def send(self, data: bytes) -> None:
        self.handler.wfile.write(data)
        self.handler.wfile.flush()

    def delta(self, text: str) -> None:
        chunk = {
            "id": "x",
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {"content": text}}],
        }
        self.send(f"data: {json.dumps(chunk)}\n\n".encode())


@dataclass
class EndpointServer:
    """What a running server says of itself."""

    url: str
    play: Play
    calls: list[Call] = field(default_factory=list)


def says(*pieces: str, usage: dict[str, int] | None = None) -> Play:
    """Streams these pieces as it should."""

    def play(call: Call) -> None:
        call.start()
        for piece in pieces:
            call.delta(piece)
        end: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        call.send(f"data: {json.dumps(end | ({'usage': usage} if usage else {}))}\n\n".encode())
        call.send(b"data: [DONE]\n\n")

    return play


def says_whole(text: str) -> Play:
    """Answers in one piece, as servers do that cannot stream."""

    def play(call: Call) -> None:
        call.start(kind="application/json")
        message = {"role": "assistant", "content": text}
        call.send(
            json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        )

    return play


def breaks_after(text: str) -> Play:
    """Closes the connection in mid-stream."""

    def play(call: Call) -> None:
        call.start()
        call.delta(text)
        call.send(b'data: {"choices": [{"ind')

    return play


def sends(data: bytes, *, status: int = 200, kind: str = "text/event-stream") -> Play:
    """Sends just these bytes."""

    def play(call: Call) -> None:
        call.start(status, kind)
        call.send(data)

    return play


def silent(seconds: float) -> Play:
    """Begins, and then says nothing."""

    def play(call: Call) -> None:
        call.start()
        call.send(b": hello\n\n")
        time.sleep(seconds)

    return play


def drips(seconds: float) -> Play:
    """Says a word now and then for ever: never silent, never done."""

    def play(call: Call) -> None:
        call.start()
        while True:
            call.delta("word ")
            time.sleep(seconds)

    return play


def floods(call: Call) -> None:
    """Sends text without end."""
    call.start()
    while True:
        call.delta("flood " * 5000)


@contextmanager
def endpoint_server(play: Play) -> Iterator[EndpointServer]:
    """A server at a free port of this machine; set `play` to change what it does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            call = Call(body, {name.lower(): value for name, value in self.headers.items()}, self)
            state.calls.append(call)
            try:
                state.play(call)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client had enough, as it should of a flood
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    state = EndpointServer(f"http://127.0.0.1:{server.server_address[1]}/v1", play)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
