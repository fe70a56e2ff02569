"""The small parts: sentences, adaptive k, clues, evidence."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidelake.services.answers.adaptive_k import fall_off
from slidelake.services.answers.clues import TermCounts, clues_of
from slidelake.services.answers.evidence import Evidence, Terms
from slidelake.services.answers.sentences import LONGEST, sentences
from slidelake.services.answers.support import Support, abstention


@given(st.text(alphabet="ab .\n-1(A;?", max_size=900))
def test_sentences_are_spans_in_order_that_leave_no_word_out(text):
    found = sentences(text)
    assert all(text[each.start : each.end] == each.text and len(each.text) <= LONGEST for each in found)
    assert all(one.end <= other.start for one, other in pairwise(found))
    covered = {place for each in found for place in range(each.start, each.end)}
    assert all(place in covered for place, sign in enumerate(text) if sign.isalnum())


def test_list_items_and_sentences_end_where_they_end():
    text = "A. Kidney, 3.5 cm mass.\n- No invasion\n- Margins free. Dr. Smith saw it.\n\nEnd"
    assert [each.text for each in sentences(text)] == [
        "A. Kidney, 3.5 cm mass.", "- No invasion", "- Margins free.", "Dr. Smith saw it.", "End",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scores", "kept"),
    [([], 0), ([0.0], 1), ([1.0, 0.9, 0.8], 3), ([1.0, 0.9, 0.2, 0.19], 2), ([1.0, 0.1], 1), ([1.0, 0.0], 1)],
)
def test_k_ends_where_the_score_falls_off(scores, kept):
    assert fall_off(scores) == kept


def clue_texts(question: str) -> list[tuple[str, str]]:
    return [(clue.kind, clue.text) for clue in clues_of(question)]


def test_a_question_is_read_as_clues():
    assert clue_texts("Who had a 55 mm mass of the mouth or throat?") == [
        ("number", "mm55"), ("sense", "size55"), ("concept", "mass"), ("concept", "mouth or throat"),
    ]  # fmt: skip
    assert ("concept", "gall bladder") in clue_texts("Was the gall bladder inflamed?")
    assert clue_texts("Which slides are there?") == []


def test_rare_clues_speak_for_a_report_and_missing_common_ones_against_it():
    reports = [["c:kidney", "c:thrombus"], ["c:kidney"], ["c:kidney"], ["c:liver"]] * 25
    evidence = Evidence(clues_of("kidney with a thrombus"), TermCounts(reports))
    both, one, none = (evidence.of_report(Terms.of(each)) for each in (reports[0], reports[1], reports[3]))
    assert both > 1 > 0 > one > none
    shares = evidence.posterior({"both": both, "one": one})
    assert math.isclose(sum(shares.values()), 1)
    assert shares["both"] > 0.9


def test_a_phrase_speaks_as_far_as_it_is_there():
    counts = TermCounts([["velvet"], ["pebbl"], ["velvet", "cover", "pebbl"], *[["other"]] * 97])
    evidence = Evidence(clues_of("velvet-covered pebbles"), counts)
    part, whole = (
        evidence.of_report(Terms.of(["velvet"])),
        evidence.of_report(Terms.of(["velvet", "cover", "pebbl"])),
    )
    assert whole > 5 * max(part, 0.1)


@pytest.mark.parametrize(
    ("question", "telling", "asking"),
    [
        ("There was a growth, with velvet: how locally advanced was it?", {"growth", "velvet"}, {"advanced"}),
        ("How was it treated where a velvet pebble was found?", {"velvet", "pebble"}, {"treated"}),
        ("What margins did the mesothelioma have?", {"margins", "mesothelioma"}, set()),
        ("Velvet pebbles, cobalt.", {"Velvet", "pebbles", "cobalt"}, set()),
    ],
)
def test_what_asks_is_told_from_what_tells_of_the_case(question, telling, asking):
    clues = clues_of(question)
    assert telling <= {clue.text for clue in clues if not clue.asks}
    assert asking <= {clue.text for clue in clues if clue.asks}
    assert not telling & {clue.text for clue in clues if clue.asks}


def test_what_asks_is_no_reason_to_abstain():
    counts = TermCounts([["c:kidney", "c:thrombus"]] * 9)
    evidence = Evidence(clues_of("a kidney with a thrombus: what was its cobalt?"), counts)
    assert not evidence.unknown()
    assert evidence.missed(Terms.of(["c:kidney", "c:thrombus"])) == 0


def test_the_place_that_something_lies_behind_is_no_clue():
    named = {form for clue in clues_of("the gland behind the stomach") for form in clue.forms}
    assert "c:stomach" not in named


def test_glands_that_are_counted_are_lymph_nodes_of_a_question():
    forms = {form for clue in clues_of("disease in seven of nineteen glands") for form in clue.forms}
    assert {"involved7", "total19"} <= forms


def test_what_no_report_holds_is_unknown():
    evidence = Evidence(clues_of("kidney with amyloidosis"), TermCounts([["c:kidney"]] * 10))
    assert [clue.text for clue in evidence.unknown()] == ["amyloidosis"]


def support(**changed: object) -> Support:
    kept = {"best": 9.0, "missed": 0.1, "sure": 0.9, "may_be": ("R1", "R2"), "of_place": False}
    return Support(**(kept | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"sure": 0.4}, "several fit about as well (R1, R2)"),
        ({"missed": 0.8, "best": 2.0}, "none holds enough"),
        (
            {"missed": 0.8},
            "",
        ),  # its words say that it is the one, whatever else the question calls by strange names
        ({"missed": 0.6, "best": 0.5}, "none holds enough"),
        ({"missed": 0.4, "best": 0.5}, ""),
        ({"sure": 0.4, "missed": 0.8, "of_place": True}, ""),
    ],
)
def test_an_answer_needs_support(changed, said):
    evidence = Evidence(clues_of("kidney with a thrombus"), TermCounts([["c:kidney", "c:thrombus"]] * 9))
    assert said in abstention(evidence, support(**changed), passages=1)
    assert bool(abstention(evidence, support(**changed), passages=1)) == bool(said)


def test_a_report_that_lacks_a_rare_clue_of_the_best_is_known():
    counts = TermCounts([["c:kidney", "c:thrombus"], *[["c:kidney"]] * 19])
    evidence = Evidence(clues_of("kidney with a thrombus"), counts)
    both, one = Terms.of(["c:kidney", "c:thrombus"]), Terms.of(["c:kidney"])
    assert evidence.lacks_rare(one, both)
    assert not evidence.lacks_rare(both, both)
    assert evidence.missed(both) == 0 < evidence.missed(one) < 1
