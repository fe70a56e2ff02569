"""`slidelake reports add|list|show|remove`: the reports of the lake's patients."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command

if TYPE_CHECKING:
    from slidelake.index.reports import ReportsAdded
    from slidelake.store import Report, ReportHead

#: Rows that people are shown; --json has them all.
_SHOWN = 40
_REFUSED_SHOWN = 20
_SYNC = "`slidelake index sync` lets searches find them"


def register(app: typer.Typer) -> None:
    reports = typer.Typer(
        help="Pathology reports: CSV, JSONL, text, PDF and scans, tied to patients and slides.",
        epilog="Example: slidelake reports add 'reports/*.pdf' --store lake",
        no_args_is_help=True,
    )
    app.add_typer(reports, name="reports")
    _register_add(reports)
    _register_list(reports)
    _register_show(reports)
    _register_remove(reports)


def _register_add(reports: typer.Typer) -> None:
    @command(
        reports,
        "add",
        epilog="Example: slidelake reports add reports.csv --text-column ocr_text --patient-column case --store lake",
    )
    def add(
        session: Session,
        paths: Annotated[
            list[str], typer.Argument(help="Files, folders, globs: csv, tsv, jsonl, txt, md, pdf.")
        ],
        text_column: Annotated[str, typer.Option(metavar="NAME", help="Of tables: the report's text.")] = "",
        id_column: Annotated[str, typer.Option(metavar="NAME", help="Of tables: the report's id.")] = "",
        patient_column: Annotated[str, typer.Option(metavar="NAME", help="Of tables: the patient.")] = "",
        slide_column: Annotated[
            str, typer.Option(metavar="NAME", help="Of tables: the slides, divided by ; or ,")
        ] = "",
        title_column: Annotated[str, typer.Option(metavar="NAME", help="Of tables: the title.")] = "",
        patient_pattern: Annotated[
            str,
            typer.Option(
                metavar="REGEX", help="Patient from the report's id or file name, e.g. '^(TCGA-..-....)'."
            ),
        ] = "",
        encoding: Annotated[str, typer.Option(help="Of text files and tables.")] = "utf-8",
        ocr_language: Annotated[
            str, typer.Option(help="Of scans, as Tesseract calls it: eng, deu, eng+fra.")
        ] = "eng",
        strict: Annotated[
            bool,
            typer.Option("--strict", help="Refuse reports of patients and slides that are not in the lake."),
        ] = False,
        read_again: Annotated[
            bool, typer.Option("--read-again", help="OCR scans once more that were read before.")
        ] = False,
    ) -> int:
        """Take in reports. Those that are in already cost a look; one that cannot go in stops nothing."""
        from slidelake.index.reports import find_files

        if not find_files(paths):  # before a lake is made of a mistyped word
            session.emit({"ok": False})
            session.say("nothing matched: there are no reports (csv, tsv, jsonl, txt, md, pdf)")
            return 4
        lake = session.lake_to_write(dry_run=False)
        with WorkProgress(session.errors, "adding", unit="reports") as progress:
            added = lake.add_reports(
                paths,
                text_column=text_column,
                id_column=id_column,
                patient_column=patient_column,
                slide_column=slide_column,
                title_column=title_column,
                patient_pattern=patient_pattern,
                encoding=encoding,
                ocr_language=ocr_language,
                strict=strict,
                read_again=read_again,
                sync_index=False,
                progress=progress,
            )
        code = 3 if added.refused else 0 if added.taken else 4
        session.emit({"ok": code != 4, **added.to_dict()})
        _say_added(session, added)
        return code


def _register_list(reports: typer.Typer) -> None:
    @command(reports, "list", epilog="Example: slidelake reports list --patient TCGA-B0-4815 --store lake")
    def list_(
        session: Session,
        patient: Annotated[str | None, typer.Option(metavar="ID", help="Of this patient only.")] = None,
        slide: Annotated[
            str | None,
            typer.Option(metavar="ID", help="Of this slide: those that name it, and its patient's."),
        ] = None,
    ) -> int:
        """List the reports: patient, what it is about, slides, where it came from."""
        lake = session.lake()
        heads = lake.store.reports.heads()
        if patient is not None:
            heads = [each for each in heads if each.patient_id == patient]
        if slide is not None:
            catalog = lake.slides.set_index("slide_id")["patient_id"]
            named = {
                each.report_id for each in lake.store.reports.of_slide(slide, str(catalog.get(slide, "")))
            }
            heads = [each for each in heads if each.report_id in named]
        session.emit({"ok": bool(heads), "reports": [each.to_dict() for each in heads]})
        if not heads:
            session.say(
                "there are no such reports" if patient or slide else "no reports yet: slidelake reports add"
            )
            return 4 if patient or slide else 0
        session.say(_list_table(heads))
        if len(heads) > _SHOWN:
            session.say(f"… and {len(heads) - _SHOWN:,} more: --json has all of them")
        return 0


def _register_show(reports: typer.Typer) -> None:
    @command(reports, "show", epilog="Example: slidelake reports show TCGA-B0-4815 --store lake")
    def show(
        session: Session,
        report_id: Annotated[str, typer.Argument(help="As `slidelake reports list` has it.")],
    ) -> None:
        """Show one report with its text, section by section."""
        report = session.lake().store.reports.get(report_id)
        session.emit({"ok": True, **report.to_dict()})
        _say_report(session, report)


def _register_remove(reports: typer.Typer) -> None:
    @command(reports, "remove", epilog="Example: slidelake reports remove TCGA-B0-4815 --store lake")
    def remove(
        session: Session,
        report_ids: Annotated[list[str], typer.Argument(help="As `slidelake reports list` has them.")],
    ) -> None:
        """Remove reports. They may be added again; `slidelake delete --patient` keeps a patient out."""
        store = session.lake().store
        for report_id in report_ids:
            store.reports.get(report_id)  # all of them are there, or none goes
        for report_id in report_ids:
            store.reports.remove(report_id)
        session.emit({"ok": True, "removed": report_ids})
        session.say(
            f"removed: {escape(', '.join(report_ids))}; `slidelake index sync` takes them out of searches"
        )


def _say_added(session: Session, added: "ReportsAdded") -> None:
    """What came in, for people: a small table, the refused with their reasons, and what comes next."""
    if added.taken:
        table = Table(show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        said = {
            "reports": ", ".join(f"{count:,} {what}" for what, count in added.counts.items() if count),
            "patients": f"{added.patients:,}",
            "about slides": f"{added.linked:,} reports, {added.slides:,} slides"
            if added.linked
            else "none yet",
            "sections": _sections(added),
            "read by OCR": f"{added.ocr_pages:,} pages" if added.ocr_pages else "",
        }
        for what, text in said.items():
            if text:
                table.add_row(what, escape(text))
        session.say(table)
    if added.refused:
        table = Table(title="refused")
        for column in ("report", "reason", "what to do"):
            table.add_column(column, overflow="fold")
        for each in added.refused[:_REFUSED_SHOWN]:
            table.add_row(escape(each.source), escape(each.problem), escape(each.remedy))
        session.say(table)
        if len(added.refused) > _REFUSED_SHOWN:
            session.say(f"… and {len(added.refused) - _REFUSED_SHOWN:,} more: --json has all of them")
    for note in added.notes:
        session.say(escape(note))
    if added.made or added.changed:
        session.say(_SYNC)
    elif added.taken and not added.refused:
        session.say("nothing to do: all of them are in the lake")


def _sections(added: "ReportsAdded") -> str:
    if not added.sections:
        return "no headings found"
    found = ", ".join(f"{name.lower()} {count:,}" for name, count in added.sections.items())
    without = f"; {added.without_sections:,} without headings" if added.without_sections else ""
    return found + without


def _list_table(heads: "list[ReportHead]") -> Table:
    table = Table()
    for column in ("report", "patient", "about", "slides", "from"):
        table.add_column(column, overflow="fold")
    for each in heads[:_SHOWN]:
        origin = each.source.kind
        if each.source.ocr_confidence is not None:
            origin += f", OCR {each.source.ocr_confidence:.0f} %"
        table.add_row(
            escape(each.report_id),
            escape(each.patient_id),
            escape(each.title),
            escape(", ".join(each.slide_ids) or "the patient's"),
            origin,
        )
    return table


def _say_report(session: Session, report: "Report") -> None:
    source = report.source
    facts = {
        "report": report.report_id,
        "patient": report.patient_id,
        "slides": ", ".join(report.slide_ids) or "the patient's",
        "title": report.title,
        "from": f"{source.uri} ({source.kind}{f', {source.pages} pages' if source.pages else ''})",
        "OCR": f"mean confidence {source.ocr_confidence:.0f} %" if source.ocr_confidence is not None else "",
        **{str(name): str(value) for name, value in report.metadata.items()},
    }
    for what, text in facts.items():
        if text:
            session.say(f"[dim]{escape(what)}:[/dim] {escape(text)}")
    for section in report.sections:
        if section.name:
            session.say(f"\n[dim]── {section.name.lower()}[/dim]")
        session.console.print(report.text[section.start : section.end].strip(), markup=False, soft_wrap=True)
