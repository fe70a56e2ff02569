"""What a slide encoder (aggregator) is: a bag of patch features in, a slide embedding out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SlideEncoderSpec:
    """What decides an aggregator's numbers, and so its id.

    `checkpoint_sha256` is empty where there are no weights. The encoder_id is that of the space it pools: two
    spaces' embeddings are never of one aggregator_id (FORMAT.md, "Ids").
    """

    name: str
    encoder_id: str
    checkpoint_sha256: str = ""
    description: str = ""

    def fingerprint(self) -> dict[str, Any]:
        """What the aggregator_id is a hash of."""
        return {"name": self.name, "encoder_id": self.encoder_id, "checkpoint_sha256": self.checkpoint_sha256}

    @property
    def aggregator_id(self) -> str:
        """`<name>.<8 hex>`."""
        from slidelake.store import fingerprint_id

        return fingerprint_id(self.name, self.fingerprint())


class Block(NamedTuple):
    """Rows of a bag, in order: `features` (n, D) float16 or float32; `valid` (n,) bool, False = left out."""

    features: NDArray[Any]
    valid: NDArray[np.bool_]


class SlideEmbedding(NamedTuple):
    """`embedding` (K, E) float32; with attention `scores` (K, N), −inf for left-out rows, and `lse` (K,)."""

    embedding: NDArray[np.float32]
    scores: NDArray[np.float32] | None = None
    lse: NDArray[np.float32] | None = None


class SlideEncoder(Protocol):
    """Pools one bag at a time; deterministic, and rows that are not valid do not count."""

    spec: SlideEncoderSpec

    def encode(self, blocks: Iterable[Block]) -> SlideEmbedding:
        """The embedding of a bag that comes in blocks of rows and has at least one valid row."""
        ...
