"""`slidelake ingest`: slides in, once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command

if TYPE_CHECKING:
    from slidelake.ingest import RunReport

_STATES = {"made": "green", "already": "dim", "would-make": "cyan", "quarantined": "yellow", "denied": "dim"}


def outcome_table(report: "RunReport", title: str = "") -> Table:
    """One row a slide: in the lake, or the reason why not and what to do."""
    table = Table(title=title or None)
    for column in ("slide", "state", "patches", "reason", "what to do"):
        table.add_column(column, overflow="fold", justify="right" if column == "patches" else "left")
    for outcome in report.outcomes:
        colour = _STATES.get(outcome.state, "white")
        table.add_row(
            escape(outcome.slide_id or outcome.uri),
            f"[{colour}]{outcome.state}[/]",
            f"{outcome.patches:,}" if outcome.patches else "",
            escape(f"{outcome.reason}: {outcome.message}" if outcome.reason else ""),
            escape(outcome.remedy),
        )
    return table


def register(app: typer.Typer) -> None:
    @command(app, "ingest", epilog="Example: slidelake ingest 'slides/*.svs' --store lake --workers 2")
    def ingest(
        session: Session,
        paths: Annotated[
            list[str] | None, typer.Argument(help="Slides, folders, globs, or fsspec URLs (s3://…/**/*.svs).")
        ] = None,
        encoder: Annotated[str, typer.Option(help="See `slidelake encoders`.")] = "stain-texture",
        grid: Annotated[
            str, typer.Option(help="Patch side @ µm per pixel, or 256px-level0.")
        ] = "256px@0.5mpp",
        manifest: Annotated[
            Path | None, typer.Option(help="CSV or Parquet: uri, and slide_id, patient_id, mpp, metadata.")
        ] = None,
        workers: Annotated[int, typer.Option(min=0, help="Ray actors; 0 works in this process.")] = 0,
        threads: Annotated[int | None, typer.Option(min=1, help="Decoding threads of a worker.")] = None,
        batch_size: Annotated[int, typer.Option(min=1, help="Patches an encoder call takes.")] = 64,
        weights: Annotated[str | None, typer.Option(help="Local weights file for timm:… encoders.")] = None,
        device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
        assume_mpp: Annotated[
            float | None, typer.Option(min=0.01, max=100, help="µm per pixel of slides that do not say.")
        ] = None,
        patient_pattern: Annotated[
            str | None, typer.Option(metavar="REGEX", help="Patient from the slide id, e.g. '^TCGA-..-....'.")
        ] = None,
        id_from: Annotated[str, typer.Option(help="stem or path: what a slide is called after.")] = "stem",
        root: Annotated[
            str | None, typer.Option(help="With --id-from path: what paths are relative to.")
        ] = None,
        on_changed: Annotated[
            str, typer.Option(help="refuse or again: for a source that changed.")
        ] = "refuse",
        compression: Annotated[
            str | None,
            typer.Option(
                help="Of a NEW store, for ever: none, zstd, blosc, pcodec. Features shrink little and read slower."
            ),
        ] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")
        ] = False,
    ) -> int:
        """Tile slides, encode tissue patches, commit features. Running it again costs nothing."""
        from slidelake.encoders import check_encoder
        from slidelake.ingest import GridSpec

        spec = GridSpec.parse(grid)  # before a lake is made of a mistyped word
        check_encoder(encoder)
        lake = session.lake_to_write(dry_run=dry_run, compression=compression)
        with WorkProgress(session.errors, "ingesting") as progress:
            report = lake.ingest(
                *(paths or []),
                encoder=encoder,
                grid=spec,
                manifest=manifest,
                workers=workers,
                threads=threads,
                batch_size=batch_size,
                weights=weights,
                device=device,
                assume_mpp=assume_mpp,
                patient_pattern=patient_pattern,
                id_from=id_from,
                root=root,
                on_changed=on_changed,
                dry_run=dry_run,
                sync_index=False,
                progress=progress,
            )
        session.emit({"ok": report.exit_code in (0, 3), **report.to_dict()})
        say_report(session, report)
        return report.exit_code


def say_report(session: Session, report: "RunReport") -> None:
    """The end of a run, for people: what was made, what was refused and why."""
    counts = report.counts
    if not report.outcomes:
        session.say("nothing matched: no slides were found there")
        return
    if counts.get("already", 0) == len(report.outcomes):
        session.say(f"nothing to do: all {len(report.outcomes)} slides are in the lake")
        return
    if counts.get("denied") and counts["denied"] + counts.get("already", 0) == len(report.outcomes):
        deleted = f"{counts['denied']} were deleted and stay out (slidelake allow)"
        session.say(f"nothing to do: {counts.get('already', 0)} slides are in the lake, {deleted}")
        return
    if counts.get("quarantined") or len(report.outcomes) <= 20:
        session.say(outcome_table(report))
    session.say(", ".join(f"{number} {state}" for state, number in counts.items() if number))
