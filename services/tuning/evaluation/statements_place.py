"""Where it is and how far it went: site and side, margins, lymph nodes, categories and structures grown into."""

from __future__ import annotations

import re
from collections import Counter

from slidelake.index.reports import default_lexicon, number_of, read_terms, words_in
from slidelake.services.tuning.evaluation.statements import Said, denied, sentences, worst

__all__ = ["read_extent", "read_margins", "read_nodes", "read_site"]

#: Concepts of the lexicon that are organs or regions; lymph nodes have a criterion of their own.
_SITES = frozenset(
    {
        "kidney", "bladder", "ureter", "urethra", "prostate", "testis", "seminal vesicle", "liver", "gallbladder",
        "bile duct", "pancreas", "spleen", "stomach", "oesophagus", "small bowel", "duodenum", "jejunum", "ileum",
        "appendix", "colon", "caecum", "sigmoid", "rectum", "anus", "lung", "bronchus", "pleura", "trachea", "larynx",
        "pharynx", "tonsil", "tongue", "floor of mouth", "mouth", "mandible", "maxilla", "salivary gland", "thyroid",
        "parathyroid", "adrenal", "breast", "ovary", "fallopian tube", "uterus", "uterine lining", "cervix", "vagina",
        "vulva", "brain", "cerebellum", "temporal", "frontal", "parietal", "occipital", "meninges", "skin", "bone",
        "soft tissue",
    }
)  # fmt: skip
#: Parts of one organ that reports name for one another; neither contradicts the other.
_WITHIN = {"uterine lining": "uterus", "cervix": "uterus", "bronchus": "lung", "pleura": "lung"}
#: A site that a report names less than this share of the times of its first one is not what it is about.
_LEAST_SHARE = 0.34
_SIDE = re.compile(r"\b(left|right)\b", re.IGNORECASE)
_SIDE_NEAR = 40

_MARGIN = re.compile(r"\bmargins?\b|\bresection (?:line|edge)s?\b|\bR[012]\b", re.IGNORECASE)
_FREE = re.compile(
    r"\b(?:free|negative|clear|uninvolved|unremarkable|R0|not involved|no (?:residual |evidence of )?"
    r"(?:invasive )?(?:tumou?r|carcinoma|malignancy|involvement|dysplasia)|without)\b",
    re.IGNORECASE,
)
_INVOLVED = re.compile(
    r"\b(?:positive|involved|involves|R[12]|(?:present|extend(?:s|ing)?|identified|seen) (?:at|to)|"
    r"(?:tumou?r|carcinoma) (?:is )?(?:at|reaches|touches))\b",
    re.IGNORECASE,
)
_CLOSE = re.compile(r"\bclose\b", re.IGNORECASE)

_NODE = re.compile(
    r"\b(?:lymph\s*nodes?|nodes?|nodal|LNs?)\b|\b[cpy]{0,2}N[0-3OX][a-c]?\b|N[0-3][a-c]?(?=M[01])"
)
_NODE_WORD = re.compile(r"\bnod(?:e|es|al)\b|\bLNs?\b", re.IGNORECASE)
_NODES_FREE = re.compile(
    r"\b(?:negative|free|uninvolved|benign|no (?:evidence of )?(?:\w+ )?(?:metasta\w+|tumou?r|carcinoma|malignancy)|"
    r"without (?:\w+ )?(?:metasta\w+|tumou?r))\b",
    re.IGNORECASE,
)
_NONE_HELD = re.compile(
    r"\b(?:containing|with|involved|positive)\b[^:\d]{0,40}:?\s*(?:0|none|zero)\b", re.IGNORECASE
)
_NODES_HELD = re.compile(r"\b(?:positive|involved|metasta\w+|with (?:tumou?r|carcinoma))\b", re.IGNORECASE)
_POSITIVE_COUNT = re.compile(
    r"\b(\d{1,3}|[a-z-]+)\s+(?:positive|involved|metastatic)\s+(?:\w+\s+)?(?:lymph\s+)?nod", re.IGNORECASE
)

_T = re.compile(r"(?<![A-Za-z])[cpy]{0,2}T\s?([0-4]|is)([a-d]?)(?![a-z\d])")
_M = re.compile(r"(?<![A-Za-z])[cpy]{0,2}(?:T[0-4is]+[a-d]?\s?N[0-3OX][a-c]?\s?)?M([01])(?![\w])")
_STAGE = re.compile(r"\b[Ss]tage\s*:?\s*(IV|III|II|I|[1-4])\s?([A-Ca-c]?)\b")
_ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4"}
_GROWS = re.compile(
    r"\b(?:invad|invas|infiltrat|extend|extens|penetrat|perforat|involv|grow|breach)\w*", re.IGNORECASE
)
_STRUCTURES = frozenset(
    {
        "renal vein", "vena cava", "perinephric fat", "renal sinus", "renal pelvis", "parametrium", "serosa", "capsule",
        "muscularis propria", "seminal vesicle", "myometrium", "pleura", "vagina", "omentum", "skeletal muscle",
    }
)  # fmt: skip


