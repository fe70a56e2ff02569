"""`slidelake tune-eval few-shot|zero-shot|robustness`: probes of an encoder's features."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.errors import UsageError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command
from slidelake.services.cli.tune_eval_sources import (
    CentreOption,
    CentrePatternOption,
    ClassOption,
    ColumnOption,
    EncoderOption,
    GroupOption,
    ImagesOption,
    LabelOption,
    PerSlideOption,
    SpaceOption,
    TableOption,
    Wanted,
    sources_of,
)  # fmt: skip

if TYPE_CHECKING:
    from slidelake.index.probing import FewShot

PlotOption = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw it.", dir_okay=False)
]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE.csv", help="Write the table.", dir_okay=False)
]
DrawsOption = Annotated[int, typer.Option(min=100, help="Bootstrap draws of patients.")]
SeedOption = Annotated[int, typer.Option(help="Of splits, shots and draws.")]


def register_probes(group: typer.Typer) -> None:
    _register_few_shot(group)
    _register_zero_shot(group)
    _register_robustness(group)


def _register_few_shot(group: typer.Typer) -> None:
    @command(
        group,
        "few-shot",
        epilog="Example: slidelake tune-eval few-shot --images patches --encoder stain-texture --plot probe.png",
    )
    def few_shot(
        session: Session,
        space: SpaceOption = None,
        label: LabelOption = "",
        grid_column: ColumnOption = "",
        labels: TableOption = None,
        images: ImagesOption = None,
        encoder: EncoderOption = None,
        group_pattern: GroupOption = "",
        class_: ClassOption = None,
        shots: Annotated[str, typer.Option(help="Numbers of labelled rows a class.")] = "2,4,8,16,32,128",
        seeds: Annotated[
            int, typer.Option(min=1, help="Draws, each with patients of its own held out.")
        ] = 10,
        standardise: Annotated[
            bool, typer.Option("--standardise", help="Centre and scale each dimension first.")
        ] = False,
        strict: Annotated[
            bool, typer.Option("--strict", help="Refuse numbers of shots that a class does not have.")
        ] = False,
        unit: Annotated[str, typer.Option(help="patch, or slide: the mean of its patches.")] = "patch",
        per_slide: PerSlideOption = 200,
        plot: PlotOption = None,
        csv: CsvOption = None,
        draws: DrawsOption = 1000,
        seed: SeedOption = 0,
    ) -> int:
        """A linear probe on few labelled rows (AdamW, 20 epochs), asked about patients that were held out."""
        from slidelake.index.probing import draw_few_shot
        from slidelake.index.probing import few_shot as probe

        _check_files(plot, csv)
        counts = _numbers(shots)
        sources = sources_of(
            session,
            Wanted(
                space,
                label,
                grid_column,
                labels,
                images,
                encoder,
                group_pattern,
                class_,
                per_slide,
                seed,
                unit=unit,
            ),
        )
        found: list[FewShot] = []
        for rows, _ in sources:
            with WorkProgress(session.errors, f"probing {rows.name}", unit="numbers of shots") as progress:
                found.append(
                    probe(
                        rows,
                        shots=counts,
                        seeds=seeds,
                        standardise=standardise,
                        short="refuse" if strict else "skip",
                        draws=draws,
                        seed=seed,
                        progress=progress,
                    )
                )
        if plot is not None:
            draw_few_shot(found, plot)
        _finish(session, found, sources, plot, csv)
        table = Table(title=f"balanced accuracy of a linear probe, {seeds} draws (95 % intervals)")
        for column in ("features", "shots", "balanced accuracy", "sd of draws", "accuracy"):
            table.add_column(column)
        for each in found:
            for point in each.points:
                table.add_row(
                    escape(each.name),
                    str(point.shots),
                    _interval(point.balanced_accuracy),
                    f"{point.sd:.3f}",
                    f"{point.accuracy.mean:.3f}",
                )
        session.say(table)
        session.say(f"guessing gives {found[0].chance:.3f}")
        for other in found[1:]:
            _say_gain(session, found[0], other)
        _say_notes(session, found)
        return 0


def _register_zero_shot(group: typer.Typer) -> None:
    @command(
        group,
        "zero-shot",
        epilog="Example: slidelake tune-eval zero-shot --label diagnosis --space 256px-0.5mpp/conch.1a2b --store lake",
    )
    def zero_shot(
        session: Session,
        space: SpaceOption = None,
        label: LabelOption = "",
        grid_column: ColumnOption = "",
        labels: TableOption = None,
        images: ImagesOption = None,
        encoder: EncoderOption = None,
        group_pattern: GroupOption = "",
        class_: ClassOption = None,
        names: Annotated[
            Path | None,
            typer.Option(metavar="FILE.json", help='Words for classes: {"lung_aca": ["…", "…"]}.'),
        ] = None,
        template: Annotated[
            list[str] | None, typer.Option(metavar="TEXT", help="With {} for the class; again for more.")
        ] = None,
        per_slide: PerSlideOption = 200,
        plot: PlotOption = None,
        csv: CsvOption = None,
        draws: DrawsOption = 1000,
        seed: SeedOption = 0,
    ) -> int:
        """Classify by words, over an ensemble of templates; needs an encoder of images and text."""
        from slidelake.index.probing import TEMPLATES, draw_zero_shot
        from slidelake.index.probing import zero_shot as probe

        _check_files(plot, csv)
        called = _names(names)
        sources = sources_of(
            session,
            Wanted(
                space,
                label,
                grid_column,
                labels,
                images,
                encoder,
                group_pattern,
                class_,
                per_slide,
                seed,
                words=True,
            ),
        )
        found = [
            probe(rows, each, names=called, templates=template or TEMPLATES, draws=draws, seed=seed)
            for rows, each in sources
            if each is not None
        ]
        if plot is not None:
            draw_zero_shot(found, plot)
        _finish(session, found, sources, plot, csv)
        table = Table(title="zero-shot classification (95 % intervals)")
        for column in ("features", "balanced accuracy", "accuracy", "one template alone"):
            table.add_column(column)
        for each in found:
            alone = each.templates.values()
            table.add_row(
                escape(each.name),
                _interval(each.balanced_accuracy),
                _interval(each.accuracy),
                f"{min(alone):.3f} to {max(alone):.3f}",
            )
        session.say(table)
        session.say(f"guessing gives {found[0].chance:.3f}")
        _say_notes(session, found)
        return 0


def _register_robustness(group: typer.Typer) -> None:
    @command(
        group,
        "robustness",
        epilog="Example: slidelake tune-eval robustness --label diagnosis --centre hospital --plot index.png",
    )
    def robustness(
        session: Session,
        space: SpaceOption = None,
        label: LabelOption = "",
        grid_column: ColumnOption = "",
        labels: TableOption = None,
        centre: CentreOption = "",
        images: ImagesOption = None,
        encoder: EncoderOption = None,
        group_pattern: GroupOption = "",
        centre_pattern: CentrePatternOption = "",
        class_: ClassOption = None,
        k: Annotated[int, typer.Option("--k", min=1, help="Neighbours of a patch.")] = 50,
        per_slide: PerSlideOption = 200,
        plot: PlotOption = None,
        csv: CsvOption = None,
        draws: DrawsOption = 1000,
        seed: SeedOption = 0,
    ) -> int:
        """Whether an encoder knows the tissue better than the hospital: its robustness index to the medical centre.

        Of each patch's nearest neighbours from other slides: (same class, other centre) / (other class, same centre).
        """
        from slidelake.index.probing import draw_robustness, robustness_index

        _check_files(plot, csv)
        if not (centre_pattern if images is not None else centre):
            raise UsageError(
                "nothing says which medical centre a row is from",
                remedy="Pass --centre COLUMN (of a lake), or --centre-pattern REGEX (of images).",
            )
        sources = sources_of(
            session,
            Wanted(
                space,
                label,
                grid_column,
                labels,
                images,
                encoder,
                group_pattern,
                class_,
                per_slide,
                seed,
                centre=centre,
                centre_pattern=centre_pattern,
            ),
        )
        found = []
        for rows, _ in sources:
            with session.errors.status(f"comparing {len(rows):,} rows of {rows.name}"):
                found.append(robustness_index(rows, k=k, draws=draws, seed=seed))
        if plot is not None:
            draw_robustness(found, plot)
        _finish(session, found, sources, plot, csv)
        table = Table(title=f"robustness index over {found[0].k} neighbours (95 % intervals)")
        for column in ("features", "index", "interval", "blind neighbours", "by centre"):
            table.add_column(column)
        for each in found:
            ends = f"{_number(each.low)} to {_number(each.high)}"
            centres = ", ".join(f"{name} {_number(value)}" for name, value in each.centres.items())
            table.add_row(escape(each.name), _number(each.index), ends, f"{each.chance:.2f}", escape(centres))
        session.say(table)
        _say_notes(session, found)
        return 0


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(each) for each in text.split(","))
    except ValueError as exc:
        raise UsageError(f"--shots {text}", remedy="Write whole numbers, as 2,4,8.") from exc
    if min(found) < 1:
        raise UsageError(f"--shots {text}", remedy="Write numbers above 0.")
    return found


def _names(path: Path | None) -> dict[str, list[str]] | None:
    if path is None:
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path} cannot be read ({exc})", remedy="Name a JSON file in UTF-8.") from exc
    good = isinstance(values, dict) and all(
        isinstance(each, list) and all(isinstance(name, str) for name in each) for each in values.values()
    )
    if not good:
        raise UsageError(
            f"{path} holds no names of classes", remedy='Write {"class": ["a name", "another"]}.'
        )
    return cast("dict[str, list[str]]", values)


def _check_files(plot: Path | None, csv: Path | None) -> None:
    for path, ending in ((plot, ".png"), (csv, ".csv")):
        if path is not None and path.suffix.lower() != ending:
            raise UsageError(f"{path} is no {ending}", remedy=f"Name a file that ends in {ending}.")


def _finish(
    session: Session, found: Sequence[Any], sources: Sequence[Any], plot: Path | None, csv: Path | None
) -> None:
    """The JSON object, and the table as a file."""
    import pandas as pd

    if csv is not None:
        csv.parent.mkdir(parents=True, exist_ok=True)
        frames = [each.to_frame().assign(name=each.name) for each in found]
        pd.concat(frames, ignore_index=True).to_csv(csv, index=False)
    results = [
        finite(each.to_dict()) | {"left_out": dict(rows.left_out)}
        for each, (rows, _) in zip(found, sources, strict=True)
    ]
    files = {"plot": str(plot) if plot else None, "csv": str(csv) if csv else None}
    session.emit({"ok": True, "results": results, **files})
    for rows, _ in sources:
        for reason, count in rows.left_out.items():
            session.say(escape(f"{rows.name}: left out: {count:,} {reason}"))
    for path in (plot, csv):
        if path is not None:
            session.say(escape(f"wrote {path}"))


def _say_gain(session: Session, first: "FewShot", other: "FewShot") -> None:
    """How much better the first is, where both were asked about the same rows."""
    try:
        gains = first.gain_over(other)
    except UsageError as exc:
        session.say(escape(f"no difference is told: {exc.problem}"))
        return
    told = [f"{shots} shots {g.mean:+.3f} ({g.low:+.3f} to {g.high:+.3f})" for shots, g in gains.items()]
    session.say(escape(f"{first.name} less {other.name}: {', '.join(told)}"))


def _say_notes(session: Session, found: Sequence[Any]) -> None:
    for each in found:
        for note in each.notes:
            session.say(escape(f"{each.name}: {note}"))


def _interval(of: Any) -> str:
    return f"{of.mean:.3f} ({of.low:.3f} to {of.high:.3f})"


def _number(value: float | None) -> str:
    return "∞" if value is None or math.isinf(value) else f"{value:.2f}"


def finite(value: Any) -> Any:
    """A result as JSON takes it: what is not finite is null."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
