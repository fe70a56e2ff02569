"""The names of what is seen under the microscope, in groups of which one may be taken for another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

__all__ = ["GROUPS", "Mention", "held_by", "mentions", "organ_in"]

#: By group: the name of each thing, and how else it is written (parts of regular expressions).
GROUPS: Mapping[str, Mapping[str, str]] = {
    "cell": {
        "lymphocytes": r"lymphocytes?|lymphocytic|lymphoid(?: cells?)?",
        "plasma cells": r"plasma cells?",
        "neutrophils": r"neutrophils?|neutrophilic",
        "eosinophils": r"eosinophils",
        "macrophages": r"macrophages?|histiocytes?",
        "fibroblasts": r"fibroblasts?",
        "adipocytes": r"adipocytes?|fat cells?",
        "giant cells": r"giant cells?",
        "red blood cells": r"red blood cells?|erythrocytes?",
        "endothelial cells": r"endothelial cells?",
        "spindle cells": r"spindle[- ](?:shaped )?cells?",
    },
    "tissue": {
        "tumour": r"tumou?r(?: cells?)?|neoplas\w+|malignan\w+",
        "glands": r"glands?|glandular(?: structures?)?|acin(?:i|ar)",
        "stroma": r"stroma(?:l)?|connective tissue",
        "fat": r"fat|adipose(?: tissue)?",
        "smooth muscle": r"(?:smooth )?muscle(?: fib(?:re|er)s| bundles)?",
        "epithelium": r"epitheli\w+",
        "cartilage": r"cartilag\w+",
        "bone": r"bone|bony trabeculae",
        "nerve": r"nerves?|neural",
    },
    "change": {
        "necrosis": r"necro(?:sis|tic)(?: debris)?|debris",
        "mucin": r"mucin(?:ous)?|mucus",
        "fibrosis": r"fibrosis|fibrotic|desmoplas\w+",
        "haemorrhage": r"ha?emorrhag\w+",
        "calcification": r"calcifi\w+",
        "keratinisation": r"kerat\w+",
        "oedema": r"o?edema(?:tous)?",
        "inflammation": r"inflam\w+",
    },
    "nuclei": {
        "hyperchromatic nuclei": r"hyperchromat\w+(?:,? nuclei)?",
        "prominent nucleoli": r"prominent nucleoli|conspicuous nucleoli",
        "pleomorphic nuclei": r"pleomorph\w+(?: nuclei)?",
        "mitotic figures": r"mito(?:ses|tic(?: figures?| activity)?)",
        "vesicular nuclei": r"vesicular nuclei",
        "atypia": r"atypi(?:a|cal)",
    },
    "cellularity": {
        "densely cellular": r"densely cellular|high cellularity|hypercellular|dense cellularity",
        "moderately cellular": r"moderately cellular|moderate cellularity",
        "sparsely cellular": r"sparsely cellular|low cellularity|hypocellular|sparse cellularity",
    },
    "diagnosis": {
        "adenocarcinoma": r"adenocarcinoma",
        "squamous cell carcinoma": r"squamous (?:cell )?carcinoma",
        "ductal carcinoma": r"ductal carcinoma",
        "lobular carcinoma": r"lobular carcinoma",
        "urothelial carcinoma": r"urothelial carcinoma|transitional cell carcinoma",
        "renal cell carcinoma": r"renal cell carcinoma",
        "hepatocellular carcinoma": r"hepatocellular carcinoma",
        "serous carcinoma": r"serous (?:cyst)?(?:adeno)?carcinoma",
        "melanoma": r"melanoma",
        "lymphoma": r"lymphoma",
        "sarcoma": r"\w*sarcoma",
        "glioma": r"gli(?:oma|oblastoma)\w*|astrocytoma|oligodendroglioma",
    },
    "organ": {
        "bladder": r"(?:urinary )?bladder(?<!gallbladder)",
        "brain": r"brain|cerebr\w+",
        "breast": r"breast|mammary",
        "cervix": r"cervix",
        "colon": r"colon(?:ic)?|colorectal|rect(?:um|al)",
        "kidney": r"kidney|renal",
        "liver": r"liver|hepatic",
        "lung": r"lung|pulmonary",
        "ovary": r"ovar(?:y|ian)",
        "pancreas": r"pancrea\w+",
        "prostate": r"prostat\w+",
        "skin": r"skin|cutaneous",
        "stomach": r"stomach|gastric",
        "thyroid": r"thyroid",
        "uterus": r"uter(?:us|ine)|endometri\w+",
    },
}
_NO = re.compile(
    r"\b(?:no|not|non|without|absent|absence of|lacks?|lacking|negative for|free of"
    r"|neither|nor|devoid of)\b([^.;]{0,90})$",
    re.IGNORECASE,
)
#: Where a denial ends though its sentence goes on: "no atypia but necrosis", "no necrosis, the stroma is …".
_ENDS = re.compile(
    r"\b(?:but|however|with|is|are|was|were|shows?|suggest\w*|indicat\w*|display\w*|while|whereas)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Mention:
    """`text[start:end]` names a thing of a group; `denied` where it is said not to be there."""

    group: str
    name: str
    start: int
    end: int
    denied: bool


def mentions(text: str) -> list[Mention]:
    """What a text names, in its order; of two that overlap the longer, or the earlier group."""
    found: list[Mention] = []
    for group, name, pattern in _patterns():
        for match in pattern.finditer(text):
            no = _NO.search(text[: match.start()])
            denied = no is not None and _ENDS.search(no[1]) is None
            found.append(Mention(group, name, *match.span(), denied))
    found.sort(key=lambda each: (each.start, -(each.end - each.start)))
    kept: list[Mention] = []
    for each in found:
        if not kept or each.start >= kept[-1].end:
            kept.append(each)
    return kept


def held_by(text: str) -> frozenset[str]:
    """The names of what a text says is there."""
    return frozenset(each.name for each in mentions(text) if not each.denied)


def organ_in(text: str) -> tuple[str, int, int] | None:
    """The one organ that a text names, with the place of its first mention; None for none and for several."""
    named = [each for each in mentions(text) if each.group == "organ"]
    if len({each.name for each in named}) != 1:
        return None
    return named[0].name, named[0].start, named[0].end


@cache
def _patterns() -> tuple[tuple[str, str, re.Pattern[str]], ...]:
    return tuple(_compiled())


def _compiled() -> Iterator[tuple[str, str, re.Pattern[str]]]:
    for group, names in GROUPS.items():
        for name, written in names.items():
            yield group, name, re.compile(rf"\b(?:{written})\b", re.IGNORECASE)
