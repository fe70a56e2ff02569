"""Heatmaps over a slide: a column of its grid, attention, or likeness to a query, as one coarse picture."""

import base64
import hashlib
from dataclasses import replace
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from slidelake.errors import UsageError
from slidelake.services.api.auth import Reader
from slidelake.services.api.context import Context, SharedContext
from slidelake.services.api.search import image_bytes
from slidelake.services.api.search_models import Name, PatchQuery, Strict
from slidelake.services.heatmap.colours import colour_table, coloured
from slidelake.services.heatmap.raster import Raster, coarse_raster
from slidelake.services.heatmap.values import PatchValues, choose_values, grid_values
from slidelake.store import slug

__all__ = ["HeatmapAnswer", "HeatmapAsked", "HeatmapParameters", "router"]

router = APIRouter(tags=["heatmaps"])

_STOPS = 9

Kind = Literal["column", "attention", "similarity"]
Show = Literal["rank", "attention", "score"]
Colours = Literal["cividis", "inferno", "magma", "plasma", "viridis"]


class HeatmapParameters(Strict):
    """What a heatmap shows: a `column` of the grid; or the attention of an `aggregator`, with `show` and `branch`."""

    kind: Kind
    space: Name | None = None
    column: Name | None = Field(default=None, examples=["tissue"])
    aggregator: Name | None = None
    branch: int | None = Field(default=None, ge=0)
    show: Show = "rank"
    colours: Colours = "viridis"


class HeatmapAsked(HeatmapParameters):
    """As in the picture's URL, or likeness to a `query`."""

    query: PatchQuery | None = Field(default=None, description="As in /api/search/patches.")


class Stop(BaseModel):
    """A colour of the legend; `at` is the value that has it."""

    at: float
    colour: str = Field(examples=["#21918c"])


class Bounds(BaseModel):
    """Where the picture lies on the slide, level-0 px."""

    x: float
    y: float
    width: float
    height: float


class HeatmapAnswer(BaseModel):
    """A picture of one pixel a patch step, transparent where no patch is, and what its colours mean.

    `minimum` and `maximum` are the least and most of all patches shown; `source_minimum` and `source_maximum`, for a
    rank, those of the attention that was ranked.
    """

    image: str = Field(description="A PNG as a data URL, RGBA.")
    bounds: Bounds
    minimum: float | None
    maximum: float | None
    source_minimum: float | None = None
    source_maximum: float | None = None
    label: str
    colours: list[Stop]
    rows: int = Field(description="Patches that have a value.")
    notes: list[str]


@router.post("/api/slides/{slide_id}/heatmap")
def heatmap(slide_id: str, asked: HeatmapAsked, context: SharedContext, caller: Reader) -> HeatmapAnswer:
    """A heatmap and its legend."""
    values = _values(context, slide_id, asked)
    raster = coarse_raster(values)
    low, high = _range(values.values)
    source = _range(values.sources) if values.sources is not None else (None, None)
    return HeatmapAnswer(
        image="data:image/png;base64,"
        + base64.b64encode(_png(raster.values, low, high, asked.colours)).decode(),
        bounds=_bounds(raster),
        minimum=low,
        maximum=high,
        source_minimum=source[0],
        source_maximum=source[1],
        label=values.label,
        colours=_legend(low, high, asked.colours),
        rows=int(values.shown.sum()),
        notes=list(values.notes),
    )


