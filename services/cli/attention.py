"""`slidelake attention`: whether an aggregator's attention does anything."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.errors import UsageError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command

if TYPE_CHECKING:
    from slidelake.encoders import HealthReport

#: Slides shown on screen; all are in the CSV and the JSON.
_SHOWN = 20


def register(app: typer.Typer) -> None:
    @command(
        app, "attention", epilog="Example: slidelake attention --aggregator abmil --out report --store lake"
    )
    def attention(
        session: Session,
        aggregator: Annotated[
            str,
            typer.Option(
                metavar="NAME|ID|FILE", help="Whose attention: a name, an aggregator_id or the checkpoint."
            ),
        ],
        space: Annotated[
            str | None, typer.Option(help="Grid and encoder; needed where there are several.")
        ] = None,
        snapshot: Annotated[
            str | None, typer.Option(metavar="NAME", help="The slides and embeddings of this snapshot.")
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(metavar="STEM", help="Write STEM.csv, a row a slide and branch, and STEM.png."),
        ] = None,
        uniform: Annotated[
            float, typer.Option(help="Near-uniform: effective patches are at least this share of all.")
        ] = 0.9,
        uniform_slides: Annotated[
            float, typer.Option(help="Alarm where at least this share of the slides is near-uniform.")
        ] = 0.9,
        collapsed: Annotated[
            float, typer.Option(help="Collapsed: one patch holds at least this share of the attention.")
        ] = 0.9,
        collapsed_slides: Annotated[
            float, typer.Option(help="Alarm where at least this share of the slides is collapsed.")
        ] = 0.5,
        redundant: Annotated[
            float, typer.Option(help="Alarm where two branches have at least this mean cosine.")
        ] = 0.95,
        min_rows: Annotated[int, typer.Option(help="Slides with fewer valid patches are left out.")] = 20,
        fail_on_alarm: Annotated[
            bool, typer.Option("--fail-on-alarm", help="End with exit code 1 where there is an alarm.")
        ] = False,
    ) -> int:
        """Measure stored attention: entropy, effective patches, near-uniform, collapsed and redundant branches."""
        if out is not None and (not out.name or out.is_dir()):
            raise UsageError(
                f"{out} is a folder", remedy="Give --out the start of the files' names, such as report."
            )
        with WorkProgress(session.errors, "measuring") as progress:
            report = session.lake(snapshot=snapshot).attention_health(
                aggregator,
                space,
                progress=progress,
                uniform=uniform,
                uniform_slides=uniform_slides,
                collapsed=collapsed,
                collapsed_slides=collapsed_slides,
                redundant=redundant,
                min_rows=min_rows,
            )
        files = _write(report, out) if out is not None else {}
        alarm = bool(report.alarms)
        code = 4 if not report.slides else 1 if alarm and fail_on_alarm else 0
        session.emit({"ok": code == 0, "exit_code": code, "alarm": alarm, **_said(report), "files": files})
        _say(session, report)
        for path in files.values():
            session.say(escape(f"wrote {path}"))
        return code


def _write(report: "HealthReport", out: Path) -> dict[str, str]:
    from slidelake.services.attention_report import draw_health, write_health

    table = write_health(report, out.with_name(out.name + ".csv"))
    return {"csv": str(table), "png": str(draw_health(report, out.with_name(out.name + ".png")))}


def _said(report: "HealthReport") -> dict[str, Any]:
    return {
        "name": report.name,
        "alarms": [{**alarm._asdict(), "branches": list(alarm.branches)} for alarm in report.alarms],
        "rules": asdict(report.rules),
        "branches": report.summary(),
        "agreement": [
            {"branches": list(pair), "cosine": cosine, "slides": slides}
            for pair, (cosine, slides) in report.agreement().items()
        ],
        "slides": [
            {"slide_id": slide.slide_id, "rows": slide.rows, "of": slide.of}
            | {"branches": [measures._asdict() for measures in slide.branches]}
            for slide in report.slides
        ],
        "excluded": [{"slide_id": slide_id, "reason": reason} for slide_id, reason in report.excluded],
    }


def _say(session: Session, report: "HealthReport") -> None:
    if report.slides:
        session.say(_cohort(report))
        session.say(_slides(report))
        if len(report.slides) > _SHOWN:
            session.say(f"the {_SHOWN} most even of {len(report.slides):,} slides; --out STEM writes all")
    for slide_id, reason in report.excluded[:_SHOWN]:
        session.say(escape(f"left out: {slide_id}: {reason}"))
    if len(report.excluded) > _SHOWN:
        session.say(f"and {len(report.excluded) - _SHOWN:,} more left out")
    for alarm in report.alarms:
        session.say(f"[red]alarm:[/red] {escape(alarm.text)}")
    if not report.slides:
        session.say("no slide could be measured")
    elif not report.alarms:
        session.say("no alarm")


#: What of the cohort is on screen, and how it is called there.
_WORDS = {
    "normalised_entropy": "entropy / log N",
    "effective": "effective patches",
    "effective_share": "effective patches / N",
    "largest": "largest weight",
    "top_1_percent": "share of the top 1 %",
    "gini": "Gini",
}


def _cohort(report: "HealthReport") -> Table:
    table = Table(title=f"{report.name}: {len(report.slides):,} slides")
    for column in ("branch", "measure", "5 %", "median", "95 %"):
        table.add_column(column, justify="left" if column == "measure" else "right")
    for branch in report.summary():
        for number, (name, words) in enumerate(_WORDS.items()):
            quantiles = branch["quantiles"][name]
            cells = [f"{quantiles[each]:.3g}" for each in ("5%", "50%", "95%")]
            last = number == len(_WORDS) - 1
            table.add_row("" if number else str(branch["branch"]), words, *cells, end_section=last)
    return table


def _slides(report: "HealthReport") -> Table:
    table = Table(caption="~ near-uniform   ! collapsed")
    for column in ("slide", "branch", "patches", "entropy", "effective", "largest", "Gini"):
        table.add_column(column, justify="left" if column == "slide" else "right", overflow="fold")
    even = sorted(
        report.slides, key=lambda slide: -max(each.effective for each in slide.branches) / slide.rows
    )
    for slide in even[:_SHOWN]:
        for branch, of in enumerate(slide.branches):
            uniform, collapsed = (
                slide.near_uniform(branch, report.rules),
                slide.collapsed(branch, report.rules),
            )
            table.add_row(
                "" if branch else escape(slide.slide_id),
                str(branch),
                f"{slide.rows:,}",
                f"{of.normalised_entropy:.3f}",
                f"{of.effective:,.1f} {'!' if collapsed else '~' if uniform else ' '}",
                f"{of.largest:.3g}",
                f"{of.gini:.3f}",
            )
    return table
