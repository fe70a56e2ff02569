"""`slidelake verify`: is everything that was committed there, and is it what was committed?"""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.errors import UsageError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command
from slidelake.services.cli.snapshot import SnapshotOption

if TYPE_CHECKING:
    from slidelake.services.lake import Lake


def register(app: typer.Typer) -> None:
    @command(app, "verify", epilog="Example: slidelake verify --deep --store lake")
    def verify(
        session: Session,
        deep: Annotated[
            bool, typer.Option("--deep", help="Read every byte and recompute checksums.")
        ] = False,
        deleted: Annotated[
            bool, typer.Option("--deleted", help="Look for anything left of deleted slides instead.")
        ] = False,
        snapshot: SnapshotOption = None,
    ) -> int:
        """Check every commit of the lake; exit code 5 where damage was found."""
        from slidelake.store import verify as verify_store

        lake = session.lake(snapshot=snapshot)
        if deleted and snapshot:
            raise UsageError("a snapshot is without what was deleted", remedy="Leave --snapshot out.")
        if deleted:
            return _verify_deleted(session, lake)
        with WorkProgress(session.errors, "verifying") as progress:
            report = verify_store(lake.store, deep=deep, progress=progress)
        problems = [
            {"slide_id": p.slide_id, "key": p.key, "problem": p.problem, "remedy": p.remedy}
            for p in report.problems
        ]
        code = 0 if report.ok else 5
        session.emit(
            {
                "ok": report.ok,
                "exit_code": code,
                "deep": deep,
                "slides": report.slides,
                "commits": report.commits,
                "problems": problems,
            }
        )
        if problems:
            table = Table(title="damage")
            for column in ("slide", "commit", "problem", "what to do"):
                table.add_column(column, overflow="fold")
            for p in problems:
                table.add_row(*(escape(p[name]) for name in ("slide_id", "key", "problem", "remedy")))
            session.say(table)
        state = "all well" if report.ok else f"{len(problems)} problems"
        session.say(f"{report.slides} slides, {report.commits} commits: {state}")
        return code


def _verify_deleted(session: Session, lake: "Lake") -> int:
    from slidelake.services.deletion import verify_gone

    report = verify_gone(lake)
    code = 0 if report.ok else 5
    session.emit({"exit_code": code, **report.to_dict()})
    if report.remains:
        table = Table(title="left of deleted and closed slides")
        for column in ("where", "what", "until", "what to do"):
            table.add_column(column, overflow="fold")
        for each in report.remains:
            until = each.until.isoformat(timespec="minutes") if each.until else "now"
            table.add_row(escape(each.key), escape(each.what), until, escape(each.remedy))
        session.say(table)
    state = (
        "nothing is left that should be gone" if report.ok else f"{len(report.overdue)} things are overdue"
    )
    session.say(f"{report.denied} entries on the deny-list: {state}")
    return code
