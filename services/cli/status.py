"""`slidelake status`: what is in the lake, what is not, and why."""

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.services.cli.session import Session, command


def register(app: typer.Typer) -> None:
    @command(app, "status", epilog="Example: slidelake status --store lake --json")
    def status(session: Session) -> int:
        """Count slides, patients and patches by space; list the quarantine; say whether the index follows."""
        state = session.lake().status()
        session.emit({"ok": True, **state})
        session.say(f"{state['store']}: {state['slides']:,} slides of {state['patients']:,} patients")
        table = Table()
        for column in ("space", "slides", "patches"):
            table.add_column(column, overflow="fold", justify="left" if column == "space" else "right")
        for space in state["spaces"]:
            table.add_row(space["space"], f"{space['slides']:,}", f"{space['patches']:,}")
        if state["spaces"]:
            session.say(table)
        if state["quarantine"]:
            refused = Table(title="quarantine")
            for column in ("slide", "reason", "what is wrong", "what to do"):
                refused.add_column(column, overflow="fold")
            for entry in state["quarantine"]:
                cells = (entry.get(key, "") for key in ("uri", "reason", "message", "remedy"))
                refused.add_row(*(escape(str(cell)) for cell in cells))
            session.say(refused)
        session.say(f"index: {state['index']['state']}")
        return 0
