"""Cleaning takes the page's and the scanner's marks, and leaves words and numbers."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidelake.index.reports.clean import clean_text, join_pages


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("a \t b\u00a0c\n", "a b c"),
        ("a\n\n\n \n\nb", "a\n\nb"),
        ("a\x00b\x1b[31mc\x7f\u202ed\u200be\ufeff", "ab[31mcde"),
        ("ﬁbrosis, ﬂuid, cm², 10³/µl, 3.5 × 2", "fibrosis, fluid, cm², 10³/µl, 3.5 × 2"),
        ("cafe\u0301", "caf\u00e9"),
        # Words that a line end divided.
        ("tumor infil-\ntrating fat", "tumor infiltrating fat"),
        ("Carci-\nnoma of the lung", "Carcinoma of the lung"),
        ("in-\nvasive. It is invasive.", "invasive. It is invasive."),
        ("infil\u00adtrating, infil\u00ad\ntrating", "infiltrating, infiltrating"),
        ("infil\ufffetrating", "infiltrating"),
        # Hyphens of their own, and dashes at a line's end.
        ("pink-\ntan tissue, well-\ndifferentiated", "pink-tan tissue, well-differentiated"),
        (
            "salpingo-\noophorectomy. A salpingo-oophorectomy",
            "salpingo-oophorectomy. A salpingo-oophorectomy",
        ),
        ("nuclear-\npleomorphism; nuclear grade 2", "nuclear-pleomorphism; nuclear grade 2"),
        ("EXCISION-\nNO TUMOR", "EXCISION-\nNO TUMOR"),
        ("LEFT MARGIN-\nMICROSCOPIC:", "LEFT MARGIN-\nMICROSCOPIC:"),
        ("blocks 4-\n6, Ber-\nEP4", "blocks 4-\n6, Ber-\nEP4"),
        ("biopsy-\nThe tumor", "biopsy-\nThe tumor"),
        # What is no word: pages counted, bar codes.
        ("margins\nPage 2 of 5\nare free", "margins\nare free"),
        ("see Page 2 of 5 of the chart", "see Page 2 of 5 of the chart"),
        ("III IIIIIIIIIIIIl1IIIIII 0311\nMRN 11111111111", "III 0311\nMRN 11111111111"),
        (" \x00 \n", ""),
    ],
)
def test_what_goes_and_what_stays(text: str, clean: str) -> None:
    assert clean_text(text) == clean
    assert clean_text(clean) == clean


def test_headers_and_footers_are_kept_once() -> None:
    pages = [
        f"City Hospital\nAccession S-123   Page {n} of 3\nPart {n}: margin {n}.{n} cm\nsame finding\nfree of tumor\n"
        f"a\nb\nc\nd\ne\nf\nSigned by nobody\nPrinted 1/2/2020"
        for n in (1, 2, 3)
    ]
    text = clean_text("\f".join(pages))
    assert text == clean_text(join_pages(pages))
    for once in ("City Hospital", "Accession S-123", "Printed 1/2/2020", "Signed by nobody"):
        assert text.count(once) == 1
    for n in (1, 2, 3):
        assert f"Part {n}: margin {n}.{n} cm" in text


def test_what_differs_in_a_number_is_no_header() -> None:
    pages = [f"Block A{n}: tumor {n} cm\nrest" for n in (1, 2, 3)]
    assert [f"Block A{n}: tumor {n} cm" in join_pages(pages) for n in (1, 2, 3)] == [True] * 3
    assert join_pages(["only page\nonly page"]) == "only page\nonly page"
    assert join_pages([]) == ""


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(["tumor", "3.5", "cm", "pT3a,", "N0", "grade-2", "(see", "note)", "µm²"]), max_size=30
    )
)
def test_words_and_numbers_stay_in_their_order(words: list[str]) -> None:
    text = "".join(word + " \n"[number % 7 == 6] for number, word in enumerate(words))
    assert clean_text(text).split() == words


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_cleaned_once(text: str) -> None:
    clean = clean_text(text)
    assert clean_text(clean) == clean
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\r\t\ud800-\udfff]", clean)
    assert "\n\n\n" not in clean
