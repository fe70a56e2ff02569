"""What an encoder is: a spec that names it for ever, and one method that turns patches into rows.

The id is made of everything that changes the numbers (FORMAT.md, "Ids"): two encoders with one id give the
same vectors; anything else (device, batch, dtype of the computation, versions) is provenance.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from slidelake.errors import UsageError

__all__ = ["EncoderSpec", "PatchEncoder", "check_patches"]

#: Below this side no encoder of ours says anything about tissue: filters at several scales need room.
MIN_PATCH_PX = 32


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What an encoder computes, in words that fit into its fingerprint.

    `input_px` is the side the model works at (None: the patch as it comes), `preferred_mpp` the resolution it
    was made for in µm/px (None: any), `weights_sha256` the digest of the weights file ("" where there is none),
    `stain` the stain step ("" where there is none), `normalisation` what is done to values.
    """

    name: str
    dim: int
    input_px: int | None = None
    preferred_mpp: float | None = None
    normalisation: str | tuple[Any, ...] = ""
    pooling: str = ""
    resampling: str = ""
    weights_sha256: str = ""
    stain: str = ""
    licence: str = ""
    description: str = ""

    def fingerprint(self) -> dict[str, Any]:
        """Everything that changes the vectors, as plain JSON values."""
        normalisation = self.normalisation
        return {
            "dim": self.dim,
            "input_px": self.input_px,
            "name": self.name,
            "normalisation": normalisation if isinstance(normalisation, str) else _plain(normalisation),
            "pooling": self.pooling,
            "resampling": self.resampling,
            "stain": self.stain,
            "weights_sha256": self.weights_sha256,
        }

    @property
    def encoder_id(self) -> str:
        """`slug(name).hash`, the hash being the first 8 hex digits of the fingerprint's sha256 (FORMAT.md)."""
        # Here, not above: the store's imports would make `import slidelake.encoders` slow.
        from slidelake.store import fingerprint_id

        return fingerprint_id(self.name, self.fingerprint())


@runtime_checkable
class PatchEncoder(Protocol):
    """Anything that has a spec and turns uint8 RGB patches into float32 rows.

    A row depends on its patch alone: not on the batch it came in, nor on the number of threads.
    """

    spec: EncoderSpec

    def encode(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Turn (B, H, W, 3) uint8 RGB into (B, D) float32; B may be 0."""
        ...


def check_patches(patches: npt.NDArray[np.uint8], *, encoder: str) -> None:
    """Refuse what is not (B, H, W, 3) uint8 with sides of at least 32 px; raises UsageError."""
    if not isinstance(patches, np.ndarray) or patches.dtype != np.uint8:
        kind = patches.dtype if isinstance(patches, np.ndarray) else type(patches).__name__
        raise UsageError(
            f"{encoder} got patches of {kind}, not of uint8",
            remedy="Give RGB values 0 to 255 as a numpy uint8 array.",
        )
    if patches.ndim != 4 or patches.shape[3] != 3:
        raise UsageError(
            f"{encoder} got patches of shape {patches.shape}",
            remedy="Give an array of shape (patches, height, width, 3).",
        )
    if len(patches) and min(patches.shape[1:3]) < MIN_PATCH_PX:
        raise UsageError(
            f"{encoder} got patches of {patches.shape[2]} x {patches.shape[1]} px",
            remedy=f"Give patches of at least {MIN_PATCH_PX} px a side.",
        )


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
