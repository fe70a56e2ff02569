"""Citations in what an endpoint writes: those that exist are numbered, others go, in streams as in whole texts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidelake.services.answers.citation_filter import CitationFilter


def filtered(text: str, known: int = 3, pieces: list[int] | None = None) -> tuple[str, CitationFilter]:
    checked = CitationFilter(known)
    shown, begin = "", 0
    for end in [*(pieces or []), len(text)]:
        shown += checked.feed(text[begin:end])
        begin = end
    return shown + checked.close(), checked


@pytest.mark.parametrize(
    ("text", "shown", "cited", "removed"),
    [
        ("A [2]. B [1]. C [2].", "A [1]. B [2]. C [1].", [2, 1], 0),
        ("A [1, 3] B [1-3] C", "A [1][2] B [1][3][2] C", [1, 3, 2], 0),
        ("A [9]. B [1].", "A. B [1].", [1], 1),
        ("A [1, 9].", "A [1].", [1], 1),
        ("A [0] and [99999999999].", "A and [99999999999].", [], 1),
        ("A [1-1000000].", "A [1][2][3].", [1, 2, 3], 1),
        (
            "A 【2】 and [[3]] and [^1] and [Source 2] and [passage 9].",
            "A [1] and [2] and [3] and [1] and.",
            [2, 3, 1],
            1,
        ),
        ("See [1](http://evil.example/?q=secret).", "See [1].", [1], 0),
        ("[2] begins.", "[1] begins.", [2], 0),
        (
            "A list [a] of [x, y] and p < 0.05 > 0 stays.",
            "A list [a] of [x, y] and p < 0.05 > 0 stays.",
            [],
            0,
        ),
        ("ends with [2", "ends with [2", [], 0),
        ("", "", [], 0),
        ("  A [1].  \n ", "A [1].", [1], 0),
        ("A [7]\n[8]", "A", [], 2),
    ],
)
def test_citations_are_numbered_as_they_appear(text, shown, cited, removed):
    found, checked = filtered(text)
    assert (found, list(checked.shown), checked.removed) == (shown, cited, removed)


def test_what_acts_on_a_terminal_goes():
    text = "\x1b[31mA\x1b]0;title\x07 \u202egnorw\u2069 \x9b2J \ud800 café 胃癌\r\n [1]."
    shown = "[31mA]0;title gnorw 2J  café 胃癌\n [1]."
    assert filtered(text)[0] == shown
    assert filtered(text, pieces=list(range(1, len(text))))[0] == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![x](http://evil.example/a.png?q=1) A [1].", "x A [1]."),
        ("[click here](javascript:alert(1)) A [1].", "click here A [1]."),
        ("Go to https://evil.example/path now [1].", "Go to  now [1]."),
        ('<img src=x onerror="alert(1)">A [1].', "A [1]."),
        ("<script>alert(1)</script> A [1].", "alert(1) A [1]."),
        ("data:text/html;base64,PHN A [1].", "A [1]."),
    ],
)
def test_links_pictures_and_tags_are_taken_out(text, shown):
    found, checked = filtered(text)
    assert found == shown
    assert checked.links_removed >= 1


def test_a_models_thinking_is_not_its_answer():
    text = "<think>The passages [1] say " + "much " * 1000 + "</think>\n\nThe tumour was 3 cm [2]."
    found, checked = filtered(text, pieces=list(range(1, len(text), 7)))
    assert (found, list(checked.shown)) == ("The tumour was 3 cm [1].", [2])
    assert filtered("<think>never ends [1]")[0] == ""


PARTS = [
    "word",
    " ",
    "[1]",
    "[2",
    "]",
    "[9]",
    "[1, 3]",
    "](",
    "(x)",
    "【2】",
    "\n",
    "https://e.x/y",
    "<b",
    ">",
]
PARTS += ["<think>", "</think>", "[", "!", "."]


@settings(max_examples=300, deadline=None)
@given(parts=st.lists(st.sampled_from(PARTS), max_size=14), cuts=st.lists(st.integers(0, 80), max_size=8))
def test_a_stream_gives_what_the_whole_text_gives(parts, cuts):
    text = "".join(parts)
    whole, one = filtered(text)
    streamed, other = filtered(text, pieces=sorted(min(cut, len(text)) for cut in cuts))
    assert streamed == whole
    assert (one.shown, one.removed, one.links_removed) == (other.shown, other.removed, other.links_removed)


def test_words_come_out_while_the_text_goes_on():
    checked = CitationFilter(2)
    assert checked.feed("The tumour was large [1]. It ") == "The tumour was large [1]. It"
    assert checked.feed("grew [") == " grew"
    assert checked.feed("2] fast") == " [2]"
    assert checked.close() == " fast"


def test_a_bracket_that_never_closes_does_not_hold_the_text_back():
    checked = CitationFilter(2)
    shown = checked.feed("[" + "word " * 400)
    assert len(shown) > 1900
