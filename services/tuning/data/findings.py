"""Findings that reports state or deny, and the patterns that find them."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["FINDINGS", "Finding", "phrase"]


def phrase(pattern: str) -> re.Pattern[str]:
    """A pattern in which each space stands for any white space or hyphen: lines are wrapped, and scans are spaced out."""
    spaced = pattern.replace(" ?", r"[\s-]*").replace(" ", r"[\s-]+")
    return re.compile(rf"\b(?:{spaced})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """`name` as a question says it; an `entity` is stated by being named, any other must be said to be present.

    `plural` words are followed by "are"; `near` must stand within 160 characters of it.
    """

    name: str
    pattern: re.Pattern[str]
    entity: bool = False
    near: re.Pattern[str] | None = None
    plural: bool = False


_VESSELS = r"(?:lympho?|angio|blood|vascular|vessel|lymphatic|venous|space|small|large|and|or|perineural|[/,()&-]|\s)"

#: By topic.
FINDINGS = {
    "lymphovascular-invasion": Finding(
        "lymphovascular invasion",
        re.compile(
            rf"\b(?:lympho?[\s-]*vascular|angio[\s-]*lymphatic|vascular\s*/\s*lymphatic|lymphatic\s*/\s*vascular"
            rf"|lymphatic\s+(?:or|and)\s+(?:blood\s+)?vascular)(?:\s+space)?(?:\s+(?:and|or)\s+perineural)?\s*"
            rf"(?:\({_VESSELS}{{0,30}}\))?\s*invasion\b|\bperineural\s+(?:and|or)\s+(?:lympho?[\s-]*vascular|angio"
            r"[\s-]*lymphatic)(?:\s+space)?\s+invasion\b",
            re.IGNORECASE,
        ),
    ),
    "perineural-invasion": Finding(
        "perineural invasion",
        re.compile(
            r"\bperineural(?:\s+(?:and|or)\s+(?:[\w-]+\s+){1,3}?)?(?:\s+space)?\s+invasion\b"
            r"|\b(?:lympho?[\s-]*vascular|angio[\s-]*lymphatic|lymphatic|vascular)(?:\s+space)?\s+(?:and|or)\s+perineural"
            r"\s+invasion\b",
            re.IGNORECASE,
        ),
    ),
    "necrosis": Finding(
        "tumor necrosis",
        phrase(
            r"(?:tumou?r(?:al)?|coagulative|geographic|comedo|extensive|pseudopalisading|palisading) necrosis|necrosis of (?:the )?tumou?r"
        ),
    ),
    "extranodal-extension": Finding(
        "extranodal extension",
        phrase(r"(?:extra nodal|extra capsular|extranodal|extracapsular)(?: tumou?r)? (?:extension|spread|invasion)"),
        near=re.compile(r"\bnod(?:e|es|al)\b", re.IGNORECASE),
    ),
    "extraprostatic-extension": Finding("extraprostatic extension", phrase(r"extra ?prostatic(?: tumou?r)? extension")),
    "seminal-vesicle-invasion": Finding(
        "seminal vesicle invasion",
        phrase(r"seminal vesicles? (?:invasion|involvement)|(?:invasion|involvement) of (?:the )?seminal vesicles?"),
    ),
    "renal-vein-invasion": Finding(
        "renal vein invasion", phrase(r"renal vein (?:invasion|involvement)|(?:invasion|involvement) of (?:the )?renal vein")
    ),
    "microvascular-proliferation": Finding(
        "microvascular proliferation", phrase(r"(?:micro ?vascular|endothelial|vascular) (?:cell )?(?:proliferation|hyperplasia)")
    ),
    "sarcomatoid": Finding(
        "sarcomatoid features", phrase(r"sarcomatoid (?:features?|differentiation|component|change)"), plural=True
    ),
    "carcinoma-in-situ": Finding("carcinoma in situ", phrase(r"(?:urothelial |squamous (?:cell )?)?carcinoma in situ")),
    "high-grade-pin": Finding(
        "high-grade prostatic intraepithelial neoplasia",
        phrase(r"high grade (?:prostatic (?:intra ?epithelial|intra epithelial) neoplasia|pin)"),
        entity=True,
    ),
    "squamous-differentiation": Finding("squamous differentiation", phrase(r"squamous differentiation")),
    "psammoma-bodies": Finding("psammoma bodies", phrase(r"psammoma bod(?:y|ies)"), plural=True),
    "cirrhosis": Finding("cirrhosis", phrase(r"(?:liver |macronodular |micronodular )?cirrhosis"), entity=True),
    "steatosis": Finding("steatosis", phrase(r"(?:macrovesicular |microvesicular )?steatosis|fatty change"), entity=True),
    "cholecystitis": Finding("cholecystitis", phrase(r"cholecystitis"), entity=True),
    "gallstones": Finding("gallstones", phrase(r"cholelithiasis|gallstones?"), entity=True, plural=True),
    "pancreatitis": Finding("chronic pancreatitis", phrase(r"chronic (?:and acute )?pancreatitis"), entity=True),
    "leiomyoma": Finding("leiomyoma", phrase(r"leiomyoma(?:s|ta)?"), entity=True),
    "adenomyosis": Finding("adenomyosis", phrase(r"adenomyosis"), entity=True),
    "endometriosis": Finding("endometriosis", phrase(r"endometriosis"), entity=True),
    "prostatic-hyperplasia": Finding(
        "benign prostatic hyperplasia",
        phrase(r"(?:benign|nodular|glandular and stromal)(?: prostatic| adenomatous)? hyperplasia(?: of (?:the )?prostate)?"),
        entity=True,
    ),
    "diverticulosis": Finding("diverticulosis", phrase(r"diverticulosis"), entity=True),
    "tubular-adenoma": Finding("tubular adenoma", phrase(r"tubular adenomas?"), entity=True),
}  # fmt: skip
