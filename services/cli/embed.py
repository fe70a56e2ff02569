"""`slidelake embed`: bags of patch features to slide embeddings."""

from typing import Annotated

import typer

from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command


def register(app: typer.Typer) -> None:
    @command(app, "embed", epilog="Example: slidelake embed --aggregator mean --store lake")
    def embed(
        session: Session,
        aggregator: Annotated[str, typer.Option(help="mean or max.")] = "mean",
        space: Annotated[
            str | None, typer.Option(help="Grid and encoder; needed where there are several.")
        ] = None,
    ) -> int:
        """Make and commit slide embeddings for every slide that has none yet."""
        lake = session.lake()
        with WorkProgress(session.errors, "embedding") as progress:
            report = lake.embed(aggregator=aggregator, space=space, progress=progress)
        failed = [{"slide_id": slide_id, "reason": reason} for slide_id, reason in report.failed]
        code = 3 if failed else 0
        session.emit(
            {
                "ok": not failed,
                "exit_code": code,
                "made": report.made,
                "already": report.already,
                "failed": failed,
            }
        )
        session.say(f"{report.made} slide embeddings made, {report.already} already there")
        for entry in failed:
            session.say(f"  {entry['slide_id']}: {entry['reason']}")
        return code
