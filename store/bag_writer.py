"""Writes one bag, rows streamed in grid order, in constant memory; a commit at the end makes it true."""

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import GridMismatchError, NotFiniteError, UsageError
from slidelake.store.attempts import Attempt
from slidelake.store.checksums import checksum
from slidelake.store.commits import Commit
from slidelake.store.deny_list import DenyList
from slidelake.store.layout import SlideState, Subject
from slidelake.store.objects import Objects
from slidelake.store.profile import ArrayProfile

__all__ = ["BagWriter", "finite"]

_DTYPES = ("float16", "float32")


class BagWriter:
    """Appends (B, D) features to a new bag. A context manager: left without `commit`, the attempt is removed.

    Made by `FeatureStore.bag_writer`. The grid is committed already, or is by the time of `commit`: its coords
    are copied into the bag.
    """

    def __init__(
        self,
        objects: Objects,
        state: SlideState,
        grid_id: str,
        coords: NDArray[np.int32],
        encoder_id: str,
        *,
        dim: int,
        dtype: str = "float16",
        attributes: Mapping[str, Any] | None = None,
        compression: str = "none",
        denied: DenyList | None = None,
    ) -> None:
        if dtype not in _DTYPES:
            raise UsageError(f"features are not kept as {dtype}", remedy=f"Use one of {', '.join(_DTYPES)}.")
        if dim < 1:
            raise UsageError(
                f"features of {dim} dimensions cannot be", remedy="Give the encoder's dimension."
            )
        self._slide_id = state.slide_id
        self._coords = coords
        self._dtype = np.dtype(dtype)
        self._attributes = dict(attributes or {})
        rows = len(coords)
        attempt = Attempt(objects, state, Subject("bag", grid_id, encoder_id), compression, denied)
        with ExitStack() as undo:
            undo.callback(attempt.drop)
            self._features = attempt.stream(
                "features",
                ArrayProfile((rows, dim), dtype, ("patch", "feature"), compression=compression),
            )
            undo.callback(self._features.abandon)
            self._valid = attempt.stream(
                "valid", ArrayProfile((rows,), "uint8", ("patch",), compression=compression)
            )
            undo.pop_all()
        self._attempt: Attempt | None = attempt

    @property
    def attempt(self) -> str:
        """Key of the folder that is being written."""
        return self._open().path

    def write(self, features: NDArray[Any], valid: NDArray[Any] | None = None) -> None:
        """Appends (B, D) floats, and (B,) bool or uint8 `valid` (all valid by default).

        Rows with `valid` 0 are stored as zeros, whatever they hold. Raises NotFiniteError for NaN or
        infinity in a valid row, also where a value is too large for the bag's dtype.
        """
        self._open()
        if features.ndim != 2 or features.dtype.kind != "f":
            raise UsageError(
                f"features of shape {features.shape} and {features.dtype} were given",
                remedy="Give (B, D) floats.",
                slide=self._slide_id,
            )
        good = np.ones(len(features), bool) if valid is None else np.asarray(valid).astype(bool)
        if good.shape != (len(features),):
            raise UsageError(
                f"{good.shape} flags were given for {len(features)} rows",
                remedy="Give one flag for each row.",
                slide=self._slide_id,
            )
        rows = features if good.all() else np.where(good[:, None], features, features.dtype.type(0))
        self._features.append(finite(rows, self._dtype, self._slide_id))
        self._valid.append(good.astype(np.uint8))

    def commit(self, provenance: Mapping[str, Any]) -> Commit:
        """Makes the bag true. Raises GridMismatchError where rows are missing, AlreadyCommittedError where
        another writer was first; in either case the attempt is removed."""
        attempt = self._open()
        try:
            try:
                attempt.arrays["features"] = self._features.close()
                attempt.arrays["valid"] = self._valid.close()
            except GridMismatchError as exc:
                raise GridMismatchError(exc.problem, remedy=exc.remedy, slide=self._slide_id) from exc
            attempt.put("coords", self._coords, ("patch", "xy"))
            commit = attempt.commit(
                attributes=self._attributes, provenance=provenance, grid_checksum=checksum(self._coords)
            )
        finally:
            self.abandon()
        return commit

    def abandon(self) -> None:
        """Removes the attempt; nothing happens once it is committed."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            self._features.abandon()
            self._valid.abandon()
            attempt.drop()

    def __enter__(self) -> "BagWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()

    def _open(self) -> Attempt:
        if self._attempt is None:
            raise UsageError(
                "this bag writer is done", remedy="Ask the store for another one.", slide=self._slide_id
            )
        return self._attempt


def finite(values: NDArray[Any], dtype: np.dtype[Any], slide_id: str) -> NDArray[Any]:
    """`values` in `dtype`; raises NotFiniteError for what is not finite, before or after."""
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(dtype, copy=False)
    if np.isfinite(cast).all():
        return cast
    row = int(np.argmax(~np.isfinite(cast).reshape(len(cast), -1).all(axis=1)))
    if np.isfinite(values).all():
        raise NotFiniteError(
            f"row {row} of a batch holds {np.abs(values[row]).max():.6g}, too large for {dtype.name}",
            remedy="Keep these features as float32.",
            slide=slide_id,
        )
    raise NotFiniteError(
        f"row {row} of a batch holds NaN or infinity",
        remedy="Look at the encoder and its precision; mark rows that could not be read as not valid.",
        slide=slide_id,
    )
