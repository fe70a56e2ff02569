"""What it is: the kind of tumour, its grade, and what is said of markers, vessels, nerves and necrosis."""

from __future__ import annotations

import re

from slidelake.services.tuning.evaluation.statements import Said, denied

__all__ = ["read_grade", "read_histology", "read_markers"]

_CA = r"(?:carcinoma|cancer|ca\b|tumou?r|neoplasm|malignancy)"
#: Family → kind → pattern. The first kind of a family is the general one, which every other of it is.
_FAMILIES: dict[str, dict[str, str]] = {
    "glandular": {
        "adenocarcinoma": rf"adeno-?carcinoma|glandular {_CA}",
        "ductal": rf"duct(?:al)? (?:adeno)?{_CA}|\b(?-i:IDC)\b|\b(?-i:PDAC)\b",
        "lobular": rf"lobular {_CA}",
        "serous": rf"(?<!sub)serous (?:papillary )?(?:cyst)?(?:adeno)?{_CA}|\b(?-i:HGSC)\b",
        "endometrioid": rf"endometrioid(?: (?:type )?(?:adeno)?{_CA})?",
        "mucinous": rf"(?:mucinous|colloid) (?:cyst)?(?:adeno)?{_CA}",
        "cholangiocarcinoma": r"cholangio-?carcinoma|bile duct (?:carcinoma|cancer)",
        "signet ring": rf"signet[ -]ring(?:[ -]cell)?(?: {_CA})?",
        "acinar": rf"acinar(?:[ -]type)? (?:adeno)?{_CA}",
    },
    "squamous": {"squamous": rf"squamous(?:[ -]cell)? {_CA}|epidermoid {_CA}|\b(?-i:SCC)\b"},
    "urothelial": {"urothelial": rf"urothelial(?:[ -]cell)? {_CA}|transitional[ -]cell {_CA}|\b(?-i:TCC)\b"},
    "liver cell": {"hepatocellular": rf"hepato-?cellular {_CA}|\b(?-i:HCC)\b|hepatoma|liver cell {_CA}"},
    "renal": {
        "renal cell": rf"renal[ -]cell {_CA}|\b(?-i:RCC)\b",
        "clear cell": rf"clear[ -]cell (?:type|renal|{_CA})|renal[ -]cell {_CA}[^.;]{{0,25}}clear[ -]cell|"
        r"\b(?-i:ccRCC)\b",
        "papillary renal": rf"papillary (?:renal|RCC)|renal[ -]cell {_CA}[^.;]{{0,20}}\bpapillary|\b(?-i:pRCC)\b",
        "chromophobe": r"chromophobe",
    },
    "neuroendocrine": {
        "neuroendocrine": rf"neuroendocrine (?:{_CA})|carcinoid|islet cell tumou?r|\b(?-i:NET)\b",
        "small cell": rf"(?<!non-)(?<!non )small[ -]cell {_CA}|oat cell",
    },
    "glial": {
        "glioma": r"\bglioma",
        "glioblastoma": r"glioblastoma|\b(?-i:GBM)\b",
        "astrocytoma": r"(?<!oligo)astrocytoma",
        "oligodendroglioma": r"oligodendroglioma",
        "oligoastrocytoma": r"oligo-?astrocytoma|mixed glioma",
    },
    "melanoma": {"melanoma": r"melanoma"},
    "sarcoma": {
        "sarcoma": r"\bsarcoma\b",
        "leiomyosarcoma": r"leiomyosarcoma",
        "liposarcoma": r"liposarcoma",
        "angiosarcoma": r"angiosarcoma",
    },
    "mixed": {"carcinosarcoma": r"carcinosarcoma|malignant mixed m(?:u|ü)llerian"},
    "lymphoma": {"lymphoma": r"lymphoma"},
    "mesothelioma": {"mesothelioma": r"mesothelioma"},
    "germ cell": {"germ cell": r"germ cell tumou?r", "seminoma": r"\bseminoma", "teratoma": r"teratoma"},
    "benign": {
        "benign": r"\bbenign (?:tissue|tumou?r|lesion|neoplasm|process|finding|changes?)|\bis benign\b",
        "leiomyoma": r"leiomyoma(?!tosis)|fibroid",
        "oncocytoma": r"oncocytoma",
        "angiomyolipoma": r"angiomyolipoma",
        "adenoma": r"\b(?:\w*villous |tubular |serrated )?adenoma",
    },
}
_KINDS = {
    kind: (family, re.compile(pattern, re.IGNORECASE))
    for family, kinds in _FAMILIES.items()
    for kind, pattern in kinds.items()
}
_GENERAL = {family: next(iter(kinds)) for family, kinds in _FAMILIES.items()}
_MALIGNANT = re.compile(rf"\b(?:malignan\w+|{_CA}|invasive)", re.IGNORECASE)
#: What is said of these is said of nodes and edges, not of the whole.
_ELSEWHERE = re.compile(
    r"\bnod(?:e|es|al)\b|margin|resection line|extension|thromb|vessel|vascular|perineural", re.I
)

