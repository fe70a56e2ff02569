"""`slidelake heatmap`: what an aggregator looked at, over the slide."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from slidelake.errors import UsageError
from slidelake.services.cli.session import Session, command


def register(app: typer.Typer) -> None:
    @command(
        app, "heatmap", epilog="Example: slidelake heatmap S1 --aggregator abmil --out maps --store lake"
    )
    def heatmap(
        session: Session,
        slide: Annotated[list[str], typer.Argument(metavar="SLIDE...", help="Slide ids.")],
        aggregator: Annotated[
            str | None,
            typer.Option(
                metavar="NAME|ID|FILE", help="Whose attention: a name, an aggregator_id or the checkpoint."
            ),
        ] = None,
        column: Annotated[
            str | None, typer.Option(help="A column of the grid instead: tissue, blur, pen, …")
        ] = None,
        values: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE", help="Values instead: .npy (N,), or .csv with value and row, or x and y."
            ),
        ] = None,
        space: Annotated[
            str | None, typer.Option(help="Grid and encoder; needed where there are several.")
        ] = None,
        show: Annotated[
            str,
            typer.Option(
                help="rank (percentile of the attention), attention, or score (before the softmax)."
            ),
        ] = "rank",
        branch: Annotated[
            int | None, typer.Option(help="This branch alone; else all, one file each.")
        ] = None,
        out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the files.")] = Path("heatmaps"),
        opacity: Annotated[float, typer.Option(help="Of the colours over the thumbnail, 0 to 1.")] = 0.5,
        colours: Annotated[
            str,
            typer.Option(help="cividis, inferno, magma, plasma or viridis: all fit for colour-blind eyes."),
        ] = "viridis",
        top: Annotated[
            int, typer.Option(min=0, help="Patches in the GeoJSON, the highest first; 0: all.")
        ] = 1000,
        min_attention: Annotated[
            float | None, typer.Option(help="No patch with less attention goes into the GeoJSON.")
        ] = None,
        objects: Annotated[
            str, typer.Option(help="As what QuPath takes a patch: detection, annotation or tile.")
        ] = "detection",
        patches: Annotated[
            int, typer.Option(min=0, help="Patches shown of the highest and of the lowest; 0: none.")
        ] = 12,
    ) -> int:
        """Draw attention, a column of the grid or values of your own over slides; GeoJSON for QuPath."""
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file", remedy="Name a folder with --out.")
        lake = session.lake()
        made = []
        for slide_id in slide:
            made += lake.heatmap(
                slide_id,
                aggregator=aggregator,
                column=column,
                values=values,
                space=space,
                show=show,
                branch=branch,
                out=out,
                opacity=opacity,
                colours=colours,
                top=top or None,
                min_attention=min_attention,
                objects=objects,
                patches=patches,
            )
        session.emit({"ok": True, "exit_code": 0, "heatmaps": [each.to_dict() for each in made]})
        for each in made:
            session.say(
                escape(
                    f"{each.slide_id}: {each.label}, {each.least:.4g} to {each.most:.4g}, {each.shown:,} patches"
                )
            )
            for note in each.notes:
                session.say(escape(f"  {note}"))
            for path in each.files.values():
                session.say(escape(f"  wrote {path}"))
        return 0
