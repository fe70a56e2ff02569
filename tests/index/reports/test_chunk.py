"""Passages: spans of the text, letter for letter, of a size, at borders, with nothing left out."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidelake.index.reports.chunk import chunk_report, estimate_tokens
from slidelake.store import Report, Section

SENTENCE = "The margin of resection is free of tumor, as seen in block {}. "


def make(text: str, *sections: tuple[str, int, int]) -> Report:
    return Report("r", "p", text, sections=tuple(Section(*each) for each in sections))


def check(report: Report) -> None:
    chunks = chunk_report(report)
    covered: set[int] = set()
    for number, chunk in enumerate(chunks):
        assert chunk.chunk_id == f"r#{number}"
        assert report.text[chunk.start : chunk.end] == chunk.text
        assert estimate_tokens(chunk.text) <= 220
        covered |= set(range(chunk.start, chunk.end))
    assert all(at in covered for at, sign in enumerate(report.text) if sign.isalnum())
    assert chunks == chunk_report(report)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=1500))
def test_any_text_is_covered_by_exact_spans(text: str) -> None:
    if text.strip():
        check(make(text))


@pytest.mark.parametrize(
    "text",
    [
        "".join(SENTENCE.format(n) for n in range(200)),
        "x" * 20_000,
        "A1 margin\n" * 1500,
        "0.1 | 0.2 | 0.3 | 4/5 | no\n" * 400,
        "\n\n \t\n" + "word " * 3000,
        "Tumor Size: 3.7 cm\nHistologic Grade: High\n" * 100,
    ],
    ids=["sentences", "one endless word", "list", "table", "no full stop", "form"],
)
def test_long_texts_are_cut(text: str) -> None:
    report = make(text)
    check(report)
    assert len(chunk_report(report)) > 8


def test_sentences_are_kept_whole_and_overlap() -> None:
    text = "".join(SENTENCE.format(n) for n in range(100)).strip()
    chunks = chunk_report(make(text))
    assert all(chunk.text.startswith("The margin") and chunk.text.endswith(".") for chunk in chunks)
    assert all(120 <= estimate_tokens(chunk.text) <= 220 for chunk in chunks[:-1])
    for first, second in pairwise(chunks):
        assert 0 < first.end - second.start < len(first.text) / 3


def test_a_wrapped_line_is_no_border() -> None:
    text = "Papillary serous carcinoma, present as a mass involving left\novary and tube. " * 30
    assert all(not chunk.text.startswith("ovary") for chunk in chunk_report(make(text)))


def test_passages_stay_inside_sections() -> None:
    first = "DIAGNOSIS\n" + "Carcinoma is seen. " * 60
    text = "Preface. " + first + "COMMENT\nNone."
    start, end = 9, 9 + len(first)
    chunks = chunk_report(make(text, ("DIAGNOSIS", start, end), ("COMMENT", end, len(text))))
    assert [chunk.section for chunk in (chunks[0], chunks[1], chunks[-1])] == ["", "DIAGNOSIS", "COMMENT"]
    for chunk in chunks[1:-1]:
        assert start <= chunk.start
        assert chunk.end <= end


def test_signs_alone_are_no_passage() -> None:
    assert chunk_report(make("--- *** ...\n===")) == []
