"""Other programs' files into the store: each looked at by itself, so that a bad one costs itself only.

A file that is in already costs one look at its slide's commits; a run that was cut off goes on where it was.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidelake._version import __version__
from slidelake.errors import (
    AlreadyCommittedError,
    DuplicateSlideError,
    GridMismatchError,
    MissingFactError,
    SlideDeletedError,
    SlideError,
    SlidelakeError,
    SourceChangedError,
    StoreFullError,
    StoreNotWritableError,
    UsageError,
)
from slidelake.store.bag import Grid
from slidelake.store.checksums import checksum
from slidelake.store.commits import Commit, latest_commit
from slidelake.store.feature_store import FeatureStore
from slidelake.store.ids import fingerprint_id, slug
from slidelake.store.interop.base import Found, ImportedBag, ImportOptions
from slidelake.store.interop.registry import guess_format, importer_of
from slidelake.store.interop.report import BagOutcome, TransferReport
from slidelake.store.layout import SlideState
from slidelake.store.patients import known_patient

__all__ = ["import_features"]

#: Rows written at once.
_BLOCK = 8192
#: µm/px that a scan can have.
_MPP = (0.05, 10.0)

Progress = Callable[..., None]


def import_features(
    store: FeatureStore,
    path: Path,
    *,
    format: str = "auto",
    options: ImportOptions | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> TransferReport:
    """Commits the bag of every file of features at or below `path`; what is in already is left alone.

    Features keep their bits and dtype. `progress` is called with start (total), patches (n), slide and end.
    Raises UsageError for what is asked wrongly, StoreFullError and StoreNotWritableError; what is wrong with a
    file is in the report.
    """
    options = options or ImportOptions()
    _check(options)
    if format == "auto":
        guessed = guess_format(path)
        if guessed is None:
            return TransferReport({"import": str(path), "format": format, **options.asked()})
        format = guessed
    run = _Run(store, format, options, dry_run, progress or (lambda event, **fields: None))
    return run.report_on(path)


class _EmptyError(Exception):
    """An empty bag whose width no file told yet; its turn comes after the others."""


class _Run:
    """One import: what its files have claimed so far."""

    def __init__(
        self, store: FeatureStore, format: str, options: ImportOptions, dry_run: bool, tell: Progress
    ) -> None:
        self._store, self._format, self._options, self._tell = store, format, options, tell
        self._dry_run = dry_run
        self._importer = importer_of(format)
        self._rule = options.tissue_rule or self._importer.rule
        self._patient = re.compile(options.patient_pattern) if options.patient_pattern else None
        self._spellings: dict[str, str] = {}
        self._holders: dict[tuple[str, str, str], Found] = {}
        self._widths: dict[str, int] = {}
        self._own_patients = 0

    def report_on(self, path: Path) -> TransferReport:
        """Takes in what is found there."""
        found = self._importer.find(path)
        report = TransferReport({"import": str(path), "format": self._format, **self._options.asked()})
        self._tell("start", total=len(found))
        outcomes: list[BagOutcome | None] = []
        waiting = []
        for each in found:
            try:
                outcomes.append(self._outcome(each, last=False))
            except _EmptyError:
                waiting.append(len(outcomes))
                outcomes.append(None)
                continue
            self._tell("slide", slide_id=each.stem)
        for place in waiting:
            outcomes[place] = self._outcome(found[place], last=True)
            self._tell("slide", slide_id=found[place].stem)
        self._tell("end")
        report.outcomes = [outcome for outcome in outcomes if outcome is not None]
        if self._own_patients:
            report.notes.append(
                f"{self._own_patients} bags have no patient given: each slide counts as its own patient "
                "(--patient-pattern)"
            )
        return report

    def _outcome(self, found: Found, *, last: bool) -> BagOutcome:
        slide_id = found.slide_id(self._options.id_from)
        try:
            return self._take(found, slide_id, last)
        except (StoreFullError, StoreNotWritableError):
            raise  # the next file would meet the same
        except AlreadyCommittedError:
            return BagOutcome(slide_id, str(found.path), "already")
        except SlidelakeError as exc:
            reason = exc.reason if isinstance(exc, SlideError) else _short_name(exc)
            place = str(found.path)
            message = f"{exc.slide}: {exc.problem}" if exc.slide not in ("", place, slide_id) else exc.problem
            # As ingest has it: who was deleted stays out, which is no failure of this run.
            state = "denied" if isinstance(exc, SlideDeletedError) else "refused"
            return BagOutcome(slide_id, place, state, reason=reason, message=message, remedy=exc.remedy)

    def _take(self, found: Found, slide_id: str, last: bool) -> BagOutcome:
        if found.refusal:
            return BagOutcome(
                slide_id, str(found.path), "refused",
                reason="feature-file", message=found.refusal, remedy=found.remedy,
            )  # fmt: skip
        origin = self._origin(found)
        state = self._store.state(slide_id)
        self._claim_name(slide_id, state, found)
        if (there := self._same_origin(state, origin)) is not None:
            self._claim(slide_id, there.subject.grid_id, there.subject.encoder_id, found)
            self._remember_width(there.provenance["encoder"]["name"], there.arrays["features"]["shape"][1])
            return _outcome_of(found, there, "already")
        bag = self._importer.read(found, self._options)
        if bag.dim is None and not last:
            raise _EmptyError
        return self._put(found, slide_id, bag, origin)

    def _put(self, found: Found, slide_id: str, bag: ImportedBag, origin: dict[str, Any]) -> BagOutcome:
        grid_id = bag.geometry.grid_id(slug(self._rule))
        fingerprint = self._fingerprint(bag, found)
        encoder_id = fingerprint_id(bag.encoder, fingerprint)
        self._claim(slide_id, grid_id, encoder_id, found)
        patient = self._patient_of(slide_id)
        if patient[1] == "slide":  # nobody told this run; an earlier one may have been told
            patient = known_patient(self._store, slide_id) or patient
        provenance = self._provenance(bag, origin, patient)
        there = self._store.commit(slide_id, "grid", grid_id)
        grid = Grid(self._store.objects, there) if there else None
        made = BagOutcome(
            slide_id, str(found.path), "would-make" if self._dry_run else "made",
            space=f"{grid_id}/{encoder_id}", patches=len(bag.coords), notes=list(bag.notes),
        )  # fmt: skip
        attributes = {**bag.geometry.attributes(), "tissue_rule": self._rule, "slide_id": slide_id}
        if grid is None and self._dry_run:
            return made
        if grid is None:
            kept = {"coords_original": dict(bag.original_unit)} if bag.original is not None else {}
            grid = self._store.put_grid(
                slide_id,
                grid_id,
                coords=bag.coords,
                columns={},
                attributes={**attributes, **kept},
                provenance=provenance,
                coords_original=bag.original,
            )
        features = _in_order_of(grid, bag, slide_id)
        before = self._store.commit(slide_id, "bag", grid_id, encoder_id)
        if before is not None:
            _same_or_refused(before, features, found)
            return _outcome_of(found, before, "already")
        if self._dry_run:
            return made
        with self._store.bag_writer(
            slide_id,
            grid_id,
            encoder_id,
            dim=int(fingerprint["dim"]),
            dtype=features.dtype.name,
            attributes={**attributes, "encoder": fingerprint, "encoder_id": encoder_id},
        ) as writer:
            for start in range(0, len(features), _BLOCK):
                block = features[start : start + _BLOCK]
                writer.write(block)
                self._tell("patches", slide_id=slide_id, n=len(block))
            writer.commit({**provenance, "encoder": fingerprint, "dtype": features.dtype.name})
        self._own_patients += patient[1] == "slide"
        return made

    def _fingerprint(self, bag: ImportedBag, found: Found) -> dict[str, Any]:
        """What an imported encoder is known by: never what one of ours is, whatever its name."""
        dim = bag.dim if bag.dim is not None else self._widths.get(bag.encoder)
        if dim is None:
            raise MissingFactError(
                "it holds no patches, and does not say how wide its features are",
                remedy="Import it together with a slide that has patches, or leave it out.",
                slide=str(found.path),
            )
        self._remember_width(bag.encoder, dim)
        return {"name": bag.encoder, "imported": True, "format": self._format, "dim": dim}

    def _remember_width(self, encoder: str, dim: int) -> None:
        self._widths.setdefault(encoder, int(dim))

    def _origin(self, found: Found) -> dict[str, Any]:
        """The file as it is now, and how it was asked for."""
        try:
            stat = found.path.stat()
        except OSError as exc:
            raise UsageError(
                f"{found.path} cannot be read ({exc.strerror})", remedy="Check its permissions."
            ) from exc
        place = {"dataset": found.dataset} if found.dataset else {}
        return {
            "file": str(found.path.absolute()),
            "size": stat.st_size,
            "mtime": stat.st_mtime,
            "format": self._format,
            "asked": self._options.asked(),
            **place,
        }

    def _same_origin(self, state: SlideState, origin: dict[str, Any]) -> Commit | None:
        for subject in sorted(state.keys):
            if subject.kind != "bag":
                continue
            commit = latest_commit(self._store.objects, state, subject)
            if commit is not None and _told(commit.provenance) == origin:
                return commit
        return None

    def _claim_name(self, slide_id: str, state: SlideState, found: Found) -> None:
        """Ids that differ only in case are one id: two files cannot both have it."""
        held = state.slide_id if state.keys else slide_id
        held = self._spellings.setdefault(slide_id.casefold(), held)
        if held != slide_id:
            raise DuplicateSlideError(
                f"the name {slide_id} differs from {held} only in case",
                remedy="Rename the file, or pass --id-from path.",
                slide=str(found.path),
            )

    def _claim(self, slide_id: str, grid_id: str, encoder_id: str, found: Found) -> None:
        holder = self._holders.setdefault((slide_id, grid_id, encoder_id), found)
        if holder != found:
            raise DuplicateSlideError(
                f"{holder.path} gave this slide its bag of this encoder already",
                remedy="Pass --id-from path where these are two slides of one name.",
                slide=str(found.path),
            )

    def _patient_of(self, slide_id: str) -> tuple[str, str]:
        """patient_id, and who said so: pattern or slide."""
        match = self._patient.search(slide_id) if self._patient else None
        patient = match and (match[1] if match.groups() else match[0])
        return (patient, "pattern") if patient else (slide_id, "slide")

    def _provenance(
        self, bag: ImportedBag, origin: dict[str, Any], patient: tuple[str, str]
    ) -> dict[str, Any]:
        said = dict(bag.slide.provenance)
        if bag.slide.mpp is not None:
            said |= {
                "mpp_x": bag.slide.mpp[0],
                "mpp_y": bag.slide.mpp[1],
                "mpp_source": bag.slide.mpp_source,
            }
        return {
            **said,
            "patient_id": patient[0],
            "patient_source": patient[1],
            "grid": bag.geometry.attributes()["spec"],
            "tissue_rule": self._rule,
            "imported_from": {**origin, "told": dict(bag.told), "notes": list(bag.notes)},
            "slidelake_version": __version__,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _check(options: ImportOptions) -> None:
    if options.id_from not in ("stem", "path"):
        raise UsageError(f"--id-from cannot be {options.id_from!r}", remedy="Choose stem or path.")
    if options.dtype not in (None, "float16", "float32"):
        raise UsageError(f"features are not kept as {options.dtype}", remedy="Choose float16 or float32.")
    if options.mpp is not None and not _MPP[0] <= options.mpp <= _MPP[1]:
        raise UsageError(
            f"{options.mpp} µm/px is no scan resolution",
            remedy=f"Give µm per level-0 pixel, {_MPP[0]} to {_MPP[1]}.",
        )
    try:
        re.compile(options.patient_pattern or "")
    except re.error as exc:
        raise UsageError(
            f"--patient-pattern {options.patient_pattern!r} is no regular expression: {exc}",
            remedy="Write e.g. '^TCGA-..-....'.",
        ) from exc


def _told(provenance: dict[str, Any]) -> dict[str, Any]:
    """What a provenance says of its file, as `_Run._origin` would."""
    said = provenance.get("imported_from") or {}
    return {name: value for name, value in said.items() if name not in ("told", "notes")}


def _in_order_of(grid: Grid, bag: ImportedBag, slide_id: str) -> NDArray[Any]:
    """The features in the order of the committed grid's rows. Raises GridMismatchError where it has others."""
    committed, own = grid.attributes, bag.geometry.attributes()
    alike = all(
        np.allclose(committed[key], own[key], rtol=1e-6) for key in ("footprint_level0", "stride_level0")
    )
    if alike and np.array_equal(grid.coords, bag.coords):
        return bag.features
    ours, theirs = (np.lexsort(coords.T) for coords in (grid.coords, bag.coords))
    if alike and len(ours) == len(theirs) and np.array_equal(grid.coords[ours], bag.coords[theirs]):
        order = np.empty_like(ours)
        order[ours] = theirs
        if len(np.unique(grid.coords, axis=0)) == len(order):
            return np.asarray(bag.features[order])
    what = "other patches" if alike else "patches of another size"
    raise GridMismatchError(
        f"its grid was committed with {what} by an earlier import",
        remedy="Pass --tissue-rule NAME (letters and digits) to keep both, each in a space of its own.",
        slide=slide_id,
    )


def _same_or_refused(before: Commit, features: NDArray[Any], found: Found) -> None:
    entry = before.arrays["features"]
    if entry["dtype"] == features.dtype.name and entry["checksum"] == checksum(features):
        return
    said = _told(before.provenance).get("file", "another file")
    raise SourceChangedError(
        f"the lake has other features of this encoder for this slide, from {said}",
        remedy="Pass --encoder with another name: vectors of two encoders must not share one.",
        slide=str(found.path),
    )


def _outcome_of(found: Found, commit: Commit, state: str) -> BagOutcome:
    space = f"{commit.subject.grid_id}/{commit.subject.encoder_id}"
    rows = int(commit.arrays["features"]["shape"][0])
    return BagOutcome(commit.slide_id, str(found.path), state, space=space, patches=rows)


def _short_name(error: SlidelakeError) -> str:
    """`grid-mismatch` of GridMismatchError."""
    words = re.findall("[A-Z][a-z]*", type(error).__name__.removesuffix("Error"))
    return "-".join(words).lower()
