"""The `slidelake` command: its global options, and the list of its commands."""

from typing import Annotated

import typer

from slidelake._version import __version__
from slidelake.services.cli import (
    annotations,
    ask,
    ask_evaluate,
    attention,
    copy,
    delete,
    demo,
    doctor,
    embed,
    encoders,
    export,
    gc,
    heatmap,
    import_,
    index,
    ingest,
    mcp,
    metadata,
    migrate,
    mil_test,
    reports,
    reports_evaluate,
    representatives,
    search,
    serve,
    snapshot,
    split,
    stats,
    status,
    synth,
    train,
    tune,
    tune_data,
    tune_eval,
    verify,
)
from slidelake.services.cli.session import Commands, JsonOption, Session, StoreOption, VerboseOption

app = typer.Typer(
    name="slidelake",
    cls=Commands,
    help="Feature store and embedding index for whole-slide images.",
    epilog="Example: slidelake ingest 'slides/*.svs' --store lake && slidelake index sync --store lake",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"slidelake {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    store: StoreOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = 0,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    ctx.obj = Session(store_url=store, json=as_json, verbose=verbose)


# In the order in which people meet them.
COMMANDS = (
    synth,
    ingest,
    import_,
    export,
    status,
    stats,
    verify,
    metadata,
    reports,
    reports_evaluate,
    snapshot,
    copy,
    migrate,
    delete,
    gc,
    embed,
    heatmap,
    attention,
    annotations,
    index,
    search,
    representatives,
    ask,
    ask_evaluate,
    serve,
    mcp,
    split,
    train,
    tune_data,
    tune,
    tune_eval,
    encoders,
    mil_test,
    doctor,
    demo,
)
for part in COMMANDS:
    part.register(app)


def main() -> None:
    """Entry point of the console script."""
    app()
