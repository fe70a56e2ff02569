"""Reports → rows: whose they are, what stands against them, endpoints that lie, runs that are killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slidelake.errors import EndpointError, UnknownSpaceError, UsageError
from slidelake.services.tuning.data import (
    DataRequest,
    Prompt,
    Reply,
    TuningRow,
    make_report_data,
    read_rows,
    report_rows,
    verify_rows,
)
from slidelake.services.tuning.data.report_answers import asked_of_writer
from slidelake.services.tuning.data.report_questions import TOPICS
from tests.index.lakes import SPACE, features, put_slide
from tests.services.answers.endpoint_server import Call, breaks_after, endpoint_server, says
from tests.services.tuning.data.lakes import GERMAN, TEXTS, bytes_of, make_lake, report


def made(folder: Path, lake: Any, **options: Any) -> tuple[dict[str, Any], list[TuningRow]]:
    names = ("space", "wordings", "need_slides")
    own = {name: options.pop(name) for name in names if name in options}
    counts = make_report_data(lake, DataRequest(folder, **options), **own)
    return counts, list(read_rows(folder))


def test_every_row_traces_to_its_report(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    counts, rows = made(tmp_path / "out", lake, licence="CC0")
    assert counts["rows"] == len(rows) == 21
    assert rows == [row for row in rows if row.licence == "CC0" and row.space == SPACE]
    asked = {(row.slide_id, row.made_by["topic"]): row for row in rows}
    grade = asked["S0", "fuhrman-grade"]
    assert grade.answer == "Fuhrman grade 2"
    assert grade.turns[0].text.startswith("<image>\n")
    assert "Fuhrman grade 2" in grade.evidence[0].quote
    found = verify_rows(lake, rows)
    assert (found.resolved, found.share) == (21, 1.0)
    assert list(report_rows(lake, licence="CC0")) == [
        TuningRow.read(row.to_dict() | {"split": ""}) for row in rows
    ]
    # Evidence that was tampered with, or whose report has changed, does not resolve.
    lake.store.reports.put(report("R-P0", "P0", TEXTS["P0"] + " Addendum."))
    lake.store.reports.remove("R-P1")
    found = verify_rows(lake, rows)
    assert found.resolved == 6
    assert found.reasons == {"its report has another text by now": 9, "its report is not in the lake": 6}
    other = TuningRow.read(rows[1].to_dict() | {"split": "test" if rows[0].split != "test" else "val"})
    with pytest.raises(UsageError, match="leaks between its splits"):
        verify_rows(lake, [rows[0], other])


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    texts = {
        "P0": TEXTS["P0"],
        "P1": GERMAN,
        "P2": "-- 12 /// x",
        "P3": TEXTS["P1"],
        "P4": TEXTS["P1"].upper(),  # the same text under two patients would leak between splits
    }
    lake = make_lake(tmp_path / "lake", texts)
    put_slide(lake.store, "alone", features(7), patient="P9")
    lake.store.reports.put(report("elsewhere", "P8", TEXTS["P2"]))
    counts, rows = made(tmp_path / "out", lake)
    assert {row.patient_id for row in rows} == {"P0", "P8"}
    assert counts["dropped"]["rows"] == {
        "report-not-english-de": 1,
        "report-of-another-patient-too": 2,
        "report-without-words": 1,
        "slide-without-report": 1,
    }
    assert counts["text_only_rows"] == 6
    counts, rows = made(tmp_path / "slides", lake, need_slides=True)
    assert counts["text_only_rows"] == 0
    assert counts["dropped"]["rows"]["report-no-slide"] == 1


def test_two_reports_of_one_slide(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake", {"P0": TEXTS["P0"]})
    other = TEXTS["P0"].replace("grade 2", "grade 3").replace("Tumor size", "The tumor")
    lake.store.reports.put(report("second", "P0", other))
    counts, rows = made(tmp_path / "out", lake)
    assert counts["dropped"]["rows"] == {"reports-disagree": 1, "same-in-another-report": 8}
    assert "fuhrman-grade" not in {row.made_by["topic"] for row in rows}
    assert len(rows) == 8


def test_reports_that_name_their_slides(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake", {"P0": TEXTS["P0"]})
    put_slide(lake.store, "S-b", features(3), patient="P0")
    put_slide(lake.store, "S-other", features(4), patient="P0", encoder="other.89ab0123")
    lake.store.reports.put(report("R-P0", "P0", TEXTS["P0"], ("s0", "not-in-the-lake")))
    lake.store.reports.put(report("second", "P0", TEXTS["P1"], ("S-b",)))
    with pytest.raises(UnknownSpaceError, match="several spaces"):
        made(tmp_path / "out", lake)
    counts, rows = made(tmp_path / "out", lake, space="toy")
    said = {row.slide_id: row.answer for row in rows if row.made_by["topic"] == "organ"}
    assert said == {"S0": "Kidney", "S-b": "Prostate"}
    assert counts["dropped"]["rows"] == {"slide-without-features": 1}


def test_the_deleted_never_appear(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    _, rows = made(tmp_path / "out", lake)
    lake.delete(patient="P1")
    counts, after = made(tmp_path / "out", lake)
    assert {row.patient_id for row in after} == {"P0", "P2"}
    assert all(
        b"P1" not in data for name, data in bytes_of(tmp_path / "out").items() if name != "rows.parquet"
    )
    found = verify_rows(lake, rows)
    assert found.resolved == counts["rows"] == 15
    assert found.reasons["deleted from the lake"] == 6


HISTOLOGY = {question.text for question in TOPICS["histology"].questions}


def answers(call: Call) -> dict[str, str]:
    """What a careful model says of the kind of tumour; all else it leaves."""
    passages = [
        json.loads(line)["passage"] for line in call.prompt.splitlines() if line.startswith('{"passage"')
    ]
    asked = call.prompt.rpartition("Question: ")[2]
    for passage in passages:
        if "renal cell carcinoma" in passage and asked in HISTOLOGY:
            return {"answer": "Renal cell carcinoma", "quote": "renal cell  carcinoma"}
    return {"answer": "not stated", "quote": ""}


def careful(call: Call) -> None:
    says(json.dumps(answers(call)))(call)


def test_an_endpoint_answers_from_the_report(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake", {"P0": TEXTS["P0"]})
    with endpoint_server(careful) as server:
        options = {"generator": "endpoint", "endpoint": server.url, "model": "m"}
        counts, rows = made(tmp_path / "out", lake, workers=2, **options)
        asked = len(server.calls)
        made(tmp_path / "out", lake, **options)
        assert len(server.calls) == asked  # it was done
    assert {row.made_by["topic"] for row in rows} == {"histology"}
    assert rows[0].made_by["generator"] == "m"
    assert [each.kind for each in rows[0].evidence] == ["report", "answer"]
    assert rows[0].evidence[0].quote == "renal cell carcinoma"
    assert counts["dropped"]["rows"]["answer-not-stated"] == asked - len(rows)
    assert verify_rows(lake, rows, folder=tmp_path / "out").share == 1.0
    assert verify_rows(lake, rows).resolved == 0  # nobody looks the answers up
    again = {"generator": "recorded", "recorded": tmp_path / "out" / "answers.jsonl"}
    _, repeated = made(tmp_path / "recorded", lake, **again)
    assert [row.answer for row in repeated] == [row.answer for row in rows]


@pytest.mark.parametrize(
    ("reply", "rule"),
    [
        ('{"answer": "Renal cell carcinoma", "quote": "left"}', "answer-not-in-quote"),
        ('{"answer": "Renal", "quote": "not in the report"}', "answer-quote-not-found"),
        ('{"answer": "A mass of 3.7 cm", "quote": "3.7 cm"}', "answer-measurement"),
        ('{"answer": "Received in formalin", "quote": "left"}', "answer-specimen-handling"),
        ('{"answer": "a b c d e f g h i j k l", "quote": "left"}', "answer-too-long"),
        ('{"answer": 3, "quote": "left"}', "answer-malformed"),
        ('{"answer": "Yes", ', "answer-malformed"),
        ("I'm sorry, I cannot read reports.", "answer-refused"),
        ("You read passages of one pathology report and answer one question.", "answer-leaked"),
        ("left kidney left kidney left kidney left kidney left kidney", "answer-repeated"),
        ("", "answer-empty"),
    ],
)
def test_what_a_model_must_not_say(reply: str, rule: str) -> None:
    class Writer:
        name = "m"

        def write(self, prompt: Prompt) -> Reply:
            return Reply(reply)

    found, dropped = asked_of_writer(report("R", "P0", TEXTS["P0"]), Writer(), seed=0, wordings=1)
    assert found == []
    assert dropped.pop(rule) > 0
    closed = {"answer-neither-yes-nor-no"} if rule == "answer-not-in-quote" else set()
    assert set(dropped) <= {"answer-nothing-retrieved", *closed}


@pytest.mark.parametrize(
    ("text", "quote", "answer", "kept"),
    [
        ("Perineural invasion is present.", "Perineural invasion is present", "Yes", True),
        ("Perineural invasion is present.", "Perineural invasion is present", "No", False),
        ("Perineural invasion is not identified.", "invasion is not identified", "No", True),
        ("Perineural invasion is not identified.", "invasion is not identified", "yes.", False),
    ],
)
def test_yes_and_no_must_agree_with_the_quote(text: str, quote: str, answer: str, kept: bool) -> None:
    class Writer:
        name = "m"

        def write(self, prompt: Prompt) -> Reply:
            asked = "perineural" in prompt.user.rpartition("Question:")[2]
            return Reply(json.dumps({"answer": answer if asked else "not stated", "quote": quote}))

    found, dropped = asked_of_writer(
        report("R", "P0", f"FINAL DIAGNOSIS\n{text}"), Writer(), seed=0, wordings=3
    )
    assert {each.topic for each in found} <= {"perineural-invasion"}
    assert bool(found) is kept
    assert (dropped["answer-quote-says-otherwise"] > 0) is not kept


def test_an_endpoint_that_dies_ends_the_run_which_goes_on(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake", {"P0": TEXTS["P0"]}, slides=False)
    with endpoint_server(careful) as server:
        options = {"generator": "endpoint", "endpoint": server.url, "model": "m"}
        made(tmp_path / "whole", lake, **options)
        asked = len(server.calls)

        def dies(call: Call) -> None:
            (careful if len(server.calls) < asked + 9 else breaks_after("{"))(call)

        server.play = dies
        with pytest.raises(EndpointError, match="goes on where it stopped"):
            make_report_data(lake, DataRequest(tmp_path / "out", **options))  # type: ignore[arg-type]
        server.play = careful
        before = len(server.calls)
        made(tmp_path / "out", lake, **options)
        assert len(server.calls) - before == asked - 8  # what was answered is not asked again
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


#: Runs the command, and kills itself with SIGKILL when it is about to put its file number `at` in place.
KILLED = """
import os, pathlib, signal, sys
at, put = int(sys.argv.pop(1)), pathlib.Path.replace
done = []
def replace(path, target):
    done.append(target)
    if len(done) == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(path, target)
