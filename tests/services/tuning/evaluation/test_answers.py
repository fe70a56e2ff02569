"""Measures of answers: against the libraries themselves, by hand, and with predictions that do not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from slidelake.encoders.text import create_text_encoder
from slidelake.errors import UsageError
from slidelake.services.tuning.evaluation import (
    Matched,
    match,
    measure_answers,
    read_choice,
    read_predictions,
    read_rows,
)
from slidelake.services.tuning.evaluation.intervals import Patients
from slidelake.services.tuning.evaluation.tokens import token_overlap
from tests.services.tuning.evaluation.rows import row, write

REFERENCES = [
    "Invasive ductal carcinoma of the left breast, grade 2",
    "No lymph node metastasis in 12 nodes",
    "Margins are free of tumour",
    "Adenokarzinom des Magens, mäßig differenziert",
]
SAID = [
    "invasive ductal carcinoma, grade 2",
    "there is no lymph node metastasis",
    "the tumour reaches the margin",
    "mäßig differenziertes Adenokarzinom",
]


def matched(references: list[str] = REFERENCES, said: list[str] = SAID) -> Matched:
    rows = [row(f"r{n}", text, patient=f"P{n}") for n, text in enumerate(references)]
    return match(rows, {f"r{n}": text for n, text in enumerate(said)})


def test_bleu_and_chrf_are_the_librarys_own() -> None:
    figures = measure_answers(matched()).figures["all"]
    bleu = BLEU(effective_order=True).corpus_score(SAID, [REFERENCES]).score
    assert 0 < bleu < 100
    assert figures["bleu"].value == pytest.approx(bleu)
    chrf = [
        CHRF().sentence_score(said, [wanted]).score for said, wanted in zip(SAID, REFERENCES, strict=True)
    ]
    assert figures["chrf"].value == pytest.approx(np.mean(chrf))
    assert figures["rouge_1"].value > figures["rouge_2"].value > 0
    assert all(each.low is not None and each.low <= each.value for each in figures.values())


def test_rouge_reads_letters_beyond_a_to_z() -> None:
    figures = measure_answers(matched(["mäßig differenziert"], ["mäßig differenziert"])).figures["all"]
    assert figures["rouge_l"].value == 1


def test_the_same_answer_is_full_and_an_empty_one_nothing() -> None:
    full = measure_answers(matched(REFERENCES, REFERENCES)).figures["all"]
    assert full["open_recall"].value == full["open_precision"].value == full["rouge_l"].value == 1
    assert full["bleu"].value == pytest.approx(100)
    none = measure_answers(matched(REFERENCES, [""] * 4)).figures["all"]
    assert {each.value for each in none.values()} == {0}


@pytest.mark.parametrize(
    ("said", "wanted", "recall", "precision"),
    [
        ("left breast", "the left breast", 1, 1),
        ("breast", "left breast", 0.5, 1),
        ("left left left", "left breast", 0.5, 1 / 3),
        ("12.5 mm", "12 mm", 0.5, 0.5),
        ("", "left", 0, 0),
        ("…", "!!", 0, 0),
    ],
)
def test_shared_words(said: str, wanted: str, recall: float, precision: float) -> None:
    assert token_overlap(said, wanted) == pytest.approx((recall, precision))


CHOICES = ("Adenocarcinoma", "Mucinous adenocarcinoma", "Squamous cell carcinoma", "Normal tissue")


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("A", "A"),
        ("(b)", "B"),
        ("C. Squamous cell carcinoma", "C"),
        ("The answer is D.", "D"),
        ("mucinous adenocarcinoma", "B"),
        ("It looks like a mucinous adenocarcinoma to me", "B"),
        ("A squamous cell carcinoma", "C"),
        ("The answer is a squamous cell carcinoma", "C"),
        ("A or B", None),
        ("Adenocarcinoma or normal tissue", None),
        ("I cannot tell", None),
        ("E", None),
        ("", None),
    ],
)
def test_which_choice_a_text_takes(text: str, taken: str | None) -> None:
    assert read_choice(text, CHOICES) == taken


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("Yes.", "yes"),
        ("no", "no"),
        ("Yes, there is no necrosis", "yes"),
        ("No, it is not", "no"),
        ("yes and no", None),
        ("There is not", "no"),
        ("perhaps", None),
        ("", None),
    ],
)
def test_yes_or_no(text: str, taken: str | None) -> None:
    assert read_choice(text) == taken
    assert read_choice(text, ("Yes", "No")) == taken


def test_closed_answers_and_tasks() -> None:
    rows = [
        row("a", "A", choices=CHOICES, patient="P0", task="choice"),
        row("b", "Squamous cell carcinoma", choices=CHOICES, patient="P1", task="choice"),
        row("c", "yes", closed=True, patient="P2", task="yes-no"),
        row("d", "kidney", patient="P3", task="open"),
    ]
    found = measure_answers(match(rows, {"a": "B", "b": "(C)", "c": "who knows", "d": "the kidney"}))
    accuracy = {task: each["closed_accuracy"] for task, each in found.figures.items() if task != "open"}
    assert {task: each.value for task, each in accuracy.items()} == {"all": 1 / 3, "choice": 0.5, "yes-no": 0}
    assert (accuracy["all"].answers, accuracy["all"].patients) == (3, 3)
    assert found.unreadable == ("c",)
    assert found.figures["open"]["open_recall"].value == 1
    assert "open_recall" not in found.figures["choice"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_intervals_are_of_patients_not_of_rows() -> None:
    """Every patient's 20 answers are all right or all wrong: 8 patients are 8 facts, not 160."""
    values = np.repeat([1, 0, 1, 1, 0, 1, 0, 1], 20)
    by_patient = Patients([f"P{n // 20}" for n in range(160)]).mean(values)
    by_row = Patients([f"P{n}" for n in range(160)]).mean(values)
    assert by_patient[0] == by_row[0] == 0.625
    width, narrow = (ends[2] - ends[1] for ends in (by_patient, by_row))  # type: ignore[operator]
    assert width == pytest.approx(narrow * 20**0.5, rel=0.25)
    assert Patients(["P"] * 3).mean([0, 1, 1]) == (pytest.approx(2 / 3), None, None)


