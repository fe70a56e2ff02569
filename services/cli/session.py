"""What every command shares: the store it works on, how it speaks, and how it ends.

Exit codes (FORMAT.md): 0 all well; 1 failed; 2 usage; 3 finished, some slides in quarantine; 4 nothing
matched; 5 verify found damage; 130 interrupted and drained. With `--json` stdout holds one JSON object and
nothing else; everything for people goes to stderr.
"""

import functools
import inspect
import json
import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from slidelake.errors import SlidelakeError, UsageError

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="URL", help="The lake: a folder, s3://…, gs://…  [env: SLIDELAKE_STORE]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")]
VerboseOption = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more; -vv says all.")]


@dataclass
class Session:
    """One call of one command."""

    store_url: str | None = None
    json: bool = False
    verbose: int = 0
    #: For people: stdout, or stderr where stdout belongs to the JSON object.
    console: Console = field(default_factory=Console)
    #: For progress and warnings: always stderr.
    errors: Console = field(default_factory=lambda: Console(stderr=True))
    result: Mapping[str, Any] | None = None

    def lake(
        self, *, create: bool = False, compression: str | None = None, snapshot: str | None = None
    ) -> "Lake":
        """Open the lake that `--store` or SLIDELAKE_STORE names, or one of its snapshots."""
        from slidelake.services.lake import open as open_lake

        return open_lake(self.url(), create=create, compression=compression, snapshot=snapshot)

    def lake_to_write(self, *, dry_run: bool, compression: str | None = None) -> "Lake":
        """The lake, made where there is none; a dry run makes none, and takes an empty one in memory for it."""
        from slidelake.services.lake import open as open_lake
        from slidelake.store import Objects

        objects = Objects(self.url())
        there = objects.exists("slidelake.json") or objects.folders("") or objects.list("")
        if dry_run and not there:
            return open_lake(f"memory://dry-run-{secrets.token_hex(8)}", compression=compression)
        return self.lake(create=not dry_run, compression=compression)

    def url(self) -> str:
        """Where the lake is that `--store` or SLIDELAKE_STORE names."""
        if not self.store_url:
            raise UsageError(
                "no store was named", remedy="Pass --store FOLDER_OR_URL, or set SLIDELAKE_STORE."
            )
        return self.store_url

    def emit(self, result: Mapping[str, Any]) -> None:
        """Say what the JSON object of a command is; it is printed when the command ends, with its exit code."""
        self.result = result

    def finish(self, code: int) -> None:
        """Print the JSON object, where one was asked for: one, whatever went wrong after it was made."""
        if self.json:
            print_json({"ok": code == 0, "exit_code": code} | dict(self.result or {}) | {"exit_code": code})

    def say(self, *parts: Any) -> None:
        """Print for people (never into the JSON)."""
        self.console.print(*parts)


def print_json(result: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    json.dump(result, sys.stdout, indent=2, default=str, allow_nan=False)
    sys.stdout.write("\n")


class Commands(TyperGroup):
    """The list of commands. What cannot be parsed is a JSON object too, where one was asked for."""

    _words: Sequence[str] = ()

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        self._words = tuple(args)
        with self._told():
            return super().make_context(info_name, args, *rest, **extra)

    def invoke(self, ctx: Any) -> Any:
        with self._told():
            return super().invoke(ctx)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # The parser's own errors (no such option, a word that is no number), and nobody else's, have both.
            message, code = getattr(error, "format_message", None), getattr(error, "exit_code", None)
            if message is not None and code is not None and "--json" in self._words:
                described = {
                    "kind": "UsageError",
                    "problem": message(),
                    "remedy": "See slidelake COMMAND --help.",
                    "slide": "",
                }
                print_json({"ok": False, "exit_code": code, "error": described})
            raise


class _KeyValueFormatter(logging.Formatter):
    """`time level logger message key=value …`: what was passed as `extra` follows the message."""

    _plain = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        extras = {k: v for k, v in vars(record).items() if k not in self._plain and k[0] != "_"}
        if os.environ.get("SLIDELAKE_LOG") == "json":
            line = {"time": self.formatTime(record), "level": record.levelname, "logger": record.name}
            return json.dumps({**line, "message": record.getMessage(), **extras}, default=str)
        tail = "".join(f" {key}={value}" for key, value in extras.items())
        return (
            f"{self.formatTime(record)} {record.levelname.lower()} {record.name}: {record.getMessage()}{tail}"
        )


def _set_up_logging(verbose: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_KeyValueFormatter())
    logger = logging.getLogger("slidelake")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG))


def _fail(session: Session, error: BaseException, code: int) -> int:
    if isinstance(error, SlidelakeError):
        described = {"problem": error.problem, "remedy": error.remedy, "slide": error.slide}
        text = f"[red]error:[/red] {escape(str(error))}"
    else:
        described = {"problem": str(error) or type(error).__name__, "remedy": "", "slide": ""}
        text = f"[red]error:[/red] {escape(f'{type(error).__name__}: {error}')}"
    session.emit({"ok": False, "error": {"kind": type(error).__name__, **described}})
    session.errors.print(text, soft_wrap=True)
    return code


def command(app: typer.Typer, name: str, **options: Any) -> Callable[[Callable[..., int | None]], Any]:
    """Register a command whose first argument is its Session and whose result is its exit code.

    Adds --store, --json and -v, so that they may stand before or after the command's name, turns errors
    into messages and exit codes, and lets unexpected ones show their traceback with -v.
    """

    def decorate(function: Callable[..., int | None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(ctx: typer.Context, store: str | None, as_json: bool, verbose: int, **arguments: Any) -> None:
            base: Session = ctx.find_object(Session) or Session()
            as_json = as_json or base.json
            session = Session(
                store_url=store or base.store_url or os.environ.get("SLIDELAKE_STORE"),
                json=as_json,
                verbose=max(verbose, base.verbose),
                console=Console(stderr=as_json, highlight=False),
            )
            _set_up_logging(session.verbose)
            try:
                code = function(session, **arguments) or 0
            except SlidelakeError as error:
                if session.verbose > 1:
                    session.errors.print_exception()
                code = _fail(session, error, error.exit_code)
            except KeyboardInterrupt as error:
                code = _fail(session, error, 130)
            except (OSError, MemoryError) as error:
                # The machine's own refusals (no memory, a file taken away) are understood without a traceback.
                if session.verbose:
                    session.errors.print_exception()
                code = _fail(session, error, 1)
            except Exception as error:
                described = {"problem": str(error), "remedy": "Please report it.", "slide": ""}
                session.emit({"ok": False, "error": {"kind": type(error).__name__, **described}})
                session.finish(1)
                raise
            session.finish(code)
            raise typer.Exit(code)

        own = list(inspect.signature(function).parameters.values())[1:]
        shared = [
            inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
            inspect.Parameter("store", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=StoreOption),
            inspect.Parameter(
                "as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption
            ),
            inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=0, annotation=VerboseOption),
        ]
        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        run.__signature__ = inspect.Signature([*keyword, *shared])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in [*keyword, *shared]}
        # functools.wraps leaves a pointer that inspect would follow back to the undecorated signature.
        del run.__wrapped__
        app.command(name, **options)(run)
        return run

    return decorate
