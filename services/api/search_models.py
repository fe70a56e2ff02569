"""What searches are asked and what they answer, as OpenAPI shows it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Name",
    "PatchAnswer",
    "PatchHit",
    "PatchQuery",
    "PatchSearch",
    "RegionIn",
    "SearchedFor",
    "SlideAnswer",
    "SlideHit",
    "SlideQuery",
    "SlideSearch",
    "Strict",
    "WhereIn",
]

Name = Annotated[str, Field(min_length=1, max_length=300)]
Scalar = Annotated[str, Field(max_length=1000)] | int | float | bool
Compared = Scalar | Annotated[list[Scalar], Field(max_length=5000)]
#: {"site": "lung", "stage": ["I", "II"], "age": {">=": 50}}
WhereIn = Annotated[
    dict[
        Name,
        Compared
        | Annotated[dict[Literal["=", "!=", "<", "<=", ">", ">=", "in", "not in"], Compared], Field()],
    ],
    Field(max_length=50),
]
Pixel = Annotated[float, Field(ge=-(2**31), le=2**31)]
Vector = Annotated[list[float], Field(min_length=1, max_length=16_384)]


class Strict(BaseModel):
    """No NaN, no inf, no field that is not known."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class RegionIn(Strict):
    """A part of a slide: a box (x, y, width, height) or the corners of a polygon, in level-0 pixels."""

    slide: Name
    box: tuple[Pixel, Pixel, Pixel, Pixel] | None = Field(default=None, examples=[[4096, 2048, 2048, 2048]])
    polygon: Annotated[list[tuple[Pixel, Pixel]], Field(min_length=3, max_length=10_000)] | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> "RegionIn":
        if (self.box is None) == (self.polygon is None):
            raise ValueError("a region has a box or a polygon: give one of them")
        return self


class PatchQuery(Strict):
    """One of: `slide` with `x` and `y`; `image` (base64; `mpp` where known); `vector`; `region`; `text`."""

    slide: Name | None = None
    x: Pixel | None = None
    y: Pixel | None = None
    image: str | None = Field(default=None, description="A PNG, JPEG, TIFF, WebP or BMP file, base64.")
    mpp: float | None = Field(default=None, gt=0, description="µm a pixel of the image.")
    vector: Vector | None = None
    region: RegionIn | None = None
    text: Annotated[str, Field(min_length=1, max_length=2000)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "PatchQuery":
        given = [
            name for name in ("slide", "image", "vector", "region", "text") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            said = ", ".join(given) or "none"
            raise ValueError(
                f"a query is one of slide (with x, y), image, vector, region, text; given: {said}"
            )
        if (self.slide is not None) != (self.x is not None and self.y is not None):
            raise ValueError("slide, x and y go together; for slides like a slide: /api/search/slides")
        if self.mpp is not None and self.image is None:
            raise ValueError("mpp belongs to an image")
        return self


class SlideQuery(Strict):
    """One of: `slide`, by its embedding; `region`, by its patches; `vector`, an embedding."""

    slide: Name | None = None
    region: RegionIn | None = None
    vector: Vector | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "SlideQuery":
        if sum(getattr(self, name) is not None for name in ("slide", "region", "vector")) != 1:
            raise ValueError("a query is one of slide, region, vector")
        return self


class _Common(Strict):
    """What all searches share."""

    space: Name | None = Field(default=None, description="May be left out where there is one.")
    k: int = Field(default=20, ge=1, le=100_000, description="How many hits; the server sets the most.")
    where: WhereIn | None = Field(default=None, examples=[{"site": ["larynx", "lung"], "age": {">=": 50}}])
    exclude_same_patient: bool = False
    exclude_patient: Name | None = None
    exact: bool | None = Field(default=None, description="true: look at every vector, however long it takes.")


class PatchSearch(_Common):
    """A search for patches."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": {"slide": "S1", "x": 5120, "y": 2048}, "k": 20, "exclude_same_patient": True},
                {
                    "query": {"region": {"slide": "S1", "box": [4096, 2048, 2048, 2048]}},
                    "where": {"site": "lung"},
                },
            ]
        }
    )

    query: PatchQuery


class SlideSearch(_Common):
    """A search for slides; `aggregator` (its id, or its name) for a slide or a vector."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": {"slide": "S1"}, "aggregator": "mean"}]}
    )

    query: SlideQuery
    aggregator: Name = "mean"


class SearchedFor(BaseModel):
    """The query as it was understood: the patch's corner, or the box around a region and how many patches it has."""

    kind: Literal["patch", "image", "vector", "region", "text", "slide"]
    slide_id: str | None = None
    patient_id: str | None = None
    row: int | None = None
    x: int | None = None
    y: int | None = None
    width: int | None = None
    height: int | None = None
    patches: int | None = None


class SlideHit(BaseModel):
    """A slide: `score` is a true cosine, or for a region the mean of its patches' best."""

    rank: int
    score: float
    slide_id: str
    patient_id: str
    metadata: dict[str, Any]
    thumbnail: str = Field(description="URL of its thumbnail.")
    link: str = Field(description="Where the page shows it.")


class PatchHit(BaseModel):
    """A patch: `score` is the true cosine; `x`, `y` its corner, `footprint` its width and height, level-0 px."""

    rank: int
    score: float
    slide_id: str
    patient_id: str
    row: int
    x: int
    y: int
    footprint: tuple[float, float] | None
    mpp: float | None = Field(description="µm a pixel of the patch as it was encoded.")
    metadata: dict[str, Any]
    patch: str = Field(description="URL of its picture.")
    link: str = Field(description="Where the page shows it.")


class _Answer(BaseModel):
    space: str
    kind: str
    exact: bool = Field(description="Whether every vector was looked at.")
    notes: list[str] = Field(description="What should be known: a stale index, an assumed mpp.")
    took_ms: float
    query: SearchedFor


class PatchAnswer(_Answer):
    """Patches, best first."""

    hits: list[PatchHit]


class SlideAnswer(_Answer):
    """Slides, best first."""

    hits: list[SlideHit]
