"""Sections of reports as they are written, typed badly, and read by OCR."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidelake.index.reports.headings import heading_name
from slidelake.index.reports.sections import find_sections, title_of

REPORT = """\
City Hospital
CLINICAL HISTORY: Mass of the left kidney.
Specimen(s) Received
A: left kidney
FINAL DIAGNOSIS (see comment):
A. Kidney, left, radical nephrectomy:
- Clear cell renal cell carcinoma (see
NOTE).
Procedure: radical nephrectomy
Microscopic: present
The final diagnosis was told by telephone; the gross description follows.
COMMENT
Margins are free.
GROSS DESCRIPTION
Received fresh. Note: two blocks were cut.
Gross Description (continued)
Capsule intact.
MICROSCOPIC DESCRIPTION Sections show nests of clear cells. Addendum Report: FISH is pending."""


def names(text: str) -> list[str]:
    return [each.name for each in find_sections(text)]


def test_a_whole_report() -> None:
    sections = find_sections(REPORT)
    assert [(each.name, REPORT[each.start : each.end].strip()[:22]) for each in sections] == [
        ("", "City Hospital"),
        ("CLINICAL HISTORY", "CLINICAL HISTORY: Mass"),
        ("SPECIMEN", "Specimen(s) Received\nA"),
        ("FINAL DIAGNOSIS", "FINAL DIAGNOSIS (see c"),
        ("COMMENT", "COMMENT\nMargins are fr"),
        ("GROSS DESCRIPTION", "GROSS DESCRIPTION\nRece"),
        ("MICROSCOPIC DESCRIPTION", "MICROSCOPIC DESCRIPTIO"),
        ("ADDENDUM", "Addendum Report: FISH "),
    ]
    assert "".join(REPORT[each.start : each.end] for each in sections) == REPORT
    assert title_of(REPORT, sections) == "Kidney, left, radical nephrectomy"


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("Diagnosi s", "FINAL DIAGNOSIS"), ("Histolo gic dia gnosis", "FINAL DIAGNOSIS"),
        ("FlNAL DIAGN0SIS", "FINAL DIAGNOSIS"), ("FINAL DI GNOSIS", "FINAL DIAGNOSIS"),
        ("GR0SS DESCRlPTlON", "GROSS DESCRIPTION"), ("Gross Des ription", "GROSS DESCRIPTION"),
        ("GROSS EXMlINATION", "GROSS DESCRIPTION"), ("Macroscopy", "GROSS DESCRIPTION"),
        ("Clinical Dlaunosls & History", "CLINICAL HISTORY"), ("PRE-OP DIAGNOSIS", "CLINICAL HISTORY"),
        ("Speci men(s) Received", "SPECIMEN"), ("Intraooerative Consult Diagnosis", "INTRAOPERATIVE CONSULTATION"),
        ("Microscopic evaluation", "MICROSCOPIC DESCRIPTION"), ("Case Synopsis", "SYNOPTIC REPORT"),
        ("Macroscopic evaluation", None), ("Diagnosis Discrepancy", None), ("Specimen Date", None),
        ("Cassette A2", None), ("Specimen B", None), ("Tumor size", None), ("Histologic type", None), ("", None),
        ("1 2 3", None), ("Diagnosis of the tumor was made", None),
    ],
)  # fmt: skip
def test_headings_as_they_are_written_and_misread(heading: str, name: str | None) -> None:
    assert heading_name(heading) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        ("No heading at all, only a sentence.", [""]),
        ("DIAGNOSIS:\nx", ["FINAL DIAGNOSIS"]),
        ("III. Diagnosis -\nx", ["FINAL DIAGNOSIS"]),
        ("*** COMMENT ***\nx", ["COMMENT"]),
        # All in one line, as some tables have them.
        ("Age 61. Clinical History: mass. Gross Description: a kidney. FINAL DIAGNOSIS: cancer.",
         ["", "CLINICAL HISTORY", "GROSS DESCRIPTION", "FINAL DIAGNOSIS"]),
        ("Resected colon with free margins. Diagnosis: adenocarcinoma", ["", "FINAL DIAGNOSIS"]),
        # Sentences that hold the words.
        ("the diagnosis: cancer was\ndiagnosis\nand comment:", [""]),
        ("See gross description for details: none", [""]),
        # Items of a synoptic report are not sections; a history after it is.
        ("SYNOPTIC REPORT\nProcedure: resection\nSpecimen: colon\nMacroscopic: not identified\nHistory: smoker",
         ["SYNOPTIC REPORT", "CLINICAL HISTORY"]),
    ],
)  # fmt: skip
def test_where_sections_begin(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["FINAL DIAGNOSIS:", "Gross Description", "COMMENT", "text. ", "\n", " ", "A: ", "é😀", "("]
        ),
        max_size=25,
    ).map("".join)
)
def test_sections_cover_any_text(text: str) -> None:
    sections = find_sections(text)
    assert "".join(text[each.start : each.end] for each in sections) == text
    assert all(one.name != other.name for one, other in pairwise(sections))
    assert len(title_of(text, sections)) <= 100
