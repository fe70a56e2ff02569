"""Scores of whole reports: rare terms and more of them count, the same term again hardly; broader names are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from slidelake.index import SlideIndex
from slidelake.index.connection import Connection
from slidelake.index.reports import follow
from slidelake.index.reports.lexicon import LINES, Lexicon
from slidelake.index.reports.rank import asked_terms, counts_of
from slidelake.index.reports.tables import WHOLE
from slidelake.index.reports.terms import read_terms
from slidelake.store import FeatureStore
from tests.index.reports.corpus import report

TEXTS = {
    "often": "Necrosis. " * 40 + "Kidney with necrosis.",
    "both": "Kidney with necrosis and a thrombus. " + "Received in formalin and cut into blocks. " * 8,
    "short": "Psammoma bodies.",
    "long": "Psammoma bodies. " + "Fat and muscle and skin, received in formalin and cut into blocks. " * 20,
    "sigmoid": "Sigmoid with diverticula.",
    "stomach": "Stomach with a polyp.",
    "sized": "Tumor size: 3.7 cm. The specimen is 9 cm long.",
    "other": "Tumor size: 1.2 cm. The specimen is 3.7 cm long.",
    "counted": "Nineteen lymph nodes, 3 of them with tumor (3/19).",
    "involved": "Lymph nodes with tumor: 19/40.",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> SlideIndex:
    """Ten texts, by their terms alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow, "sentence_encoder", lambda name="minilm": None)
        return _synced(tmp_path_factory.mktemp("lake"), TEXTS)


def _synced(folder: Path, texts: dict[str, str]) -> SlideIndex:
    store = FeatureStore.open(folder, create=True)
    for name, text in texts.items():
        store.reports.put(report(name, text))
    made = SlideIndex(store)
    made.sync()
    return made


@pytest.mark.parametrize(
    ("question", "first", "then"),
    [
        ("necrosis and a clot in the kidney", "both", "often"),
        ("calcospherites", "short", "long"),
        ("37 mm", "sized", "other"),
        ("nineteen LN", "counted", "involved"),
        ("disease of the large bowel", "sigmoid", None),
    ],
)
def test_the_report_that_has_what_was_asked_comes_first(
    index: SlideIndex, question: str, first: str, then: str | None
) -> None:
    found = [hit.report_id for hit in index.search_reports(question, mode="text")]
    assert found[0] == first
    assert then is None or found[1] == then


def test_a_report_that_is_left_out_changes_no_other_one(index: SlideIndex) -> None:
    every = index.search_reports("necrosis in the kidney", mode="text")
    one = index.search_reports("necrosis in the kidney", mode="text", exclude_patients=["P-short"])
    assert [hit.to_dict() for hit in every] == [hit.to_dict() for hit in one]


def test_counts_are_of_the_whole_report(index: SlideIndex) -> None:
    whole = Connection(index.store).table(WHOLE)
    counted = counts_of(whole, ["often", "nobody"])
    assert set(counted) == {"often"}
    assert counted["often"]["concepts"]["c:necrosis"] == 41
    assert counts_of(whole, []) == {}


def test_a_question_asks_for_its_longest_names_alone() -> None:
    assert "c:bile-duct" not in read_terms("bile duct cancer", question=True).concepts
    assert "c:bile-duct" in read_terms("bile duct cancer").concepts
    assert "c:bile-duct" in read_terms("the bile duct", question=True).concepts
    assert (
        asked_terms(read_terms("RCC, RCC", question=True)).count(("concepts", "c:renal-cell-carcinoma")) == 1
    )


def test_a_narrower_name_has_the_broader_ones_and_not_the_other_way() -> None:
    concepts = read_terms("glioblastoma").concepts
    assert {"c:glioma", "c:brain"} <= set(concepts)
    assert "c:glioblastoma" not in read_terms("brain").concepts
    assert "c:brain" not in read_terms("glioblastoma", question=True).concepts


def test_a_lab_says_what_is_part_of_what() -> None:
    lexicon = Lexicon(LINES + "\nduodenal bulb; bulbus\n", "small bowel: duodenum\nduodenum: duodenal bulb")
    assert {"c:small-bowel", "c:duodenum"} <= set(read_terms("the bulbus", lexicon).concepts)
