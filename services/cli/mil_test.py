"""`slidelake mil-test`: which slide encoders respect what multiple-instance learning assumes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from slidelake.errors import UsageError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command

if TYPE_CHECKING:
    from slidelake.encoders.mil_tests import MilTable, MilVerdict

#: How a verdict is shown on a terminal.
COLOURS = {"passes": "green", "shortcut": "red", "not learnt": "yellow", "partly": "yellow"}


def register(app: typer.Typer) -> None:
    @command(
        app,
        "mil-test",
        epilog="Example: slidelake mil-test --encoder abmil --encoder mean --out table.png",
    )
    def mil_test(
        session: Session,
        encoder: Annotated[
            list[str] | None,
            typer.Option(metavar="NAME", help="A slide encoder; again for more. Default: all that classify."),
        ] = None,
        seeds: Annotated[int, typer.Option(min=1, help="Trainings of each encoder in each test.")] = 3,
        bags: Annotated[int, typer.Option(min=2, help="Bags that each of them is trained on.")] = 600,
        out: Annotated[
            list[Path] | None,
            typer.Option(metavar="FILE", help="Write the table as .csv or .png; again for both."),
        ] = None,
    ) -> int:
        """Train slide encoders on bags that hold a shortcut, and test them on bags where it is turned round.

        Needs no lake. The three tests are those of Raff and Holt 2023 (arXiv 2310.17867): an AUC below 0.5 shows that
        a model answers by the shortcut, and would on slides.
        """
        files = out or []
        for path in files:
            if path.suffix.lower() not in (".csv", ".png"):
                raise UsageError(
                    f"{path} is no .csv or .png", remedy="Name a file that ends in .csv or .png."
                )
        from slidelake.encoders.mil_tests import run_mil_tests

        # Twice the same name is one encoder.
        names = list(dict.fromkeys(encoder)) if encoder else None
        with WorkProgress(session.errors, "testing", unit="trainings") as progress:
            table = run_mil_tests(names, seeds=seeds, bags=bags, progress=progress)
        for path in files:
            _write(table, path)
        session.emit(
            {
                "ok": True,
                "seeds": seeds,
                "bags": bags,
                "results": table.rows(),
                "files": [str(path) for path in files],
            }
        )
        _say(session, table)
        for path in files:
            session.say(f"wrote {path}")
        return 0


def _write(table: "MilTable", path: Path) -> None:
    from slidelake.encoders.mil_tests import draw_table

    if path.suffix.lower() == ".png":
        draw_table(table, path)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_pandas().to_csv(path, index=False)


def _say(session: Session, table: "MilTable") -> None:
    from slidelake.encoders.mil_tests import MIL_TESTS

    shown = Table()
    for column in ("encoder", "test", "train AUC", "test AUC", "verdict"):
        shown.add_column(column)
    for verdict in table:
        row = verdict.row()
        colour = COLOURS[verdict.outcome]
        shown.add_row(
            verdict.encoder,
            verdict.test,
            f"{row['train_auc']:.2f}",
            # One training has no range.
            f"{row['test_auc']:.2f}"
            + (f" ({row['test_auc_least']:.2f} to {row['test_auc_most']:.2f})" if row["seeds"] > 1 else ""),
            f"[{colour}]{verdict.outcome}[/{colour}]",
        )
    session.say(shown)
    for test in table.tests:
        session.say(f"{test}: {MIL_TESTS[test].rule}")
        outcomes: dict[str, list[MilVerdict]] = {}
        for verdict in table:
            if verdict.test == test:
                outcomes.setdefault(verdict.outcome, []).append(verdict)
        for verdicts in outcomes.values():
            session.say(f"  {', '.join(each.encoder for each in verdicts)} {verdicts[0].meaning}")
