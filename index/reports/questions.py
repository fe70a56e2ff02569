"""Question sets from a corpus of reports: what a search must find, in words that the reports do not use.

Three kinds, made by frozen templates and tables (`paraphrases.py`) from what the reports state (`facts.py`):

one-report      names facts that exactly one report of the corpus holds, and asks that report for another
labels          names a site and a kind of tumour; answered by every report that has both
unanswerable    asks for a topic none of whose words stands in any report

A question shares no content word with the report that answers it: wording that would is not used, and the question is
dropped where nothing else is left. Whether two reports hold a fact is decided on every mention, denied or
not, so that a question is dropped rather than ambiguous.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from slidelake.errors import UsageError
from slidelake.index.reports.facts import Fact, facts_of, mentions
from slidelake.index.reports.paraphrases import HISTOLOGIES, ORGANS
from slidelake.index.reports.wording import Part, WordingSet, wording_of

__all__ = ["Kind", "Question", "content_words", "make_questions", "record_id"]

Kind = Literal["one-report", "labels", "unanswerable"]

_HALVES = ("develop", "test")
_NUMERIC = ("size", "nodes", "weight", "gleason", "labelling")
_BLANK = {"tumour": "", "clues": "", "ask": ""}
_MOST_CLUES = 4
_PER_REPORT = 2
_WORD = re.compile(r"[a-z0-9]+(?:[.'][a-z0-9]+)*")
#: Words that carry nothing to find a report by: grammar, the frame of a question, units.
_EMPTY = frozenset(
    _WORD.findall(
        "a about affecting all an and any are at been by case did does for from had has have how in into is it its "
        "like made many much near no not of on one or other out over patient person some somebody someone that the "
        "their them there these this those to told up was were what where which who whose with without mm cm g kg gram "
        "grams millimetre millimetres centimetre centimetres percent per cent left right growth disease"
    )
)


@dataclass(frozen=True)
class Question:
    """`report_ids` are all the reports that answer it (none for "unanswerable"); `answer` is what they say."""

    id: str
    text: str
    report_ids: tuple[str, ...]
    kind: Kind
    answer: str


@dataclass
class _Record:
    report_id: str
    text: str
    organ: str
    facts: list[Fact]
    said: frozenset[tuple[str, str]]
    words: frozenset[str] = field(default_factory=frozenset)

    @property
    def histology(self) -> str:
        affirmed = {fact.value for fact in self.facts if fact.kind == "histology"}
        return next((name for name in HISTOLOGIES if name in affirmed), "")


def record_id(record: Mapping[str, Any]) -> str:
    """A record's own id: `report_id`, `case_id` or `id`."""
    for name in ("report_id", "case_id", "id"):
        if record.get(name):
            return str(record[name])
    raise UsageError("a record has no id", remedy="Give each record a report_id, case_id or id, and a text.")


def content_words(text: str) -> frozenset[str]:
    """The words that say something: lower case, no plural s, no grammar, no units, no single letters."""
    words = (word.replace("'s", "") for word in _WORD.findall(text.lower()))
    kept = (word for word in words if word not in _EMPTY and (len(word) > 1 or word.isdigit()))
    return frozenset(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
        for word in kept
    )


def make_questions(
    records: Iterable[Mapping[str, Any]], *, seed: int = 0, part: Part = "develop"
) -> list[Question]:
    """The questions of one part, in its own words (`wording.py`): develop and test are of a half of the reports each.

    A record has an id (`report_id`, `case_id` or `id`), a `text`, and, where known, a topic: `cancer`, `site`, or
    labels (`llm_labels` or `labels`) with a `site`. The same records, seed and part give the same questions,
    whatever the records' order. Raises UsageError for a part that is none, and for a record without id or text.
    """
    words = wording_of(part)
    corpus = sorted((_read(record) for record in records), key=lambda each: each.report_id)
    names = [each.report_id for each in corpus]
    if len(set(names)) != len(names):
        raise UsageError("two records have one id", remedy="Give each record an id of its own.")
    own = [each for each in corpus if part not in _HALVES or _half(each.report_id, seed) == part]
    made = [question for each in own for question in _one_report(each, corpus, words, part, seed)]
    return [*made, *_by_labels(corpus, words, part), *_unanswerable(corpus, words, part)]


def _read(record: Mapping[str, Any]) -> _Record:
    text = record.get("text")
    if not isinstance(text, str):
        raise UsageError(f"record {record_id(record)} has no text", remedy="Give each record a text.")
    labels = record.get("llm_labels") or record.get("labels") or {}
    topic = str(record.get("cancer") or record.get("site") or labels.get("site") or "")
    organ = next((name for name, wording in ORGANS.items() if wording.pattern.search(topic)), "")
    return _Record(record_id(record), text, organ, facts_of(text), mentions(text), content_words(text))


def _half(report_id: str, seed: int) -> str:
    digest = hashlib.sha256(f"{seed}|{report_id}".encode()).digest()
    return "test" if digest[0] & 1 else "develop"


