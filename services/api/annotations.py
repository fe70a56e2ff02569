"""What people drew on a slide, as GeoJSON: read, written, removed; two tabs do not overwrite each other."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from slidelake.errors import EditConflictError
from slidelake.services.api.auth import Reader, Writer
from slidelake.services.api.context import Context, SharedContext
from slidelake.services.qupath import qupath_origin
from slidelake.store import AnnotationSet, moved, parse_geojson

__all__ = ["router"]

router = APIRouter(tags=["annotations"])

_GEOJSON = "application/geo+json"
_EXAMPLE = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[4096, 2048], [6144, 2048], [6144, 4096], [4096, 4096], [4096, 2048]]],
            },
            "properties": {"objectType": "annotation", "name": "front", "classification": {"name": "Tumor"}},
        }
    ],
}

Form = Annotated[
    Literal["level0", "qupath"],
    Query(description="qupath: coordinates as QuPath counts them, which differs for MIRAX."),
]
Name = Annotated[str, Query(max_length=64, description="The set: letters, digits, '.', '_', '-'.")]


async def _body(request: Request) -> bytes:
    return await request.body()


@router.get(
    "/api/slides/{slide_id}/annotations",
    response_class=Response,
    responses={200: {"content": {_GEOJSON: {}}}},
)
def read_annotations(
    slide_id: str,
    context: SharedContext,
    caller: Reader,
    name: Name = "default",
    form: Form = "level0",
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A set of features; an empty one, with no ETag, where there is none. The ETag is what a change must name."""
    found = context.lake.store.annotations.read(slide_id, name)
    headers = _headers(found)
    if found.version and if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    collection = found.to_geojson()
    if form == "qupath":
        (x, y), note = qupath_origin(context.lake.store, slide_id)
        collection["features"] = moved(found.features, -x, -y)
        if note:
            headers["X-Slidelake-Note"] = note
        headers.pop("ETag", None)  # another form of it: not what a change is made from
    context.audit(caller, "annotations read", slide=found.slide_id, name=name, features=len(found.features))
    return JSONResponse(collection, media_type=_GEOJSON, headers=headers)


@router.put(
    "/api/slides/{slide_id}/annotations",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {_GEOJSON: {"schema": {"type": "object"}, "example": _EXAMPLE}},
        }
    },
)
def write_annotations(
    slide_id: str,
    context: SharedContext,
    caller: Writer,
    body: Annotated[bytes, Depends(_body)],
    name: Name = "default",
    form: Form = "level0",
    if_match: Annotated[
        str | None, Header(description="The ETag that was read; * for whatever is there.")
    ] = None,
) -> JSONResponse:
    """Replace a set. One that is there already needs `If-Match`: 412 where it has changed since it was read."""
    origin, note = qupath_origin(context.lake.store, slide_id) if form == "qupath" else ((0, 0), "")
    made = context.lake.store.annotations.put(
        slide_id, parse_geojson(body), name, after=_after(context, slide_id, name, if_match), origin=origin
    )
    context.audit(caller, "annotations written", slide=made.slide_id, name=name, features=len(made.features))
    notes = [*made.notes, *([note] if note else [])]
    told: dict[str, Any] = {
        "name": name,
        "features": len(made.features),
        "version": made.version,
        "notes": notes,
    }
    return JSONResponse(told, headers=_headers(made))


@router.delete("/api/slides/{slide_id}/annotations", status_code=204)
def remove_annotations(
    slide_id: str,
    context: SharedContext,
    caller: Writer,
    name: Name = "default",
    if_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Remove a set, with its older versions; `If-Match` as for a change."""
    after = _after(context, slide_id, name, if_match)
    context.lake.store.annotations.remove(slide_id, name, after=after)
    context.audit(caller, "annotations removed", slide=slide_id, name=name)
    return Response(status_code=204)


def _after(context: Context, slide_id: str, name: str, if_match: str | None) -> str | None:
    """The version that a change was made from; None for whichever is there."""
    if if_match is not None:
        return None if if_match.strip() == "*" else if_match.strip().removeprefix("W/").strip('"')
    there = context.lake.store.annotations.read(slide_id, name)
    if there.features:
        raise EditConflictError(
            f"there are annotations {name!r} already, and the request does not say which it was made from",
            remedy="Read them, and send their ETag as If-Match; If-Match: * overwrites whatever is there.",
            slide=there.slide_id,
        )
    return there.version


def _headers(found: AnnotationSet) -> dict[str, str]:
    headers = {"Cache-Control": "private, no-cache"}
    return {**headers, "ETag": f'"{found.version}"'} if found.version else headers
