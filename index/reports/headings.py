"""The headings of pathology reports: what sections are called, and in how many ways they are written."""

import re

__all__ = ["MAJOR", "heading_name"]

#: Sections by the name they are given here. A heading is compared by its letters alone.
_WRITTEN = {
    "CLINICAL HISTORY": """
        clinical history; history; patient history; clinical information; clinical data; clinical notes;
        clinical note; clinical details; clinical diagnosis and history; clinical history and diagnosis;
        clinical history preoperative diagnosis; brief clinical history; relevant clinical history;
        pertinent history; pertinent clinical history; history of present illness; clinical summary;
        clinical indication; indication; clinical context; clinical impression; clinical diagnosis;
        medical history; past medical history; reason for examination; clinical history and physical findings;
        preoperative diagnosis; pre op diagnosis; pre operative diagnosis; post op diagnosis;
        postoperative diagnosis; post operative diagnosis; pre and postoperative diagnosis
    """,
    "SPECIMEN": """
        specimen; specimens; specimen submitted; specimens submitted; specimen received; specimens received;
        specimen description; specimen type and site; source of specimen; specimen source; material submitted;
        materials submitted; material received; tissue submitted; tissues submitted; tissue received; parts submitted;
        operative specimen; specimen data; specimen taken; nature of specimen; nature of specimen and tissue;
        specimen information; specimen list; tissue specimen
    """,
    "PROCEDURE": """
        procedure; procedures; operation; operative procedure; operations; operation performed; procedure performed;
        surgical procedure; operative findings; type of operation
    """,
    "INTRAOPERATIVE CONSULTATION": """
        intraoperative consultation; intraoperative diagnosis; intraoperative consult diagnosis;
        intraoperative consultation diagnosis; intraoperative frozen section diagnosis; intraoperative findings;
        frozen section diagnosis; frozen section; frozen sections; frozen section report; frozen section consultation;
        frozen section results; frozen section interpretation; intraoperative consult; rapid intraoperative diagnosis;
        intraoperative pathology consultation; operative consultation; preliminary frozen section diagnosis
    """,
    "FINAL DIAGNOSIS": """
        final diagnosis; diagnosis; diagnoses; diagnosis diagnoses; diagnosis es; final diagnoses;
        final pathologic diagnosis;
        final pathological diagnosis; pathologic diagnosis; pathological diagnosis; pathology diagnosis;
        final pathology diagnosis; histologic diagnosis; histological diagnosis; histopathologic diagnosis;
        histopathological diagnosis; final surgical pathology diagnosis; surgical pathology diagnosis;
        anatomic diagnosis; tissue diagnosis; microscopic diagnosis; pathomorphological diagnosis; revised diagnosis;
        corrected diagnosis; amended diagnosis; diagnosis details; diagnostic interpretation; impression; conclusion;
        final diagnosis and comment; diagnosis and comment; final diagnosis with comment; diagnostic summary;
        final integrated diagnosis; integrated diagnosis; neuropathological diagnosis; neuropathology diagnosis
    """,
    "GROSS DESCRIPTION": """
        gross description; gross; gross examination; gross findings; gross pathology; gross appearance;
        macroscopic description; macroscopic; macroscopy; macroscopic examination; macroscopic findings;
        macro description; gross specimen; gross and microscopic description; gross anatomic description;
        gross descriptions; description of gross specimen; macroscopical description; gross exam
    """,
    "MICROSCOPIC DESCRIPTION": """
        microscopic description; microscopic; microscopy; microscopic examination; microscopic findings;
        microscopic discussion; microscopic description and comment; microscopic evaluation; micro description;
        histologic description; histological description; histology; histopathology; microscopic descriptions;
        histologic findings; histologic examination; microscopical description; discussion; microscopic exam;
        microscopic and diagnosis; histopathologic description; microscopic analysis
    """,
    "SYNOPTIC REPORT": """
        synoptic report; synoptic; synoptic data; synoptic diagnosis; synoptic comment; synoptic summary;
        case synopsis; synopsis; tumor synoptic; tumor synopsis; tumor summary; cancer synoptic report;
        synoptic report for; tumor synoptic comment; cancer case summary; case summary; cap checklist;
        cap cancer checklist; cancer protocol; surgical pathology cancer case summary; tumor template; tumor data;
        histopathologic tumor summary; pathologic parameters; summary of pathologic findings; cancer summary
    """,
    "IMMUNOHISTOCHEMISTRY": """
        immunohistochemistry; immunohistochemical stains; immunohistochemical studies; immunohistochemical study;
        immunohistochemical findings; immunohistochemistry results; immunoperoxidase studies; immunoperoxidase stains;
        special stains; special studies; special stains and immunohistochemistry; immunohistochemical results;
        results of immunohistochemical stains; immunostains; immunohistochemical evaluation; results of special stains
    """,
    "MOLECULAR STUDIES": """
        molecular studies; molecular pathology; molecular results; ancillary studies; molecular diagnostics;
        molecular analysis; cytogenetics; flow cytometry; molecular genetic results; molecular findings;
        ancillary procedures; ancillary testing; molecular testing
    """,
    "COMMENT": """
        comment; comments; note; notes; remark; remarks; diagnosis comment; diagnostic comment; pathologist comment;
        pathologist s comment; interpretation; comment s; addtional comments; general comments; additional comment
    """,
    "ADDENDUM": """
        addendum; addenda; addendum diagnosis; addendum comment; addendum report; addendum discussion;
        final addendum diagnosis; addendum final diagnosis; supplemental report; supplementary report;
        amended report; amendment; revised report; addendum to diagnosis; addendum s; procedures addenda;
        supplemental diagnosis; addendum note; addendum microscopic description; additional studies; corrected report
    """,
    "BLOCK SUMMARY": """
        block summary; summary of sections; section code; section codes; cassette summary; slide key; cassette key;
        key to sections; block key; block index; cassettes; designation of sections; block designation;
        sections submitted; summary of cassettes; slide index; tissue blocks; sections are submitted as follows
    """,
}

