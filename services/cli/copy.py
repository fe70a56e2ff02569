"""`slidelake copy`: the lake at another place too; run again, only what is new travels."""

from typing import Annotated

import typer
from rich.markup import escape

from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command


def register(app: typer.Typer) -> None:
    @command(app, "copy", epilog="Example: slidelake copy s3://backup/lake --store lake")
    def copy(
        session: Session,
        destination: Annotated[
            str, typer.Argument(metavar="URL", help="A new folder or URL, or an older copy of this lake.")
        ],
        snapshot: Annotated[
            str | None, typer.Option(metavar="NAME", help="Only what this snapshot pins, and the snapshot.")
        ] = None,
        space: Annotated[
            list[str] | None,
            typer.Option(metavar="SPACE", help="Only slides and bags of this space; may be given again."),
        ] = None,
        slide: Annotated[
            list[str] | None, typer.Option(metavar="ID", help="Only this slide; may be given again.")
        ] = None,
        verify: Annotated[
            bool, typer.Option("--verify", help="Make every checksum again before a commit counts.")
        ] = False,
        threads: Annotated[int, typer.Option(min=1, help="Slides that travel at once.")] = 8,
    ) -> int:
        """Copy the lake, or bring a copy up to date. What was deleted here is deleted there.

        Quarantine, catalog and index stay behind: `slidelake index sync` makes the copy's own index.
        """
        with WorkProgress(session.errors, "copying") as progress:
            report = session.lake().copy(
                destination,
                snapshot=snapshot,
                spaces=space,
                slides=slide,
                verify=verify,
                threads=threads,
                progress=progress,
            )
        code = 0 if report.ok else 5 if report.damaged else 1
        session.emit({**report.to_dict(), "exit_code": code})
        if report.changed:
            session.say(
                f"{report.commits:,} commits, {report.files:,} files, {report.bytes / 1e6:,.1f} MB to "
                f"{escape(report.url)}; {report.already:,} of {report.slides:,} slides were there"
                + (f"; {report.removed:,} deleted slides went" if report.removed else "")
            )
        elif report.ok:
            session.say(f"nothing to do: all {report.slides:,} slides are at {escape(report.url)}")
        if report.foreign:
            session.errors.print(
                f"[yellow]the copy holds {report.foreign} commits that this lake does not have[/yellow]; they stay"
            )
        for slide_id, why in report.failed:
            session.errors.print(f"[red]not copied:[/red] {escape(f'{slide_id}: {why}')}", soft_wrap=True)
        return code
