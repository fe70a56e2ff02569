"""The run: what is asked becomes one task a slide; each is made, was there already, or goes to quarantine.

The driver keeps no state that a restart cannot rebuild: what is done stands in the commits.
"""

import logging
import os
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from slidelake._version import __version__
from slidelake.errors import AlreadyCommittedError, SlideDeletedError, SlideError, StoreError, UsageError
from slidelake.ingest.denied import Gate, denied_outcome
from slidelake.ingest.grid import GridSpec
from slidelake.ingest.interrupt import noted_interrupts
from slidelake.ingest.manifest import ManifestRow, read_manifest
from slidelake.ingest.mpp import LIMITS
from slidelake.ingest.naming import Namer, PatientRule
from slidelake.ingest.pipeline import make_slide
from slidelake.ingest.readers import READERS
from slidelake.ingest.report import RunReport, SlideOutcome
from slidelake.ingest.sources import find_slides
from slidelake.ingest.standing import HeldNames, standing
from slidelake.ingest.task import EncoderOrder, SlideTask, WorkerOptions
from slidelake.ingest.tissue import TISSUE_RULE
from slidelake.store import Redactor, words_of

if TYPE_CHECKING:
    from slidelake.encoders import PatchEncoder
    from slidelake.store import FeatureStore

__all__ = ["ingest", "outcome_of"]

log = logging.getLogger(__name__)

Progress = Callable[..., None] | None


def ingest(
    store: "FeatureStore",
    sources: Sequence[str],
    *,
    encoder: str = "stain-texture",
    grid: GridSpec | None = None,
    manifest: str | None = None,
    workers: int = 0,
    threads: int | None = None,
    batch_size: int = 64,
    assume_mpp: float | None = None,
    patient_pattern: str | None = None,
    id_from: str = "stem",
    root: str | None = None,
    on_changed: str = "refuse",
    dry_run: bool = False,
    weights: str | None = None,
    device: str = "auto",
    reader: str = "auto",
    encoder_options: dict[str, Any] | None = None,
    progress: Progress = None,
) -> RunReport:
    """Bring slides into the store: tile, encode the tissue patches, commit.

    `sources` are paths, folders, globs or fsspec URLs; `manifest` a CSV or Parquet table beside or instead of
    them. `workers` Ray actors, or 0 for this process. A slide that cannot go in is an outcome with its reason and
    an entry in quarantine; it stops nothing. Raises UsageError (unknown encoder, bad manifest, …) before anything
    starts, StoreError where the store itself fails, KeyboardInterrupt after what was done is reported.
    """
    from slidelake.encoders import create_encoder
    from slidelake.store import quarantine_key

    _check_choice("--on-changed", on_changed, ("refuse", "again"))
    _check_choice("--reader", reader, ("auto", *READERS))
    _check_number("--workers", workers, least=0)
    _check_number("--threads", 1 if threads is None else threads, least=1)
    _check_number("--batch-size", batch_size, least=1)
    if assume_mpp is not None and not LIMITS[0] <= assume_mpp <= LIMITS[1]:
        raise UsageError(
            f"--assume-mpp cannot be {assume_mpp}", remedy=f"Give µm per pixel, {LIMITS[0]} to {LIMITS[1]}."
        )
    grid = grid or GridSpec()
    order = EncoderOrder(encoder, weights, device, dict(encoder_options or {}))
    own_encoder = create_encoder(encoder, weights=weights, device=device, **order.options)
    options = WorkerOptions(
        grid=grid,
        encoder=order,
        encoder_id=own_encoder.spec.encoder_id,
        reader=reader,
        threads=threads or max(1, (os.cpu_count() or 1) // max(workers, 1)),
        batch_size=batch_size,
        assume_mpp=assume_mpp,
    )
    grid_id = grid.grid_id(TISSUE_RULE, store.info.tissue_rule)
    namer = Namer(id_from, root)
    patients = PatientRule(patient_pattern)
    held = HeldNames(store)
    rows = _rows(sources, manifest)
    names = [_name(namer, row) for row in rows]
    run = _Run(
        store=store,
        progress=progress,
        dry_run=dry_run,
        report=RunReport(
            run_id=f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}",
            asked={
                "sources": list(sources),
                "manifest": manifest,
                "encoder": options.encoder_id,
                "grid": grid_id,
                "workers": workers,
                "assume_mpp": assume_mpp,
                "on_changed": on_changed,
                "slidelake_version": __version__,
            },
        ),
    )
    run.start(len(rows))
    with run, noted_interrupts() as check_interrupt:

        def tell(event: str, **fields: Any) -> None:
            check_interrupt()
            if progress is not None:
                progress(event, **fields)

        tasks: list[SlideTask] = []
        told = [_patient(patients, row, name) for row, name in zip(rows, names, strict=True)]
        wanted = [namer.wanted(row) for row in rows]
        gate = Gate(store, rows, wanted, told)
        for row, slide_id, asked, (patient, said_by) in zip(rows, names, wanted, told, strict=True):
            check_interrupt()
            if gate.denies(row.uri):
                run.deny(row.uri, asked, patient or row.patient_id)
                continue
            key = quarantine_key(row.uri, {"grid": grid_id, "encoder": options.encoder_id})
            if isinstance(slide_id, SlideError):
                run.quarantine(SlideTask(row.slide_id, row.uri, "", "", key), slide_id)
                continue
            try:
                task = SlideTask(slide_id, row.uri, patient, said_by, key, row.mpp, row.metadata)
                there = standing(
                    store,
                    task,
                    grid_id,
                    options.encoder_id,
                    on_changed=on_changed,
                    assume_mpp=assume_mpp,
                    held=held,
                )
            except SlideError as error:
                run.quarantine(SlideTask(slide_id, row.uri, "", "", key), error)
                continue
            if isinstance(there, SlideTask):
                tasks.append(there)
            else:
                run.add(there)
        run.report.notes += patients.notes()
        if dry_run:
            for task in tasks:
                run.add(SlideOutcome(task.slide_id, task.uri, "would-make"))
        else:
            _keep_metadata(store, [row for row in rows if not gate.denies(row.uri)], namer)
            if workers > 0 and tasks:
                from slidelake.ingest.ray_run import run_on_ray

                run_on_ray(store, tasks, options, workers, run.finished, tell)
            else:
                _run_here(store, tasks, options, own_encoder, run, tell)
    return run.report


