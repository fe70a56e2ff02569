"""What a text is searched by: stems of its words, its numbers in one form, and the concepts it names.

    "a mass of 3.7 x 2 cm"      mass  mm37  mm20
    "thirty-seven millimetres"  mm37
    "2/19 nodes", "nineteen"    n19, nodes19 near the name of nodes, total19 where it says how many there were
    "2/19", "two positive"      involved2: how many lymph nodes the tumour was found in
    "a tumor of 3.7 cm"         mm37 size37
    "40 grams", "0.04 kg"       g40
    "Ki-67: 20 %"               pct20
    "Gleason 3 + 4"             gg2 (the ISUP grade group; "grade group 2" gives the same)
    "pT3a N0"                   t3 t3a n_0
    "RCC"                       c:renal-cell-carcinoma rcc

Reports and questions are read by the same rules, so that they meet whatever way each was written; a question asks by
its longest names alone, and a report has the broader concepts too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from slidelake.index.reports.lexicon import Lexicon, default_lexicon
from slidelake.index.reports.numerals import number_of, number_of_word
from slidelake.index.reports.stems import Word, words_in

__all__ = ["FIELDS", "Terms", "numbers_in", "read_terms", "terms_of_number"]

#: The classes of terms; an index keeps a column of each.
FIELDS = ("concepts", "measures", "numbers", "words")

#: Grammar, and the frame of a question: they find nothing and cost rank.
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a about after all also am an and any are as at be been being between both but by can could did do does during "
        "each for from had has have he her him his how i if in into is it its itself may me more most much must my no "
        "nor not of on one only or our out over person please report reports same she should show so some somebody "
        "somehow someone somewhere such than that the their them then there these they this those through to told too "
        "under up upon us very was we were what when where whether which while who whom whose why will with within "
        "without would you your case cases patient patients people find describe describes described give say says "
        "said tell state mention mentions affecting presented",
    )
)
_UNITS = {"mm": 1.0, "millimet": 1.0, "millimeter": 1.0, "millimetr": 1.0, "cm": 10.0, "centimet": 10.0}
_UNITS |= {"centimeter": 10.0, "centimetr": 10.0}
_WEIGHTS = {
    "g": 1.0,
    "gm": 1.0,
    "gms": 1.0,
    "gram": 1.0,
    "grams": 1.0,
    "grm": 1.0,
    "kg": 1000.0,
    "kilo": 1000.0,
}
_WEIGHTS |= {"kilogram": 1000.0}
_PERCENT = frozenset({"percent", "pct"})
_DIMENSION = frozenset({"x", "by", "×"})
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_STAGE = re.compile(r"[cpy]{0,2}(t)([0-4]|is)([a-d]?)")
_NODAL = re.compile(r"[cpy]{0,2}([nm])([0-3x])([a-c]?)")
_GROUPED = re.compile(r"([cpy]{0,2}t(?:[0-4][a-d]?|is))([cpy]{0,2}n[0-3xo][a-c]?)([cpy]{0,2}m[01xo])?")
_MEASURE = re.compile(r"(?:mm|g|pct|nodes|size|total|involved)\d[\d.e+]*")
_FIGURE = re.compile(r"n\d[\d.e+]*|t(?:\d[a-d]?|is)|gg\d|[nm]_.+")
#: ISUP grade groups of Gleason patterns (Epstein et al. 2016).
_ISUP = {(3, 3): 1, (3, 4): 2, (4, 3): 3, (4, 4): 4, (3, 5): 4, (5, 3): 4, (4, 5): 5, (5, 4): 5, (5, 5): 5}
#: A count of lymph nodes stands within so many words of their name.
_NODES = frozenset({"node", "nodes", "ln", "lns", "lymph", "nodal"})
_NEAR = 8
#: What a size is of, so many words before it.
_LESION = frozenset({"tumor", "mass", "lesion", "carcinoma", "neoplasm", "adenocarcinoma", "nodul"})
_LESION_NEAR = 12
_SENTENCE_END = re.compile(r"[.;](?:\s|$)")
#: Or is written so: "(0/12)", "pN0 0/23", "Number examined: 23", "number involved / number present: 2/2".
_COUNT = re.compile(
    r"\(\s*\d{1,2}\s*/\s*\d{1,3}\s*\)|\bp?N[0-3OX][a-c]?\W{1,3}\d{1,2}\s*/\s*\d{1,3}"
    r"|number\s+(?:examined|involved|present)\W{1,12}\d{1,3}(?:\s*/\s*\d{1,3})?",
    re.IGNORECASE,
)
#: What is said of lymph nodes with tumour in them, and of those without.
_INVOLVED = frozenset({"positiv", "involv", "affect", "metastatic"})
_FREE = frozenset({"negativ", "free", "benign", "uninvolv"})
_NONE = frozenset({"none", "zero"})
#: Those who ask call lymph nodes glands, too; a report's glands are of other kinds.
_GLANDS = frozenset({"gland", "glands"})
#: How many words after a count its nodes, and what is said of them, may stand.
_NODES_AFTER, _SAID_AFTER = 6, 12
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4}
_ROMAN_AFTER = frozenset({"grade", "type", "stage", "class", "group", "figo", "level", "who"})


@dataclass(frozen=True)
class Terms:
    """The terms of a text by class, each as often as it is there; `names`: the preferred names of its concepts.

    `concepts` are what the lexicon knows, `measures` numbers with a unit or of lymph nodes, `numbers` all others and
    stages, `words` stems. `covered` are the stems that a concept's name is made of.
    """

    concepts: tuple[str, ...]
    measures: tuple[str, ...]
    numbers: tuple[str, ...]
    words: tuple[str, ...]
    names: tuple[str, ...]
    covered: frozenset[str]

    def of(self, field: str) -> tuple[str, ...]:
        """The terms of one of `FIELDS`."""
        found: tuple[str, ...] = getattr(self, field)
        return found


def read_terms(text: str, lexicon: Lexicon | None = None, *, question: bool = False) -> Terms:
    """The terms of a text; the same text gives the same terms.

    A report that names a narrower thing also has the broader concept ("sigmoid", colon). Of a `question` only the
    longest names count ("bile duct cancer" asks for no other bile duct), and a length asks for a tumour of that size.
    """
    lexicon = lexicon or default_lexicon()
    words = words_in(text)
    called = _NODES | _GLANDS if question else _NODES
    nodes = [place for place, word in enumerate(words) if word.lower in called]
    counts = [match.span() for match in _COUNT.finditer(text)]
    plain: list[str] = []
    inside: set[int] = set()
    for first, length, value in numbers_in(words):
        inside |= set(range(first, first + length))
        made = terms_of_number(text, words, first, length, value)
        plain += made
        near = any(-_NEAR <= place - first <= _NEAR for place in nodes)
        counted = any(begin <= words[first].start < end for begin, end in counts)
        if made == [f"n{value:g}"] and (near or counted):
            plain.append(f"nodes{value:g}")
            plain += _count_of(text, words, first, length, value, near=near, counted=counted)
        if made[0].startswith("mm") and (question or _of_tumour(text, words, first)):
            plain.append("size" + made[0][2:])
    for place, word in enumerate(words):
        if place not in inside:
            plain += _of_word(words, place, word)
        if word.lower in _NONE and any(-_NEAR <= each - place <= _NEAR for each in nodes):
            after = {each.stem for each in words[place + 1 : place + 2 + _NODES_AFTER]}
            plain += ["involved0"] if after & _INVOLVED else []
    plain += _gleason(words, text)
    concepts: list[str] = []
    names: list[str] = []
    covered: set[str] = set()
    for first, length, concept in lexicon.find(words, longest=question):
        name = lexicon.names[concept]
        concepts.append(_concept_term(name))
        names.append(name)
        covered |= {word.stem for word in words[first : first + length]}
        if not question:
            concepts += [_concept_term(lexicon.names[each]) for each in lexicon.broader[concept]]
    by_class: dict[str, list[str]] = {"measures": [], "numbers": [], "words": []}
    for term in plain:
        by_class[_class_of(term)].append(term)
    return Terms(
        tuple(concepts),
        tuple(by_class["measures"]),
        tuple(by_class["numbers"]),
        tuple(by_class["words"]),
        tuple(dict.fromkeys(names)),
        frozenset(covered),
    )


def _concept_term(name: str) -> str:
    return "c:" + name.replace(" ", "-")


def _count_of(
    text: str, words: list[Word], first: int, length: int, value: float, *, near: bool, counted: bool
) -> Iterator[str]:
    """What a number says of lymph nodes: how many there were ("0/19", "nineteen nodes"), how many held tumour."""
    start, after = words[first].start, first + length
    if re.search(r"\d\s*/\s*$", text[max(0, start - 8) : start]) or _joined(words, first, -1):
        yield f"total{value:g}"
        return
    if re.match(r"\s*/\s*\d", text[words[after - 1].end :][:8]) or _joined(words, after - 1, 1):
        yield f"involved{value:g}"
        return
    label = text[max(0, start - 24) : start].lower()
    if re.search(r"(?:involved|positive)\W{1,12}$", label):
        yield f"involved{value:g}"
        return
    said = _in_sentence(text, words, after)
    total = any(word.lower in _NODES | _GLANDS for word in said[:_NODES_AFTER]) and said[0].lower != "of"
    if total or re.search(r"(?:examined|total|present)\W{1,4}$", label):
        yield f"total{value:g}"
        if any(word.stem in _FREE for word in said):
            yield "involved0"
    elif near and any(word.stem in _INVOLVED for word in said[:2]):
        yield f"involved{value:g}"


def _joined(words: list[Word], at: int, step: int) -> bool:
    """Whether a number is one of two that "of" or "out of" joins; the other is in words or digits, or "none"."""
    at += step
    if not (0 <= at < len(words) and words[at].lower in ("of", "out")):
        return False
    while 0 <= at < len(words) and words[at].lower in ("of", "out", "the"):
        at += step
    if not 0 <= at < len(words):
        return False
    lower = words[at].lower
    return lower in _NONE or number_of_word(lower) is not None


def _in_sentence(text: str, words: list[Word], at: int) -> list[Word]:
    """The words from one on, up to the end of its sentence or the next number."""
    found: list[Word] = []
    for place in range(at, min(at + _SAID_AFTER, len(words))):
        word = words[place]
        if place and _SENTENCE_END.search(text[words[place - 1].end : word.start + 1]):
            break
        if _NUMBER.fullmatch(word.lower):
            break
        found.append(word)
    return found


def _of_tumour(text: str, words: list[Word], first: int) -> bool:
    """Whether a length is said of a tumour, a few words before it in the same sentence."""
    start = words[first].start
    for word in reversed(words[max(0, first - _LESION_NEAR) : first]):
        if _SENTENCE_END.search(text[word.end : start]):
            return False
        if word.stem in _LESION:
            return True
        start = word.start
    return False


def _class_of(term: str) -> str:
    if _MEASURE.fullmatch(term):
        return "measures"
    return "numbers" if _FIGURE.fullmatch(term) else "words"


def numbers_in(words: list[Word]) -> list[tuple[int, int, float]]:
    """(first word, number of words, value) of numbers in digits or in words."""
    found = []
    at = 0
    while at < len(words):
        lower = words[at].lower
        if _NUMBER.fullmatch(lower):
            found.append((at, 1, float(lower.replace(",", "."))))
            at += 1
            continue
        length = 0
        while (
            at + length < len(words) and number_of([w.lower for w in words[at : at + length + 1]]) is not None
        ):
            length += 1
        if length and (lower != "one" or length > 1 or _joined(words, at, 1)):
            value = number_of([word.lower for word in words[at : at + length]])
            found.append((at, length, float(value or 0)))
        at += max(length, 1)
    return found


def terms_of_number(text: str, words: list[Word], first: int, length: int, value: float) -> list[str]:
    end = words[first + length - 1].end
    sign = text[end : end + 2].strip()[:1]
    unit = _unit_after(words, first + length)
    if unit in _UNITS:
        return [f"mm{value * _UNITS[unit]:.4g}"]
    if unit in _WEIGHTS:
        return [f"g{value * _WEIGHTS[unit]:.5g}", f"n{value:g}"]
    if sign == "%" or unit in _PERCENT:
        return [f"pct{value:g}"]
    return [f"n{value:g}"]


def _unit_after(words: list[Word], at: int) -> str:
    """The unit that follows, past further dimensions: "3.7 x 2 x 1 cm" gives each number its cm."""
    for _ in range(3):
        if at + 1 < len(words) and words[at].lower in _DIMENSION and _NUMBER.fullmatch(words[at + 1].lower):
            at += 2
    if at >= len(words):
        return ""
    unit = words[at].lower
    if unit == "per" and at + 1 < len(words) and words[at + 1].stem == "cent":
        return "percent"
    return unit if unit in _UNITS or unit in _WEIGHTS or unit in _PERCENT else words[at].stem


def _of_word(words: list[Word], place: int, word: Word) -> Iterator[str]:
    lower = word.lower
    grouped = _GROUPED.fullmatch(lower)
    for part in [part for part in grouped.groups() if part] if grouped else [lower]:
        # OCR and typists write the letter O for the figure 0 in N0 and M0.
        if re.fullmatch(r"[cpy]{1,2}[nm]o|mo", part):
            part = part[:-1] + "0"
        if match := _STAGE.fullmatch(part):
            yield f"t{match[2]}"
            if match[3]:
                yield f"t{match[2]}{match[3]}"
        elif match := _NODAL.fullmatch(part):
            yield f"{match[1]}_{match[2]}"
        elif part not in _STOP and part not in _UNITS and (len(part) > 1 or part.isdigit()):
            yield word.stem if part == lower else part
    if lower in _ROMAN and place and words[place - 1].stem in _ROMAN_AFTER | {"grad", "typ", "stag"}:
        yield f"n{_ROMAN[lower]}"


def _gleason(words: list[Word], text: str) -> Iterator[str]:
    for place, word in enumerate(words):
        if word.lower == "gleason":
            near = text[word.end : word.end + 80]
            if match := re.search(r"([3-5])\s*\+\s*([3-5])", near):
                group = _ISUP.get((int(match[1]), int(match[2])))
                if group:
                    yield f"gg{group}"
        elif word.lower in ("isup", "group"):
            # "ISUP group 2", "grade group: two", "ISUP 2"
            values = (number_of_word(each.lower) for each in words[place + 1 : place + 3])
            group = next((value for value in values if value is not None), None)
            if group is not None and 1 <= group <= 5:
                yield f"gg{group}"
