"""The end of an import or export, for people: what went, what could not and why, what was not held."""

from collections import Counter
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from slidelake.services.cli.session import Session

if TYPE_CHECKING:
    from slidelake.store.interop import TransferReport

#: Up to so many outcomes each has its row; of more only those that could not go.
_FEW = 20
_COLOURS = {"made": "green", "already": "dim", "would-make": "cyan", "refused": "yellow", "denied": "dim"}


def say_transfer(session: Session, report: "TransferReport", nothing: str) -> None:
    """The JSON object where one was asked for; the table, the notes and the counts."""
    session.emit({"ok": report.exit_code in (0, 3), **report.to_dict()})
    if not report.outcomes:
        session.say(nothing)
        return
    if report.counts.get("already", 0) == len(report.outcomes):
        session.say(f"nothing to do: all {len(report.outcomes)} are there")
        return
    if report.counts.get("denied", 0) + report.counts.get("already", 0) == len(report.outcomes):
        denied = report.counts["denied"]
        session.say(
            f"nothing to do: {len(report.outcomes) - denied} are there, {denied} were deleted from the lake and "
            "stay out (slidelake allow)"
        )
        return
    shown = [each for each in report.outcomes if each.state == "refused" or len(report.outcomes) <= _FEW]
    if shown:
        table = Table()
        for column in ("slide", "state", "patches", "reason", "what to do"):
            table.add_column(column, overflow="fold", justify="right" if column == "patches" else "left")
        for each in shown:
            reason = f"{each.reason}: {each.message}" if each.reason else ""
            # Two files may want one name: where one is refused, its file says which.
            name = f"{each.slide_id}\n{each.file}" if each.state == "refused" and each.file else each.slide_id
            table.add_row(
                escape(name),
                f"[{_COLOURS.get(each.state, 'white')}]{each.state}[/]",
                f"{each.patches:,}" if each.patches else "",
                escape(reason),
                escape(each.remedy),
            )
        session.say(table)
    for note, slides in Counter(note for each in report.outcomes for note in each.notes).items():
        session.say(escape(f"{note} ({slides} of {len(report.outcomes)})"))
    for note in report.notes:
        session.say(escape(note))
    session.say(", ".join(f"{number} {state}" for state, number in report.counts.items() if number))
