"""`slidelake delete` and `slidelake allow`: slides and patients out of the lake, and who may come back."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from slidelake.errors import UsageError
from slidelake.services.cli.session import Session, command

if TYPE_CHECKING:
    from slidelake.services.deletion import DeletionReport

SlideOption = Annotated[list[str] | None, typer.Option("--slide", metavar="ID", help="A slide; may repeat.")]
PatientOption = Annotated[
    list[str] | None, typer.Option("--patient", metavar="ID", help="All slides of a patient; may repeat.")
]


def register(app: typer.Typer) -> None:
    @command(app, "delete", epilog="Example: slidelake delete --patient TCGA-CR-7395 --store lake")
    def delete(
        session: Session,
        slide: SlideOption = None,
        patient: PatientOption = None,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be deleted, do nothing.")
        ] = False,
    ) -> int:
        """Delete slides from the store, the index and all records, and keep them out. It cannot be undone."""
        from slidelake.services.deletion import delete as delete_everywhere

        lake = session.lake()
        slides, patients = slide or [], patient or []
        plan = delete_everywhere(lake, slides=slides, patients=patients, dry_run=True)
        if not dry_run and not yes:
            _ask(session, plan, patients)
        report = plan if dry_run else delete_everywhere(lake, slides=slides, patients=patients)
        session.emit({"ok": True, "exit_code": 0, **report.to_dict()})
        for note in report.notes:
            session.say(escape(note))
        names = escape(", ".join([*report.slides, *_reports(report)])) or "nothing that was there"
        if dry_run:
            session.say(f"would delete: {names}")
            return 0
        session.say(f"deleted: {names}")
        parts = [f"{part}: {count:,}" for part, count in report.objects.items()]
        parts += [f"index rows: {report.index_rows:,}"] if report.index_rows else []
        if parts:
            session.say(f"removed or rewritten: {', '.join(parts)}")
        if report.marks_until is not None:
            when = report.marks_until.isoformat(timespec="minutes")
            session.say(
                f"until {when} a mark keeps late writers out; its key holds the slide's id. "
                "slidelake gc removes it then; the deny-list stays."
            )
        return 0

    @command(app, "allow", epilog="Example: slidelake allow --patient TCGA-CR-7395 --store lake")
    def allow(session: Session, slide: SlideOption = None, patient: PatientOption = None) -> int:
        """Take slides or patients off the deny-list, so that the next ingest may bring them back."""
        from slidelake.services.deletion import allow as allow_again

        slides, patients = slide or [], patient or []
        count = allow_again(session.lake(), slides=slides, patients=patients)
        session.emit({"ok": True, "exit_code": 0 if count else 4, "entries": count})
        if not count:
            session.say("none of them was on the deny-list")
            return 4
        session.say(f"{count} entries left the deny-list; ingest brings the slides back")
        return 0


def _reports(report: "DeletionReport") -> list[str]:
    count = len(report.reports)
    return [f"{count:,} report{'s' if count > 1 else ''}"] if count else []


def _ask(session: Session, plan: "DeletionReport", patients: list[str]) -> None:
    if session.json or not sys.stdin.isatty():
        raise UsageError(
            "deleting cannot be undone, and nobody is here to be asked",
            remedy="Look with --dry-run, then pass --yes.",
        )
    for patient in patients:
        session.say(f"patient: {escape(patient)}")
    session.say(f"slides: {escape(', '.join([*plan.slides, *plan.unknown])) or 'none that the lake knows'}")
    for reports in _reports(plan):
        session.say(f"and {reports} about them")
    typer.confirm("Delete them for good, and keep them out from now on?", abort=True)
