"""Another program's features and coordinates, brought to what a bag holds, or refused with the reason."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import FeatureFileError, MissingFactError, NotFiniteError
from slidelake.store.interop.base import Found, ImportOptions, SlideFacts
from slidelake.store.interop.geometry import Geometry, Pair

__all__ = ["check_inside", "check_rows", "encoder_name", "features_of", "places_of", "slide_facts"]

#: Rows looked at together for NaN: the mask stays small whatever the bag.
_BLOCK = 8192
_WIDEST = 1 << 20
_KEPT = ("float16", "float32")
_INT32 = np.iinfo(np.int32)


def features_of(raw: NDArray[Any], options: ImportOptions, where: str) -> tuple[NDArray[Any], int | None]:
    """(N, D) float16 or float32 as they are, and D; from (N, D), (1, N, D) or, empty, (0,): then D is None.

    Raises FeatureFileError for a single vector, other shapes and dtypes; NotFiniteError, which names the row.
    """
    if raw.ndim == 3 and raw.shape[0] == 1:
        raw = raw[0]
    if raw.size == 0 and raw.ndim <= 2 and (raw.ndim == 1 or raw.shape[0] == 0):
        width = raw.shape[1] if raw.ndim == 2 and 0 < raw.shape[1] <= _WIDEST else None
        dtype = options.dtype or (raw.dtype.name if raw.dtype.name in _KEPT else "float32")
        return np.empty((0, width or 0), dtype), width
    if raw.ndim == 1:
        raise FeatureFileError(
            f"it holds one vector of {raw.shape[0]:,} numbers: a slide's embedding, not a bag of patches",
            remedy="Import the patch features; `slidelake embed` makes slide embeddings of them.",
            slide=where,
        )
    if raw.ndim != 2 or not 0 < raw.shape[1] <= _WIDEST:
        raise FeatureFileError(
            f"its features are {raw.shape} {raw.dtype}",
            remedy="Patch features are (patches, dimensions).",
            slide=where,
        )
    wanted = options.dtype or raw.dtype.name
    if wanted not in _KEPT or raw.dtype.kind != "f":
        raise FeatureFileError(
            f"its features are {raw.dtype}, and a bag keeps float16 or float32",
            remedy="Pass --dtype float32 to convert them."
            if raw.dtype.kind == "f"
            else "Give files of features: these are pixels or labels.",
            slide=where,
        )
    with np.errstate(over="ignore"):
        features = raw.astype(wanted, copy=False)
    for start in range(0, len(raw), _BLOCK):
        _check_finite(raw, features, start, where)
    return features, raw.shape[1]


def _check_finite(raw: NDArray[Any], features: NDArray[Any], start: int, where: str) -> None:
    good = np.isfinite(features[start : start + _BLOCK]).all(axis=1)
    if good.all():
        return
    row = start + int(np.argmin(good))
    if np.isfinite(raw[row]).all():
        raise NotFiniteError(
            f"row {row} holds {np.abs(raw[row]).max():.6g}, too large for {features.dtype}",
            remedy="Pass --dtype float32.",
            slide=where,
        )
    raise NotFiniteError(
        f"row {row} of its features holds NaN or infinity",
        remedy="Extract this slide's features again; the encoder's precision may be at fault.",
        slide=where,
    )


def places_of(raw: NDArray[Any], unit: Pair, where: str) -> tuple[NDArray[np.int32], NDArray[Any] | None]:
    """(N, 2) int32 level-0 px, each within half a pixel, from coordinates of which `unit` (x, y) make one px;
    and the coordinates themselves where whole pixels do not hold them, as int32, float32 or float64."""
    if raw.size == 0:
        return np.empty((0, 2), np.int32), None
    if raw.ndim == 3 and raw.shape[0] == 1:
        raw = raw[0]
    if raw.ndim != 2 or raw.shape[1] != 2 or raw.dtype.kind not in "fiu":
        raise FeatureFileError(
            f"its coords are {raw.shape} {raw.dtype}", remedy="They are (patches, 2): x, y.", slide=where
        )
    exact = raw.astype(np.float64) / np.asarray(unit, np.float64)
    good = np.isfinite(exact) & (exact >= _INT32.min) & (exact < _INT32.max)
    if not good.all():
        row = int(np.argmin(good.all(axis=1)))
        raise FeatureFileError(
            f"row {row} of its coords is {raw[row].tolist()}, no place on a slide",
            remedy="Make the file again with the program that wrote it.",
            slide=where,
        )
    coords = np.floor(exact + 0.5).astype(np.int32)
    return coords, None if np.array_equal(coords, raw) else _kept(raw)


def _kept(raw: NDArray[Any]) -> NDArray[Any]:
    """The coordinates in a dtype that the store has, with nothing lost."""
    for dtype in (np.int32, np.float32, np.float64):
        with np.errstate(invalid="ignore"):
            cast = raw.astype(dtype)
        if np.array_equal(cast, raw):
            return cast
    return raw.astype(np.float64)  # whole numbers beyond 2**53, which no slide has


def check_rows(features: NDArray[Any], coords: NDArray[Any], where: str) -> None:
    """Raises FeatureFileError unless there is a row of features for each of coords."""
    if len(features) != len(coords):
        raise FeatureFileError(
            f"it has {len(features):,} rows of features and {len(coords):,} of coordinates",
            remedy="Make both again with the program that wrote them: they come from different runs.",
            slide=where,
        )


def check_inside(coords: NDArray[np.int32], geometry: Geometry, where: str) -> None:
    """Raises FeatureFileError where patches begin beyond the slide: then their unit is not what it seems."""
    if geometry.slide_size is None or not len(coords):
        return
    low, high = coords.min(axis=0), coords.max(axis=0)
    sides = zip(low, high, geometry.slide_size, geometry.footprint, strict=True)
    if all(first > -side and last < size for first, last, size, side in sides):
        return
    raise FeatureFileError(
        f"its coordinates reach from {low.tolist()} to {high.tolist()} level-0 px, on a slide of "
        f"{geometry.slide_size[0]:,} × {geometry.slide_size[1]:,}",
        remedy="Check --format and --mpp, and that this is the right slide.",
        slide=where,
    )


def encoder_name(said: Any, place: str, options: ImportOptions, where: str) -> str:
    """The encoder's name: a person's word, the file's, its folder's. Raises MissingFactError."""
    name = options.encoder or (said if isinstance(said, str) else "") or place
    if not name.strip():
        raise MissingFactError(
            "the file does not say which encoder made it", remedy="Pass --encoder NAME.", slide=where
        )
    return name.strip()


def slide_facts(found: Found, options: ImportOptions, own: Pair | None = None) -> SlideFacts:
    """What is known of the slide: `--mpp` before the slide's own file, and that before `own`, the mpp that the
    features' file tells."""
    facts = SlideFacts()
    if options.slide_of is not None:
        facts = options.slide_of(found.slide_id(options.id_from)) or facts
    if options.mpp is not None:
        return replace(facts, mpp=(options.mpp, options.mpp), mpp_source="given")
    if facts.mpp is None and own is not None:
        return replace(facts, mpp=own, mpp_source="features")
    return facts
