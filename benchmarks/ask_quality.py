"""Are reports found, answers cited right, and questions without an answer left unanswered?

400 real pathology reports (TCGA-Reports, beside the checkout) are taken in by `slidelake reports add`. The questions
are made from them by frozen templates, in other words than the reports' (`index/reports/questions.py`). The figures are
those of the part "test". Its wording has the same author as the search's synonyms, and it has been looked at; figures
whose names end in `_confirm` are of wording by one who knew neither, measured on alone (`index/reports/wording.py`).

recall5_*           one-report questions: the report that answers is among the first five
citation_precision  of all citations given for one-report questions, the share whose report answers; beside it
right_rate          the share of these questions whose answer cites that report: abstaining does not improve it
abstain_rate        questions that no report answers: the share that got no answer; beside it
answered_rate       questions that reports answer: the share that got an answer
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks.harness import Benchmark, argument_parser
from benchmarks.patch_sets import shared_data

if TYPE_CHECKING:
    from slidelake.services import Lake

PARTS = ("develop", "test", "practice", "confirm")
REPORTS = Path("reports", "tcga_reports_subset.jsonl")
#: Reports of a quick run; their share of rare facts is smaller, so that its questions are other ones.
QUICK = 60


def main(argv: Sequence[str] | None = None) -> int:
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--lake",
        type=Path,
        help="keep the lake in this folder, or use the one that an earlier run kept there",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=["test", "confirm"],
        help="which questions, the first unmarked",
    )
    arguments = parser.parse_args(argv)
    reports = _reports()
    if reports is None:
        print(f"ask_quality needs shared/data/{REPORTS}, which is not beside this checkout", file=sys.stderr)
        return 2
    bench = Benchmark("ask_quality", arguments.quick)
    with tempfile.TemporaryDirectory(prefix="slidelake-ask-") as scratch:
        folder = arguments.lake or Path(scratch, "lake")
        if arguments.quick:
            lines = reports.read_text(encoding="utf-8").splitlines(keepends=True)
            few = Path(scratch, "reports.jsonl")
            few.write_text("".join(lines[:: max(1, len(lines) // QUICK)]), encoding="utf-8")
            reports = few
        _measure(bench, folder, reports, arguments.parts)
    return bench.finish(arguments.out)


def _measure(bench: Benchmark, folder: Path, reports: Path, parts: Sequence[str]) -> None:
    import slidelake
    from slidelake.index.reports import read_records

    lake = slidelake.open(folder)
    lake.add_reports(reports)
    lake.index.sync()
    records = read_records(str(reports), lake.store.reports.ids())
    for part in parts:
        _of_part(bench, lake, records, part, "" if part == parts[0] else f"_{part}")


def _of_part(
    bench: Benchmark, lake: "Lake", records: Sequence[Mapping[str, Any]], part: str, ending: str
) -> None:
    from slidelake.index.reports import Part, evaluate_reports, make_questions
    from slidelake.services.answers import evaluate_answers

    questions = make_questions(records, part=cast(Part, part))
    found = evaluate_reports(lake.index, questions)
    for mode in ("hybrid", "vector", "text"):
        bench.record(f"recall5_{mode}{ending}", found.mean(mode, "one-report", "recall@5").mean)
    answers = evaluate_answers(lake, questions)
    bench.record(f"citation_precision{ending}", answers.citation_precision(), shown="demanded: 0.9")
    bench.record(f"right_rate{ending}", answers.right_rate())
    bench.record(f"abstain_rate{ending}", answers.abstain_rate, shown="demanded: 0.9")
    bench.record(f"answered_rate{ending}", answers.answered_rate, shown="demanded: 0.85")
    counts = answers.to_dict()["questions"]
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    bench.note(f"part {part} over {len(records)} reports: {told} questions; answers are made of quotes")


def _reports() -> Path | None:
    folder = shared_data()
    path = folder / REPORTS if folder is not None else None
    return path if path is not None and path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