def test_meaning_by_sentence_embeddings() -> None:
    references = ["The margins are free of tumour", "Renal cell carcinoma", "No necrosis"]
    said = ["All edges of the specimen are clear of cancer", "A picture of a red bicycle", ""]
    encoder = create_text_encoder("minilm")
    found = measure_answers(matched(references, said), encoder=encoder, draws=100)
    each = [
        measure_answers(matched([wanted], [text]), encoder=encoder, draws=0)
        .figures["all"]["similarity"]
        .value
        for wanted, text in zip(references[:2], said[:2], strict=True)
    ]
    assert each[0] > 0.5 > 0.2 > each[1]
    assert found.figures["all"]["similarity"].value == pytest.approx(sum(each) / 3, abs=1e-5)


def test_missing_and_unknown_ids_are_named(tmp_path: Path) -> None:
    rows = [row(f"r{n}", "kidney", patient=f"P{n}") for n in range(4)]
    paths = write(tmp_path, rows, {"r0": "kidney", "r1": "kidney", "zz": "lung"})
    found = match(read_rows(paths[0]), read_predictions(paths[1]))
    assert (found.missing, found.unknown, found.complete) == (("r2", "r3"), ("zz",), False)
    measured = measure_answers(found)
    assert measured.figures["all"]["open_recall"].value == 0.5
    assert (measured.missing, measured.unknown) == (("r2", "r3"), ("zz",))


def test_predictions_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    for text, problem in (
        ('{"id": "a", "prediction": "x"}\n{"id": "a", "prediction": "y"}', "1 rows twice: a"),
        ('{"id": "a"}', "line 1 .* is no prediction"),
        ('{"id": 3, "prediction": "x"}', "is no prediction"),
        ('\n{"id": "a", "prediction": ', "line 2 .* is no JSON"),
        ("[1]", "is no object"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=problem):
            read_predictions(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_predictions(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="none of the 1 predictions"):
        match([row("a", "x")], {"b": "x"})


def test_rows_that_are_refused(tmp_path: Path) -> None:
    twice, _ = write(tmp_path / "twice", [row("a", "x"), row("a", "y")], {})
    with pytest.raises(UsageError, match=r"line 2 .*the id a stands twice"):
        read_rows(twice)
    leaking, _ = write(tmp_path / "leak", [row("a", "x", split="train"), row("b", "x", split="test")], {})
    with pytest.raises(UsageError, match=r"P0 .* in the splits 'test', 'train'"):
        read_rows(leaking)
    plain, _ = write(tmp_path / "plain", [row("a", "x", split="train")], {})
    with pytest.raises(UsageError, match="no rows of the split 'val'"):
        read_rows(plain, split="val")
    (tmp_path / "bad.jsonl").write_text('{"id": "a"}')
    with pytest.raises(UsageError, match=r"line 1 .* not a row"):
        read_rows(tmp_path / "bad.jsonl")
