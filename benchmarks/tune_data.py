"""Tuning data from real reports and captions: how many rows, what is dropped by which rule, does all evidence resolve?

400 reports (TCGA-Reports, beside the checkout) are taken in by `slidelake reports add`; `slidelake tune-data reports`
makes rows of them by rules alone, without a language model. `slidelake tune-data clean` cleans the captions, questions
and answers of PathGen, Quilt, PathVQA and WSI-VQA that lie beside them. The figures of a part begin with its name.

*_rows          rows that came out; beside it those with yes or no for an answer
*_patients      patients with a row
*_dropped_RULE  what was left out, by rule
*_duplicates    rows that repeat another, exactly or nearly
*_seconds       wall time from the lake to the last file
*_resolved      share of rows whose evidence resolves: the report says the quote at that span
*_killed_same   1 where a run that was killed with SIGKILL half way and started again wrote the same bytes
"""

import hashlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Benchmark, argument_parser
from benchmarks.patch_sets import shared_data

REPORTS = Path("reports", "tcga_reports_subset.jsonl")
CAPTIONS = (
    "quilt_gpt_captions.jsonl", "pathgen_captions_sample.json", "vqa/pathvqa_lxmert_val.json", "vqa/WsiVQA_val.json",
    "vqa/WsiVQA_test.json",
)  # fmt: skip
#: Reports of a quick run.
QUICK = 60
#: Runs the command, and kills itself when it is about to put its tenth file in place.
_KILLED = """
import os, pathlib, signal, sys
put, done = pathlib.Path.replace, []
def replace(path, target):
    done.append(target)
    if len(done) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return put(path, target)
pathlib.Path.replace = replace
import slidelake
from slidelake.services.tuning.data import DataRequest, make_report_data
make_report_data(slidelake.open(sys.argv[2], create=False), DataRequest(pathlib.Path(sys.argv[3])))
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--keep", type=Path, help="keep the data sets in this folder, to look at")
    arguments = parser.parse_args(argv)
    shared = shared_data()
    if shared is None or not (shared / REPORTS).is_file():
        print(f"tune_data needs shared/data/{REPORTS}, which is not beside this checkout", file=sys.stderr)
        return 2
    bench = Benchmark("tune_data", arguments.quick)
    with tempfile.TemporaryDirectory(prefix="slidelake-tune-data-") as scratch:
        out = arguments.keep or Path(scratch, "out")
        for part in PARTS:
            part(bench, shared, Path(scratch), out)
    return bench.finish(arguments.out)


def reports(bench: Benchmark, shared: Path, scratch: Path, out: Path) -> None:
    """Reports → instruction pairs, by rules."""
    import slidelake
    from slidelake.services.tuning.data import DataRequest, make_report_data

    source = shared / REPORTS
    if bench.quick:
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
        source = scratch / "reports.jsonl"
        source.write_text("".join(lines[:: max(1, len(lines) // QUICK)]), encoding="utf-8")
    lake = slidelake.open(scratch / "lake")
    lake.add_reports(source, sync_index=False)
    folder = out / "reports"
    began = time.perf_counter()
    counts = make_report_data(lake, DataRequest(folder))
    seconds = time.perf_counter() - began
    record_counts(bench, "reports", lake, folder, counts, seconds)

    place = scratch / "killed"
    words = [str(4 if bench.quick else 12), lake.store.url, str(place)]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *words], check=False)
    if killed.returncode != -signal.SIGKILL:
        raise RuntimeError(f"the run was to be killed, and ended with {killed.returncode}")
    make_report_data(lake, DataRequest(place))
    bench.record("reports_killed_same", float(_digest(folder) == _digest(place)))
    told = ", ".join(f"{name} {count}" for name, count in counts["by_split"].items())
    bench.note(f"{counts['items']['rows']} patients with a report; rows by split: {told}")


def captions(bench: Benchmark, shared: Path, scratch: Path, out: Path) -> None:
    """Image–text pairs of other collections, cleaned; without their pictures, which are not beside the checkout."""
    import slidelake
    from slidelake.services.tuning.data import CleaningOptions, DataRequest, make_clean_data, source_resolvers

    sources = [shared / "reports" / name for name in (CAPTIONS[:1] if bench.quick else CAPTIONS)]
    folder = out / "captions"
    began = time.perf_counter()
    counts = make_clean_data(sources, DataRequest(folder), CleaningOptions())
    seconds = time.perf_counter() - began
    lake = slidelake.open(scratch / "lake")
    record_counts(bench, "captions", lake, folder, counts, seconds, source_resolvers(folder, sources))


#: One function a part; each records its own figures.
PARTS: tuple[Callable[[Benchmark, Path, Path, Path], None], ...] = (reports, captions)


def record_counts(
    bench: Benchmark,
    name: str,
    lake: Any,
    folder: Path,
    counts: dict[str, Any],
    seconds: float,
    resolvers: Mapping[str, Any] | None = None,
) -> None:
    """The figures that every part has, from its counts.json and a look at all of its evidence."""
    from slidelake.services.tuning.data import read_rows, verify_rows

    bench.record(f"{name}_rows", counts["rows"], shown=f"closed: {counts['by_kind'].get('closed', 0)}")
    bench.record(f"{name}_patients", sum(counts["patients"].values()))
    dropped: dict[str, int] = {}
    for rules in counts["dropped"].values():
        for rule, count in rules.items():
            dropped[rule] = dropped.get(rule, 0) + count
    for rule, count in sorted(dropped.items()):
        bench.record(f"{name}_dropped_{rule}", count)
    bench.record(f"{name}_duplicates", sum(counts["duplicates"].values()))
    bench.record(f"{name}_seconds", seconds)
    found = verify_rows(lake, read_rows(folder), folder=folder, resolvers=resolvers)
    bench.record(f"{name}_resolved", found.share, shown="demanded: 1")


def _digest(folder: Path) -> str:
    """Of all files that a run leaves, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
