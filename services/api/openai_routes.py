"""The routes that clients of OpenAI's API know: models, chat completions with streaming, embeddings."""

import base64
import json
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field, field_validator

from slidelake.errors import QueryError, SlidelakeError, UnknownNameError
from slidelake.services.answers import Answer, Completion, Endpoint, from_data_url, tokens_in
from slidelake.services.api.answers import Place
from slidelake.services.api.auth import Caller, Reader
from slidelake.services.api.context import Context, SharedContext
from slidelake.services.api.openai_errors import OpenAIRoute, described

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"], route_class=OpenAIRoute)

MODEL = "slidelake"
TEXT_ENCODER = "minilm"
#: Texts of one call of embeddings, and characters of each, at most.
TEXTS_LIMIT = 256
TEXT_LIMIT = 20_000


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class ImageUrl(BaseModel):
    url: str


class ImagePart(BaseModel):
    """A picture as a data URL: the patch that the question is about."""

    type: Literal["image_url"]
    image_url: ImageUrl


class Message(BaseModel):
    role: str
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]] | None = None

    @field_validator("content")
    @classmethod
    def _is_text(cls, content: Any) -> Any:
        # A plain field of text is checked by pydantic, one of several kinds is not; an answer that quotes it fails.
        if isinstance(content, str) and any("\ud800" <= each <= "\udfff" for each in content):
            raise ValueError("half a surrogate pair is no text")
        return content

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if isinstance(part, TextPart))

    @property
    def pictures(self) -> list[str]:
        if self.content is None or isinstance(self.content, str):
            return []
        return [part.image_url.url for part in self.content if isinstance(part, ImagePart)]


class StreamOptions(BaseModel):
    include_usage: bool = False


class PlaceAndScale(Place):
    mpp: float | None = Field(None, description="µm per pixel of the picture; else the space's.")


class ChatBody(BaseModel):
    """A conversation; its last user message is the question. Fields that are not named here are ignored."""

    model: str = MODEL
    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    slidelake: PlaceAndScale = Field(
        default_factory=lambda: PlaceAndScale.model_validate({}),
        description="What the question is about; see POST /api/ask.",
    )


class EmbeddingBody(BaseModel):
    input: str | Annotated[list[str], Field(min_length=1, max_length=TEXTS_LIMIT)]
    model: str = MODEL
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


@router.get("/models")
def models(context: SharedContext, caller: Reader) -> dict[str, Any]:
    """The one model that answers, and the one that embeds text."""
    names = (MODEL, TEXT_ENCODER)
    return {"object": "list", "data": [_model(name) for name in names]}


@router.get("/models/{name}")
def model(name: str, context: SharedContext, caller: Reader) -> dict[str, Any]:
    """One model."""
    _require_model(name, MODEL, TEXT_ENCODER)
    return _model(name)


@router.post("/chat/completions", response_model=None)
def chat(
    body: ChatBody, request: Request, context: SharedContext, caller: Reader
) -> JSONResponse | StreamingResponse:
    """An answer with citations: in the text with a list of sources, in `annotations`, and under `slidelake`."""
    _require_model(body.model, MODEL)
    asked = next((message for message in reversed(body.messages) if message.role == "user"), None)
    if asked is None:
        raise QueryError("the conversation holds no question", remedy="Send a message of role user.")
    arguments = body.slidelake.arguments() | {"mpp": body.slidelake.mpp}
    if len(asked.pictures) > 1:
        raise QueryError("a question is about one picture", remedy="Send one image_url part.")
    if asked.pictures:
        arguments["image"] = from_data_url(asked.pictures[0])
    pieces = context.lake.ask_pieces(asked.text, endpoint=Endpoint.from_environment(), **arguments)
    form = Completion(asked.text, base=str(request.base_url).rstrip("/"))
    if not body.stream:
        answer = [piece for piece in pieces if isinstance(piece, Answer)][-1]
        _audit(context, caller, answer)
        return JSONResponse(form.whole(answer))
    # Errors before the first word have a status of their own; after it they are an event of the stream.
    first = next(pieces)

    def events() -> Iterator[str]:
        try:
            for piece in chain([first], pieces):
                if isinstance(piece, Answer):
                    _audit(context, caller, piece)
                    usage = body.stream_options is not None and body.stream_options.include_usage
                    yield from form.end(piece, usage=usage)
                else:
                    yield form.piece(piece)
        except SlidelakeError as error:
            yield f"data: {json.dumps(described(error))}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@router.post("/embeddings")
def embeddings(body: EmbeddingBody, context: SharedContext, caller: Reader) -> dict[str, Any]:
    """Unit vectors of texts by the encoder that reports are searched with."""
    from slidelake.encoders.text import shared_text_encoder

    _require_model(body.model, MODEL, TEXT_ENCODER)
    texts = [body.input] if isinstance(body.input, str) else body.input
    for number, text in enumerate(texts):
        if not text.strip() or len(text) > TEXT_LIMIT:
            raise QueryError(
                f"text {number} has {len(text):,} characters", remedy=f"Send 1 to {TEXT_LIMIT:,} of each."
            )
    encoder = shared_text_encoder(TEXT_ENCODER)
    if body.dimensions is not None and body.dimensions != encoder.dim:
        raise QueryError(
            f"{TEXT_ENCODER} has {encoder.dim} dimensions, not {body.dimensions}",
            remedy="Leave dimensions out.",
        )
    vectors = np.asarray(encoder.encode(texts), dtype="<f4")
    spent = sum(map(tokens_in, texts))
    return {
        "object": "list",
        "model": body.model,
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(vector, body.encoding_format)}
            for index, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": spent, "total_tokens": spent},
    }


def _packed(vector: np.ndarray, form: str) -> list[float] | str:
    return base64.b64encode(vector.tobytes()).decode() if form == "base64" else vector.tolist()


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "slidelake"}


def _require_model(name: str, *known: str) -> None:
    if name not in known:
        raise UnknownNameError(f"there is no model {name[:100]!r} here", remedy=f"Use {' or '.join(known)}.")


def _audit(context: Context, caller: Caller, answer: Answer) -> None:
    context.audit(caller, "ask", citations=len(answer.citations), abstained=answer.abstained)
