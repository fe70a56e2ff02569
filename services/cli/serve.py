"""`slidelake serve`: the page and the API over a lake."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from slidelake.errors import MissingDependencyError, UsageError
from slidelake.services.cli.session import Session, command

_SAFETY, _LIMITS = "Who may come", "Limits"


def register(app: typer.Typer) -> None:
    @command(app, "serve", epilog="Example: slidelake serve --store lake --open")
    def serve(
        session: Session,
        host: Annotated[
            str, typer.Option(help="Address to listen on; beyond loopback tokens are needed.")
        ] = ("127.0.0.1"),
        port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8765,
        prefix: Annotated[str, typer.Option(help="Path under which everything lies, such as /lake.")] = "",
        open_: Annotated[bool, typer.Option("--open", help="Open a browser.")] = False,
        snapshot: Annotated[str | None, typer.Option(help="Serve the lake as a snapshot pinned it.")] = None,
        token: Annotated[
            str | None,
            typer.Option(
                envvar="SLIDELAKE_TOKEN",
                help="A token that may read and write. Better by the variable: others see a command's options.",
                rich_help_panel=_SAFETY,
            ),
        ] = None,
        tokens: Annotated[
            Path | None,
            typer.Option(help="File of tokens: a JSON line each.", rich_help_panel=_SAFETY),
        ] = None,
        new_token: Annotated[
            str | None,
            typer.Option(
                metavar="NAME",
                help="Make a token of that name in --tokens, print it once, and end.",
                rich_help_panel=_SAFETY,
            ),
        ] = None,
        scope: Annotated[
            str, typer.Option(help="What the new token may: read or write.", rich_help_panel=_SAFETY)
        ] = "read",
        allow_origin: Annotated[
            list[str] | None,
            typer.Option(help="A page of this origin may call (CORS); repeatable.", rich_help_panel=_SAFETY),
        ] = None,
        host_name: Annotated[
            list[str] | None,
            typer.Option(
                help="Name by which a proxy or people call this server; repeatable.", rich_help_panel=_SAFETY
            ),
        ] = None,
        audit: Annotated[
            Path | None,
            typer.Option(
                help="Append who searched, exported and deleted what to FILE.", rich_help_panel=_SAFETY
            ),
        ] = None,
        max_body: Annotated[
            int, typer.Option(min=1, help="MiB of a request's body at most.", rich_help_panel=_LIMITS)
        ] = 32,
        max_k: Annotated[
            int, typer.Option(min=1, help="Hits of a search at most.", rich_help_panel=_LIMITS)
        ] = 200,
        request_time: Annotated[
            float, typer.Option(min=1, help="Seconds a request may take.", rich_help_panel=_LIMITS)
        ] = 60.0,
        open_slides: Annotated[
            int, typer.Option(min=1, help="Slides open at once.", rich_help_panel=_LIMITS)
        ] = 32,
        cache: Annotated[
            int, typer.Option(min=1, help="MiB of tiles and pictures kept.", rich_help_panel=_LIMITS)
        ] = 256,
        vectors: Annotated[
            int,
            typer.Option(
                min=0,
                help="MiB of memory for vectors: what fits is searched exactly and fast. 0: none.",
                rich_help_panel=_LIMITS,
            ),
        ] = 2048,
    ) -> int:
        """Serve the page and the HTTP API over a lake, on this machine alone unless told otherwise."""
        if new_token is not None:
            return _make_token(session, new_token, scope, tokens)
        try:
            from slidelake.services.api.server import serve as serve_lake
            from slidelake.services.api.settings import ServeSettings
            from slidelake.services.api.tokens import Tokens
        except ImportError as exc:
            raise MissingDependencyError(
                f"the server needs {exc.name}", remedy="Install it: pip install 'slidelake[serve]'."
            ) from exc
        settings = ServeSettings(
            max_k=max_k,
            max_body=max_body * 2**20,
            open_slides=open_slides,
            cache_bytes=cache * 2**20,
            resident_bytes=vectors * 2**20,
            request_time=request_time,
            prefix=prefix.rstrip("/"),
            allow_origins=tuple(allow_origin or ()),
            hosts=tuple(each.lower() for each in host_name or ()),
            audit=audit,
        )
        known = Tokens.of(token, tokens)
        lake = session.lake(snapshot=snapshot)

        def started(url: str) -> None:
            _say(session, url, lake.store.place, bool(known))
            if open_:
                _open(url)

        serve_lake(lake, settings, known, host=host, port=port, started=started)
        session.say("stopped")
        # The line at the start was the JSON object.
        session.json = False
        return 0


def _make_token(session: Session, name: str, scope: str, file: Path | None) -> int:
    from slidelake.services.api.tokens import new_token

    if file is None:
        raise UsageError("a new token needs a file to be kept in", remedy="Pass --tokens FILE.")
    made = new_token(name, scope, file)
    session.emit({"name": name, "scope": scope, "token": made, "file": str(file)})
    session.say(f"token {escape(name)}, which may {'read and write' if scope == 'write' else 'read'}:")
    session.say()
    session.console.print(made, highlight=False, soft_wrap=True)
    session.say()
    session.say(f"It is shown this once; {escape(str(file))} keeps its hash. Take its line out to revoke it.")
    return 0


def _say(session: Session, url: str, place: str, token_needed: bool) -> None:
    if session.json:
        line = {"ok": True, "url": url, "store": place, "token_needed": token_needed}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        return
    session.say(f"serving [bold]{escape(place)}[/bold] at [bold]{escape(url)}[/bold]")
    session.say(f"API: {escape(url)}api/docs")
    session.say(
        "a token is asked for" if token_needed else "no token is asked for: this machine alone reaches it"
    )
    session.say("stop with Ctrl+C")


def _open(url: str) -> None:
    import threading
    import webbrowser

    # A browser may take its time, or be none: serving goes on.
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
