"""What a text encoder is: a spec that names it for ever, and one method that turns texts into unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from slidelake.errors import UsageError

__all__ = ["TextEncoder", "TextEncoderSpec", "check_texts"]


@dataclass(frozen=True, slots=True)
class TextEncoderSpec:
    """What a text encoder computes: everything here but licence and description changes the vectors.

    `max_tokens` is where the model cuts a text off, `weights_sha256` the digest of its weights ("" for none).
    """

    name: str
    dim: int
    max_tokens: int
    pooling: str = ""
    weights_sha256: str = ""
    licence: str = ""
    description: str = ""

    def fingerprint(self) -> dict[str, Any]:
        """Everything that changes the vectors, as plain JSON values."""
        return {
            "dim": self.dim,
            "max_tokens": self.max_tokens,
            "name": self.name,
            "pooling": self.pooling,
            "weights_sha256": self.weights_sha256,
        }

    @property
    def encoder_id(self) -> str:
        """`slug(name).hash`, as for the encoders of patches."""
        # Here, not above: the store's imports would make `import slidelake.encoders` slow.
        from slidelake.store import fingerprint_id

        return fingerprint_id(self.name, self.fingerprint())


@runtime_checkable
class TextEncoder(Protocol):
    """Anything that has a spec and turns texts into unit vectors, from several threads at once."""

    spec: TextEncoderSpec

    @property
    def id(self) -> str:
        """The encoder's id: vectors of one id may be compared."""
        ...

    @property
    def dim(self) -> int:
        """Numbers a vector has."""
        ...

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """n texts to (n, dim) float32 rows of unit length, in their order; n may be 0."""
        ...


def check_texts(texts: Sequence[str], *, encoder: str) -> list[str]:
    """The texts as a list; UsageError for a bare string and for what is no text."""
    if isinstance(texts, str):
        raise UsageError(f"{encoder} got one text, not a list of texts", remedy="Pass [text].")
    listed = list(texts)
    for place, text in enumerate(listed):
        if not isinstance(text, str):
            raise UsageError(
                f"{encoder} got a {type(text).__name__} as text {place}", remedy="Pass a list of str."
            )
    return listed
