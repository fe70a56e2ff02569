"""`slidelake metadata update|show|unset`: what is known of the slides beside their pixels."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.services.cli.session import Session, command
from slidelake.services.cli.snapshot import SnapshotOption

if TYPE_CHECKING:
    import pandas as pd

#: Rows that people are shown; --csv has them all.
_SHOWN = 40


def register(app: typer.Typer) -> None:
    metadata = typer.Typer(
        help="Labels, consent, site, …: columns about slides, kept in the lake.",
        epilog="Example: slidelake metadata update labels.csv --store lake",
        no_args_is_help=True,
    )
    app.add_typer(metadata, name="metadata")

    @command(metadata, "update", epilog="Example: slidelake metadata update labels.csv --store lake")
    def update(
        session: Session,
        table: Annotated[
            Path, typer.Argument(help="CSV or Parquet with slide_id, or with patient_id alone.")
        ],
        allow_unknown: Annotated[
            bool, typer.Option("--allow-unknown", help="Keep what is said of slides that are not in yet.")
        ] = False,
    ) -> None:
        """Put what a table says over what is known, cell by cell; empty cells say nothing."""
        report = session.lake().update_metadata(table, allow_unknown=allow_unknown)
        session.emit({"ok": True, **report.to_dict()})
        if report.left_out:
            session.say(f"passed over, the commits say it: {escape(', '.join(report.left_out))}")
        if report.unknown:
            session.say(f"{len(report.unknown)} ids are not in the lake")
        if report.moved:
            session.say(
                f"{len(report.moved)} slides belong to another patient now; splits made before do not know it"
            )
        if not report.changed:
            session.say("nothing to do: all of it is known")
            return
        session.say(
            f"{escape(', '.join(report.columns))} of {report.slides} slides: generation {report.generation}; "
            "`slidelake index sync` lets searches filter by it"
        )

    @command(metadata, "show", epilog="Example: slidelake metadata show --csv metadata.csv --store lake")
    def show(
        session: Session,
        csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it all to a CSV file.")] = None,
        snapshot: SnapshotOption = None,
    ) -> None:
        """Show what is known of the slides."""
        store = session.lake(snapshot=snapshot).store
        frame, generation = store.metadata.read(), store.metadata.generation()
        if csv is not None:
            csv.parent.mkdir(parents=True, exist_ok=True)
            frame.to_csv(csv, index=False)
        rows = json.loads(frame.to_json(orient="records", date_format="iso"))
        columns = {str(name): str(frame[name].dtype) for name in frame.columns}
        session.emit({"ok": True, "generation": generation, "columns": columns, "rows": rows})
        if csv is not None:
            session.say(f"{len(frame)} slides in {escape(str(csv))}")
        elif frame.empty:
            session.say("nothing is known of the slides yet: slidelake metadata update FILE")
        else:
            session.say(_table(frame))
            if len(frame) > _SHOWN:
                session.say(f"… and {len(frame) - _SHOWN:,} more: --csv FILE writes all of them")

    @command(metadata, "unset", epilog="Example: slidelake metadata unset stage --slide S1 --store lake")
    def unset(
        session: Session,
        column: Annotated[str, typer.Argument(help="The column that is to say nothing.")],
        slide: Annotated[
            list[str] | None, typer.Option(metavar="ID", help="Of this slide only; may be given again.")
        ] = None,
    ) -> None:
        """Take a column back, or what it says of some slides. Snapshots keep what they have."""
        metadata = session.lake().store.metadata
        before = metadata.generation()
        generation = metadata.unset(column, slide)
        session.emit({"ok": True, "generation": generation, "changed": generation != before})
        if generation == before:
            session.say("nothing to do: it says nothing there")
        else:
            session.say(
                f"{escape(column)} says nothing of {escape(', '.join(slide)) if slide else 'any slide'} now: "
                f"generation {generation}"
            )


def _table(frame: "pd.DataFrame") -> Table:
    table = Table()
    for name in frame.columns:
        table.add_column(escape(str(name)), overflow="fold")
    for row in frame.head(_SHOWN).itertuples(index=False):
        table.add_row(*("" if cell is None or cell != cell else escape(str(cell)) for cell in row))
    return table
