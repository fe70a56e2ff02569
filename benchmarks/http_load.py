"""Load for an HTTP server on this machine, with a client that takes little of the processor itself.

Open loop: requests are sent when they are due, whether or not earlier ones are answered, and a time counts from when
the request was due. So a server that stalls pays for everybody who came meanwhile.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

__all__ = ["Answers", "Call", "closed_loop", "open_loop", "thinking_clients"]

#: Seconds after which an answer counts as an error.
PATIENCE = 30.0


@dataclass(frozen=True)
class Call:
    """One request: which kind it counts as, method, path, and a JSON body where there is one."""

    kind: str
    method: str
    path: str
    body: bytes = b""


@dataclass
class Answers:
    """Milliseconds of every answer by kind, and what went wrong."""

    times: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def percentile(self, kind: str, share: float) -> float:
        """The time in ms that a share of the answers of a kind took at most."""
        ordered = sorted(self.times[kind])
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def count(self) -> int:
        """How many answers came, errors among them."""
        return sum(len(each) for each in self.times.values()) + len(self.errors)


class _Client:
    """Connections to one server that are kept and used again."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, call: Call, answers: Answers, due: float | None = None) -> None:
        """Send one request and note how long it took, from `due` on."""
        began = time.perf_counter() if due is None else due
        try:
            status, body = await asyncio.wait_for(self._exchange(call), PATIENCE)
        except (OSError, EOFError, TimeoutError, ValueError) as exc:
            answers.errors.append(f"{call.method} {call.path}: {type(exc).__name__} {exc}")
            return
        if status != 200:
            answers.errors.append(f"{call.method} {call.path}: {status} {body[:200]!r}")
            return
        answers.times.setdefault(call.kind, []).append((time.perf_counter() - began) * 1000)

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()
        self._free.clear()

    async def _exchange(self, call: Call) -> tuple[int, bytes]:
        reader, writer = self._free.pop() if self._free else await self._connect()
        try:
            head = f"{call.method} {call.path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            if call.body:
                head += f"Content-Type: application/json\r\nContent-Length: {len(call.body)}\r\n"
            writer.write(head.encode() + b"\r\n" + call.body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = next(
                (
                    int(line.partition(":")[2])
                    for line in answer.split("\r\n")
                    if line.startswith("content-length:")
                ),
                None,
            )
            if length is None:
                raise ValueError("an answer without a content-length")
            body = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        self._free.append((reader, writer))
        return int(answer.split(" ", 2)[1]), body

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, limit=2**22)


def open_loop(url: str, rates: Sequence[tuple[float, Callable[[], Call]]], seconds: float) -> Answers:
    """Calls of several kinds, each at its rate a second, evenly, for some seconds."""

    async def run() -> Answers:
        client, answers = _Client(url), Answers()
        begin = time.perf_counter() + 0.1
        due = sorted(
            ((n + number / len(rates)) / rate, number)
            for number, (rate, _) in enumerate(rates)
            for n in range(int(rate * seconds))
        )
        tasks = []
        for offset, number in due:
            await asyncio.sleep(max(0.0, begin + offset - time.perf_counter()))
            tasks.append(asyncio.create_task(client.send(rates[number][1](), answers, begin + offset)))
        await asyncio.gather(*tasks)
        client.close()
        return answers

    return asyncio.run(run())


def closed_loop(url: str, calls: Sequence[Call], connections: int) -> Answers:
    """All calls, as fast as so many connections can."""

    async def run() -> Answers:
        client, answers, left = _Client(url), Answers(), iter(calls)

        async def work() -> None:
            for call in left:
                await client.send(call, answers)

        await asyncio.gather(*(work() for _ in range(connections)))
        client.close()
        return answers

    return asyncio.run(run())


def thinking_clients(
    url: str, call: Callable[[], Call], clients: int, thinking_s: float, seconds: float
) -> Answers:
    """Clients that ask, wait for the answer, think, and ask again."""

    async def run() -> Answers:
        answers, end = Answers(), time.perf_counter() + seconds
        chance = random.Random(0)

        async def one() -> None:
            client = _Client(url)
            await asyncio.sleep(chance.random() * thinking_s)
            while time.perf_counter() < end:
                await client.send(call(), answers)
                await asyncio.sleep(thinking_s)
            client.close()

        await asyncio.gather(*(one() for _ in range(clients)))
        return answers

    return asyncio.run(run())
