"""`slidelake migrate`: bring a lake of an older format to this version's."""

from typing import Annotated

import typer
from rich.markup import escape

from slidelake.services.cli.session import Session, command


def register(app: typer.Typer) -> None:
    @command(app, "migrate", epilog="Example: slidelake migrate --dry-run --store lake")
    def migrate(
        session: Session,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")
        ] = False,
        force: Annotated[
            bool, typer.Option("--force", help="Also though a writer seems to be at work.")
        ] = False,
    ) -> None:
        """Bring the lake's files to the format of this slidelake. Cut off, it goes on when run again."""
        from slidelake.store import migrate as migrate_store

        report = migrate_store(session.url(), dry_run=dry_run, force=force)
        session.emit({"ok": True, **report.to_dict()})
        if not report.steps:
            session.say(f"nothing to do: format {report.before}")
        else:
            done = "would go" if dry_run else "went"
            session.say(f"{escape(report.url)} {done} from format {report.before} to {report.after}")
