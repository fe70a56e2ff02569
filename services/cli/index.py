"""`slidelake index sync|status`: make the search tables follow the store."""

from dataclasses import asdict

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command


def register(app: typer.Typer) -> None:
    index = typer.Typer(
        help="The search tables: derived from the store, rebuilt at will.",
        epilog="Example: slidelake index sync --store lake",
        no_args_is_help=True,
    )
    app.add_typer(index, name="index")

    @command(index, "sync", epilog="Example: slidelake index sync --store lake")
    def sync(session: Session) -> int:
        """Add what is new in the store, replace what changed, remove what is gone."""
        lake = session.lake()
        with WorkProgress(session.errors, "indexing", unit="bags") as progress:
            report = lake.index.sync(progress=progress)
        code = 1 if report.failed else 0
        session.emit({"ok": not report.failed, "exit_code": code, **asdict(report)})
        if report.changed:
            session.say(
                f"{report.added} bags added, {report.replaced} replaced, {report.removed} removed, "
                f"{report.relabelled} relabelled, {report.unchanged} unchanged; {report.rows:,} vectors written"
            )
            if report.reports or report.reports_removed:
                session.say(
                    f"{report.reports:,} reports written in {report.passages:,} passages, "
                    f"{report.reports_removed} removed, {report.reports_unchanged:,} unchanged"
                )
        elif not report.failed:
            reports = f", {report.reports_unchanged:,} reports" if report.reports_unchanged else ""
            session.say(f"nothing to do: {report.unchanged} bags{reports} are in the index")
        for slide_id, why in report.failed:
            session.errors.print(f"[red]not indexed:[/red] {escape(f'{slide_id}: {why}')}", soft_wrap=True)
        return code

    @command(index, "status", epilog="Example: slidelake index status --store lake")
    def status(session: Session) -> None:
        """Say what the index holds and what it lacks."""
        state = session.lake().index.status()
        session.emit({"ok": True, **state})
        session.say(f"{state['url']}: {state['state']}")
        table = Table()
        for column in ("space", "slide embeddings by", "slides", "vectors", "search", "to be synced"):
            table.add_column(column, overflow="fold")
        for each in state["tables"]:
            behind = each["missing"] + each["changed"] + each["gone"]
            table.add_row(
                escape(each["space"]),
                escape(each["aggregator"]),
                f"{each['slides']:,}",
                f"{each['rows']:,}",
                "approximate" if each["approximate"] else "exact",
                str(behind) if behind else "",
            )
        if state["tables"]:
            session.say(table)