#: Inside of these a line such as "Procedure: resection" is an item of the list, not a section of its own.
MAJOR = frozenset(
    (
        "FINAL DIAGNOSIS",
        "GROSS DESCRIPTION",
        "MICROSCOPIC DESCRIPTION",
        "SYNOPTIC REPORT",
        "COMMENT",
        "ADDENDUM",
    )
)

_LOOKALIKE = str.maketrans({"0": "O", "1": "I", "5": "S", "8": "B", "|": "I", "!": "I", "$": "S", "€": "E"})
# "Cassette A2", "Specimen B": one of several, and no heading that was misread.
_NUMBERED = re.compile(r"(?:^[A-Z]|\s[A-Z]{1,2}|[#\d>]\S{0,3})\W*$|^[A-Z]\s")
_NOT_A_LETTER = re.compile(r"[^A-Z]+")


def _letters(text: str) -> str:
    # What OCR reads I as is as often an l or a 1: these are one letter here.
    folded = text.translate(_LOOKALIKE).upper().replace("&", "AND")
    return _NOT_A_LETTER.sub("", folded).replace("L", "I")


_NAMES = {
    _letters(written): name
    for name, several in _WRITTEN.items()
    for written in several.split(";")
    if written.strip()
}
_LONGEST = max(map(len, _NAMES))
# One letter away from a heading, and none.
_NONE = {
    _letters(text) for text in ("specimen date", "specimen no", "diagnosis date", "gross description by")
}


def _alphabet(letters: str) -> int:
    """Which letters occur, a bit each: two words an edit apart differ in two bits at most."""
    return sum({1 << (ord(letter) - 65) for letter in letters})


# Where a letter may be wrong: compared with those of about its own length.
_BY_LENGTH: dict[int, list[tuple[str, int]]] = {}
for _key in _NAMES:
    if len(_key) >= 8:
        _BY_LENGTH.setdefault(len(_key), []).append((_key, _alphabet(_key)))


def heading_name(text: str) -> str | None:
    """The section that a heading opens; None where it is none. Spaces, punctuation and case do not count, and of eight
    letters and more one may be wrong, of sixteen two."""
    letters = _letters(text)
    if letters in _NAMES:
        return _NAMES[letters]
    if not 8 <= len(letters) <= _LONGEST + 1 or letters in _NONE or _NUMBERED.search(text):
        return None
    allowed = 1 if len(letters) < 16 else 2
    alphabet = _alphabet(letters)
    for length in range(len(letters) - allowed, len(letters) + allowed + 1):
        for key, other in _BY_LENGTH.get(length, ()):
            near = (alphabet ^ other).bit_count() <= 2 * allowed and _near(letters, key, allowed)
            # A letter apart, and the opposite of each other.
            if near and ("MACRO" in letters) == ("MACRO" in key):
                return _NAMES[key]
    return None


def _near(one: str, other: str, limit: int) -> bool:
    """Whether at most `limit` letters have to be put in, left out or replaced (Levenshtein's distance)."""
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    if max(len(one), len(other)) <= limit:
        return True
    if limit == 1:
        return False  # both ends of what is left differ
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        above, row[0] = row[0], i
        for j, against in enumerate(other, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (letter != against))
        if min(row) > limit:
            return False
    return row[-1] <= limit
