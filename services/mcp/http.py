"""The MCP server over streamable HTTP, behind a token where one is asked for."""

import hmac
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from slidelake.errors import UsageError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

__all__ = ["PATH", "BearerToken", "serve"]

#: Where the endpoint is on the server.
PATH = "/mcp"


class BearerToken:
    """ASGI middleware: requests without the token, in the header that is made for it, get 401."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._wanted):
                refusal = {"error": {"kind": "Unauthorized", "problem": "the token is missing or wrong"}}
                await JSONResponse(refusal, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
        await self._app(scope, receive, send)


def serve(
    server: "MCPServer[Any]", *, host: str, port: int, token: str = "", say: Callable[[str], None] = print
) -> None:
    """Serve until a signal; `say` is told the address. Port 0 takes a free one. Raises UsageError for a busy port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)  # whoever reads the address may call at once
    except OSError as exc:
        listening.close()
        raise UsageError(
            f"cannot listen on {host} port {port} ({exc.strerror or exc})",
            remedy="Choose another --port or --host.",
        ) from exc
    taken = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    # A page of another site that a browser is lured to must not speak to a server on loopback (DNS rebinding).
    local = [f"{name}:{taken}" for name in ("127.0.0.1", "localhost", "[::1]")]
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=not token,
        allowed_hosts=local,
        allowed_origins=[f"http://{name}" for name in local],
    )
    app: ASGIApp = server.streamable_http_app(
        streamable_http_path=PATH, transport_security=security, host=host
    )
    if token:
        app = BearerToken(app, token)
    say(f"serving MCP at http://{shown}:{taken}{PATH}" + (" (a token is needed)" if token else ""))
    with listening:
        uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)).run([listening])