@router.get(
    "/api/slides/{slide_id}/heatmap.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def heatmap_png(
    slide_id: str,
    asked: Annotated[HeatmapParameters, Query()],
    request: Request,
    context: SharedContext,
    caller: Reader,
) -> Response:
    """The picture alone: `?kind=column&column=tissue`, `?kind=attention&aggregator=abmil`."""
    if asked.kind == "similarity":
        raise UsageError("a query does not go into a URL", remedy="Use POST /api/slides/{id}/heatmap.")
    values = _values(context, slide_id, HeatmapAsked(**asked.model_dump()))
    raster = coarse_raster(values)
    low, high = _range(values.values)
    png = _png(raster.values, low, high, asked.colours)
    bounds = _bounds(raster)
    headers = {
        "ETag": f'"{hashlib.sha256(png).hexdigest()[:32]}"',
        "Cache-Control": "private, no-cache",
        "X-Slidelake-Minimum": "" if low is None else repr(low),
        "X-Slidelake-Maximum": "" if high is None else repr(high),
        "X-Slidelake-Bounds": f"{bounds.x:g},{bounds.y:g},{bounds.width:g},{bounds.height:g}",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(png, media_type="image/png", headers=headers)


def _values(context: Context, slide_id: str, asked: HeatmapAsked) -> PatchValues:
    wanted = {"column": asked.column, "attention": asked.aggregator, "similarity": asked.query}
    given = [kind for kind, value in wanted.items() if value is not None]
    if given != [asked.kind]:
        names = {"column": "column", "attention": "aggregator", "similarity": "query"}
        said = ", ".join(names[each] for each in given) or "none of these"
        raise UsageError(
            f"a heatmap of kind {asked.kind} takes {names[asked.kind]}, and got {said}",
            remedy=f"Give {names[asked.kind]}, and nothing else of these.",
        )
    store = context.lake.store
    space = store.resolve_space(asked.space)
    if asked.query is not None:
        return _similarity(context, slide_id, space, asked.query)
    if asked.aggregator is not None and slug(asked.aggregator) != asked.aggregator:
        # On a command line it may be a checkpoint's file; whoever calls from elsewhere has no files here.
        raise UsageError(
            f"{asked.aggregator!r} is no name of an aggregator", remedy="Give its id or its name."
        )
    several = choose_values(
        store,
        slide_id,
        space,
        column=asked.column,
        aggregator=asked.aggregator,
        show=asked.show,
        branch=asked.branch,
    )
    first = several[0]
    if len(several) > 1:
        first = replace(first, notes=(*first.notes, f"the first of {len(several)} branches is shown"))
    return first


def _similarity(context: Context, slide_id: str, space: str, query: PatchQuery) -> PatchValues:
    """The cosine of every patch of the slide with a query; with the nearest of a region's patches."""
    said: dict[str, Any] = {}
    if query.slide is not None:
        said["at"] = (query.slide, query.x, query.y)
    elif query.region is not None:
        said["region"] = (query.region.slide, query.region.box, query.region.polygon)
    elif query.image is not None:
        said.update(image=image_bytes(query), mpp=query.mpp)
    elif query.text is not None:
        said["text"] = query.text
    else:
        said["vector"] = query.vector
    cosines, notes = context.lake.index.similarity(slide_id, space=space, **said)
    return grid_values(
        context.lake.store,
        slide_id,
        space.partition("/")[0],
        cosines,
        label="cosine with the query",
        notes=notes,
    )


def _png(values: NDArray[np.float64], low: float | None, high: float | None, colours: str) -> bytes:
    """RGBA, transparent where there is no value."""
    picture = np.zeros((*values.shape, 4), np.uint8)
    if low is not None and high is not None:
        shown = np.isfinite(values)
        picture[shown, :3] = coloured(values[shown], low, high, colours)[:, ::-1]
        picture[shown, 3] = 255
    done, data = cv2.imencode(".png", picture)
    assert done
    return data.tobytes()


def _range(values: NDArray[np.float64]) -> tuple[float, float] | tuple[None, None]:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else (None, None)


def _bounds(raster: Raster) -> Bounds:
    height, width = raster.values.shape
    return Bounds(
        x=raster.origin[0], y=raster.origin[1], width=width * raster.step[0], height=height * raster.step[1]
    )


def _legend(low: float | None, high: float | None, colours: str) -> list[Stop]:
    if low is None or high is None:
        return []
    table = colour_table(colours)
    if low == high:  # one value alone takes the map's middle
        return [Stop(at=low, colour=_hex(table[128]))]
    places = np.linspace(0, 255, _STOPS).round().astype(int)
    values = np.linspace(low, high, _STOPS)
    return [Stop(at=float(v), colour=_hex(table[place])) for v, place in zip(values, places, strict=True)]


def _hex(rgb: NDArray[np.uint8]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(int(each) for each in rgb))
