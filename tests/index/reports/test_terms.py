"""Terms: different ways to write one thing give one term; different things do not."""

import pytest

from slidelake.index.reports.lexicon import LINES, Lexicon
from slidelake.index.reports.marks import marked_spans
from slidelake.index.reports.numerals import number_of, words_of
from slidelake.index.reports.stems import stem_of
from slidelake.index.reports.terms import FIELDS, read_terms


def terms(text: str) -> set[str]:
    read = read_terms(text)
    return {term for name in FIELDS for term in read.of(name)}


@pytest.mark.parametrize(
    ("term", "ways"),
    [
        (
            "mm37",
            [
                "3.7 cm",
                "37 mm",
                "3,7 cm",
                "3.7 x 2 x 1 cm",
                "thirty-seven millimetres",
                "37mm",
                "2 x 3.7cm",
                "3.7x2x1cm",
            ],
        ),
        ("mm100", ["10 cm", "ten centimetres", "100 mm", "one hundred millimeters", "10.0 cm"]),
        ("g40", ["40 grams", "40 g", "forty grams", "0.04 kg", "WEIGHT: 40 GRAMS", "40 gms"]),
        ("nodes19", ["0/19 nodes", "nineteen lymph nodes", "19 LN", "(0/19)", "Number examined: 19"]),
        ("pct20", ["20%", "20 %", "twenty percent", "twenty per cent"]),
        ("gg2", ["Gleason score 3 + 4 = 7", "ISUP group two", "grade group 2", "Gleason 3+4"]),
        ("t3a", ["pT3a", "T3a", "ypT3aN0", "pT3aN0Mx"]),
        ("n_0", ["pN0", "N0", "pNO", "pT2N0M0"]),
        ("n3", ["grade III", "grade 3", "type iii"]),
        ("c:renal-cell-carcinoma", ["RCC", "renal cell carcinoma", "Renal Cell Carcinomas", "hypernephroma"]),
        ("c:leiomyoma", ["fibroids", "leiomyomata", "a myoma"]),
        ("c:haemorrhage", ["hemorrhage", "haemorrhagic", "bleeding"]),
        ("c:oesophagus", ["oesophagus", "esophagus", "Œsophagus".replace("Œ", "Oe")]),
    ],
)
def test_one_thing_is_one_term(term: str, ways: list[str]) -> None:
    for way in ways:
        assert term in terms(way), way


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("37 cm", "mm37"),
        ("0.37 cm", "mm37"),
        ("19 blocks of tissue", "nodes19"),
        ("no one", "n1"),
        ("Gleason 5 + 9", "gg5"),
        ("the patient of the report", "report"),
    ],
)
def test_another_thing_is_another_term(text: str, absent: str) -> None:
    assert absent not in terms(text)


@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "'; DROP TABLE reports; --", "x" * 10_000, "9" * 5000, "٣ ५ ²", "🔬"]
)
def test_garbage_has_terms_or_none(text: str) -> None:
    assert terms(text) == terms(text)


@pytest.mark.parametrize("number", [0, 1, 13, 20, 21, 99, 100, 101, 110, 419, 999, 1000, 1001, 2026, 9999])
def test_numbers_in_words_and_back(number: int) -> None:
    assert number_of(words_of(number).replace("-", " ").split()) == number


@pytest.mark.parametrize(
    "words", [[], ["twenty", "thirty"], ["hundred"], ["one", "two"], ["forty", "eleven"], ["node"]]
)
def test_words_that_are_no_number(words: list[str]) -> None:
    assert number_of(words) is None


@pytest.mark.parametrize(
    "forms",
    [("tumour", "tumor", "tumors"), ("haemorrhages", "hemorrhage"), ("node", "nodes"), ("excised", "excise"), ("biopsies", "biopsy")],  # noqa: E501
)  # fmt: skip
def test_forms_of_a_word_share_a_stem(forms: tuple[str, ...]) -> None:
    assert len({stem_of(form) for form in forms}) == 1


def test_a_lab_adds_its_own_names() -> None:
    lexicon = Lexicon(LINES + "\nzellballen; ball pattern\n")
    assert "c:zellballen" in read_terms("nests in a ball pattern", lexicon).concepts
    assert "c:zellballen" not in read_terms("nests in a ball pattern").concepts


def test_marks_are_where_the_question_is_met() -> None:
    text = "Tumor size: 3.7 cm. Renal cell carcinoma,\nclear cell type. Margins free."
    marked = [text[start:end] for start, end in marked_spans(text, "RCC of 37 mm")]
    assert "3.7" in " ".join(marked)
    assert any("Renal cell carcinoma" in each for each in marked)
    assert not any("free" in each for each in marked)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("2/19 nodes", {"involved2", "total19"}),
        ("two out of nineteen lymph nodes", {"involved2", "total19"}),
        ("none out of twelve LN affected", {"involved0", "total12"}),
        ("pN0 (0/22)", {"involved0", "total22"}),
        ("22 mesenteric and mesocolic lymph nodes are tumor-free", {"involved0", "total22"}),
        ("A total of 39 histologically carcinoma-free lymph nodes", {"involved0", "total39"}),
        ("number involved/number  present:   2/2", {"involved2", "total2"}),
        ("nineteen LN sampled, two positive", {"involved2", "total19"}),
        ("section 3 of tumour near a lymph node", set()),
    ],
)
def test_a_count_of_nodes_says_how_many_there_were_and_how_many_held_tumour(
    text: str, terms: set[str]
) -> None:
    found = {term for term in read_terms(text).measures if term.startswith(("involved", "total"))}
    assert found == terms


def test_dimensions_written_in_one_word_before_a_space_and_the_unit_are_read() -> None:
    assert {"mm79", "mm72", "mm40"} <= set(read_terms("CARCINOMA (7.9X7.2X4.0 CM).").measures)
