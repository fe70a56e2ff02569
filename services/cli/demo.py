"""`slidelake demo`: the main job, start to end, with a picture."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.services.cli.ingest import outcome_table
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command


def register(app: typer.Typer) -> None:
    @command(app, "demo", epilog="Example: slidelake demo --slides /data/slides --assume-mpp 0.5")
    def demo(
        session: Session,
        slides: Annotated[
            str | None, typer.Option(help="Your own slides (folder, glob, URL); else some are made.")
        ] = None,
        out: Annotated[
            Path | None, typer.Option(help="Where everything goes; .demo, or .demo/yours with --slides.")
        ] = None,
        seed: Annotated[int, typer.Option(min=0, help="Of the slides that are made.")] = 0,
        workers: Annotated[int, typer.Option(min=0, help="Ray actors; 0 works in this process.")] = 0,
        assume_mpp: Annotated[
            float | None, typer.Option(help="µm per pixel of slides that do not say.")
        ] = None,
    ) -> int:
        """Slides → store → index → patches that look alike, across slides."""
        from slidelake.services.demo import run_demo

        # A lake of one's own: made slides do not belong among real ones.
        folder = out or (Path(".demo") if slides is None else Path(".demo") / "yours")
        result = run_demo(
            folder,
            slides=slides,
            seed=seed,
            workers=workers,
            assume_mpp=assume_mpp,
            say=session.errors.print,
            progress=lambda what: WorkProgress(session.errors, what),
        )
        session.emit(result.to_dict())
        if result.precision:
            table = Table(title="precision@10 by tissue class, same-patient hits left out")
            encoders = list(result.precision)
            table.add_column("class")
            for name in encoders:
                table.add_column(name, justify="right")
            for tissue in result.precision[encoders[0]]:
                table.add_row(tissue, *(f"{result.precision[name][tissue]:.2f}" for name in encoders))
            session.say(table)
        if slides is not None:
            session.say(outcome_table(result.report, title="your slides"))
        for path in result.pictures:
            session.say(f"picture: {escape(str(path))}")
        if result.pictures:
            lake = folder / "lake"
            session.say(f"look around: slidelake serve --open --store {escape(str(lake))}")
        return result.exit_code