_WHAT_GRADE = (
    r"(?:\s+(?:dysplasia|intra-?epithelial|prostatic intra|squamous intra|PIN\b|glandular dysplasia))"
)
_GRADES: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), frozenset(values.split()))
    for pattern, values in (
        (r"\bwell(?:\s+to\s+moderately)?[ -]+differentiated", "1"),
        (r"\b(?:moderate(?:ly)?|intermediate)(?:[ -]+(?:to[ -]+poorly))?[ -]*(?:differentiated|grade)", "2"),
        (r"\bwell\s+to\s+moderately[ -]+differentiated", "2"),
        (r"\bpoorly[ -]+differentiated|\bundifferentiated|\bto\s+poorly[ -]+differentiated", "3 4"),
        (rf"\blow[ -]grade\b(?!{_WHAT_GRADE})", "1 2"),
        (rf"\bhigh[ -]grade\b(?!{_WHAT_GRADE})", "3 4"),
        (r"\bgrade\s*:?\s*(?:is\s+)?(?:I|1)(?![\dIV/])|\bG\s?1\b", "1"),
        (r"\bgrade\s*:?\s*(?:is\s+)?(?:II|2)(?![\dIV])|\bG\s?2\b|G2(?=\D)", "2"),
        (r"\bgrade\s*:?\s*(?:is\s+)?(?:III|3)(?![\dIV])|\bG\s?3\b|G3(?=\D)", "3"),
        (r"\bgrade\s*:?\s*(?:is\s+)?(?:IV|4)(?![\d])|\bG\s?4\b|G4(?=\D)", "4"),
    )
)
_GLEASON = re.compile(r"gleason[^.;]{0,40}?\b([3-5])\s*\+\s*([3-5])", re.IGNORECASE)
_SCORE = re.compile(
    r"gleason\s*(?:score|sum|grade)?\s*:?\s*(?:of\s+|is\s+)?(\d{1,2})\b(?!\s*\+)", re.IGNORECASE
)
_GROUP = re.compile(r"\b(?:grade group|ISUP(?: grade| group)?)\s*:?\s*([1-5])\b", re.IGNORECASE)
#: ISUP grade groups of Gleason patterns and scores (Epstein et al. 2016).
_ISUP = {"33": "1", "34": "2", "43": "3", "44": "4", "35": "4", "53": "4", "45": "5", "54": "5", "55": "5"}
_OF_SCORE = {"6": "1", "7": "2 3", "8": "4", "9": "5", "10": "5"}