def outcome_of(
    store: "FeatureStore",
    task: SlideTask,
    options: WorkerOptions,
    encoder: "PatchEncoder",
    progress: Progress = None,
) -> "SlideOutcome | SlideError":
    """Make one slide; what is wrong with the slide comes back as a value, what is wrong with the store is raised."""
    try:
        return make_slide(store, task, options, encoder, progress)
    except AlreadyCommittedError:
        return SlideOutcome(task.slide_id, task.uri, "already", message="another run was first")
    except SlideDeletedError:
        return denied_outcome(store, task.uri)
    except SlideError as error:
        return error


class _Run:
    """Collects outcomes, keeps the quarantine, and writes the report whatever happens."""

    def __init__(self, store: "FeatureStore", progress: Progress, dry_run: bool, report: RunReport) -> None:
        self._store = store
        self._progress = progress
        self._dry_run = dry_run
        self._began = time.monotonic()
        self.report = report
        self._gone: set[str] = set()

    def start(self, total: int) -> None:
        if self._progress:
            self._progress("start", total=total)

    def add(self, outcome: SlideOutcome) -> None:
        self.report.outcomes.append(outcome)
        if self._progress:
            self._progress("slide", outcome=outcome)

    def finished(self, task: SlideTask, result: "SlideOutcome | SlideError") -> None:
        if isinstance(result, SlideError):
            self.quarantine(task, result)
            return
        self._store.quarantine.clear(task.quarantine_key)
        if result.state == "denied":
            self.deny(task.uri, task.slide_id, task.patient_id)
        else:
            self.add(result)

    def deny(self, uri: str, slide_id: str, patient_id: str) -> None:
        """A deleted slide stays out, and the report holds no name of it."""
        self._gone |= words_of(slide_id=slide_id, patient_id=patient_id, uri=uri)
        self.add(denied_outcome(self._store, uri))

    def quarantine(self, task: SlideTask, error: SlideError) -> None:
        log.info(
            "slide refused", extra={"slide_id": task.slide_id, "reason": error.reason, "why": error.problem}
        )
        outcome = SlideOutcome(
            task.slide_id, task.uri, "quarantined", error.reason, error.problem, error.remedy
        )
        if not self._dry_run:
            self._store.quarantine.put(
                task.quarantine_key,
                {
                    "uri": task.uri,
                    "slide_id": task.slide_id,
                    "reason": error.reason,
                    "message": error.problem,
                    "remedy": error.remedy,
                    "grid": self.report.asked["grid"],
                    "encoder": self.report.asked["encoder"],
                    "run_id": self.report.run_id,
                    "slidelake_version": __version__,
                    "time": datetime.now(UTC).isoformat(timespec="seconds"),
                },
            )
        self.add(outcome)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.report.interrupted = error is not None
        try:
            self._end()
        except (StoreError, OSError):
            if error is None:
                raise
            # What ended the run counts, and most likely explains this one too.
            log.exception("run report not written", extra={"run_id": self.report.run_id})

    def _end(self) -> None:
        self.report.seconds = time.monotonic() - self._began
        self.report.outcomes.sort(key=lambda outcome: outcome.uri)
        if self._gone:
            self.report.asked = Redactor(self._store.denied, self._gone).values(self.report.asked)
        try:
            if not self._dry_run and (self.report.outcomes or self.report.interrupted):
                self._store.put_run(self.report.run_id, self.report.to_dict())
        finally:
            if self._progress:
                self._progress("end")


