"""`slidelake gc`: removes what no commit and no snapshot names any more."""

import re
from datetime import timedelta
from typing import Annotated

import typer

from slidelake.errors import UsageError
from slidelake.services.cli.session import Session, command

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def register(app: typer.Typer) -> None:
    @command(app, "gc", epilog="Example: slidelake gc --store lake")
    def gc(
        session: Session,
        grace: Annotated[
            str,
            typer.Option(
                metavar="TIME",
                help="How long a thing must be dead: 7d, 12h. Less is safe only when no writer or reader is at work.",
            ),
        ] = "7d",
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be removed, do nothing.")
        ] = False,
    ) -> int:
        """Remove dead data in two looks: this one lists it, one at least the grace later removes it."""
        report = session.lake().gc(grace=duration(grace), dry_run=dry_run)
        session.emit({"ok": True, "exit_code": 0, **report.to_dict()})
        removed = _counts(report.removed)
        verb = "would remove" if dry_run else "removed"
        session.say(f"{verb}: {removed} ({report.removed_bytes:,} bytes)" if removed else f"{verb} nothing")
        for key in report.damaged:
            session.say(
                f"left alone, with the arrays that it may name: {key} is damaged; see slidelake verify"
            )
        if report.swept:
            session.say(f"finished a deletion that was cut off: {_counts(report.swept)}")
        if report.waiting and report.waiting_until is not None:
            when = report.waiting_until.isoformat(timespec="minutes")
            session.say(
                f"dead, to go from {when} on: {_counts(report.waiting)} ({report.waiting_bytes:,} bytes)"
            )
        return 0


def duration(text: str) -> timedelta:
    """`7d`, `12h`, `30m`, `0s` as a time; raises UsageError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no time", remedy="Write a number and s, m, h or d: 7d.")
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


#: What the report's kinds are to people; what a deletion swept has words of its own.
_WORDS = {
    "attempts": "files never committed",
    "superseded": "files of older generations",
    "closed": "files of closed epochs",
    "void": "commits cut off",
    "deleted": "marks of deleted slides",
    "aside": "files of killed writers",
}


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{_WORDS.get(kind, kind)}: {count:,}" for kind, count in counts.items())
