"""`slidelake tune-data captions|clean|vqa`: tuning data about patches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from slidelake.errors import UsageError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command

_SHOWN = 5

Out = Annotated[Path, typer.Argument(metavar="OUT", help="The run's folder; a killed run goes on there.")]
Seed = Annotated[int, typer.Option(help="Another seed, other wordings, letters and splits.")]
Splits = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Parts by `slidelake split`; else 80/10/10 by a hash.")
]
Cap = Annotated[
    int, typer.Option("--rows-per-picture", metavar="N", help="At most so many rows a patch; 0: no cap.")
]
Licence = Annotated[str, typer.Option(metavar="TEXT", help="Written into rows that name none.")]
Lance = Annotated[bool, typer.Option("--lance", help="Write a Lance table too.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Start anew where OUT holds a run with other arguments.")
]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="CLASS=WORDS", help="Say a class in other words; again for more."),
]
Corrupted = Annotated[
    int,
    typer.Option("--corrupted", metavar="N", min=0, help="Rows for a reviser, made from each caption."),
]


def register(group: typer.Typer) -> None:
    """Adds the commands to the group `tune-data`."""
    _register_captions(group)
    _register_clean(group)
    _register_vqa(group)


def _register_captions(group: typer.Typer) -> None:
    @command(
        group,
        "captions",
        epilog="Example: slidelake tune-data captions caps --labels labels.csv --store lake",
    )
    def captions(
        session: Session,
        out: Out,
        space: Annotated[
            str | None, typer.Option(metavar="SPACE", help="Whose features pick the patches.")
        ] = None,
        count: Annotated[int, typer.Option(min=1, help="Representative patches a slide.")] = 64,
        labels: Annotated[
            Path | None, typer.Option(metavar="FILE", help="CSV of known patches: slide, x, y, class.")
        ] = None,
        name: Names = None,
        corrupted: Corrupted = 0,
        pictures: Annotated[
            bool, typer.Option("--pictures/--no-pictures", help="Cut the patches from their slides.")
        ] = True,
        seed: Seed = 0,
        generator: Annotated[
            str, typer.Option(metavar="KIND", help="Who writes: none (rules alone), endpoint, recorded.")
        ] = "none",
        endpoint: Annotated[
            str | None, typer.Option(metavar="URL", help="OpenAI-compatible. [env: SLIDELAKE_LLM_URL]")
        ] = None,
        model: Annotated[
            str | None, typer.Option(metavar="NAME", help="Its model. [env: SLIDELAKE_LLM_MODEL]")
        ] = None,
        recorded: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Take the responses that --record wrote.")
        ] = None,
        record: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="Keep the responses here; else in OUT/answers.jsonl."),
        ] = None,
        splits: Splits = None,
        rows_per_picture: Cap = 0,
        licence: Licence = "",
        lance: Lance = False,
        overwrite: Overwrite = False,
    ) -> int:
        """Pick patches of every slide, caption them in at most 77 tokens, and ask about them.

        What is said rests on labels (a table, or annotations), on labelled patches that look alike, on measures of the
        pixels and on the patient's reports; whatever a generator adds to that is taken out again.
        """
        from slidelake.services.tuning.data import DataRequest, generator_kind
        from slidelake.services.tuning.data.captions import CaptionOptions, make_caption_data
        from slidelake.services.tuning.data.patch_labels import read_labels

        lake, names = session.lake(), _names(name)
        request = DataRequest(
            out, seed=seed, generator=generator_kind(generator), endpoint=endpoint, model=model, recorded=recorded,
            record=record, splits=splits, rows_per_picture=rows_per_picture, licence=licence, lance=lance,
            overwrite=overwrite,
        )  # fmt: skip
        options = CaptionOptions(
            count=count, labels=read_labels(labels, names) if labels else {}, names=names, corrupted=corrupted,
            pictures=pictures,
        )  # fmt: skip
        with WorkProgress(session.errors, "captioning", unit="slides") as progress:
            counts = make_caption_data(lake, request, options, space=space, progress=progress)
        return _done(session, out, counts)


def _register_clean(group: typer.Typer) -> None:
    @command(
        group, "clean", epilog="Example: slidelake tune-data clean pairs captions.jsonl --images pictures"
    )
    def clean(
        session: Session,
        out: Out,
        sources: Annotated[
            list[Path], typer.Argument(metavar="FILE...", help="Image–text pairs: .json, .jsonl or .csv.")
        ],
        images: Annotated[
            Path | None,
            typer.Option(metavar="DIR", help="Where the pictures lie; else they are not looked at."),
        ] = None,
        shape: Annotated[
            str | None,
            typer.Option(
                metavar="NAME", help="pathgen, quilt, pathvqa, wsi-vqa or pairs; else by its fields."
            ),
        ] = None,
        least_words: Annotated[int, typer.Option(min=0, help="Shorter captions are dropped.")] = 20,
        corrupted: Corrupted = 0,
        seed: Seed = 0,
        splits: Splits = None,
        rows_per_picture: Cap = 0,
        licence: Licence = "",
        lance: Lance = False,
        overwrite: Overwrite = False,
    ) -> int:
        """Drop pairs that are not of pathology, not of people, short, or repeats; count each rule.

        Needs no lake. A pair is dropped by the first rule that it breaks, in the order that the counts are printed in.
        """
        from slidelake.services.tuning.data import DataRequest
        from slidelake.services.tuning.data.clean import RULES, CleaningOptions
        from slidelake.services.tuning.data.cleaned_data import make_clean_data, source_resolvers, unresolved

        request = DataRequest(
            out, seed=seed, splits=splits, rows_per_picture=rows_per_picture, licence=licence, lance=lance,
            overwrite=overwrite,
        )  # fmt: skip
        options = CleaningOptions(images=images, least_words=least_words, shape=shape)
        with WorkProgress(session.errors, "reading", unit="batches") as progress:
            counts = make_clean_data(sources, request, options, corrupted=corrupted, progress=progress)
        rules = counts["dropped"].get("clean", {})
        counts["dropped"] |= (
            {"clean": {rule: rules[rule] for rule in RULES if rule in rules}} if rules else {}
        )
        return _done(session, out, counts, unresolved(out, source_resolvers(out, sources, shape)))


def _register_vqa(group: typer.Typer) -> None:
    @command(
        group, "vqa", epilog=r"Example: slidelake tune-data vqa items patches --patient-pattern '^(\d+)_'"
    )
    def vqa(
        session: Session,
        out: Out,
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="Patches, in a folder a class.")],
        labels: Annotated[
            Path | None, typer.Option(metavar="FILE", help="CSV of image and class, in place of folders.")
        ] = None,
        name: Names = None,
        patient_pattern: Annotated[
            str, typer.Option(metavar="REGEX", help="Finds the patient in a file's name, by its group.")
        ] = "",
        letters: Annotated[
            int | None, typer.Option(metavar="N", help="Choices an item; else all classes.")
        ] = None,
        near_bits: Annotated[
            int, typer.Option(metavar="N", help="Drop pictures whose hashes differ in at most N of 64 bits.")
        ] = -1,
        seed: Seed = 0,
        splits: Splits = None,
        licence: Licence = "",
        lance: Lance = False,
        overwrite: Overwrite = False,
    ) -> int:
        """Make multiple-choice questions of labelled patches, for zero-shot evaluation. Needs no lake."""
        from slidelake.services.tuning.data import DataRequest
        from slidelake.services.tuning.data.cleaned_data import unresolved
        from slidelake.services.tuning.data.zero_shot import (
            ZeroShotOptions,
            image_resolver,
            make_zero_shot_data,
        )

        request = DataRequest(
            out, seed=seed, splits=splits, licence=licence, lance=lance, overwrite=overwrite
        )
        options = ZeroShotOptions(
            names=_names(name),
            patient_pattern=patient_pattern,
            letters=letters,
            labels=labels,
            near_bits=near_bits,
        )
        with WorkProgress(session.errors, "asking", unit="patches") as progress:
            counts = make_zero_shot_data(folder, request, options, progress=progress)
        if not patient_pattern:
            session.say(
                "each file counts as a patient of its own: --patient-pattern finds them in file names"
            )
        return _done(session, out, counts, unresolved(out, {"image": image_resolver(out)}))


def _names(given: list[str] | None) -> dict[str, str]:
    names = {}
    for each in given or []:
        raw, sign, words = each.partition("=")
        if not sign or not raw or not words.strip():
            raise UsageError(
                f"--name {each!r} is not CLASS=WORDS", remedy="Write --name lung_n='normal lung'."
            )
        names[raw] = words.strip()
    return names


def _done(session: Session, out: Path, counts: Mapping[str, Any], problems: list[str] | None = None) -> int:
    """Says what was made, and whether all evidence resolves where it was looked up."""
    from slidelake.services.cli.tune_data import say_counts

    told = {"ok": counts["rows"] > 0 and not problems, "out": str(out), **counts}
    session.emit(told if problems is None else {**told, "unresolved": len(problems)})
    say_counts(session, out, counts)
    if problems is not None:
        session.say(f"the evidence of {counts['rows'] - len(problems):,} of {counts['rows']:,} rows resolves")
    for problem in (problems or [])[:_SHOWN]:
        session.say(f"  {problem}")
    if problems:
        return 5
    return 0 if counts["rows"] else 4
