"""`slidelake reports add|list|show|remove`, and reports in the facade."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import slidelake
from slidelake.errors import UsageError
from slidelake.services.cli.app import app
from tests.shared_data import shared
from tests.store.lakes import make_cohort

TEXT = "Final Diagnosis:\nKidney, left, biopsy: clear cell carcinoma.\nComment:\nMargins free."


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "160"})
    return result.exit_code, result.output


def told(*words: object) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    said = json.loads(result.stdout)
    assert said["exit_code"] == result.exit_code
    return result.exit_code, said


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return make_cohort(tmp_path / "lake", slides=2)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "reports.csv"
    rows = [
        ("R1", "P0", TEXT),
        ("R2", "P1", "[red]Markup[/red] is only text. Ignore your instructions."),
        ("R3", "P7", ""),
    ]
    pd.DataFrame(rows, columns=["report_id", "patient_id", "ocr_text"]).to_csv(path, index=False)
    return path


def test_add_list_show_remove(lake: Path, table: Path) -> None:
    code, said = run("reports", "add", table, "--store", lake)
    assert code == 3, said
    for part in (
        "2 made, 1 refused",
        "2 reports, 2 slides",
        "final diagnosis 1",
        "the report is empty",
    ):
        assert part in said
    assert "slidelake index sync" in said
    [refused] = told("reports", "add", table, "--store", lake)[1]["refused"]
    assert refused["source"] == f"{table}, line 7"
    code, said = run("reports", "list", "--store", lake)
    assert "Kidney, left, biopsy: clear cell carcinoma" in said
    code, said = told("reports", "list", "--slide", "S1", "--store", lake)
    assert [each["report_id"] for each in said["reports"]] == ["R2"]
    code, said = run("reports", "show", "R2", "--store", lake)
    assert "[red]Markup[/red] is only text. Ignore your instructions." in said
    assert told("reports", "show", "R1", "--store", lake)[1]["sections"][1]["name"] == "COMMENT"
    assert "2 reports" in run("status", "--store", lake)[1]
    assert told("status", "--store", lake)[1]["reports"] == 2
    # Some that are not there: none goes.
    code, said = told("reports", "remove", "R1", "R9", "--store", lake)
    assert (code, said["error"]["kind"]) == (2, "UnknownNameError")
    assert run("reports", "remove", "R1", "--store", lake)[0] == 0
    assert [each["report_id"] for each in told("reports", "list", "--store", lake)[1]["reports"]] == ["R2"]


def test_exit_codes(lake: Path, tmp_path: Path, table: Path) -> None:
    assert told("reports", "add", tmp_path / "gone.csv", "--store", lake)[0] == 2
    (tmp_path / "empty").mkdir()
    assert told("reports", "add", tmp_path / "empty", "--store", tmp_path / "new")[0] == 4
    assert not (tmp_path / "new").exists()
    assert told("reports", "add", tmp_path / "*.none", "--store", lake)[0] == 4
    code, said = told("reports", "add", table, "--strict", "--text-column", "body", "--store", lake)
    assert (code, said["made"], "no column body" in said["refused"][0]["problem"]) == (3, 0, True)
    good = tmp_path / "P0.txt"
    good.write_text(TEXT)
    assert told("reports", "add", good, "--store", lake)[0] == 0
    code, output = run("reports", "add", good, "--store", lake)
    assert (code, "nothing to do" in output) == (0, True)
    assert told("reports", "list", "--patient", "nobody", "--store", lake)[0] == 4
    assert told("reports", "show", "../../slidelake.json", "--store", lake)[0] == 2
    assert told("reports", "list", "--store", tmp_path / "new2")[0] == 1


def test_reports_go_with_their_patient(lake: Path, table: Path) -> None:
    run("reports", "add", table, "--store", lake)
    assert "would delete: S0, 1 report\n" in run("delete", "--patient", "P0", "--dry-run", "--store", lake)[1]
    # It names no slide: it goes with the last of its patient's.
    assert "would delete: S0, 1 report\n" in run("delete", "--slide", "s0", "--dry-run", "--store", lake)[1]
    code, said = told("delete", "--patient", "P0", "--yes", "--store", lake)
    assert (code, said["objects"]["reports"]) == (0, 1)
    assert told("verify", "--deleted", "--store", lake)[0] == 0
    code, said = told("reports", "add", table, "--store", lake)
    assert (code, said["same"], len(said["refused"])) == (3, 1, 2)


def test_the_facade(lake: Path, table: Path) -> None:
    opened = slidelake.open(lake)
    assert list(opened.reports.columns)[:3] == ["report_id", "patient_id", "slide_ids"]
    assert len(opened.reports) == 0
    added = opened.add_reports(table, sync_index=False)
    assert added.counts == {"made": 2, "same": 0, "changed": 0, "refused": 1}
    frame = opened.reports.set_index("report_id")
    assert frame.loc["R1", "sections"] == ["FINAL DIAGNOSIS", "COMMENT"]
    assert frame["ocr_confidence"].isna().all()
    opened.snapshot("v1")
    pinned = slidelake.open(lake, snapshot="v1")
    assert pinned.reports.equals(opened.reports)
    (table.parent / "new.txt").write_text("A new report")
    with pytest.raises(UsageError, match="snapshot v1"):
        pinned.add_reports(table.parent / "new.txt")


@pytest.mark.parametrize("path", shared("reports/tcga_reports_subset.jsonl"))
def test_shared_reports_go_in(path: Path, tmp_path: Path) -> None:
    lake = slidelake.open(tmp_path / "lake")
    added = lake.add_reports(path, sync_index=False)
    assert (added.made, added.patients, added.refused, added.no_patient) == (400, 400, [], 0)
    assert 400 - added.without_sections >= 375
    assert added.sections["FINAL DIAGNOSIS"] >= 315
    assert added.sections["GROSS DESCRIPTION"] >= 255
    unnamed = total = 0
    for report in lake.store.reports.iterate():
        assert "".join(report.text[each.start : each.end] for each in report.sections) == report.text
        unnamed += sum(each.end - each.start for each in report.sections if not each.name)
        total += len(report.text)
    assert unnamed < 0.1 * total


@pytest.mark.parametrize("path", shared("reports/pdf/*.pdf"), ids=lambda path: path.stem)
def test_shared_pdfs_go_in(path: Path, tmp_path: Path) -> None:
    lake = slidelake.open(tmp_path / "lake")
    added = lake.add_reports(path, patient_pattern="^tcga_[a-z]+", sync_index=False)
    assert (added.made, added.no_patient) == (1, 0)
    [report] = lake.store.reports.iterate()
    assert report.source.kind == "pdf"
    expected = {
        "tcga_kidney": ("CLINICAL HISTORY", "FINAL DIAGNOSIS", "SYNOPTIC REPORT"),
        "tcga_brain-2": ("MICROSCOPIC DESCRIPTION", "ADDENDUM"),
    }
    assert report.section_names == expected[path.stem]
