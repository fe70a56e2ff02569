"""One question from its words to its answer: retrieve, weigh, write, check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slidelake.errors import QueryError, UsageError
from slidelake.services.answers.answer import Answer, Citation, unique
from slidelake.services.answers.claims import quoted, strange_numbers
from slidelake.services.answers.extractive import compose, pick
from slidelake.services.answers.passage import Passage
from slidelake.services.answers.place import Place
from slidelake.services.answers.retrieval import Found, retrieve
from slidelake.services.answers.sentences import Sentence
from slidelake.services.answers.support import abstention
from slidelake.services.answers.writer import Written, write
from slidelake.services.links import report_link, slide_link

if TYPE_CHECKING:
    from slidelake.services.answers.endpoint import Endpoint
    from slidelake.services.lake import Lake

__all__ = ["LONGEST_QUESTION", "MOST_PASSAGES", "ask_pieces", "check_question"]

LONGEST_QUESTION = 2_000
#: Passages of one answer: what is asked for at most, and what is taken where nobody says.
MOST_PASSAGES = 50
PASSAGES = 8


def check_question(question: str, k: int | None) -> tuple[str, int]:
    """The question without white space around it, and how many passages. Raises QueryError."""
    asked = question.strip()
    if not any(sign.isalnum() for sign in asked):
        raise QueryError("the question is empty", remedy="Ask something, in words.")
    if len(asked) > LONGEST_QUESTION:
        raise QueryError(
            f"the question has {len(asked):,} characters; at most {LONGEST_QUESTION:,} are taken",
            remedy="Ask in fewer words.",
        )
    if k is not None and not 1 <= k <= MOST_PASSAGES:
        raise QueryError(f"k={k} passages", remedy=f"Take 1 to {MOST_PASSAGES}.")
    return asked, k or PASSAGES


def ask_pieces(
    lake: Lake,
    question: str,
    place: Place,
    *,
    k: int | None = None,
    exclude_own_report: bool = False,
    endpoint: Endpoint | None = None,
    examples: int = 0,
    label: str | None = None,
) -> Iterator[str | Answer]:
    """The text of the answer piece by piece, then the `Answer`, whose text they make up together."""
    asked, most = check_question(question, k)
    if not 0 <= examples <= MOST_PASSAGES:
        raise QueryError(f"{examples} examples", remedy=f"Take 0 to {MOST_PASSAGES}.")
    if examples and not place:
        raise UsageError(
            "examples are cases that look like a place", remedy="Pass slide=, at= or image= as well."
        )
    found = retrieve(
        lake, asked, place, k=most, exclude_own=exclude_own_report, examples=examples, label=label
    )
    why = abstention(
        found.evidence,
        found.support,
        passages=len(found.passages),
        facts=" ".join(each.text for each in found.passages if each.kind != "report"),
    )
    if why:
        yield why
        yield Answer(
            asked, why, abstained=True, model="none", notes=unique(found.notes), passages=found.passages
        )
        return
    notes = list(found.notes)
    written = Written()
    if endpoint is not None:
        for piece in write(endpoint, asked, found.passages, _pictures(lake, place, found, endpoint)):
            if isinstance(piece, Written):
                written = piece
            else:
                yield piece
        notes += written.notes
        if written.text:
            yield _as_written(asked, written, found, endpoint.model, notes)
            return
        if written.refused:
            text = f"The archive's reports do not answer this, {endpoint.model} found."
            yield text
            yield Answer(
                asked, text, abstained=True, model=endpoint.model, notes=unique(notes),
                passages=found.passages, removed_citations=written.removed, usage=written.usage,
            )  # fmt: skip
            return
        notes.append(f"{endpoint.model} gave no answer with a valid citation: these are quotes instead")
    answer = _extracted(asked, found, notes)
    yield answer.text
    yield replace(answer, removed_citations=written.removed, usage=written.usage)


def _as_written(question: str, written: Written, found: Found, model: str, notes: list[str]) -> Answer:
    cited = [found.passages[place] for place in written.cited]
    strange = strange_numbers(written.text, cited)
    if strange:
        notes.append(f"in none of the passages cited for them: {', '.join(strange)}")
    return Answer(
        question,
        written.text,
        tuple(_citation(n, each, quoted(written.text, n, each)) for n, each in enumerate(cited, start=1)),
        removed_citations=written.removed,
        model=model,
        notes=unique(notes),
        passages=found.passages,
        usage=written.usage,
    )


def _extracted(question: str, found: Found, notes: Sequence[str]) -> Answer:
    quotes = pick(found.passages, found.answers, found.adds)
    return Answer(
        question,
        compose(found.passages, quotes),
        tuple(_citation(n, found.passages[q.passage], q.sentence) for n, q in enumerate(quotes, start=1)),
        notes=unique(notes),
        passages=found.passages,
    )


def _citation(n: int, passage: Passage, sentence: Sentence) -> Citation:
    own: dict[str, Any] = {
        name: getattr(passage, name)
        for name in ("kind", "patient_id", "report_id", "chunk_id", "title", "section")
    }
    spot = {name: getattr(passage, name) for name in ("slide_id", "x", "y", "width", "height")}
    on_slide = (
        slide_link(passage.slide_id, passage.x, passage.y, passage.width, passage.height)
        if passage.slide_id
        else ""
    )
    start, end = passage.start + sentence.start, passage.start + sentence.end
    is_report = passage.kind == "report"
    return Citation(
        n=n,
        quote=sentence.text if is_report else passage.text,
        start=start if is_report else 0,
        end=end if is_report else 0,
        link=report_link(passage.report_id, start, end) if is_report else on_slide,
        slide_link=on_slide,
        score=passage.score,
        **own,
        **spot,
    )


def _pictures(lake: Lake, place: Place, found: Found, endpoint: Endpoint) -> list[tuple[str, str]]:
    """For an endpoint that sees: the patch asked about, then those of the cases."""
    if not endpoint.sees:
        return []
    from slidelake.services.answers.patch_pictures import patch_pictures

    return patch_pictures(lake, place, found.passages)
