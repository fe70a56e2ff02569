"""A small lake of patients with slides and reports, for the tests of tuning data."""

from __future__ import annotations

import hashlib
from pathlib import Path

import slidelake
from slidelake.index.reports import clean_text, find_sections
from slidelake.services.lake import Lake
from slidelake.services.tuning.data import Evidence, TuningRow, Turn, row_id
from slidelake.store import Report
from tests.index.lakes import features, put_slide

GERMAN = (
    "Pathologischer Befund\nDas Präparat zeigt ein mäßig differenziertes Adenokarzinom des Kolons mit Infiltration der"
    " Muskularis. Die Resektionsränder sind frei von Tumor. Es wurden zwölf Lymphknoten untersucht, und in keinem von"
    " ihnen ist eine Metastase nachweisbar. Der Tumor wird nach der Klassifikation als pT2 eingestuft."
)
TEXTS = {
    "P0": "FINAL DIAGNOSIS\nKidney, left, radical nephrectomy: renal cell carcinoma, clear cell type, Fuhrman grade 2.\n"
    "Tumor size: 3.7 cm. Lymphovascular invasion: Not identified\nAll surgical margins are free of tumor.\n"
    "Eleven lymph nodes with no tumor identified (0/11). pT1a pN0.",
    "P1": "FINAL DIAGNOSIS\nProstate, prostatectomy: prostatic adenocarcinoma, acinar type, Gleason score 3 + 4 = 7.\n"
    "Perineural invasion is present. Extraprostatic extension: Not identified\nTumor present at the apical margin.",
    "P2": "FINAL DIAGNOSIS\nUrinary bladder, cystectomy: invasive high grade urothelial carcinoma with lymphovascular\n"
    "invasion. Metastatic carcinoma in three of nineteen lymph nodes (3/19). pT3b pN2.",
}


def report(report_id: str, patient: str, text: str, slides: tuple[str, ...] = ()) -> Report:
    text = clean_text(text)
    return Report(report_id, patient, text, slides, sections=find_sections(text))


def make_lake(folder: Path, texts: dict[str, str] | None = None, *, slides: bool = True) -> Lake:
    """Patients P0, P1, … each with a slide S0, S1, … and a report R-P0, R-P1, …"""
    lake = slidelake.open(folder)
    for number, (patient, text) in enumerate((texts or TEXTS).items()):
        if slides:
            put_slide(lake.store, f"S{number}", features(number), patient=patient)
        lake.store.reports.put(report(f"R-{patient}", patient, text))
    return lake


def row(
    name: str, *, patient: str = "P0", slide: str = "", text: str = "What is it?", split: str = ""
) -> TuningRow:
    evidence = Evidence("report", f"R-{patient}", 0, 5, "FINAL", hashlib.sha256(patient.encode()).hexdigest())
    return TuningRow(
        row_id(name),
        "test",
        patient,
        (Turn("user", text), Turn("assistant", name)),
        (evidence,),
        slide,
        split=split,
    )


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file of a data set but its lock, by relative name."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(files)}
