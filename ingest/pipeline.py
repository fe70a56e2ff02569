"""One slide, from open to commit.

    open → mpp → thumbnail → tissue → grid → [decode threads → encoder → writer thread] → commits

The stages overlap through bounded queues, so that memory does not grow with the slide. Nothing is committed before
the last row is written: first the overview, then the grid (with what was measured on the pixels), then the bag. A
grid that is there already is taken as it is: tissue is never looked for again.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake._version import __version__
from slidelake.errors import (
    AlreadyCommittedError,
    DamagedSlideError,
    EncodingFailedError,
    GridMismatchError,
    NotFiniteError,
    SourceChangedError,
)
from slidelake.ingest.grid import GridPlan, plan_grid
from slidelake.ingest.mpp import Mpp, resolve_mpp
from slidelake.ingest.overview import Overview, lay_grid, make_overview
from slidelake.ingest.pixels import read_patch
from slidelake.ingest.provenance import content_checksum, stat_source
from slidelake.ingest.quality import blur
from slidelake.ingest.readers import open_slide
from slidelake.ingest.report import SlideOutcome
from slidelake.ingest.tissue import TISSUE_RULE

if TYPE_CHECKING:
    from slidelake.encoders import PatchEncoder
    from slidelake.ingest.slide import SlideReader
    from slidelake.ingest.task import SlideTask, WorkerOptions
    from slidelake.store import BagWriter, FeatureStore

__all__ = ["make_slide"]

log = logging.getLogger(__name__)

#: A slide of which more than this share of patches cannot be read is refused as damaged.
MAX_INVALID_SHARE = 0.05
#: Batches that wait between two stages: one being worked on, one ready.
_WAITING = 2

Say = Callable[..., None]


@dataclass
class _Places:
    """Where a slide's patches lie, and what is known of them before and after their pixels were read."""

    coords: NDArray[np.int32]
    attributes: dict[str, Any]
    columns: dict[str, NDArray[np.uint8]]
    #: None where the grid is committed already.
    overview: Overview | None


@dataclass
class _Clock:
    decode: float = 0.0
    encode: float = 0.0
    write: float = 0.0
    invalid: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def make_slide(
    store: "FeatureStore",
    task: "SlideTask",
    options: "WorkerOptions",
    encoder: "PatchEncoder",
    say: Say | None = None,
) -> SlideOutcome:
    """Make and commit one slide's bag. Raises SlideError where the slide cannot go in, StoreError where the
    store cannot take it, SlideDeletedError where the slide is on its deny-list."""
    try:
        return _make(store, task, options, encoder, say)
    except GridMismatchError:
        # Another encoder committed this slide's grid meanwhile, with other tissue: its rows are the ones that count.
        return _make(store, task, options, encoder, say)


