"""What a slide encoder (aggregator) is: a bag of patch features in, a slide embedding out."""

from collections.abc import Iterable, Mapping
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
    """Rows of a bag, in order: `features` (n, D) float16 or float32; `valid` (n,) bool, False = left out; where the
    encoder asks for them `coords` (n, 2) int32, level-0 px, and `footprint`, a patch's width and height in these."""

    features: NDArray[Any]
    valid: NDArray[np.bool_]
    coords: NDArray[np.int32] | None = None
    footprint: tuple[float, float] | None = None


class SlideEmbedding(NamedTuple):
    """`embedding` (K, E) float32; with attention `scores` (K, N), −inf for left-out rows, and `lse` (K,).

    `logits` (C,) are what a trained slide encoder's head says; `note` is what people should know of how it was made.
    """

    embedding: NDArray[np.float32]
    scores: NDArray[np.float32] | None = None
    lse: NDArray[np.float32] | None = None
    logits: NDArray[np.float32] | None = None
    note: str = ""


class SlideEncoder(Protocol):
    """Pools one bag at a time; deterministic, and rows that are not valid do not count.

    Subclass it: what is not said here of an aggregator is then as it is for one that needs no training.
    """

    spec: SlideEncoderSpec
    #: Whether a bag has to come as one block: what is trained may look at all rows at once.
    whole: bool = False
    #: Whether it needs `Block.coords` and `Block.footprint`.
    needs_coords: bool = False

    def encode(self, blocks: Iterable[Block]) -> SlideEmbedding:
        """The embedding of a bag that comes in blocks of rows and has at least one valid row."""
        ...

    def about(self) -> Mapping[str, Any]:
        """What is kept of it beside each embedding; `task` tells what its logits mean."""
        return {}
