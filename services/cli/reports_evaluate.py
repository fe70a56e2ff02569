"""`slidelake reports evaluate`: how well questions find the reports that answer them."""

from pathlib import Path
from typing import Annotated, cast

import typer
from rich.table import Table

from slidelake.errors import MissingDependencyError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command

_SHOWN = ("recall@1", "recall@5", "recall@10", "mrr@10", "ndcg@10")


def register(app: typer.Typer) -> None:
    """Adds the command to the group `reports`, which stands before this one in the list of commands."""
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    reports = cast(typer.Typer, groups["reports"])

    @command(reports, "evaluate", epilog="Example: slidelake reports evaluate --part test --store lake")
    def evaluate(
        session: Session,
        records: Annotated[
            Path | None,
            typer.Argument(help="JSONL with labels of these reports; else the lake's own texts alone."),
        ] = None,
        part: Annotated[
            str, typer.Option(help="develop or practice, to choose by; test or confirm, to report.")
        ] = "test",
        seed: Annotated[int, typer.Option(help="Which half of the reports is which.")] = 0,
        questions: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Also write the questions there, as JSONL.")
        ] = None,
    ) -> int:
        """Make questions from the lake's reports in other words, and score text, vector and hybrid search."""
        from dataclasses import asdict
        from json import dumps

        from slidelake.index.reports import (
            MODES,
            Mode,
            Part,
            evaluate_reports,
            make_questions,
            read_records,
            records_of,
            wording_overlap,
        )

        lake = session.lake()
        own = records_of(lake.store)
        given = read_records(str(records), lake.store.reports.ids()) if records else own
        asked = make_questions(given, seed=seed, part=cast(Part, part))
        if questions is not None:
            questions.write_text("".join(dumps(asdict(each)) + "\n" for each in asked), encoding="utf-8")
        modes: tuple[Mode, ...] = MODES
        try:
            lake.index.search_reports("tumour", k=1, mode="vector")
        except MissingDependencyError as exc:
            modes = ("text",)
            session.errors.print(
                f"note: text search alone is scored: {exc.problem}", soft_wrap=True, markup=False
            )
        with WorkProgress(session.errors, "asking", unit="questions") as progress:
            result = evaluate_reports(lake.index, asked, modes=modes, progress=progress)
        texts = {record["report_id"]: record["text"] for record in own}
        answered = [each for each in asked if each.report_ids]
        overlap = {
            kind: sum(wording_overlap(each, texts) for each in answered if each.kind == kind)
            / max(1, sum(each.kind == kind for each in answered))
            for kind in result.kinds
        }
        figures = {**result.to_dict(), "part": part, "seed": seed, "wording_overlap": overlap}
        session.emit({"ok": True, **figures})
        table = Table(title=f"{part} questions over {len(own):,} reports (means, 95 % intervals)")
        for column in ("questions", "search", *_SHOWN):
            table.add_column(column)
        for kind in result.kinds:
            for mode in sorted(result.ranked, key=("text", "vector", "hybrid").index):
                cells = [result.mean(mode, kind, measure) for measure in _SHOWN]
                shown = [f"{each.mean:.3f} ({each.low:.2f}–{each.high:.2f})" for each in cells]
                table.add_row(f"{kind} ({len(result.values(mode, kind, 'hit@5'))})", mode, *shown)
        session.say(table)
        for kind, share in overlap.items():
            session.say(
                f"{kind}: {share:.1%} of a question's content words stand in a report that answers it"
            )
        return 0
