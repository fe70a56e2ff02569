"""A pathology report for each synthetic patient, written from the truth: what search and answers are tried on."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from slidelake.ingest.synthetic.layout import SlidePlan
from slidelake.ingest.synthetic.truth import Label

__all__ = ["write_reports"]

#: What a class of tissue is called in a report.
_FINDINGS = {
    "glands": "glands of regular shape",
    "stroma": "fibrous stroma",
    "fat": "mature fat",
    "lymphocytes": "dense lymphocytic infiltrate",
    "mucin": "pools of extracellular mucin",
    "necrosis": "necrosis with nuclear debris",
    "muscle": "smooth muscle",
    "tumour": "solid tumour of large atypical cells",
    "epithelium": "surface epithelium without atypia",
}


def write_reports(path: Path, plans: Sequence[SlidePlan], labels: Sequence[Label]) -> None:
    """A CSV with report_id, patient_id, slide_ids, title and text: one report a patient, with the sections that
    pathologists write. It says which tissues the slides show, in the order of their area, and of which there is none.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["report_id", "patient_id", "slide_ids", "title", "text"])
        for patient in dict.fromkeys(plan.patient_id for plan in plans):
            own = [plan for plan in plans if plan.patient_id == patient]
            slides = [plan.slide_id for plan in own]
            site = str(own[0].metadata["site"])
            text = _text(own[0], slides, [label for label in labels if label.slide in slides])
            writer.writerow(
                [f"{patient}-report", patient, ",".join(slides), f"Resection of the {site}", text]
            )


def _text(plan: SlidePlan, slides: Sequence[str], labels: Sequence[Label]) -> str:
    facts, counts = plan.metadata, Counter(label.name for label in labels)
    seen = [(name, number / len(labels)) for name, number in counts.most_common()]
    present = {name for name, _ in seen}
    described = [f"{_FINDINGS[name].capitalize()}, about {share:.0%} of the tissue." for name, share in seen]
    absent = [f"No evidence of {_FINDINGS[name]}." for name in _FINDINGS if name not in present]
    tumour = "tumour" in present
    nature = "Malignant tumour" if tumour else "No malignant tumour"
    with_what = [_FINDINGS[name] for name in ("necrosis", "mucin", "lymphocytes") if name in present]
    diagnosis = f"{facts['site'].capitalize()}, resection: {nature.lower()}"
    diagnosis += f", stage {facts['stage']}" if tumour else ""
    diagnosis += f", with {' and '.join(with_what)}." if with_what else "."
    return "\n".join(
        [
            "CLINICAL HISTORY",
            f"Patient of {facts['age']} years with a lesion of the {facts['site']}.",
            "",
            "GROSS DESCRIPTION",
            f"Received in formalin: tissue of the {facts['site']}, sampled in {len(slides)} "
            f"block{'s' if len(slides) > 1 else ''} ({', '.join(slides)}).",
            "",
            "MICROSCOPIC DESCRIPTION",
            *described,
            *absent,
            "",
            "FINAL DIAGNOSIS",
            diagnosis,
            *([f"Tumour necrosis: {'present' if 'necrosis' in present else 'absent'}."] if tumour else []),
            "Synthetic slides: this report describes no person.",
        ]
    )
