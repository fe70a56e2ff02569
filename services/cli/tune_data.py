"""`slidelake tune-data reports|verify`: rows of instructions for tuning, each with its evidence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from slidelake.services.cli import tune_data_patches
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command

_SHOWN = 10

OutArgument = Annotated[
    Path, typer.Argument(metavar="OUT", help="The run's folder; a killed run goes on there.")
]
SeedOption = Annotated[int, typer.Option(help="Another seed, other wordings and splits.")]
GeneratorOption = Annotated[
    str, typer.Option(metavar="KIND", help="Who writes: none (rules alone), endpoint, recorded.")
]
EndpointOption = Annotated[
    str | None, typer.Option(metavar="URL", help="An OpenAI-compatible endpoint. [env: SLIDELAKE_LLM_URL]")
]
ModelOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Its model. [env: SLIDELAKE_LLM_MODEL]")
]
RecordedOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Take the responses that --record wrote.")
]
RecordOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Keep the responses here; else in OUT/answers.jsonl.")
]
SplitsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Parts by `slidelake split`; else 80/10/10 by a hash.")
]
CapOption = Annotated[
    int,
    typer.Option("--rows-per-picture", metavar="N", help="At most so many rows a slide or patch; 0: no cap."),
]
LicenceOption = Annotated[str, typer.Option(metavar="TEXT", help="Written into every row.")]
LanceOption = Annotated[bool, typer.Option("--lance", help="Write a Lance table too.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Start anew where OUT holds a run with other arguments.")
]
WorkersOption = Annotated[
    int, typer.Option(metavar="N", help="Prompts that wait for the endpoint at a time.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Tuning data for language models: every row traces to a report, a patch or a caption.",
        epilog="Example: slidelake tune-data reports tuning --store lake",
        no_args_is_help=True,
    )
    app.add_typer(group, name="tune-data")
    _register_reports(group)
    tune_data_patches.register(group)
    _register_verify(group)


def say_counts(session: Session, out: Path, counts: Mapping[str, Any]) -> None:
    """What a run made, for people."""
    session.say(f"{counts['rows']:,} rows in {out}", _told(counts["by_split"]))
    for step, rules in counts["dropped"].items():
        session.say(f"dropped by {step}: {_told(rules)}")
    if counts["pictures"]:
        session.say(
            f"text and vision: {counts['text_per_picture']:,} words and {counts['rows_per_picture']:,} rows "
            f"for each of {counts['pictures']:,} slides or patches"
        )
    if counts["text_only_rows"]:
        session.say(f"{counts['text_only_rows']:,} rows are text alone: their slides are not in the lake")


def _told(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in values.items()) or "none"


def _register_reports(group: typer.Typer) -> None:
    @command(group, "reports", epilog="Example: slidelake tune-data reports tuning --store lake")
    def reports(
        session: Session,
        out: OutArgument,
        seed: SeedOption = 0,
        space: Annotated[
            str | None, typer.Option(metavar="SPACE", help="Whose features the rows about slides are for.")
        ] = None,
        wordings: Annotated[int, typer.Option(metavar="N", help="Ways to ask for each fact, 1 to 4.")] = 1,
        need_slides: Annotated[
            bool, typer.Option("--need-slides", help="Leave out reports whose slides are not in the lake.")
        ] = False,
        generator: GeneratorOption = "none",
        endpoint: EndpointOption = None,
        model: ModelOption = None,
        recorded: RecordedOption = None,
        record: RecordOption = None,
        splits: SplitsOption = None,
        rows_per_picture: CapOption = 0,
        licence: LicenceOption = "",
        lance: LanceOption = False,
        overwrite: OverwriteOption = False,
        workers: WorkersOption = 1,
    ) -> int:
        """Ask what the lake's reports say: questions about slides, answers of ten words, each with its span."""
        from slidelake.services.tuning.data import DataRequest, generator_kind, make_report_data

        lake = session.lake()
        request = DataRequest(
            out, seed=seed, generator=generator_kind(generator), endpoint=endpoint, model=model,
            recorded=recorded, record=record, splits=splits, rows_per_picture=rows_per_picture, licence=licence,
            lance=lance, overwrite=overwrite, workers=workers,
        )  # fmt: skip
        with WorkProgress(session.errors, "asking", unit="patients") as progress:
            counts = make_report_data(
                lake, request, space=space, wordings=wordings, need_slides=need_slides, progress=progress
            )
        session.emit({"ok": counts["rows"] > 0, "out": str(out), **counts})
        say_counts(session, out, counts)
        return 0 if counts["rows"] else 4


def _register_verify(group: typer.Typer) -> None:
    @command(group, "verify", epilog="Example: slidelake tune-data verify tuning --store lake")
    def verify(
        session: Session,
        folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder that a run wrote.")],
        source: Annotated[
            list[Path] | None,
            typer.Option(metavar="FILE", help="The file that captions were cleaned from; repeat for more."),
        ] = None,
    ) -> int:
        """Look up every row's evidence in the lake, and that no patient is on both sides of the split.

        Rows of `clean` are looked up in the files they came from: name these with --source.
        """
        from slidelake.services.tuning.data import read_rows, source_resolvers, verify_rows

        resolvers = source_resolvers(folder, source or ())
        found = verify_rows(session.lake(), read_rows(folder), folder=folder, resolvers=resolvers)
        session.emit({"ok": found.resolved == found.rows, **found.to_dict()})
        session.say(f"the evidence of {found.resolved:,} of {found.rows:,} rows resolves")
        for reason, count in found.reasons.most_common():
            session.say(f"  {reason}: {count:,}")
        for problem in found.problems[:_SHOWN]:
            session.say(f"  {problem}")
        return 0 if found.resolved == found.rows else 5
