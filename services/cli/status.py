"""`slidelake status`: what is in the lake, what is not, and why."""

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.services.cli.session import Session, command


def register(app: typer.Typer) -> None:
    @command(app, "status", epilog="Example: slidelake status --store lake --json")
    def status(
        session: Session,
        slides: Annotated[bool, typer.Option("--slides", help="List every slide too.")] = False,
    ) -> int:
        """Count slides, patients and patches by space; list the quarantine; say whether the index follows."""
        lake = session.lake()
        state = lake.status()
        if slides:
            listed = lake.slides[["slide_id", "patient_id", "n_patches", "spaces", "uri"]]
            state["each_slide"] = json.loads(listed.to_json(orient="records"))
        session.emit({"ok": True, **state})
        reports = f", {state['reports']:,} reports" if state["reports"] else ""
        session.say(
            f"{escape(state['store'])}: {state['slides']:,} slides of {state['patients']:,} patients{reports}"
        )
        if state.get("each_slide"):
            table = Table()
            for column in ("slide", "patient", "patches", "spaces"):
                table.add_column(column, overflow="fold", justify="right" if column == "patches" else "left")
            for each in state["each_slide"]:
                names = escape(", ".join(each["spaces"]))
                table.add_row(
                    escape(each["slide_id"]), escape(each["patient_id"]), f"{each['n_patches']:,}", names
                )
            session.say(table)
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