def _one_report(
    record: _Record, corpus: Sequence[_Record], words: WordingSet, part: str, seed: int
) -> list[Question]:
    draw = random.Random(f"{seed}|{part}|{record.report_id}")
    made: list[Question] = []
    used: set[tuple[str, str]] = set()
    kind = _fresh(words.histologies[record.histology], record, draw) if record.histology else None
    place = _fresh(words.organs[record.organ], record, draw) if record.organ else None
    templates = [each for each in words.templates if not content_words(each.format(**_BLANK)) & record.words]
    if not templates:
        return []
    alike = [
        other
        for other in corpus
        if other is not record
        and (place is None or other.organ in (record.organ, ""))
        and (kind is None or ("histology", record.histology) in other.said)
    ]
    for number in range(_PER_REPORT):
        clues = _clues(record, alike, corpus, words, draw, used)
        asked = _asked(record, {key[0] for key, _ in clues}, words, draw) if clues else None
        if not clues or asked is None:
            break
        used |= {key for key, _ in clues}
        ask, answer = asked
        where = words.article + place if place else None
        text = _compose(kind, where, [phrase for _, phrase in clues], ask, draw.choice(templates))
        name = f"{part}-{record.report_id}-{number}"
        made.append(Question(name, text, (record.report_id,), "one-report", answer))
    return made


def _clues(
    record: _Record,
    alike: list[_Record],
    corpus: Sequence[_Record],
    words: WordingSet,
    draw: random.Random,
    used: set[tuple[str, str]],
) -> list[tuple[tuple[str, str], str]] | None:
    """Facts, each with its words, that no report of `alike` holds all of: where it can be, one more than needed."""
    numeric = _shuffled(sorted({(f.kind, f.value) for f in record.facts if f.kind in _NUMERIC} - used), draw)
    finding = sorted({(f.kind, f.value) for f in record.facts if f.kind == "finding"} - used)
    # The rarest first: a case is told by what is peculiar to it.
    finding.sort(key=lambda key: (sum(key in other.said for other in corpus), key))
    turn = [*numeric[:1], *finding[:1]]
    order = turn + _shuffled([*numeric[1:], *finding[1:4]], draw)
    left = alike
    chosen: list[tuple[tuple[str, str], str]] = []
    for key in order:
        if any(key[0] == kind != "finding" for (kind, _), _ in chosen):
            continue  # two sizes in one question would need to say which is which
        phrases = words.findings[key[1]] if key[0] == "finding" else words.numbers(*key)
        phrase = _fresh(phrases, record, draw)
        if phrase is None:
            continue
        was_alone = not left
        chosen.append((key, phrase))
        left = [other for other in left if key in other.said]
        if (was_alone and len(chosen) >= 2) or len(chosen) == _MOST_CLUES:
            break
    return chosen if len(chosen) >= 2 and not left else None


def _shuffled(keys: list[tuple[str, str]], draw: random.Random) -> list[tuple[str, str]]:
    draw.shuffle(keys)
    return keys


def _fresh(phrases: Sequence[str], record: _Record, draw: random.Random) -> str | None:
    """One of the phrases that shares no content word with the report."""
    fresh = [phrase for phrase in phrases if not content_words(phrase) & record.words]
    return draw.choice(fresh) if fresh else None


def _asked(record: _Record, told: set[str], words: WordingSet, draw: random.Random) -> tuple[str, str] | None:
    """The words that ask, and the answer: a fact not told of which the report gives one value, else whose it is."""
    values: dict[str, set[str]] = defaultdict(set)
    for fact in record.facts:
        values[fact.kind].add(fact.value)
    kinds = sorted(k for k in words.ask if k != "case" and k not in told and len(values.get(k, ())) == 1)
    draw.shuffle(kinds)
    for kind in [*kinds, "case"]:
        ask = _fresh(words.ask[kind], record, draw)
        if ask is not None:
            return ask, record.report_id if kind == "case" else _plain(kind, next(iter(values[kind])))
    return None


def _plain(kind: str, value: str) -> str:
    match kind:
        case "size":
            return f"{int(value) / 100:g} cm"
        case "weight":
            return f"{value} g"
        case "labelling":
            return f"{value}%"
        case "stage":
            return f"p{value}"
    return value


def _compose(kind: str | None, place: str | None, phrases: Sequence[str], ask: str, template: str) -> str:
    clues = " and ".join([", ".join(phrases[:-1]), phrases[-1]])
    tumour = (kind or "growth") + (f" of {place}" if place else "")
    text = template.format(tumour=tumour, clues=clues, ask=ask)
    return text[0].upper() + re.sub(r"\ba (?=[aeiou])", "an ", text[1:])


def _by_labels(corpus: Sequence[_Record], words: WordingSet, part: str) -> list[Question]:
    groups: dict[tuple[str, str], list[_Record]] = defaultdict(list)
    for record in corpus:
        if record.organ and record.histology:
            groups[record.organ, record.histology].append(record)
    made = []
    for (organ, histology), held in sorted(groups.items()):
        if len(held) < 2:
            continue
        every_word = frozenset().union(*(record.words for record in held))
        pairs = [(o, h) for o in words.organs[organ] for h in words.histologies[histology]]
        # The pair that shares the fewest words with the reports that answer: over many, none is rarely to be had.
        place, kind = min(pairs, key=lambda pair: len(content_words(" ".join(pair)) & every_word))
        text = words.labels[0].format(kind=kind, place=place)
        ids = tuple(record.report_id for record in held)
        name = f"{part}-labels-{organ}-{histology}".replace(" ", "-")
        made.append(Question(name, text, ids, "labels", f"{organ}, {histology}"))
    return made


def _unanswerable(corpus: Sequence[_Record], words: WordingSet, part: str) -> list[Question]:
    absent = [
        topic
        for topic, pattern in words.absent.items()
        if not any(re.search(pattern, record.text, re.IGNORECASE) for record in corpus)
    ]
    return [
        Question(f"{part}-absent-{number}-{place}", frame.format(topic), (), "unanswerable", "")
        for number, topic in enumerate(absent)
        for place, frame in enumerate(words.frames)
    ]
