"""`slidelake export`: a space's bags as files of other programs."""

from pathlib import Path
from typing import Annotated

import typer

from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command
from slidelake.services.cli.transfer import say_transfer


def register(app: typer.Typer) -> None:
    @command(app, "export", epilog="Example: slidelake export trident_job --format trident --store lake")
    def export(
        session: Session,
        folder: Annotated[Path, typer.Argument(metavar="DEST", help="Folder to write to.")],
        format: Annotated[str, typer.Option("--format", help="trident, clam or stamp.")],
        space: Annotated[
            str | None, typer.Option(help="Grid and encoder; needed where there are several.")
        ] = None,
        slides: Annotated[
            list[str] | None, typer.Option("--slides", metavar="ID", help="These slides only; repeat it.")
        ] = None,
        snapshot: Annotated[str | None, typer.Option(metavar="NAME", help="As this snapshot has it.")] = None,
        mpp: Annotated[
            float | None, typer.Option(help="µm per level-0 pixel of slides that do not say.")
        ] = None,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace files that are there and are another bag.")
        ] = False,
    ) -> int:
        """Write features as TRIDENT, CLAM or STAMP would have. What is there already is left alone."""
        lake = session.lake()
        with WorkProgress(session.errors, "exporting") as progress:
            report = lake.export_features(
                folder,
                format=format,
                space=space,
                slides=slides or None,
                snapshot=snapshot,
                mpp=mpp,
                overwrite=overwrite,
                progress=progress,
            )
        say_transfer(session, report, "nothing matched: the space has no slides")
        return report.exit_code
