"""`slidelake doctor`: what this machine can do, and what to install for the rest."""

from dataclasses import asdict

import typer
from rich.table import Table

from slidelake.services.cli.session import Session, command

_COLOURS = {"ok": "green", "warning": "yellow", "missing": "red"}


def register(app: typer.Typer) -> None:
    @command(app, "doctor", epilog="Example: slidelake doctor --store lake")
    def doctor(session: Session) -> None:
        """Say what this machine can do (GPU, Triton, OpenSlide, Ray, S3) and what to install."""
        from slidelake.services.doctor import examine

        checks = examine(session.store_url)
        session.emit({"ok": True, "checks": [asdict(check) for check in checks]})
        table = Table()
        for column in ("what", "state", "found", "what to do"):
            table.add_column(column, overflow="fold")
        for check in checks:
            colour = _COLOURS.get(check.status, "white")
            table.add_row(check.name, f"[{colour}]{check.status}[/]", check.found, check.remedy)
        session.say(table)
