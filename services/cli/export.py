"""`slidelake export`: a space's bags as files of other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from slidelake.errors import UsageError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command
from slidelake.services.cli.transfer import say_transfer

if TYPE_CHECKING:
    from slidelake.store import Cohort


def register(app: typer.Typer) -> None:
    @command(app, "export", epilog="Example: slidelake export trident_job --format trident --store lake")
    def export(
        session: Session,
        folder: Annotated[
            Path, typer.Argument(metavar="DEST", help="Folder to write to; a file for anndata.")
        ],
        format: Annotated[str, typer.Option("--format", help="trident, clam, stamp or anndata (.h5ad).")],
        space: Annotated[
            str | None, typer.Option(help="Grid and encoder; needed where there are several.")
        ] = None,
        slide: Annotated[
            list[str] | None, typer.Option(metavar="ID", help="Only this slide; may be given again.")
        ] = None,
        snapshot: Annotated[str | None, typer.Option(metavar="NAME", help="As this snapshot has it.")] = None,
        mpp: Annotated[
            float | None, typer.Option(help="µm per level-0 pixel of slides that do not say.")
        ] = None,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace files that are there and are another bag.")
        ] = False,
    ) -> int:
        """Write features as TRIDENT, CLAM or STAMP would have, or as AnnData. What is there already is left alone."""
        from slidelake.store.interop import EXPORTERS

        if format not in (*EXPORTERS, "anndata"):
            raise UsageError(
                f"no format {format!r} is exported",
                remedy=f"Choose one of {', '.join(EXPORTERS)}, anndata.",
            )
        lake = session.lake()
        if format == "anndata":
            chosen = lake.cohort(space, slides=slide or None, snapshot=snapshot)
            return _anndata(session, chosen, folder, overwrite)
        with WorkProgress(session.errors, "exporting") as progress:
            report = lake.export_features(
                folder,
                format=format,
                space=space,
                slides=slide or None,
                snapshot=snapshot,
                mpp=mpp,
                overwrite=overwrite,
                progress=progress,
            )
        say_transfer(session, report, "nothing matched: the space has no slides")
        return report.exit_code


def _anndata(session: Session, chosen: "Cohort", path: Path, overwrite: bool) -> int:
    """One .h5ad of all slides, in bounded memory."""
    from slidelake.store import write_anndata

    if path.suffix != ".h5ad":
        raise UsageError(f"{path} is no .h5ad", remedy="Name a file that ends in .h5ad.")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already", remedy="Pass --overwrite, or name another file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with session.errors.status(f"writing {len(chosen):,} patches of {len(chosen.slides):,} slides"):
        write_anndata(chosen, path)
    told = {"space": chosen.space, "slides": len(chosen.slides), "patches": len(chosen), "path": str(path)}
    session.emit({"ok": True, "exit_code": 0, **told})
    session.say(
        f"wrote {escape(str(path))}: {told['patches']:,} patches of {told['slides']:,} slides in {told['space']}"
    )
    return 0