def _run_here(
    store: "FeatureStore",
    tasks: Sequence[SlideTask],
    options: WorkerOptions,
    encoder: "PatchEncoder",
    run: _Run,
    progress: Callable[..., None],
) -> None:
    for task in tasks:
        progress("next", slide_id=task.slide_id)
        run.finished(task, outcome_of(store, task, options, encoder, progress))


def _rows(sources: Sequence[str], manifest: str | None) -> list[ManifestRow]:
    """Manifest rows and found slides, by URI; what a manifest says of a slide that is also found counts."""
    if not sources and manifest is None:
        raise UsageError(
            "no slides were named", remedy="Name slides, folders or globs, or pass --manifest FILE."
        )
    rows = {row.uri: row for row in (read_manifest(manifest) if manifest else [])}
    for found in find_slides(sources):
        rows.setdefault(found.uri, ManifestRow(uri=found.uri, root=found.root, stem=found.stem))
    return [rows[uri] for uri in sorted(rows)]


def _patient(patients: PatientRule, row: ManifestRow, name: "str | SlideError") -> tuple[str, str]:
    return ("", "") if isinstance(name, SlideError) else patients.patient(row, name)


def _name(namer: Namer, row: ManifestRow) -> "str | SlideError":
    try:
        return namer.name(row)
    except SlideError as error:
        return error


def _keep_metadata(store: "FeatureStore", rows: Sequence[ManifestRow], namer: Namer) -> None:
    """One new generation for the whole manifest, never one a slide."""
    import pandas as pd

    known = []
    for row in rows:
        slide_id = namer.known(row)
        if slide_id is not None and (row.metadata or row.patient_id):
            patient = {"patient_id": row.patient_id} if row.patient_id else {}
            known.append({"slide_id": slide_id, **patient, **row.metadata})
    if known:
        store.metadata.merge(pd.DataFrame(known))


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} cannot be {value!r}", remedy=f"Choose one of {', '.join(choices)}.")


def _check_number(name: str, value: int, *, least: int) -> None:
    if value < least:
        raise UsageError(f"{name} cannot be {value}", remedy=f"Give a whole number from {least} on.")
