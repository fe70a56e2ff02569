"""`slidelake index sync|status`: make the search tables follow the store."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command


def _how(table: dict[str, Any]) -> str:
    if not table["approximate"]:
        return "exact"
    recall = table["recall"]
    return "approximate" if recall is None else f"approximate, recall@{recall['k']} {recall['recall']:.3f}"


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
                _how(each),
                str(behind) if behind else "",
            )
        if state["tables"]:
            session.say(table)

    @command(index, "evaluate", epilog="Example: slidelake index evaluate --store lake")
    def evaluate(
        session: Session,
        queries: Annotated[int, typer.Option(min=1, max=10_000, help="Patches that are asked with.")] = 200,
        k: Annotated[int, typer.Option("-k", min=1, max=100, help="Of how many nearest.")] = 10,
    ) -> None:
        """Measure how many of the true nearest the approximate searches find."""
        found = session.lake().index.evaluate(queries=queries, k=k)
        session.emit({"ok": True, "tables": found})
        for each in found:
            what = escape(each["space"] + (f", {each['aggregator']}" if each["aggregator"] else ""))
            if each["recall"] is None:
                session.say(f"{what}: {each['rows']:,} vectors, searched exactly")
            else:
                session.say(
                    f"{what}: recall@{k} {each['recall']:.4f} over {each['queries']} queries, {each['rows']:,} "
                    f"vectors, {each['probes']} probes"
                )
