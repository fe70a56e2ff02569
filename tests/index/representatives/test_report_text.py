"""From reports to queries: what a slide shows stays, the rest goes."""

import json
import re

import pytest

from slidelake.index.reports import clean_text, find_sections
from slidelake.index.reports.chunk import estimate_tokens
from slidelake.index.representatives import report_paragraphs
from slidelake.store import Report
from tests.shared_data import shared

TEXT = """CLINICAL HISTORY
Woman of 61 years with necrosis on imaging.

GROSS DESCRIPTION
Received in formalin: a kidney with a papillary yellow tumor of 4.2 cm, necrotic, submitted in cassettes A1 to A4.

MICROSCOPIC DESCRIPTION
Nests of clear cells with a delicate capillary network, measuring up to 3.7 x 2 cm in greatest dimension.
No evidence of sarcomatoid change, rhabdoid cells or necrosis. Steatosis is absent.
The stroma is fibrous and hyalinised, but without calcification.

IMMUNOHISTOCHEMISTRY
The tumor cells stain for PAX8 and are papillary.

FINAL DIAGNOSIS
Kidney, left, radical nephrectomy: clear cell renal cell carcinoma, grade 2 (pT1b, pN0), surgical margins free.
Lymph nodes: metastatic carcinoma in 2 of 12.
"""


def paragraphs(text: str, **more: int) -> tuple[str, ...]:
    return report_paragraphs([Report("r", "p", text, sections=find_sections(text))], **more)


def test_only_what_a_slide_shows_is_asked() -> None:
    found = paragraphs(TEXT)
    assert found == (
        "Nests of clear cells with a delicate capillary network. The stroma is fibrous and hyalinised.",
        "Kidney, left, radical nephrectomy: clear cell renal cell carcinoma, grade 2.",
    )


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        ("Adenocarcinoma of 3.5 cm with mucin.", "Adenocarcinoma of with mucin."),
        ("Adenocarcinoma (3.5 x 2 x 1 cm), ulcerated.", "Adenocarcinoma, ulcerated."),
        ("Adenocarcinoma, weighing 240 grams.", "Adenocarcinoma."),
        ("Adenocarcinoma, ER negative by immunohistochemistry.", "Adenocarcinoma."),
        ("Squamous cell carcinoma, negative for keratin pearls.", None),
        ("Squamous cell carcinoma without necrosis or haemorrhage.", None),
        ("Squamous cell carcinoma, without necrosis, haemorrhage or ulcers.", "Squamous cell carcinoma."),
        ("Left lymphadenectomy, TCGA-AA-0001.", None),
        ("IIII 11111 II IIIIIIIII necrosis 1111111111 1111 111111.", None),
    ],
)
def test_clauses(sentence: str, left: str | None) -> None:
    assert paragraphs(sentence) == ((left,) if left else ())


def test_long_reports_are_a_few_short_paragraphs() -> None:
    several = " ".join(f"Focus {n} holds glands of shape {n} and necrosis." for n in range(1, 200))
    found = paragraphs(several)
    assert len(found) == 3
    assert all(estimate_tokens(each) <= 65 for each in found)
    endless = paragraphs("necrosis " * 500, most=50)
    assert all(estimate_tokens(each) <= 65 for each in endless)
    assert sum(each.count("necrosis") for each in endless) == 500


def test_reports_share_the_paragraphs_and_repeat_nothing() -> None:
    two = [Report(name, "p", "Adenocarcinoma with mucin.") for name in "ab"]
    assert report_paragraphs(two) == ("Adenocarcinoma with mucin.",)
    assert report_paragraphs([]) == ()


@pytest.mark.parametrize("path", shared("reports/tcga_reports_subset.jsonl"), ids=lambda path: path.name)
def test_shared_reports_become_queries(path) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    made = []
    for row in rows:
        text = clean_text(row["text"])
        made.append(report_paragraphs([Report("r", "p", text, sections=find_sections(text))]))
    # Eleven of 400 are tables or scans that hold no sentence of a pathologist.
    assert sum(bool(each) for each in made) >= 0.95 * len(rows)
    said = [paragraph for each in made for paragraph in each]
    assert all(estimate_tokens(each) <= 65 for each in said)
    unseen = re.compile(
        r"\d\s*(?:cm|mm)\b|\bmargins?\b|lymph nodes?|\bpT\d|received in|immunohistochem", re.IGNORECASE
    )
    assert [each for each in said if unseen.search(each)] == []
