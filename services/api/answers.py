"""`POST /api/ask`: a question about the archive, answered with citations."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from slidelake.errors import UsageError
from slidelake.services.answers import Endpoint
from slidelake.services.api.auth import Reader
from slidelake.services.api.context import SharedContext

__all__ = ["AskBody", "router"]

router = APIRouter(prefix="/api", tags=["answers"])


class Place(BaseModel):
    """What a question is about besides its words."""

    slide: str | None = Field(None, max_length=200, description="A slide's id.")
    x: int | None = Field(None, description="With y and slide: a level-0 pixel in the patch asked about.")
    y: int | None = None
    region: dict[str, Any] | None = Field(
        None, description='{"box": [x, y, w, h]} or {"polygon": [[x, y], …]} of the slide, level-0 px.'
    )
    space: str | None = Field(
        None, max_length=500, description="Grid and encoder; needed where there are several."
    )
    exclude_own_report: bool = Field(
        False, description="Leave out all that is known of the slide's own patient."
    )
    k: int | None = Field(None, description="Passages at most; fewer where the rest fits worse.")
    examples: int = Field(0, description="Labelled cases of other patients that look alike, at most.")
    label: str | None = Field(None, max_length=200, description="The metadata column with the cases' labels.")

    def arguments(self) -> dict[str, Any]:
        """As `lake.ask` takes them. Raises UsageError for half a place."""
        if (self.x is None) != (self.y is None):
            raise UsageError("a place has x and y", remedy="Give both, in level-0 pixels.")
        return {
            "slide": self.slide,
            "at": None if self.x is None or self.y is None else (self.x, self.y),
            "region": self.region,
            "space": self.space,
            "exclude_own_report": self.exclude_own_report,
            "k": self.k,
            "examples": self.examples,
            "label": self.label,
        }


class AskBody(Place):
    """A question, and what it is about."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"question": "Which patients had lymphovascular invasion?", "k": 5},
                {
                    "question": "What did patients with tissue like this have?",
                    "slide": "S1",
                    "x": 5120,
                    "y": 2048,
                },
            ]
        },
    )

    question: str


@router.post("/ask")
def ask(body: AskBody, context: SharedContext, caller: Reader) -> dict[str, Any]:
    """The answer, each of its citations as a span of a report and a place on a slide; or that there is none.

    `text` holds `[n]` for `citations[n - 1]`. `abstained` is true where the archive does not answer.
    """
    answer = context.lake.ask(body.question, endpoint=Endpoint.from_environment(), **body.arguments())
    context.audit(
        caller, "ask", slide=body.slide, citations=len(answer.citations), abstained=answer.abstained
    )
    return answer.to_dict()
