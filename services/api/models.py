"""The shapes of the core's answers, which OpenAPI shows."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AggregatorOfSlide",
    "ColumnInfo",
    "DeepZoomInfo",
    "DeletionAnswer",
    "Described",
    "ErrorAnswer",
    "GridInfo",
    "ReportAnswer",
    "ReportEntry",
    "ReportLine",
    "ReportSection",
    "ReportSource",
    "SlideDetails",
    "SlidePage",
    "SlideSummary",
    "SpaceInfo",
    "StatusAnswer",
    "SyncAnswer",
]

Pixels = Literal["slide", "thumbnail", "none"]


class Described(BaseModel):
    """What is wrong, and what to do about it."""

    kind: str = Field(examples=["UnknownSlideError"])
    problem: str = Field(examples=["the lake has no slide 'S9'"])
    remedy: str = Field(examples=["GET /api/slides lists those there are."])
    slide: str = ""


class ErrorAnswer(BaseModel):
    """Every answer that is no success."""

    error: Described


class SlideSummary(BaseModel):
    """One slide in a list."""

    slide_id: str = Field(examples=["TCGA-CR-7395-01A-01-TS1"])
    patient_id: str = Field(examples=["TCGA-CR-7395"])
    width: int | None = Field(description="Level-0 pixels.", examples=[46_000])
    height: int | None = Field(description="Level-0 pixels.", examples=[32_914])
    mpp: float | None = Field(description="µm a level-0 pixel.", examples=[0.2525])
    objective_power: float | None = Field(default=None, examples=[40.0])
    spaces: list[str] = Field(examples=[["256px-0.5mpp/stain-texture.b5da329d"]])
    patches: int = Field(examples=[1_204])
    metadata: dict[str, Any] = Field(examples=[{"site": "larynx", "age": 61}])
    pixels: Pixels = Field(description="Where its pixels come from now.")
    thumbnail: str = Field(description="URL of the thumbnail.")


class SlidePage(BaseModel):
    """Some of the slides that fit."""

    total: int
    offset: int
    slides: list[SlideSummary]


class GridInfo(BaseModel):
    """One grid of patches over a slide; footprint and stride in level-0 pixels (x, y)."""

    grid_id: str
    patch_px: int | None
    mpp: float | None
    footprint: tuple[float, float] | None
    stride: tuple[float, float] | None
    patches: int
    columns: list[str]


class AggregatorOfSlide(BaseModel):
    """A slide embedding: how many branches its aggregator has."""

    space: str
    aggregator_id: str
    branches: int
    attention: bool = Field(description="Whether attention was kept, so that a heatmap can show it.")


class ReportLine(BaseModel):
    """A report of the slide's patient."""

    report_id: str
    title: str


class DeepZoomInfo(BaseModel):
    """What a Deep Zoom viewer needs; `url` is the .dzi."""

    url: str
    tile_size: int
    overlap: int
    max_level: int
    width: int
    height: int


class SlideDetails(SlideSummary):
    """One slide, with all that was made of it."""

    model_config = ConfigDict(json_schema_extra={"description": "One slide, with all that was made of it."})

    grids: list[GridInfo]
    aggregators: list[AggregatorOfSlide]
    reports: list[ReportLine]
    deep_zoom: DeepZoomInfo | None
    pixels_note: str = Field(description="Why the pixels are not the slide's own; empty where they are.")


class SpaceInfo(BaseModel):
    """Vectors that can be compared: one grid, one encoder."""

    space: str
    grid_id: str
    encoder_id: str
    slides: int
    patches: int
    patch_px: int | None
    mpp: float | None
    dim: int | None = Field(description="Numbers of a vector.", examples=[512])
    aggregators: list[str]
    can_encode_images: bool = Field(description="Whether an uploaded image can be a query here.")


class ColumnInfo(BaseModel):
    """A column that filters may name; `values` where it is text with at most 50 of them."""

    name: str
    kind: str = Field(description="text, integer, number or boolean.", examples=["text"])
    level: str = Field(description="slide or patch.", examples=["slide"])
    values: list[Any] | None = None


class ReportEntry(BaseModel):
    """A report in a list."""

    report_id: str = Field(examples=["TCGA-CR-7395.8a31b2c4"])
    title: str
    patient_id: str = Field(examples=["TCGA-CR-7395"])
    slide_ids: list[str] = Field(
        description="The slides that it names; none: it is about all of its patient's."
    )
    sections: list[str] = Field(examples=[["Diagnosis", "Microscopic description"]])


class ReportSection(BaseModel):
    """A named part of a report: characters `start` to `end` of its text; no name before the first heading."""

    name: str
    start: int
    end: int


class ReportSource(BaseModel):
    """Where a report came from; `ocr_confidence` 0 to 100 where it was read by OCR."""

    uri: str
    kind: str = Field(examples=["pdf"])
    sha256: str
    pages: int
    ocr_confidence: float | None


class ReportAnswer(BaseModel):
    """A report with its text."""

    report_id: str
    patient_id: str
    slide_ids: list[str]
    title: str
    text: str
    sections: list[ReportSection]
    source: ReportSource
    metadata: dict[str, str | int | float | bool]
    added: str = Field(description="When the lake took this text (ISO 8601, UTC).")


class SpaceCount(BaseModel):
    """How much is in a space."""

    space: str
    slides: int
    patches: int


class IndexStatus(BaseModel):
    """What the index holds, and how it differs from the store."""

    model_config = ConfigDict(extra="allow")

    state: str = Field(examples=["follows the store"])
    exists: bool
    stale: int
    tables: list[dict[str, Any]]


class StatusAnswer(BaseModel):
    """What the lake holds."""

    model_config = ConfigDict(extra="allow")

    slides: int
    patients: int
    spaces: list[SpaceCount]
    quarantine: list[dict[str, Any]] = Field(
        description="Slides that did not go in: reason, message, remedy."
    )
    runs: int
    index: IndexStatus


class DeletionAnswer(BaseModel):
    """What was deleted: slides, objects of the store by part, rows of the index."""

    model_config = ConfigDict(extra="allow")

    slides: list[str]
    objects: dict[str, int]
    index_rows: int
    notes: list[str]


class SyncAnswer(BaseModel):
    """What a sync of the index did; `failed` names slides that could not be read, and why."""

    model_config = ConfigDict(extra="allow")

    changed: bool
    added: int
    replaced: int
    removed: int
    unchanged: int
    failed: list[tuple[str, str]]
