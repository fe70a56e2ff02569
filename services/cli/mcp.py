"""`slidelake mcp`: the lake as tools for language models."""

import os
from typing import Annotated, Literal

import typer

from slidelake.errors import MissingDependencyError, UsageError
from slidelake.services.cli.session import Session, command

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def register(app: typer.Typer) -> None:
    @command(app, "mcp", epilog="Example: slidelake mcp --store lake   (in the settings of your assistant)")
    def mcp(
        session: Session,
        transport: Annotated[
            Literal["stdio", "http"], typer.Option(help="How it is spoken to: stdio, or streamable HTTP.")
        ] = "stdio",
        host: Annotated[str, typer.Option(help="For http: the address to listen on.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(min=0, max=65535, help="For http: the port.")] = 8766,
        token: Annotated[
            str | None,
            typer.Option(help="For http: ask callers for it.  [env: SLIDELAKE_TOKEN]", metavar="TOKEN"),
        ] = None,
    ) -> int:
        """Serve search, slides, patch images and answers to a language model, by the Model Context Protocol.

        Read-only. On stdio, stdout belongs to the protocol; messages go to stderr. HTTP listens on loopback; beyond it
        a token is required, which callers send as "Authorization: Bearer TOKEN".
        """
        try:
            from slidelake.services.mcp.http import serve
            from slidelake.services.mcp.server import make_server
        except ModuleNotFoundError as exc:
            raise MissingDependencyError(
                f"the MCP server needs {exc.name}", remedy="pip install 'slidelake[mcp]'."
            ) from exc
        secret = token or os.environ.get("SLIDELAKE_TOKEN") or ""
        if transport == "http" and host not in LOOPBACK and not secret:
            raise UsageError(
                f"{host} can be reached from other machines, and no token was given",
                remedy="Pass --token, or set SLIDELAKE_TOKEN; or stay on 127.0.0.1.",
            )
        lake = session.lake()
        if transport == "stdio":
            make_server(lake).run("stdio")
            return 0
        serve(make_server(lake), host=host, port=port, token=secret, say=session.errors.print)
        return 0
