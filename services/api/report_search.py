"""Searches of reports: the passages that answer a question."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from slidelake.services.api.auth import Reader
from slidelake.services.api.context import SharedContext
from slidelake.services.api.search import check_k
from slidelake.services.api.search_models import Name, Strict, WhereIn
from slidelake.services.links import report_link

__all__ = ["router"]

router = APIRouter(tags=["search"])


class ReportSearch(Strict):
    """A question, and whose reports may answer it."""

    text: str = Field(min_length=1, max_length=2000, examples=["perineural invasion of the larynx"])
    k: int = Field(default=10, ge=1, le=10_000)
    mode: Literal["hybrid", "text", "vector"] = "hybrid"
    patients: list[Name] | None = Field(default=None, max_length=5000)
    exclude_patient: Name | None = None
    slides: list[Name] | None = Field(default=None, max_length=5000)
    where: WhereIn | None = None
    per_report: int = Field(default=1, ge=1, le=100, description="Passages of one report at most.")


class Passage(BaseModel):
    """A passage, `start` to `end` of its report's text; `score` orders one answer, `scores` hold beyond it."""

    rank: int
    score: float
    report_id: str
    chunk_id: str
    patient_id: str
    slide_ids: list[str]
    section: str
    start: int
    end: int
    text: str
    scores: dict[str, float]
    link: str = Field(description="Where the page shows it.")


class ReportAnswer(BaseModel):
    """Passages, best first."""

    mode: str
    hits: list[Passage]
    notes: list[str]


@router.post("/api/search/reports")
def search_reports(asked: ReportSearch, context: SharedContext, caller: Reader) -> ReportAnswer:
    """Passages of reports that answer a question: by terms and vectors, or by one of the two."""
    check_k(context, asked.k)
    hits = context.lake.index.search_reports(
        asked.text,
        k=asked.k,
        mode=asked.mode,
        patients=asked.patients,
        exclude_patients=() if asked.exclude_patient is None else (asked.exclude_patient,),
        slides=asked.slides,
        where=asked.where,
        per_report=asked.per_report,
    )
    context.audit(caller, "search", kind="reports", hits=len(hits))
    found = [Passage(**hit.to_dict(), link=report_link(hit.report_id, hit.start, hit.end)) for hit in hits]
    return ReportAnswer(mode=hits.mode, hits=found, notes=list(hits.notes))
