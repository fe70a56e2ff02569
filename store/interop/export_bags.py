"""Bags of the store as other programs' files, one slide at a time, each file whole or not at all.

What is there and is this very bag is left alone, so that a run that was cut off goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slidelake.errors import (
    AlreadyCommittedError,
    FeatureFileError,
    SlideError,
    SlidelakeError,
    StoreFullError,
    StoreNotWritableError,
    UsageError,
)
from slidelake.store.bag import Bag, Grid
from slidelake.store.feature_store import FeatureStore
from slidelake.store.ids import split_space
from slidelake.store.interop.base import BagToExport, Exporter, ExportOptions
from slidelake.store.interop.geometry import from_attributes
from slidelake.store.interop.origin import make_stamp
from slidelake.store.interop.registry import exporter_of
from slidelake.store.interop.report import BagOutcome, TransferReport

__all__ = ["export_features"]

Progress = Callable[..., None]


def export_features(
    store: FeatureStore,
    folder: Path,
    *,
    format: str,
    space: str | None = None,
    slides: Sequence[str] | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> TransferReport:
    """Writes the bags of a space, of all slides or those named, below `folder` in another program's layout.

    Rows that are not valid are left out, and counted in the outcome's notes. Raises UnknownSpaceError,
    UsageError, StoreFullError, StoreNotWritableError; what is wrong with one slide is in the report.
    """
    options = options or ExportOptions()
    tell = progress or (lambda event, **fields: None)
    exporter = exporter_of(format)
    _check_place(store, folder)
    space = store.resolve_space(space)
    grid_id, encoder_id = split_space(space)
    if slides is None:
        slides = [
            slide_id
            for slide_id, state in store.states().items()
            if any(key[:3] == ("bag", grid_id, encoder_id) for key in state.keys)
        ]
    report = TransferReport({"export": str(folder), "format": format, "space": space})
    tell("start", total=len(slides))
    for slide_id in slides:
        report.outcomes.append(_outcome(store, slide_id, space, exporter, folder, options))
        tell("patches", slide_id=slide_id, n=report.outcomes[-1].patches)
        tell("slide", slide_id=slide_id)
    tell("end")
    return report


def _check_place(store: FeatureStore, folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", remedy="Give a folder.")
    inside = store.objects.local
    if inside is not None and folder.resolve().is_relative_to(inside.resolve()):
        raise UsageError(
            f"{folder} lies in the lake itself", remedy="Choose a folder that is not part of it."
        )


def _outcome(
    store: FeatureStore, slide_id: str, space: str, exporter: Exporter, folder: Path, options: ExportOptions
) -> BagOutcome:
    try:
        bag = store.bag(slide_id, space)
        return _write(bag, store.grid(slide_id, split_space(space)[0]), exporter, folder, options)
    except (StoreFullError, StoreNotWritableError):
        raise  # the next slide would meet the same
    except SlidelakeError as exc:
        reason = exc.reason if isinstance(exc, SlideError) else "not-exported"
        return BagOutcome(
            slide_id, "", "refused", space=space, reason=reason, message=exc.problem, remedy=exc.remedy
        )


def _write(bag: Bag, grid: Grid, exporter: Exporter, folder: Path, options: ExportOptions) -> BagOutcome:
    told = _told(bag, grid, options)
    marker = exporter.marker(folder, told)
    outcome = BagOutcome(bag.slide_id, str(marker), "made", space=bag.space, patches=len(bag))
    if marker.exists() and not options.overwrite:
        if _stamp_of(exporter, marker) == told.stamp:
            outcome.state = "already"
            return outcome
        raise AlreadyCommittedError(
            f"{marker} is there, and is not this bag",
            remedy="Pass --overwrite to replace it, or choose another folder.",
            slide=bag.slide_id,
        )
    valid = bag.valid.astype(bool)
    features, coords, original = bag.read(), bag.coords, grid.coords_original
    if not valid.all():
        features, coords = features[valid], coords[valid]
        original = None if original is None else original[valid]
        left_out = int(np.count_nonzero(~valid))
        outcome.notes.append(f"{left_out} rows whose pixels could not be read were left out")
    outcome.patches = len(features)
    notes = exporter.write(replace(told, features=features, coords=coords, original=original), folder)
    outcome.notes += [f"not held by the layout: {note}" for note in notes]
    return outcome


def _told(bag: Bag, grid: Grid, options: ExportOptions) -> BagToExport:
    """The bag without its arrays, which need not be read where the file is there."""
    said = bag.provenance
    mpp = (options.mpp, options.mpp) if options.mpp else None
    if mpp is None and said.get("mpp_x") is not None:
        mpp = (float(said["mpp_x"]), float(said.get("mpp_y") or said["mpp_x"]))
    geometry = from_attributes(grid.attributes, mpp)
    encoder_id = bag.commit.subject.encoder_id
    fingerprint = bag.attributes.get("encoder") or said.get("encoder") or {}
    checksums = {name: entry["checksum"] for name, entry in bag.commit.arrays.items()}
    dtype = str(bag.commit.arrays["features"]["dtype"])
    nothing: Any = np.empty((0, 2), np.int32)
    return BagToExport(
        slide_id=bag.slide_id,
        features=np.empty((0, bag.dim), dtype),
        coords=nothing,
        geometry=geometry,
        encoder=str(fingerprint.get("name") or encoder_id.rpartition(".")[0]),
        encoder_id=encoder_id,
        mpp=mpp,
        stamp=make_stamp(bag.commit.key, checksums, geometry, dtype),
        original_unit=dict(grid.attributes.get("coords_original") or {}),
    )


def _stamp_of(exporter: Exporter, marker: Path) -> str | None:
    try:
        return exporter.stamp(marker)
    except FeatureFileError:
        return None  # damaged, or another program's: not this bag
