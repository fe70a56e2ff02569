"""Reports → instruction pairs: what a report says of a case is asked about its slides.

A patient is worked on at a time, with all reports and slides: two reports of one slide that say the same give one row,
and two that contradict each other give none on that topic.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slidelake.errors import UsageError
from slidelake.services.tuning.data.assemble import Assembly, assemble
from slidelake.services.tuning.data.duplicates import plain_words
from slidelake.services.tuning.data.generator import Generator
from slidelake.services.tuning.data.languages import language_of
from slidelake.services.tuning.data.pipeline import Item, Made
from slidelake.services.tuning.data.report_answers import ANSWERED_BY, Asked, asked_of_writer
from slidelake.services.tuning.data.report_facts import facts_of_report
from slidelake.services.tuning.data.report_questions import choose
from slidelake.services.tuning.data.request import DataRequest
from slidelake.services.tuning.data.row import Evidence, TuningRow, Turn, row_id

if TYPE_CHECKING:
    from slidelake.services.lake import Lake
    from slidelake.store import FeatureStore, Report

__all__ = ["RULES_VERSION", "Case", "cases_of", "make_report_data", "report_rows", "rows_of_case"]

#: Goes into every row; a change of the rules is a new version.
RULES_VERSION = "report-rules-1"
TASK = "report-vqa"
_LEAST_WORDS = 20
_ABOUT = (
    "Questions about slides (or, where the lake holds no slide of a patient, about the case), answered from the"
    " patient's pathology report. Every answer has at most ten words and no measurement, and quotes the span of the"
    " report that says it."
)


@dataclass(frozen=True)
class Case:
    """A patient: reports (by id), slides that have features in `space`, and how many slides have none."""

    patient_id: str
    report_ids: tuple[str, ...]
    slide_ids: tuple[str, ...]
    space: str
    without_features: int = 0
    #: Reports whose text another patient's report has too, word for word.
    copies: frozenset[str] = frozenset()


def cases_of(lake: Lake, space: str | None = None) -> Iterator[Item[Case]]:
    """Every patient with a report or a slide, by id; nobody who is on the deny-list.

    `space` names the features that rows about slides are for; None takes the only one there is. Raises
    UnknownSpaceError where there are several, or none of that name.
    """
    store = lake.store
    reports: dict[str, list[tuple[str, str]]] = defaultdict(list)
    text_of: dict[str, tuple[str, str]] = {}
    copies: dict[str, set[str]] = defaultdict(set)
    denied = store.denied.among("patient", {head.patient_id for head in store.reports.heads()})
    for report in store.reports.iterate():
        if report.patient_id in denied:
            continue
        reports[report.patient_id].append((report.report_id, report.content_hash))
        digest = hashlib.sha256(" ".join(plain_words(report.text)).encode()).hexdigest()
        patient, first = text_of.setdefault(digest, (report.patient_id, report.report_id))
        if patient != report.patient_id:
            copies[report.patient_id].add(report.report_id)
            copies[patient].add(first)
    slides, bare, space = _slides(store, space)
    for patient in sorted(reports.keys() | slides.keys() | bare.keys()):
        case = Case(
            patient,
            tuple(report_id for report_id, _ in sorted(reports.get(patient, []))),
            tuple(sorted(slides.get(patient, []))),
            space,
            len(bare.get(patient, [])),
            frozenset(copies.get(patient, ())),
        )
        told = (case.slide_ids, case.without_features, sorted(reports.get(patient, [])), sorted(case.copies))
        yield Item(patient, hashlib.sha256(repr(told).encode()).hexdigest()[:32], case)


def _slides(store: FeatureStore, space: str | None) -> tuple[dict[str, list[str]], dict[str, list[str]], str]:
    """The slides of each patient with features in the space, those without, and the space in full."""
    from slidelake.store import match_space

    catalog = store.catalog()
    denied = store.denied.among("slide", set(catalog["slide_id"]))
    denied_patients = store.denied.among("patient", set(catalog["patient_id"].dropna()) - {""})
    every = sorted({each for spaces in catalog["spaces"] for each in spaces})
    space = match_space(space, every) if every or space is not None else ""
    have: dict[str, list[str]] = defaultdict(list)
    lack: dict[str, list[str]] = defaultdict(list)
    rows = zip(catalog["slide_id"], catalog["patient_id"], catalog["spaces"], strict=True)
    for slide_id, patient_id, spaces in rows:
        if slide_id not in denied and patient_id not in denied_patients:
            (have if space in spaces else lack)[patient_id or slide_id].append(slide_id)
    return have, lack, space


def rows_of_case(
    store: FeatureStore, case: Case, *, seed: int, writer: Generator | None = None, wordings: int = 1,
    licence: str = "", need_slides: bool = False,
) -> tuple[list[TuningRow], Counter[str]]:  # fmt: skip
    """The rows of one patient, and what was dropped by which rule."""
    dropped: Counter[str] = Counter()
    dropped["slide-without-features"] += case.without_features
    said: dict[tuple[str, str, str], list[tuple[Asked, Report]]] = defaultdict(list)
    reported: set[str] = set()
    for report in store.reports.iterate(case.report_ids):
        about = _about(report, case)
        reported.update(about)
        problem = _unfit(report, case)
        if not problem and need_slides and not about:
            problem = "no-slide"
        if problem:
            dropped[f"report-{problem}"] += 1
            continue
        found, left_out = _asked(report, case, seed=seed, writer=writer, wordings=wordings)
        dropped += left_out
        for each in found:
            for slide_id in about or ("",):
                said[slide_id, each.topic, each.question.text].append((each, report))
    dropped["slide-without-report"] += len(set(case.slide_ids) - reported)
    rows = []
    for (slide_id, topic, _), several in said.items():
        if len({each.value for each, _ in several}) > 1:
            dropped["reports-disagree"] += 1
            continue
        dropped["same-in-another-report"] += len(several) - 1
        rows.append(_row(case, slide_id, topic, *several[0], seed=seed, licence=licence))
    return rows, +dropped


def _about(report: Report, case: Case) -> tuple[str, ...]:
    """The slides with features that a report is about: those that it names, else all of its patient."""
    if not report.slide_ids:
        return case.slide_ids
    named = {each.casefold() for each in report.slide_ids}
    return tuple(each for each in case.slide_ids if each.casefold() in named)


def _unfit(report: Report, case: Case) -> str:
    """Why nothing is asked of a report; "" where it is fit."""
    if report.report_id in case.copies:
        return "of-another-patient-too"
    if len(plain_words(report.text)) < _LEAST_WORDS:
        return "without-words"
    language = language_of(report.text)
    return f"not-english-{language}" if language not in ("en", "") else ""


def _asked(
    report: Report, case: Case, *, seed: int, writer: Generator | None, wordings: int
) -> tuple[list[Asked], Counter[str]]:
    if writer is not None:
        return asked_of_writer(report, writer, seed=seed, wordings=wordings)
    facts, dropped = facts_of_report(report)
    dropped = Counter({f"fact-{rule}": count for rule, count in dropped.items()})
    found = [
        Asked(fact.topic, question, question.answer(fact.value), fact.value, fact.start, fact.end)
        for fact in facts
        # All reports of a patient are asked in the same words, so that they can be compared.
        for question in choose(fact.topic, case.patient_id, seed, wordings)
    ]
    return found, dropped


def _row(
    case: Case, slide_id: str, topic: str, asked: Asked, report: Report, *, seed: int, licence: str
) -> TuningRow:
    digest = hashlib.sha256(report.text.encode()).hexdigest()
    quote = report.text[asked.start : asked.end]
    evidence = [Evidence("report", report.report_id, asked.start, asked.end, quote, digest)]
    if asked.reply is not None:
        evidence.append(Evidence("answer", asked.reply[0], sha256=asked.reply[1]))
    question = f"<image>\n{asked.question.text}" if slide_id else asked.question.text
    made_by = {"step": "reports", "topic": topic, "seed": seed, "generator": "none", "version": RULES_VERSION}
    if asked.reply is not None:
        made_by |= {"generator": asked.model, "version": ANSWERED_BY}
    return TuningRow(
        id=row_id(TASK, case.patient_id, slide_id, topic, asked.question.text),
        task=TASK,
        patient_id=case.patient_id,
        turns=(Turn("user", question), Turn("assistant", asked.answer)),
        evidence=tuple(evidence),
        slide_id=slide_id,
        space=case.space if slide_id else "",
        kind="closed" if asked.question.closed else "open",
        choices=("Yes", "No") if asked.question.closed else (),
        made_by=made_by,
        licence=licence,
    )


def report_rows(
    lake: Lake,
    *,
    generator: Generator | None = None,
    seed: int = 0,
    space: str | None = None,
    wordings: int = 1,
    licence: str = "",
    need_slides: bool = False,
) -> Iterator[TuningRow]:
    """The rows of a lake's reports, patient by patient, not yet divided into splits.

    Without a generator facts are read by rules. `wordings` is how many ways each is asked in: more of them are more
    text for the same slides. Raises UnknownSpaceError for several spaces and none named, EndpointError where the endpoint
    is gone.
    """
    for item in cases_of(lake, space):
        rows, _ = rows_of_case(
            lake.store, item.value, seed=seed, writer=generator, wordings=wordings, licence=licence,
            need_slides=need_slides,
        )  # fmt: skip
        yield from rows


def make_report_data(
    lake: Lake,
    request: DataRequest,
    *,
    space: str | None = None,
    wordings: int = 1,
    need_slides: bool = False,
    progress: Callable[..., None] | None = None,
) -> dict[str, Any]:
    """Makes the data set of a lake's reports in `request.out`; returns its counts. A killed run goes on.

    Raises UsageError for arguments that are not those of the run in that folder, and for no report at all.
    """
    if not 1 <= wordings <= 4:
        raise UsageError(f"{wordings} wordings of each question", remedy="Ask in 1 to 4 wordings.")
    if not lake.store.reports.ids():
        raise UsageError(
            f"the lake {lake.store.url} has no reports", remedy="Add them: slidelake reports add FILES."
        )
    arguments = {
        "lake": lake.store.info.store_id,
        "space": space or "",
        "wordings": wordings,
        "need_slides": need_slides,
        "version": ANSWERED_BY if request.generator != "none" else RULES_VERSION,
    }
    run = request.run("reports", arguments)
    writer = request.writer

    def work(case: Case) -> Made:
        rows, dropped = rows_of_case(
            lake.store, case, seed=request.seed, writer=writer, wordings=wordings, licence=request.licence,
            need_slides=need_slides,
        )  # fmt: skip
        return Made([row.to_dict() for row in rows], dropped)

    with run.held():
        if progress is not None:
            heads = lake.store.reports.heads()
            progress("start", total=len({head.patient_id for head in heads}))
        step = run.step("rows", cases_of(lake, space), work, workers=request.workers, progress=progress)
        plan = Assembly(
            split=request.split,
            rows_per_picture=request.rows_per_picture,
            repeats=lambda row: (f"{row.question} {row.answer}", f"{row.patient_id}\0{row.slide_id}"),
            near=1.0,
            lance=request.lance,
            about=_ABOUT,
        )
        return assemble(run, (step,), plan, lake.store)
