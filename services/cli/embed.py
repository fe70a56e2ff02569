"""`slidelake embed`: bags of patch features to slide embeddings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.errors import UsageError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command

if TYPE_CHECKING:
    from slidelake.encoders import EmbedReport


def register(app: typer.Typer) -> None:
    @command(app, "embed", epilog="Example: slidelake embed --aggregator model.safetensors --store lake")
    def embed(
        session: Session,
        aggregator: Annotated[
            str,
            typer.Option(
                metavar="NAME|FILE",
                help="mean, max, a checkpoint of slidelake train, or chief, gigapath, madeleine, prism, titan.",
            ),
        ] = "mean",
        space: Annotated[
            str | None, typer.Option(help="Grid and encoder; needed where there are several.")
        ] = None,
        slide: Annotated[
            list[str] | None, typer.Option(metavar="ID", help="Only this slide; may be given again.")
        ] = None,
        snapshot: Annotated[
            str | None,
            typer.Option(
                metavar="NAME", help="The slides and bags of this snapshot; they are written to the lake."
            ),
        ] = None,
        weights: Annotated[
            Path | None,
            typer.Option(metavar="FOLDER", help="A pre-trained slide encoder's own code and weights."),
        ] = None,
        device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1; of checkpoints.")] = "auto",
        predictions: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE.csv", help="What the checkpoint predicts for each slide.", dir_okay=False
            ),
        ] = None,
        list_: Annotated[
            bool, typer.Option("--list", help="Only say which embeddings are there, by which aggregators.")
        ] = False,
    ) -> int:
        """Make and commit slide embeddings for every slide that has none yet."""
        if list_:
            return _list(session)
        from slidelake.encoders import aggregator_names, pretrained_names, write_predictions

        if predictions is not None and aggregator in (*aggregator_names(), *pretrained_names()):
            raise UsageError(
                f"{aggregator} predicts nothing, so there is nothing to write to {predictions}",
                remedy="Pass the checkpoint of a trained slide encoder as --aggregator.",
            )
        lake = session.lake()
        with WorkProgress(session.errors, "embedding") as progress:
            report = lake.embed(
                aggregator=aggregator,
                space=space,
                slides=slide or None,
                snapshot=snapshot,
                weights=weights,
                device=device,
                progress=progress,
            )
        if predictions is not None:
            write_predictions(predictions, report.predictions)
        return _finish(session, report, predictions)


def _finish(session: Session, report: "EmbedReport", predictions: Path | None) -> int:
    failed = [{"slide_id": slide_id, "reason": reason} for slide_id, reason in report.failed]
    code = 3 if failed else 0
    session.emit(
        {
            "ok": not failed,
            "exit_code": code,
            "space": report.space,
            "aggregator_id": report.aggregator_id,
            "made": report.made,
            "already": report.already,
            "failed": failed,
            "notes": [{"slide_id": slide_id, "note": note} for slide_id, note in report.notes],
            "predictions": str(predictions) if predictions else None,
        }
    )
    session.say(
        f"{report.made} slide embeddings made by {report.aggregator_id}, {report.already} already there"
    )
    for slide_id, note in report.notes:
        session.say(escape(f"  {slide_id}: {note}"))
    for entry in failed:
        session.say(escape(f"  {entry['slide_id']}: {entry['reason']}"))
    if predictions is not None:
        session.say(f"wrote {escape(str(predictions))}")
    return code


def _list(session: Session) -> int:
    from slidelake.services.attention_source import pooled_counts

    found = pooled_counts(session.lake().store)
    session.emit({"ok": True, "exit_code": 0, "embeddings": [each._asdict() for each in found]})
    table = Table()
    for column in ("space", "aggregator_id", "slides", "of"):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(each.space, each.aggregator_id, str(each.slides), str(each.bags))
    session.say(table)
    if not found:
        session.say("no slide has an embedding yet: slidelake embed makes them")
    return 0
