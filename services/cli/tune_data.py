"""`slidelake tune-data reports|verify`: rows of instructions for tuning, each with its evidence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from slidelake.services.cli.session import Session, command

_SHOWN = 10


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Tuning data for language models: every row traces to a report, a patch or a caption.",
        epilog="Example: slidelake tune-data reports tuning --store lake",
        no_args_is_help=True,
    )
    app.add_typer(group, name="tune-data")
    _register_verify(group)


def say_counts(session: Session, out: Path, counts: Mapping[str, Any]) -> None:
    """What a run made, for people."""
    session.say(f"{counts['rows']:,} rows in {out}", _told(counts["by_split"]))
    for step, rules in counts["dropped"].items():
        session.say(f"dropped by {step}: {_told(rules)}")
    if counts["pictures"]:
        session.say(
            f"text and vision: {counts['text_per_picture']:,} words and {counts['rows_per_picture']:,} rows "
            f"for each of {counts['pictures']:,} slides or patches"
        )
    if counts["text_only_rows"]:
        session.say(f"{counts['text_only_rows']:,} rows are text alone: their slides are not in the lake")


def _told(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in values.items()) or "none"


def _register_verify(group: typer.Typer) -> None:
    @command(group, "verify", epilog="Example: slidelake tune-data verify tuning --store lake")
    def verify(
        session: Session,
        folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder that a run wrote.")],
    ) -> int:
        """Look up every row's evidence in the lake, and that no patient is on both sides of the split."""
        from slidelake.services.tuning.data import read_rows, verify_rows

        found = verify_rows(session.lake(), read_rows(folder), folder=folder)
        session.emit({"ok": found.resolved == found.rows, **found.to_dict()})
        session.say(f"the evidence of {found.resolved:,} of {found.rows:,} rows resolves")
        for reason, count in found.reasons.most_common():
            session.say(f"  {reason}: {count:,}")
        for problem in found.problems[:_SHOWN]:
            session.say(f"  {problem}")
        return 0 if found.resolved == found.rows else 5