def read_site(text: str) -> list[Said]:
    """The organs that a text is about, each with its broader ones, and the side where one is said."""
    lexicon = default_lexicon()
    words = words_in(text)
    found: list[tuple[str, frozenset[str], int, int]] = []
    for first, length, concept in lexicon.find(words, longest=True):
        organs = {lexicon.names[each] for each in (concept, *lexicon.broader[concept])} & _SITES
        start, end = words[first].start, words[first + length - 1].end
        if not organs or denied(text, start, end):
            continue
        main = lexicon.names[concept] if lexicon.names[concept] in _SITES else sorted(organs)[0]
        found.append((main, frozenset(organs | {_WITHIN.get(name, name) for name in organs}), start, end))
    times = Counter(place for _, named, _, _ in found for place in named)
    most = max(times.values(), default=0)
    said = []
    for _, named, start, end in found:
        main_one = max(times[name] for name in named) >= _LEAST_SHARE * most
        said.append(Said("site" if main_one else "other site", named, start, end))
    for main, named, start, end in found:
        near = text[max(0, start - _SIDE_NEAR) : end + _SIDE_NEAR]
        sides = {match[1].lower() for match in _SIDE.finditer(near)}
        if len(sides) == 1 and max(times[name] for name in named) >= _LEAST_SHARE * most:
            said.append(Said(f"side of {_WITHIN.get(main, main)}", frozenset(sides), start, end))
    return said


def read_margins(text: str) -> list[Said]:
    """Free, close or involved; one involved margin outweighs all that are free."""
    found = []
    for start, end in sentences(text):
        sentence = text[start:end]
        if not _MARGIN.search(sentence):
            continue
        free, involved = _FREE.search(sentence), _INVOLVED.search(sentence)
        if involved and not denied(sentence, *involved.span()) and not _swallowed(free, involved):
            found.append(_said("margins", {"involved"}, text, start, end))
        elif free:
            found.append(_said("margins", {"free"}, text, start, end))
        elif _CLOSE.search(sentence):
            found.append(_said("margins", {"close", "free"}, text, start, end))
    return worst(found, "involved")


def read_nodes(text: str) -> list[Said]:
    """Whether lymph nodes held tumour, how many did, and how many there were."""
    found = []
    for start, end in sentences(text):
        sentence = text[start:end]
        if not _NODE.search(sentence):
            continue
        terms = read_terms(sentence)
        counts: dict[str, list[float]] = {"involved": [], "total": []}
        for term in terms.measures:
            match = re.fullmatch(r"(involved|total)(\d[\d.]*)", term)
            if match:
                counts[match[1]].append(float(match[2]))
        category = {term[2:3] for term in terms.numbers if term.startswith("n_")} - {"x"}
        for match in _POSITIVE_COUNT.finditer(sentence):
            if value := number_of(match[1].lower().split("-")) or (
                int(match[1]) if match[1].isdigit() else 0
            ):
                # "Three positive nodes" counts those with tumour, not all.
                counts["total"] = [each for each in counts["total"] if each != value]
                counts["involved"].append(float(value))
        words, free = _NODE_WORD.search(sentence), _NODES_FREE.search(sentence)
        zero = (0 in counts["involved"] and free is not None) or _NONE_HELD.search(sentence) is not None
        held = not zero and (any(counts["involved"]) or bool(category - {"0"}))
        none = zero or (bool(counts["involved"]) and not any(counts["involved"])) or category == {"0"}
        if not held and not none and words:
            positive = _NODES_HELD.search(sentence)
            none = free is not None
            held = not none and positive is not None and not denied(sentence, *positive.span())
        if held or none:
            found.append(_said("nodes", {"positive" if held else "negative"}, text, start, end))
        for name, values in counts.items():
            if any(values):
                both = {f"{value:g}" for value in [*values, sum(values)]}
                found.append(_said(f"{name} nodes", both, text, start, end))
    status = worst([each for each in found if each.key == "nodes"], "positive")
    return [*status, *(each for each in found if each.key != "nodes")]


def read_extent(text: str) -> list[Said]:
    """T and M, the stage, and whether it grows into a structure."""
    found = []
    for match in _T.finditer(text):
        exact = {match[1] + match[2]} if match[2] else {match[1] + each for each in ("", "a", "b", "c", "d")}
        found.append(Said("T", frozenset(exact | ({match[1]} if match[2] == "" else set())), *match.span()))
    found += [Said("M", frozenset({match[1]}), *match.span()) for match in _M.finditer(text)]
    for match in _STAGE.finditer(text):
        number = _ROMAN.get(match[1], match[1])
        letters = [match[2].lower()] if match[2] else ["", "a", "b", "c"]
        found.append(Said("stage", frozenset(number + letter for letter in letters), *match.span()))
    lexicon = default_lexicon()
    for start, end in sentences(text):
        sentence = text[start:end]
        if not (grows := _GROWS.search(sentence)):
            continue
        words = words_in(sentence)
        for first, length, concept in lexicon.find(words, longest=True):
            name = lexicon.names[concept]
            at, until = words[first].start, words[first + length - 1].end
            if name in _STRUCTURES:
                no = denied(sentence, at, until) or denied(sentence, *grows.span())
                found.append(
                    Said(f"into {name}", frozenset({"no" if no else "yes"}), start + at, start + until)
                )
    return found


def _swallowed(free: re.Match[str] | None, involved: re.Match[str]) -> bool:
    """ "not involved", "uninvolved": what looks like involved is a part of what says free."""
    return free is not None and free.start() <= involved.start() < free.end()


def _said(key: str, values: set[str], text: str, start: int, end: int) -> Said:
    """A statement whose evidence is a sentence, without the white space around it."""
    sentence = text[start:end]
    start += len(sentence) - len(sentence.lstrip())
    return Said(key, frozenset(values), start, start + len(sentence.strip()))
