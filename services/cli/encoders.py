"""`slidelake encoders`: what can turn a patch into a vector here."""

from dataclasses import asdict

import typer
from rich.table import Table

from slidelake.services.cli.session import Session, command


def register(app: typer.Typer) -> None:
    @command(app, "encoders", epilog="Example: slidelake encoders --json")
    def encoders(session: Session) -> None:
        """List the patch encoders that can be asked for by name."""
        from slidelake.encoders import describe_encoders

        known = describe_encoders()
        session.emit({"ok": True, "encoders": [asdict(info) for info in known]})
        table = Table()
        for column in ("encoder", "dimensions", "input px", "licence", "here", "what it is"):
            table.add_column(column, overflow="fold")
        for info in known:
            here = "yes" if info.available else f"needs {info.needs}"
            table.add_row(
                info.name,
                str(info.dim or "any"),
                str(info.input_px or "any"),
                info.licence,
                here,
                info.description,
            )
        session.say(table)
        session.say("Your own: an entry point in the group slidelake.encoders, or module:factory.")
