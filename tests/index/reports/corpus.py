# ruff: noqa: E501 (reports, a line each)
"""A dozen short reports, written for the tests: each with facts of its own, and a filler that all share."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from slidelake.store import FeatureStore, Report, Section

TEXTS = {
    "kidney-a": "FINAL DIAGNOSIS\nKidney, left: renal cell carcinoma, clear cell type, Fuhrman grade 2. Tumor size: 3.7 cm.\n"
    "Eleven lymph nodes with no tumor identified (0/11). Simple cysts.\nGROSS DESCRIPTION\nThe kidney weighs 412 grams.",
    "kidney-b": "FINAL DIAGNOSIS\nRight kidney: papillary renal cell carcinoma. The tumor measures 8.2 x 5 x 4 cm. "
    "Necrosis is present.\nGROSS DESCRIPTION\nThe specimen weighs 655 grams.",
    "bladder-a": "FINAL DIAGNOSIS\nUrinary bladder: high grade urothelial carcinoma, muscle invasive. Tumor size 2.5 cm. "
    "pT2a N0 MX. Nineteen lymph nodes, negative (0/19).",
    "bladder-b": "FINAL DIAGNOSIS\nBladder: urothelial carcinoma in situ with ulceration. Benign prostatic hyperplasia.",
    "prostate-a": "FINAL DIAGNOSIS\nProstate: adenocarcinoma, Gleason score 3 + 4 = 7. Weight 40 grams. Seminal vesicles free.",
    "prostate-b": "FINAL DIAGNOSIS\nProstate: adenocarcinoma, Gleason score 4 + 5 = 9. Perineural invasion present.",
    "liver-a": "FINAL DIAGNOSIS\nLiver, segment 6: hepatocellular carcinoma, 5.5 cm, in a background of cirrhosis and steatosis.",
    "liver-b": "FINAL DIAGNOSIS\nLiver: cholangiocarcinoma, 2.7 cm. Chronic cholecystitis with cholelithiasis.",
    "brain-a": "Pathology report\nBrain, right temporal lobe: glioblastoma with microvascular proliferation. MIB-1 index 20%.",
    "ovary-a": "FINAL DIAGNOSIS\nLeft ovary: papillary serous carcinoma with psammoma bodies. Uterus with leiomyomata.",
    "colon-a": "FINAL DIAGNOSIS\nSigmoid colon: mucinous adenocarcinoma, 4.1 cm, 2 of 14 lymph nodes involved. Diverticulosis.",
    "cervix-a": "FINAL DIAGNOSIS\nCervix: squamous cell carcinoma, keratinizing, 43 mm. Radical hysterectomy.",
}  # fmt: skip
FILLER = (
    "\nThe specimen is received in formalin, labeled with the patient's name, and is submitted in cassettes."
)


def report(report_id: str, text: str = "", *, patient: str = "", slides: tuple[str, ...] = ()) -> Report:
    """A report of the corpus, or of any text; sections begin at lines in capitals."""
    body = text or TEXTS[report_id] + FILLER
    starts = [at for at in _line_starts(body) if body[at:].split("\n")[0].isupper()]
    spans = list(pairwise([*starts, len(body)]))
    sections = tuple(Section(body[start:].split("\n")[0], start, end) for start, end in spans)
    return Report(report_id, patient or f"P-{report_id}", body, slides, sections=sections)


def make_reports(folder: Path, *names: str) -> FeatureStore:
    """A store with the reports of the corpus, or those named."""
    store = FeatureStore.open(folder, create=True)
    for name in names or TEXTS:
        store.reports.put(report(name))
    return store


def _line_starts(text: str) -> list[int]:
    return [0, *(at + 1 for at, sign in enumerate(text) if sign == "\n")]