def _make(
    store: "FeatureStore",
    task: "SlideTask",
    options: "WorkerOptions",
    encoder: "PatchEncoder",
    say: Say | None,
) -> SlideOutcome:
    from slidelake.store import known_patient

    began = time.monotonic()
    clock = _Clock()
    # Since the run began: between then and now lie all the slides before this one.
    _refuse_made(store, task, options)
    source = stat_source(task.uri)
    with open_slide(task.uri, reader=options.reader) as reader:
        mpp = resolve_mpp(
            reader.properties, slide=task.slide_id, manifest=task.mpp, assumed=options.assume_mpp
        )
        content = content_checksum(reader.local_path)
        # Deleted under another name: it is known by what is in it.
        store.denied.refuse(task.slide_id, checksum=content)
        places = _places(store, task, options, reader, mpp)
        patient = task.patient_id, task.patient_source
        if task.patient_source == "slide":  # nobody told this run; an earlier one may have been told
            patient = known_patient(store, task.slide_id) or patient
        provenance = {
            **source.to_dict(),
            "source_checksum": content,
            "reader": reader.name,
            "reader_version": reader.version,
            "mpp_x": mpp.x,
            "mpp_y": mpp.y,
            "mpp_source": mpp.source,
            "grid": options.grid.to_dict(),
            "patient_id": patient[0],
            "patient_source": patient[1],
            "tissue_rule": TISSUE_RULE,
            "slidelake_version": __version__,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        encoded = {
            **provenance,
            "encoder": encoder.spec.fingerprint(),
            "weights_sha256": encoder.spec.weights_sha256,
            "stain": encoder.spec.stain,
            "dtype": options.dtype,
            "device": options.encoder.device,
        }
        grid_id = _grid_id(store, options)
        attributes = {
            **places.attributes,
            "slide_id": task.slide_id,
            "encoder": encoder.spec.fingerprint(),
            "encoder_id": options.encoder_id,
        }
        with store.bag_writer(
            task.slide_id,
            grid_id,
            options.encoder_id,
            dim=encoder.spec.dim,
            dtype=options.dtype,
            attributes=attributes,
            coords=places.coords,
            replaces=task.replaces,
        ) as bag:
            # Again: a bag that came while the slide was opened is older than this writer's look at the keys,
            # and its commit would count as the next generation in place of losing the race.
            _refuse_made(store, task, options)
            try:
                _encode_all(reader, places, options, encoder, bag, clock, task, say)
            except NotFiniteError as exc:  # told by the writer, also after the last batch
                raise EncodingFailedError(exc.problem, remedy=exc.remedy, slide=task.slide_id) from exc
            if task.replaces:
                # As late as can be: what is wrong with the new file must not cost the old one's data.
                store.close_epoch(task.slide_id, task.replaces)
            if places.overview is not None:
                store.put_overview(
                    task.slide_id,
                    thumbnail=places.overview.thumbnail,
                    tissue_mask=places.overview.mask.tissue.astype(np.uint8),
                    attributes=places.overview.attributes,
                    provenance=provenance,
                )
                store.put_grid(
                    task.slide_id,
                    grid_id,
                    coords=places.coords,
                    columns=places.columns,
                    attributes=places.attributes,
                    provenance=provenance,
                )
            bag.commit(encoded)
    log.info("slide committed", extra={"slide_id": task.slide_id, "patches": len(places.coords)})
    return SlideOutcome(
        slide_id=task.slide_id,
        uri=task.uri,
        state="made",
        patches=len(places.coords),
        invalid=clock.invalid,
        seconds=time.monotonic() - began,
        decode_seconds=clock.decode,
        encode_seconds=clock.encode,
        write_seconds=clock.write,
    )


def _refuse_made(store: "FeatureStore", task: "SlideTask", options: "WorkerOptions") -> None:
    """Raises AlreadyCommittedError where another run has made this bag."""
    there = store.commit(task.slide_id, "bag", _grid_id(store, options), options.encoder_id)
    if there is not None and there.epoch != task.replaces:
        raise AlreadyCommittedError("another run made this bag meanwhile", slide=task.slide_id)


def _places(
    store: "FeatureStore", task: "SlideTask", options: "WorkerOptions", reader: "SlideReader", mpp: Mpp
) -> _Places:
    grid_id = _grid_id(store, options)
    plan: GridPlan = plan_grid(
        options.grid,
        size=reader.dimensions,
        downsamples=reader.level_downsamples,
        mpp=mpp,
        slide=task.slide_id,
    )
    there = store.commit(task.slide_id, "grid", grid_id)
    if there is not None and there.epoch != task.replaces:
        grid = store.grid(task.slide_id, grid_id)
        if not _same_plan(grid.attributes, plan.attributes()):
            raise SourceChangedError(
                "its size or mpp is no longer what its committed grid was laid on",
                remedy="Pass --on-changed again to start the slide anew.",
                slide=task.slide_id,
            )
        return _Places(np.asarray(grid.coords[:]), dict(grid.attributes), {}, None)
    overview = make_overview(reader, mpp, task)
    coords, columns = lay_grid(plan, overview.mask, task.slide_id)
    attributes = {**plan.attributes(), "tissue_rule": TISSUE_RULE, "slide_id": task.slide_id}
    columns["blur"] = np.zeros(len(coords), np.uint8)
    return _Places(coords, attributes, columns, overview)


def _grid_id(store: "FeatureStore", options: "WorkerOptions") -> str:
    return options.grid.grid_id(TISSUE_RULE, store.info.tissue_rule)


def _same_plan(committed: dict[str, Any], plan: dict[str, Any]) -> bool:
    return all(committed.get(key) == plan[key] for key in ("slide_size", "footprint_level0", "stride_level0"))


def _encode_all(
    reader: "SlideReader",
    places: _Places,
    options: "WorkerOptions",
    encoder: "PatchEncoder",
    bag: "BagWriter",
    clock: _Clock,
    task: "SlideTask",
    say: Say | None,
) -> None:
    allowed = int(MAX_INVALID_SHARE * len(places.coords))
    with closing(_decoded(reader, places, options, clock)) as batches, _writer_thread(bag, clock) as write:
        for pixels, valid in batches:
            clock.invalid += int(np.count_nonzero(~valid))
            if clock.invalid > allowed:
                raise DamagedSlideError(
                    f"more than {MAX_INVALID_SHARE:.0%} of its {len(places.coords):,} patches cannot be read",
                    remedy="Fetch the file again from where it was scanned.",
                    slide=task.slide_id,
                )
            start = time.perf_counter()
            try:
                features = encoder.encode(pixels)
            except Exception as exc:
                raise EncodingFailedError(
                    f"the encoder failed: {type(exc).__name__}: {exc}",
                    remedy="Look at the encoder and the memory of its device; a smaller --batch-size may do.",
                    slide=task.slide_id,
                ) from exc
            clock.encode += time.perf_counter() - start
            if features.shape != (len(valid), encoder.spec.dim) or features.dtype.kind != "f":
                raise EncodingFailedError(
                    f"the encoder gave {features.shape} {features.dtype}, "
                    f"not {(len(valid), encoder.spec.dim)} floats",
                    remedy="Mend the encoder: one row of its spec's dim a patch.",
                    slide=task.slide_id,
                )
            write(features, valid)
            if say is not None:
                say("patches", slide_id=task.slide_id, n=len(valid))


def _decoded(
    reader: "SlideReader", places: _Places, options: "WorkerOptions", clock: _Clock
) -> Generator[tuple[NDArray[np.uint8], NDArray[np.bool_]], None, None]:
    """Batches of (B, px, px, 3) pixels and (B,) flags, in row order, decoded ahead by threads."""
    px = options.grid.patch_px
    measured = places.columns.get("blur")

    def decode(first: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        start = time.perf_counter()
        part = places.coords[first : first + options.batch_size]
        pixels = np.zeros((len(part), px, px, 3), np.uint8)
        valid = np.ones(len(part), bool)
        for i, (x, y) in enumerate(part):
            try:
                pixels[i] = read_patch(reader, places.attributes, int(x), int(y))
            except DamagedSlideError as exc:
                valid[i] = False
                place = {"slide": reader.uri, "x": int(x), "y": int(y)}
                log.warning("patch not readable", extra={**place, "why": exc.problem})
                continue
            if measured is not None:
                measured[first + i] = blur(pixels[i])
        with clock.lock:
            clock.decode += time.perf_counter() - start
        return pixels, valid

    pending: deque[Future[tuple[NDArray[np.uint8], NDArray[np.bool_]]]] = deque()
    with ThreadPoolExecutor(options.threads, thread_name_prefix="decode") as pool:
        try:
            for first in range(0, len(places.coords), options.batch_size):
                pending.append(pool.submit(decode, first))
                if len(pending) >= options.threads + _WAITING:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def _writer_thread(
    bag: "BagWriter", clock: _Clock
) -> Iterator[Callable[[NDArray[np.float32], NDArray[np.bool_]], None]]:
    """A function that hands rows to a thread which writes them; what fails there is raised here."""
    rows: queue.Queue[tuple[NDArray[np.float32], NDArray[np.bool_]] | None] = queue.Queue(_WAITING)
    failed: list[Exception] = []

    def work() -> None:
        while (item := rows.get()) is not None:
            if failed:
                continue  # drain, so that the other side never blocks
            start = time.perf_counter()
            try:
                bag.write(*item)
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is raised on the other side
                failed.append(exc)
            clock.write += time.perf_counter() - start

    def hand_over(features: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        if failed:
            raise failed[0]
        rows.put((features, valid))

    thread = threading.Thread(target=work, name="write")
    thread.start()
    try:
        yield hand_over
    finally:
        rows.put(None)
        thread.join()
    if failed:
        raise failed[0]
