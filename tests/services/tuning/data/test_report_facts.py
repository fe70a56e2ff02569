"""What rules read in reports, and what they must not: a wrong fact is worse than none."""

from __future__ import annotations

import pytest

from slidelake.services.tuning.data.languages import language_of
from slidelake.services.tuning.data.report_facts import facts_of_report
from slidelake.services.tuning.data.report_questions import TOPICS, choose
from tests.services.tuning.data.lakes import GERMAN, TEXTS, report


def facts(text: str) -> dict[str, str]:
    made = report("R", "P", text)
    found, _ = facts_of_report(made)
    for fact in found:
        assert made.text[fact.start : fact.end].strip() == made.text[fact.start : fact.end]
    return {fact.topic: fact.value for fact in found}


def test_whole_reports() -> None:
    assert facts(TEXTS["P0"]) == {
        "histology": "clear cell renal cell carcinoma",
        "organ": "kidney",
        "side": "left",
        "fuhrman-grade": "2",
        "lymphovascular-invasion": "absent",
        "margins": "free",
        "nodes": "free",
        "t-stage": "pT1a",
        "n-stage": "pN0",
    }
    assert facts(TEXTS["P1"]) == {
        "histology": "acinar adenocarcinoma",
        "organ": "prostate",
        "gleason": "3 + 4",
        "perineural-invasion": "present",
        "extraprostatic-extension": "absent",
        "margins": "involved",
    }
    assert facts(TEXTS["P2"]) == {
        "histology": "urothelial carcinoma",
        "grade": "high",
        "lymphovascular-invasion": "present",
        "nodes": "involved",
        "t-stage": "pT3b",
        "n-stage": "pN2",
    }


@pytest.mark.parametrize(
    ("text", "topic", "value"),
    [
        ("Perineural invasion: Present", "perineural-invasion", "present"),
        ("PERINEURAL INVASION\nNOT IDENTIFIED", "perineural-invasion", "absent"),
        ("LYMPH- VASCULAR INVASION\nNot id entified", "lymphovascular-invasion", "absent"),
        ("NO EVIDENCE OF\nANGIOLYMPHATIC OR PERINEURAL INVASION IS PRESENT.", "perineural-invasion", "absent"),
        ("Both angiolymphatic and perineural invasion are\nabsent", "lymphovascular-invasion", "absent"),
        ("Tumor necrosis is absent.", "necrosis", "absent"),
        ("ALL SURGICAL MARGINS ARE FREE OF INVASIVE CARCINOMA.", "margins", "free"),
        ("Margins: Negative for malignancy", "margins", "free"),
        ("Tumor extends to the deep soft tissue margin.", "margins", "involved"),
        ("Metastatic adenocarcinoma in 3 of 20 lymph nodes (3/20).", "nodes", "involved"),
        ("FOUR LYMPH NODES, NEGATIVE FOR TUMOR (0/4)", "nodes", "free"),
        ("Invasive, moderately to poorly differentiated carcinoma", "differentiation", "moderately to poorly"),
        ("Pathologic staging: pT1 b1, pN1", "t-stage", "pT1b1"),
        ("pTNM stage: pTl NO Mx", "t-stage", "pT1"),
        ("GLIOBLASTOMA (WHO GRADE IV).", "who-grade", "4"),
        ("GLIOBLASTOMA (WHO GRADE IV).", "organ", "brain"),
        ("Tumor Site: Pancreatic head\nTumor Size: 5 cm", "place", "pancreatic head"),
        ("Specimen laterality: Left", "side", "left"),
        ("Cholelithiasis\n-No tumor", "gallstones", "present"),
    ],
)
def test_facts(text: str, topic: str, value: str) -> None:
    assert facts(f"FINAL DIAGNOSIS\n{text}")[topic] == value


@pytest.mark.parametrize(
    "text",
    [
        # Nothing is read of what is hedged, a history, a form, or somewhere else.
        "Suspicious for perineural invasion.",
        "Perineural invasion cannot be excluded.",
        "Perineural invasion: Not reported",
        "Perineural invasion: 1. Yes 2. No",
        "Perineural invasion: [ ] Present [x] Absent",
        "Perineural invasion: present / absent",
        "History of perineural invasion.",
        "The parenchyma was unremarkable other than some mild steatosis and no cirrhosis was sought?",
        "Vascular invasion: Not identified\nPerineural invasion",
        "Clinically suspected adenocarcinoma.",
        "Number of nodes involved by metastasis:",
        "Vascular margin: negative",
        "Hepatic lesion, possibly hepatocellular carcinoma versus cholangiocarcinoma.",
    ],
)
def test_silence(text: str) -> None:
    assert facts(f"FINAL DIAGNOSIS\n{text}") == {}


def test_other_sections_are_silent() -> None:
    text = (
        "CLINICAL HISTORY\nPrior squamous cell carcinoma of the larynx, pT2.\nGROSS DESCRIPTION\nThe margins are free."
        "\nFINAL DIAGNOSIS\nBenign tissue."
    )
    assert facts(text) == {}


def test_contradictions_are_left_out_and_counted() -> None:
    text = "FINAL DIAGNOSIS\nA. Perineural invasion is present.\nB. Perineural invasion is absent. pT2. Also pT3."
    found, dropped = facts_of_report(report("R", "P", text))
    assert [fact.topic for fact in found] == []
    assert dropped == {"conflict": 2}
    # The narrower of two that go together is told.
    assert facts("FINAL DIAGNOSIS\nRenal cell carcinoma, clear cell. Renal cell carcinoma. pT1, pT1a")["t-stage"] == "pT1a"


def test_every_topic_can_be_asked_and_answered() -> None:
    values = {
        "nodes": "free", "margins": "free", "grade": "high", "t-stage": "pT1", "n-stage": "pN0", "side": "left",
    }  # fmt: skip
    for topic, each in TOPICS.items():
        for question in each.questions:
            value = "present" if "present" in question.answers else values.get(topic, "moderate")
            answer = question.answer(value)
            assert answer[0].isupper() or answer[0] == "p"
            assert len(answer.split()) <= 10
            assert "{" not in answer
        assert {q.text for q in choose(topic, "P", 0, 9)} == {q.text for q in each.questions}
    assert choose("histology", "P1", 0) == choose("histology", "P1", 0)
    assert len({choose("histology", f"P{n}", 0)[0].text for n in range(30)}) == 4


def test_languages() -> None:
    assert language_of(GERMAN) == "de"
    assert language_of(TEXTS["P0"] * 2) == "en"
    assert language_of("Диагноз: аденокарцинома толстой кишки") == "other"
    assert language_of("III I I I i i w w z z") == ""
    french = "La tumeur est une carcinome avec des emboles dans les vaisseaux. Le rein et la veine sont sans lésion."
    assert language_of(french) == "fr"


def test_two_hundred_pages_take_seconds() -> None:
    page = (TEXTS["P0"] + "\n\n" + "The section shows tissue without change, and so on and on. " * 40) + "\n\n"
    made = report("R", "P", page * 200)
    assert len(made.text) > 400_000
    found, _ = facts_of_report(made)
    assert {fact.topic: fact.value for fact in found} == facts(TEXTS["P0"])
