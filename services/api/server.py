"""A server in this process: where it listens, who may come, and how it stops."""

import errno
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import uvicorn

from slidelake.errors import UsageError
from slidelake.services.api.app import create_app
from slidelake.services.api.settings import ServeSettings
from slidelake.services.api.tokens import Tokens

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["is_loopback", "serve"]

#: Names under which a loopback server is called.
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
#: Seconds that requests in work have once the server was asked to stop.
_GRACE = 10


def serve(
    lake: "Lake",
    settings: ServeSettings,
    tokens: Tokens,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve a lake until SIGINT or SIGTERM; requests in work are answered first, for ten seconds at most.

    `started` is called with the URL once it can be asked. Port 0 takes a free one. Raises UsageError for a port that
    is taken, a host that is not this machine's, and, beyond loopback, where there is no token.
    """
    local = is_loopback(host)
    if not local and not tokens:
        raise UsageError(
            f"everybody who reaches {host} could read and delete this lake",
            remedy="Make a token (--new-token NAME --tokens FILE), serve with --tokens FILE; or leave --host out.",
        )
    if local:
        # Other names that lead here were made by somebody else: DNS rebinding.
        settings = replace(settings, hosts=(*_LOOPBACK_NAMES, *settings.hosts))
    listening = _listen(host, port)
    with listening:
        app = create_app(lake, settings, tokens)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
            timeout_keep_alive=30,
            ws="none",
        )
        url = f"http://{_shown(host)}:{listening.getsockname()[1]}{settings.prefix}/"
        _Server(config, lambda: started(url) if started is not None else None).run(sockets=[listening])


class _Server(uvicorn.Server):
    """uvicorn's, which says when it began, and ends without the signal that stopped it."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._say = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._say()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again once it has stopped. Stopping is what was asked for: no error.
        asked = (signal.SIGINT, signal.SIGTERM)
        before = {each: signal.signal(each, self.handle_exit) for each in asked}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host: all addresses it stands for are loopback ones.

    Raises UsageError for a name that stands for none.
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as exc:
        raise _no_host(host) from exc
    return all(ipaddress.ip_address(str(each[4][0]).partition("%")[0]).is_loopback for each in found)


def _listen(host: str, port: int) -> socket.socket:
    bare = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise _no_host(host) from exc
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(256)
    except OSError as exc:
        made.close()
        if exc.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} of {host} is taken: something else listens there",
                remedy="Choose another with --port, or --port 0 for any free one.",
            ) from exc
        if exc.errno == errno.EACCES:
            raise UsageError(
                f"port {port} may not be listened on", remedy="Choose a port above 1023 with --port."
            ) from exc
        raise _no_host(host) from exc
    return made


def _no_host(host: str) -> UsageError:
    return UsageError(
        f"{host!r} is no address of this machine", remedy="Use 127.0.0.1, or 0.0.0.0 for all, with tokens."
    )


def _shown(host: str) -> str:
    """A host as URLs write it; for "all addresses" the one that works here."""
    bare = host.strip("[]")
    bare = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(bare, bare)
    return f"[{bare}]" if ":" in bare else bare
