"""One slide's order: what a worker needs to know, plain enough to travel to another process."""

from dataclasses import dataclass, field
from typing import Any

from slidelake.ingest.grid import GridSpec

__all__ = ["EncoderOrder", "SlideTask", "WorkerOptions"]


@dataclass(frozen=True)
class SlideTask:
    """A slide to make: its id, source, patient, what a person said about its mpp, and its quarantine key."""

    slide_id: str
    uri: str
    patient_id: str
    patient_source: str
    quarantine_key: str
    mpp: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    #: The epoch that this slide replaces, because its source changed; 0 where it is new.
    replaces: int = 0


@dataclass(frozen=True)
class EncoderOrder:
    """How a worker makes its encoder: `create_encoder(name, weights=, device=, **options)`."""

    name: str
    weights: str | None = None
    device: str = "auto"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerOptions:
    """What holds for every slide of a run."""

    grid: GridSpec
    encoder: EncoderOrder
    encoder_id: str
    reader: str = "auto"
    threads: int = 2
    batch_size: int = 64
    assume_mpp: float | None = None
    dtype: str = "float16"
