"""Question sets: other words than the reports', one answer each, the same for everybody."""

import random
from collections import Counter
from pathlib import Path

import pytest

from slidelake.errors import UsageError
from slidelake.index.reports.facts import facts_of, mentions
from slidelake.index.reports.paraphrases import ABSENT, ASK, FINDINGS, HISTOLOGIES, ORGANS
from slidelake.index.reports.questions import content_words, make_questions
from slidelake.index.reports.wording import Part
from tests.index.reports.corpus import TEXTS
from tests.shared_data import shared

RECORDS = [
    {
        "report_id": f"{name}-{copy}",
        "text": text.replace("3.7", f"{copy + 2}.7"),
        "site": name.partition("-")[0],
    }
    for name, text in TEXTS.items()
    for copy in range(3)
]
PARTS: list[Part] = ["develop", "test", "practice", "confirm"]


@pytest.mark.parametrize("part", PARTS)
def test_no_content_word_is_shared_with_the_report(part: Part) -> None:
    texts = {record["report_id"]: record["text"] for record in RECORDS}
    asked = [each for each in make_questions(RECORDS, part=part) if each.kind == "one-report"]
    for question in asked:
        assert not content_words(question.text) & content_words(texts[question.report_ids[0]]), question


def test_the_same_records_give_the_same_questions_in_any_order() -> None:
    shuffled = random.Random(1).sample(RECORDS, len(RECORDS))
    assert make_questions(shuffled, seed=3) == make_questions(RECORDS, seed=3)
    assert len({each.id for each in make_questions(RECORDS)}) == len(make_questions(RECORDS))


def test_parts_ask_about_different_reports() -> None:
    answered = [
        {each.report_ids for each in make_questions(RECORDS, part=part) if each.kind == "one-report"}
        for part in PARTS
    ]
    assert answered[0].isdisjoint(answered[1])


def test_a_report_held_twice_is_not_asked_for() -> None:
    twins = [{"report_id": f"{name}{n}", "text": text} for name, text in TEXTS.items() for n in "ab"]
    for part in PARTS:
        assert not [each for each in make_questions(twins, part=part) if each.kind == "one-report"]


def test_a_topic_that_a_report_names_is_not_called_absent() -> None:
    before = {each.text for each in make_questions(RECORDS, part="test") if each.kind == "unanswerable"}
    assert any("Merkel" in text for text in before)
    told = [*RECORDS, {"report_id": "m", "text": "Merkel cell carcinoma of the arm."}]
    after = {each.text for each in make_questions(told, part="test") if each.kind == "unanswerable"}
    assert not any("Merkel" in text for text in after)
    assert after < before


def test_questions_by_labels_name_all_reports_that_fit() -> None:
    labels = {each.answer: each for each in make_questions(RECORDS, part="test") if each.kind == "labels"}
    assert labels["liver, hepatocellular"].report_ids == ("liver-a-0", "liver-a-1", "liver-a-2")


def test_an_empty_corpus_has_unanswerable_questions_alone() -> None:
    assert {each.kind for each in make_questions([])} == {"unanswerable"}


@pytest.mark.parametrize(
    "records",
    [
        [{"text": "no id"}],
        [{"report_id": "a"}],
        [{"report_id": "a", "text": 3}],
        [{"id": "a", "text": "x"}] * 2,
    ],
)
def test_records_that_are_none_are_refused(records: list[dict[str, object]]) -> None:
    with pytest.raises(UsageError, match="record"):
        make_questions(records)


def test_a_part_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="exam"):
        make_questions(RECORDS, part="exam")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("The tumor measures 3.7 x 2 x 1 cm.", "size", {"370"}),
        ("Tumor size: 3,5 cm", "size", {"350"}),
        ("Lymph nodes, negative (0/19)", "nodes", {"0/19"}),
        ("Gleason score 3+4 = 7/10. Lymph nodes not received", "nodes", set()),
        ("weighs 40 grams", "weight", {"40"}),
        ("Necrosis is not identified.", "finding", set()),
        ("Extensive necrosis.", "finding", {"necrosis"}),
        ("after decalcification", "finding", set()),
    ],
)
def test_facts_are_what_a_report_affirms(text: str, kind: str, values: set[str]) -> None:
    assert {fact.value for fact in facts_of(text) if fact.kind == kind} == values
    for fact in facts_of(text):
        assert 0 <= fact.start < fact.end <= len(text)


def test_what_is_denied_is_still_mentioned() -> None:
    assert ("finding", "necrosis") in mentions("No necrosis.")


def test_every_entry_has_words_for_both_parts() -> None:
    for table in (ORGANS, HISTOLOGIES, FINDINGS):
        for name, wording in table.items():
            assert all(wording.develop), name
            assert all(wording.test), name
    assert all(set(each) == {"develop", "test"} for each in ASK.values())
    assert not set(ABSENT["develop"]) & set(ABSENT["test"])


@pytest.mark.parametrize("path", shared("reports/tcga_reports_subset.jsonl"), ids=lambda path: path.stem)
def test_shared_reports_give_enough_questions(path: Path) -> None:
    import json

    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    made = make_questions(records, part="test")
    counts = Counter(each.kind for each in made)
    assert counts["one-report"] >= 80
    assert counts["labels"] >= 15
    assert counts["unanswerable"] >= 15
    texts = {record["case_id"]: record["text"] for record in records}
    for each in made:
        if each.kind == "one-report":
            assert not content_words(each.text) & content_words(texts[each.report_ids[0]]), each
