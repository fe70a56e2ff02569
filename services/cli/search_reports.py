"""`slidelake search --text … --in reports`: the passages, with the words that were asked for marked."""

from typing import cast

from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from slidelake.services.cli.session import Session

#: Characters of a passage that are shown, around its first marked word; --json has all of it.
_SHOWN = 420


def search_reports(
    session: Session, text: str, k: int, mode: str, where: list[str] | None, exclude_patient: str | None
) -> int:
    """Searches, says what was found, and gives the exit code: 4 where nothing was."""
    from slidelake.index.reports import Mode

    hits = session.lake().search_reports(
        text,
        k=k,
        mode=cast(Mode, mode),
        where=where or None,
        exclude_patients=(exclude_patient,) if exclude_patient else (),
    )
    code = 0 if len(hits) else 4
    session.emit(
        {"ok": True, "exit_code": code, "mode": hits.mode, "notes": list(hits.notes), "hits": hits.to_dicts()}
    )
    for hit in hits:
        about = [hit.report_id, f"patient {hit.patient_id}", *([hit.section] if hit.section else [])]
        session.say(f"[bold]{hit.rank}[/bold]  {hit.score:.4f}  {escape('  ·  '.join(about))}")
        session.say(Padding(_marked(hit.text, text), (0, 0, 1, 4)))
    if not len(hits):
        session.say("no report answers that")
    for note in hits.notes:
        session.errors.print(f"note: {escape(note)}", soft_wrap=True)
    return code


def _marked(passage: str, question: str) -> Text:
    """The part of the passage around its marked words, on as few lines as it takes; marks are bold."""
    from slidelake.index.reports import marked_spans

    # White space only, sign for sign, so that places stay.
    flat = "".join(" " if sign.isspace() else sign for sign in passage)
    spans = marked_spans(flat, question)
    start = max(0, spans[0][0] - 60) if spans and len(flat) > _SHOWN else 0
    start = min(start, max(0, len(flat) - _SHOWN))
    end = min(len(flat), start + _SHOWN)
    shown = Text("…" if start else "")
    at = start
    for first, last in spans:
        if first >= at and last <= end:
            shown.append(flat[at:first])
            shown.append(flat[first:last], style="bold yellow")
            at = last
    shown.append(flat[at:end] + ("…" if end < len(flat) else ""))
    return shown
