"""`slidelake tune-eval answers|judge|few-shot|zero-shot|robustness`: how good answers are, and what features know."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.errors import MissingDependencyError, UsageError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command
from slidelake.services.cli.tune_eval_probe import finite, register_probes

if TYPE_CHECKING:
    from slidelake.services.tuning.evaluation import Agreement, Case, Judge, Judgement, Matched

_NAMED = 5
#: Figures between 0 and 100; all others are between 0 and 1.
_PERCENT = ("bleu", "chrf")

RowsArgument = Annotated[Path, typer.Argument(help="rows.jsonl that `slidelake tune-data` wrote.")]
PredictionsArgument = Annotated[
    Path, typer.Argument(help='JSONL, one object a line: {"id": "…", "prediction": "…"}.')
]
SplitOption = Annotated[
    str, typer.Option(metavar="NAME", help="Rows of this split; all: every row. Default: test where named.")
]
DrawsOption = Annotated[int, typer.Option(min=100, help="Bootstrap draws of patients.")]
SeedOption = Annotated[int, typer.Option(help="Of the draws.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Evaluate answers of tuned models, and encoders by their features.",
        epilog="Example: slidelake tune-eval answers rows.jsonl predictions.jsonl",
        no_args_is_help=True,
    )
    app.add_typer(group, name="tune-eval")
    _register_answers(group)
    _register_judge(group)
    register_probes(group)


def _register_answers(group: typer.Typer) -> None:
    @command(
        group, "answers", epilog="Example: slidelake tune-eval answers rows.jsonl predictions.jsonl --json"
    )
    def answers(
        session: Session,
        rows: RowsArgument,
        predictions: PredictionsArgument,
        split: SplitOption = "",
        embed: Annotated[
            bool, typer.Option("--embed/--no-embed", help="Nearness of meaning by a sentence encoder too.")
        ] = True,
        draws: DrawsOption = 1000,
        seed: SeedOption = 0,
    ) -> int:
        """Closed accuracy, open recall and precision, BLEU, chrF, ROUGE and similarity, with intervals by patient.

        A row without a prediction counts as a wrong answer. Exit code 3: rows or predictions have no partner.
        """
        from slidelake.encoders.text import create_text_encoder
        from slidelake.services.tuning.evaluation import measure_answers

        matched = _matched(rows, predictions, split)
        notes = []
        encoder = None
        if embed:
            try:
                encoder = create_text_encoder("minilm")
            except MissingDependencyError as exc:
                notes.append(f"no similarity: {exc.problem}")
        with session.errors.status(f"measuring {len(matched.rows):,} answers"):
            found = measure_answers(matched, encoder=encoder, draws=draws, seed=seed)
        code = 0 if matched.complete else 3
        result = found.to_dict()
        result["notes"] = [*found.notes, *notes]
        session.emit({"ok": True, "exit_code": code, **finite(result)})
        table = Table(title=f"{found.answers:,} answers of {found.patients:,} patients (95 % intervals)")
        tasks = [task for task in found.figures if task == "all" or len(found.figures) > 2]
        for column in ("measure", *tasks):
            table.add_column(escape(column))
        for name in dict.fromkeys(name for task in tasks for name in found.figures[task]):
            cells = []
            for task in tasks:
                each = found.figures[task].get(name)
                cells.append(
                    _shown((each.value, each.low, each.high), 1 if name in _PERCENT else 3)
                    + f"  n {each.answers}"
                    if each
                    else ""
                )
            table.add_row(name, *cells)
        session.say(table)
        _say_unmatched(session, matched)
        if found.unreadable:
            session.say(escape(f"took no choice, or several: {listed(found.unreadable)}"))
        for note in result["notes"]:
            session.say(escape(f"note: {note}"))
        return code


def _register_judge(group: typer.Typer) -> None:
    @command(
        group,
        "judge",
        epilog="Example: slidelake tune-eval judge rows.jsonl predictions.jsonl --rules --store lake",
    )
    def judge(
        session: Session,
        rows: RowsArgument,
        predictions: PredictionsArgument,
        split: SplitOption = "",
        reports: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help='JSONL of {"report_id", "text"}; else the lake\'s reports.'),
        ] = None,
        against_answer: Annotated[
            bool, typer.Option("--against-answer", help="Judge against the row's own answer, not a report.")
        ] = False,
        rules: Annotated[
            bool, typer.Option("--rules", help="The judge without a model, whatever endpoint is set.")
        ] = False,
        endpoint: Annotated[
            str | None, typer.Option(metavar="URL", help="Who judges. [env: SLIDELAKE_LLM_URL]")
        ] = None,
        model: Annotated[
            str | None, typer.Option(metavar="NAME", help="Its model. [env: SLIDELAKE_LLM_MODEL]")
        ] = None,
        apart: Annotated[
            bool, typer.Option("--apart", help="A request for each criterion: seven times as many.")
        ] = False,
        agreement: Annotated[
            bool,
            typer.Option(
                "--agreement", help="Ask again: repeats, orders, positions, wordings (seven times more)."
            ),
        ] = False,
        out: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="Write each verdict with its evidence there, as JSONL."),
        ] = None,
        draws: DrawsOption = 1000,
        seed: SeedOption = 0,
    ) -> int:
        """Judge open answers against the reports by seven criteria, each on its own and with its evidence.

        Accepted is an answer that agrees in something and contradicts the report in nothing; its form and length are
        no part of that. Exit code 3: rows without a prediction or report, answers without a verdict.
        """
        from slidelake.services.tuning.evaluation import (
            EndpointJudge,
            judge_answers,
            measure_agreement,
            reference_of,
        )

        matched = _matched(rows, predictions, split)
        texts = None if against_answer else _reports(session, reports, matched)
        cases: list[Case] = []
        without = []
        for row, text in zip(matched.rows, matched.predictions, strict=True):
            if row.kind == "closed" or row.id in matched.missing:
                continue
            case = reference_of(row, text, texts)
            without += [row.id] if case is None else []
            cases += [case] if case is not None else []
        closed = sum(row.kind == "closed" for row in matched.rows)
        chosen = _judge(rules, endpoint, model, apart)
        with WorkProgress(session.errors, "judging", unit="answers") as progress:
            found = judge_answers(cases, chosen, progress=progress)
        again: list[Agreement] = []
        if agreement:
            with WorkProgress(session.errors, "asking again", unit="answers") as progress:
                again = measure_agreement(cases, chosen, first=found.verdicts, seed=seed, progress=progress)
        result = found.to_dict(draws=draws, seed=seed)
        verdicts = result.pop("verdicts") if out is not None else result["verdicts"]
        cut = sorted(chosen.cut) if isinstance(chosen, EndpointJudge) else []
        code = 0 if matched.complete and not without and found.judged == len(found.cases) else 3
        session.emit(
            {
                "ok": True,
                "exit_code": code,
                **finite(result),
                "agreement": finite([each.to_dict() for each in again]),
                "missing": matched.missing,
                "unknown": matched.unknown,
                "closed": closed,
                "without_report": without,
                "reports_cut": cut,
                "out": str(out) if out else None,
            }
        )
        _say_judgement(session, found, again, draws, seed)
        _say_unmatched(session, matched)
        if without:
            session.say(escape(f"no report is known of {len(without)} rows: {listed(without)}"))
        if closed:
            session.say(f"{closed} closed rows are not judged: `slidelake tune-eval answers` counts them")
        if cut:
            session.say(escape(f"{len(cut)} reports were sent without their end, as too long: {listed(cut)}"))
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in verdicts)
            out.write_text("".join(lines), encoding="utf-8")
            session.say(f"wrote {out}")
        return code


def _matched(rows: Path, predictions: Path, split: str) -> "Matched":
    from slidelake.services.tuning.evaluation import match, read_predictions, read_rows

    every = read_rows(rows)
    wanted = split or ("test" if any(row.split == "test" for row in every) else "all")
    chosen = every if wanted == "all" else read_rows(rows, split=wanted)
    return match(chosen, read_predictions(predictions), others=[row.id for row in every])


def _reports(session: Session, path: Path | None, matched: "Matched") -> dict[str, str]:
    """Texts by report id: of a file, else of the lake those that the rows name."""
    if path is None:
        wanted = {each.source for row in matched.rows for each in row.evidence if each.kind == "report"}
        store = session.lake().store
        return {report.report_id: report.text for report in store.reports.iterate(sorted(wanted))}
    found: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} cannot be read ({exc})", remedy="Name a JSONL file in UTF-8.") from exc
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            name, text = values.get("report_id", values.get("id")), values["text"]
        except (json.JSONDecodeError, AttributeError, KeyError) as exc:
            raise UsageError(
                f"line {number} of {path} is no report ({type(exc).__name__}: {exc})",
                remedy='Write one object a line: {"report_id": "…", "text": "…"}.',
            ) from exc
        found[str(name)] = str(text)
    return found


def _judge(rules: bool, endpoint: str | None, model: str | None, apart: bool) -> "Judge":
    from slidelake.services.answers import Endpoint
    from slidelake.services.tuning.evaluation import EndpointJudge, RulesJudge

    if rules and (endpoint or model):
        raise UsageError("--rules asks no endpoint", remedy="Pass --rules, or --endpoint and --model.")
    found = None if rules else Endpoint.from_environment(endpoint, model, max_tokens=2_000)
    return RulesJudge() if found is None else EndpointJudge(found, apart=apart)


def _say_judgement(
    session: Session, found: "Judgement", again: "list[Agreement]", draws: int, seed: int
) -> None:
    session.say(escape(f"judge: {found.judge}; {found.judged:,} of {len(found.cases):,} answers judged"))
    if found.malformed:
        told = ", ".join(f"{reason} {count}" for reason, count in found.malformed.items())
        session.say(escape(f"replies that were no verdict: {told}"))
    accepted = found.share(lambda verdict: verdict.accepted, draws=draws, seed=seed)
    complete = found.share(lambda verdict: verdict.complete, draws=draws, seed=seed)
    session.say(f"accepted {_shown(accepted, 3)}; and nothing left out {_shown(complete, 3)}")
    counts = found.criteria()
    table = Table(title="answers by criterion and verdict")
    table.add_column("criterion")
    for verdict in next(iter(counts.values())):
        table.add_column(verdict, justify="right")
    for name, each in counts.items():
        table.add_row(name, *(f"{count:,}" for count in each.values()))
    session.say(table)
    faults = found.to_dict(draws=0)["form"]["faults"]
    told = ", ".join(f"{name} {count}" for name, count in faults.items()) or "none"
    session.say(f"faults of form, which no verdict looks at: {told}")
    if again:
        table = Table(title="the same verdict when asked again (Cohen's kappa)")
        for column in ("what changes", "kappa", "equal verdicts", "accepted alike"):
            table.add_column(column)
        for one in again:
            kappa = (
                "every verdict the same" if one.kappa is None else _shown((one.kappa, one.low, one.high), 3)
            )
            table.add_row(one.kind, kappa, f"{one.same:.1%}", f"{one.accepted_same:.1%}")
        session.say(table)


def _say_unmatched(session: Session, matched: "Matched") -> None:
    if matched.missing:
        session.say(escape(f"{len(matched.missing)} rows have no prediction: {listed(matched.missing)}"))
    if matched.unknown:
        session.say(escape(f"{len(matched.unknown)} predictions are of no row: {listed(matched.unknown)}"))


def _shown(ends: tuple[float, float | None, float | None], digits: int) -> str:
    value, low, high = ends
    if math.isnan(value):
        return "unknown"
    interval = "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f}{interval}"


def listed(names: tuple[str, ...] | list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
