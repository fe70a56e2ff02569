"""`slidelake synth`: slides to try things on, with the truth beside them."""

from pathlib import Path
from typing import Annotated

import typer

from slidelake.errors import UsageError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command


def _parse_needles(needles: list[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for text in needles:
        name, colon, share = text.partition(":")
        try:
            shares[name] = float(share)
        except ValueError as exc:
            raise UsageError(
                f"--needle {text!r} is not CLASS:SHARE", remedy="Write for example --needle lymphocytes:0.01."
            ) from exc
        if not colon or not 0 < shares[name] < 1:
            raise UsageError(
                f"--needle {text!r}: the share must lie between 0 and 1", remedy="Write CLASS:0.01 for 1 %."
            )
    return shares


def register(app: typer.Typer) -> None:
    @command(app, "synth", epilog="Example: slidelake synth slides --slides 6 --seed 0")
    def synth(
        session: Session,
        out: Annotated[Path, typer.Argument(help="Folder for the slides, their tables, reports and truth/.")],
        slides: Annotated[int, typer.Option(min=1, help="How many slides.")] = 6,
        seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal bytes.")] = 0,
        size: Annotated[str | None, typer.Option(help="Side of each slide in level-0 pixels.")] = None,
        needle: Annotated[
            list[str] | None, typer.Option(metavar="CLASS:SHARE", help="Plant rare patches of a class.")
        ] = None,
    ) -> None:
        """Make H&E-like pyramidal slides with known tissue classes."""
        from slidelake.ingest.synthetic import synthesise

        options = {}
        if size is not None:
            if not size.isdigit():
                raise UsageError(f"--size {size!r} is not a number of pixels", remedy="Write --size 4096.")
            options["size"] = int(size)
        with WorkProgress(session.errors, "synthesising") as progress:
            report = synthesise(
                out,
                slides=slides,
                seed=seed,
                needle=_parse_needles(needle or []),
                progress=progress,
                **options,
            )
        session.emit(
            {
                "ok": True,
                "out": str(out),
                "slides": slides,
                "seed": seed,
                "manifest": str(report.manifest),
                "patches": report.patches,
            }
        )
        session.say(f"{slides} slides in {out}: manifest.csv, labels.csv, reports.csv, truth/")