#: Marker → pattern. Positive and negative are read from what follows, or from a "no" before.
_MARKERS = {
    "oestrogen receptor": r"(?:o?estrogen receptors?|(?-i:\bER\b))",
    "progesterone receptor": r"(?:progesterone receptors?|(?-i:\bPR\b|\bPgR\b))",
    "HER2": r"her[- ]?2(?:/neu)?|erbb2",
    "IDH": r"\bIDH[- ]?1?/?2?\b",
    "p16 or HPV": r"\bp16\b|\bHPV\b|papilloma ?virus",
    "p53": r"\bp53\b",
    "1p/19q": r"\b1p[ /-]*19q\b",
    "EGFR": r"\bEGFR\b",
    "GFAP": r"\bGFAP\b",
    "lymphovascular invasion": r"(?:angio-?lymphatic|lympho-?vascular|lymph-?vascular|vascular(?: space)?|venous|"
    r"lymphatic)(?:[ /-]+(?:space|vessel))?\s+(?:invasion|involvement)|\bL?VI\b",
    "perineural invasion": r"perineural\s+(?:invasion|involvement)|\bPNI\b",
    "necrosis": r"\bnecrosis\b|\bnecrotic\b",
    "extranodal extension": r"extra-?(?:nodal|capsular)\s+(?:extension|spread)",
}
_MARKER_PATTERNS = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _MARKERS.items()}
_PERCENT = re.compile(r"(?:ki-?\s?67|mib-?\s?1)[^.%;]{0,60}?(\d{1,3}(?:\.\d)?)\s*%", re.IGNORECASE)
_MINUS = re.compile(r"\A\s*(?:\([-–]\)|[-–](?=[\s,;)]|\Z))")


def read_histology(text: str) -> list[Said]:
    """Kinds of tumour that are affirmed or denied, and whether it is malignant."""
    found: list[tuple[str, Said]] = []
    for kind, (family, pattern) in _KINDS.items():
        others = frozenset(_FAMILIES[family]) if kind == _GENERAL[family] else frozenset({kind})
        for match in pattern.finditer(text):
            if denied(text, *match.span()):
                found.append(("", Said(f"is {kind}", frozenset({"no"}), *match.span())))
                continue
            found.append((kind, Said("kind", others, *match.span())))
            found.append(("", Said(f"is {kind}", frozenset({"yes"}), *match.span())))
            if family != "benign":
                found.append(("", Said("malignant", frozenset({"yes"}), *match.span())))
            elif kind == "benign":
                found.append(("", Said("malignant", frozenset({"no"}), *match.span())))
    # "Ductal adenocarcinoma" names a kind and its family: the kind is what it is.
    kinds = {kind for kind, _ in found}
    general = {
        _GENERAL[family]
        for family, each in _FAMILIES.items()
        if kinds & (set(each) - {_GENERAL[family]}) and family != "benign"
    }
    said = [each for kind, each in found if kind not in general or not kind]
    for match in _MALIGNANT.finditer(text):
        around = text[max(0, match.start() - 60) : match.end() + 60]
        if not _ELSEWHERE.search(around):
            no = denied(text, *match.span())
            said.append(Said("malignant", frozenset({"no" if no else "yes"}), *match.span()))
    return said


def read_grade(text: str) -> list[Said]:
    """Grades on a scale of 1 to 4, and the ISUP group of a Gleason score."""
    found = []
    for match in _GLEASON.finditer(text):
        if group := _ISUP.get(match[1] + match[2]):
            found.append(Said("Gleason", frozenset({group}), *match.span()))
    for match in _SCORE.finditer(text):
        if groups := _OF_SCORE.get(match[1]):
            found.append(Said("Gleason", frozenset(groups.split()), *match.span()))
    found += [Said("Gleason", frozenset({match[1]}), *match.span()) for match in _GROUP.finditer(text)]
    for pattern, values in _GRADES:
        found += [
            Said("grade", values, *match.span())
            for match in pattern.finditer(text)
            if not denied(text, *match.span())
        ]
    return found


def read_markers(text: str) -> list[Said]:
    """Markers and findings, each there or not, and the share of Ki-67."""
    found = [
        Said("Ki-67", frozenset({f"{float(match[1]):g}"}), *match.span()) for match in _PERCENT.finditer(text)
    ]
    for name, pattern in _MARKER_PATTERNS.items():
        for match in pattern.finditer(text):
            after = text[match.end() : match.end() + 40]
            no = denied(text, *match.span()) or bool(_MINUS.match(after))
            found.append(Said(name, frozenset({"no" if no else "yes"}), *match.span()))
    return found