pathlib.Path.replace = replace
from slidelake.services.cli.app import main
main()
"""


@pytest.mark.parametrize("at", [3, 7], ids=["in the second shard", "while the forms are written"])
def test_a_killed_run_goes_on(tmp_path: Path, at: int) -> None:
    texts = {
        f"P{n:02}": f"{TEXTS[f'P{n % 3}']}\nCase number {n} of the series, seen by one reader."
        for n in range(20)
    }
    lake = make_lake(tmp_path / "lake", texts, slides=False)
    counts, rows = made(tmp_path / "whole", lake)
    words = ["tune-data", "reports", str(tmp_path / "out"), "--store", lake.store.url]
    killed = subprocess.run([sys.executable, "-c", KILLED, str(at), *words], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    shards = list((tmp_path / "out" / "steps" / "rows").glob("*.jsonl"))
    assert len(shards) == min(at - 2, 2)
    assert not (tmp_path / "out" / "counts.json").exists()
    before = {path.name: path.stat().st_mtime_ns for path in shards}
    again, resumed = made(tmp_path / "out", lake)
    assert again == counts
    assert resumed == rows
    assert all((shards[0].parent / name).stat().st_mtime_ns == when for name, when in before.items())
    left = bytes_of(tmp_path / "out")
    assert {name: data for name, data in left.items() if "/." not in f"/{name}"} == bytes_of(
        tmp_path / "whole"
    )


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    import slidelake

    empty = slidelake.open(tmp_path / "empty")
    with pytest.raises(UsageError, match="has no reports"):
        make_report_data(empty, DataRequest(tmp_path / "out"))
    with pytest.raises(UsageError, match="9 wordings"):
        make_report_data(empty, DataRequest(tmp_path / "out"), wordings=9)
    with pytest.raises(UsageError, match="at least one worker"):
        DataRequest(tmp_path, workers=0)
    with pytest.raises(UsageError, match="the generator is none"):
        DataRequest(tmp_path, endpoint="http://127.0.0.1:1/v1")
