"""`slidelake import`: features that other programs made, bit for bit."""

from pathlib import Path
from typing import Annotated

import typer

from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command
from slidelake.services.cli.transfer import say_transfer


def register(app: typer.Typer) -> None:
    @command(
        app,
        "import",
        epilog="Example: slidelake import trident_job --format trident --slides slides --store lake",
    )
    def import_(
        session: Session,
        path: Annotated[Path, typer.Argument(help="A file of features, or a folder with such files.")],
        format: Annotated[
            str, typer.Option("--format", help="trident, clam, stamp or atlaspatch; auto looks inside.")
        ] = "auto",
        slides: Annotated[
            Path | None, typer.Option(help="Folder with the slides: they tell mpp and size.")
        ] = None,
        mpp: Annotated[float | None, typer.Option(help="µm per level-0 pixel of every slide.")] = None,
        encoder: Annotated[
            str | None, typer.Option(help="Which encoder made them, where the files do not say.")
        ] = None,
        patches: Annotated[
            Path | None, typer.Option(help="Folder with the files of coordinates, where it is elsewhere.")
        ] = None,
        patch_size: Annotated[
            int | None, typer.Option(min=1, help="A patch's side in the encoder's px, where no file says.")
        ] = None,
        patch_size_level0: Annotated[
            float | None, typer.Option(help="A patch's side in level-0 px, where no file says.")
        ] = None,
        dtype: Annotated[
            str | None, typer.Option(help="float16 or float32: convert; by default features keep theirs.")
        ] = None,
        tissue_rule: Annotated[
            str | None,
            typer.Option(metavar="NAME", help="Names whose patches these are, to keep two choices apart."),
        ] = None,
        patient_pattern: Annotated[
            str | None, typer.Option(metavar="REGEX", help="Patient from the slide id, e.g. '^TCGA-..-....'.")
        ] = None,
        id_from: Annotated[str, typer.Option(help="stem or path: what a slide is called after.")] = "stem",
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Read and check everything, write nothing.")
        ] = False,
    ) -> int:
        """Commit features of TRIDENT, CLAM, STAMP or AtlasPatch. Running it again costs a look a file."""
        from slidelake.store.interop import check_format

        check_format(format, path)  # before a lake is made of a mistyped word
        lake = session.lake_to_write(dry_run=dry_run)
        with WorkProgress(session.errors, "importing", unit="files") as progress:
            report = lake.import_features(
                path,
                format=format,
                slides=slides,
                mpp=mpp,
                encoder=encoder,
                patches=patches,
                patch_size=patch_size,
                patch_size_level0=patch_size_level0,
                dtype=dtype,
                tissue_rule=tissue_rule,
                patient_pattern=patient_pattern,
                id_from=id_from,
                dry_run=dry_run,
                sync_index=False,
                progress=progress,
            )
        say_transfer(session, report, "nothing matched: no files of features were found there")
        return report.exit_code
