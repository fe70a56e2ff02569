"""Slide embeddings of a whole store: every bag of a space through one aggregator, committed as `pooled`."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from slidelake._version import __version__
from slidelake.encoders.slide.base import Block, SlideEncoder
from slidelake.encoders.slide.registry import create_aggregator
from slidelake.errors import (
    AlreadyCommittedError,
    DamagedStoreError,
    SlidelakeError,
    StoreFullError,
    StoreNotWritableError,
)
from slidelake.store import split_space

if TYPE_CHECKING:
    from slidelake.store import Bag, FeatureStore

log = logging.getLogger(__name__)

#: Rows read at a time: 25 MB of 1,536 features in float16. A multiple of the store's inner chunks.
BLOCK_ROWS = 8192

Progress = Callable[..., None]


@dataclass
class EmbedReport:
    """How many embeddings were made, how many were there, and which slides have none, with the reason."""

    made: int = 0
    already: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def embed(
    store: "FeatureStore",
    *,
    space: str | None = None,
    aggregator: str = "mean",
    slides: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> EmbedReport:
    """Commit the slide embedding of every slide that has a bag in `space`, or of `slides` alone.

    A slide whose embedding was made from the bag that now stands is left as it is; one whose bag was made
    again gets the next generation. Rows with `valid` 0 do not count; a slide without a valid row, or whose
    bag is damaged, or (where named) that is not there, is in `failed`. progress: start (total), slide
    (slide_id, state made | already | failed), end.

    Raises UnknownSpaceError, UnknownAggregatorError; StoreFullError and StoreNotWritableError end the run.
    """
    space = store.resolve_space(space)
    grid_id, encoder_id = split_space(space)
    encoder = create_aggregator(aggregator, encoder_id=encoder_id)
    wanted = list(slides) if slides is not None else _slides_of(store, grid_id, encoder_id)
    report = EmbedReport()
    tell = progress or _silence
    tell("start", total=len(wanted))
    for slide_id in wanted:
        try:
            state = _embed_slide(store, slide_id, space, encoder)
        except (StoreFullError, StoreNotWritableError):
            raise  # no other slide would fare better
        except SlidelakeError as exc:
            state = "failed"
            report.failed.append((slide_id, _reason(exc)))
            log.warning("slide not embedded", extra={"slide_id": slide_id, "reason": _reason(exc)})
        report.made += state == "made"
        report.already += state == "already"
        tell("slide", slide_id=slide_id, state=state)
    tell("end")
    return report


def _slides_of(store: "FeatureStore", grid_id: str, encoder_id: str) -> list[str]:
    """The slides that have a bag in a space, by one listing."""
    return [
        slide_id
        for slide_id, state in store.states().items()
        if ("bag", grid_id, encoder_id, "") in state.keys
    ]


def _embed_slide(store: "FeatureStore", slide_id: str, space: str, encoder: SlideEncoder) -> str:
    bag = store.bag(slide_id, space)
    aggregator_id = encoder.spec.aggregator_id
    done = store.commit(slide_id, "pooled", *split_space(space), aggregator_id)
    if done is not None and done.provenance.get("bag") == bag.commit.attempt:
        return "already"
    valid = bag.valid.astype(bool)
    if not valid.any():
        raise SlidelakeError(
            "the bag has no valid row" if len(valid) else "the bag is empty",
            remedy="Ingest the slide again if its pixels can be read now.",
            slide=slide_id,
        )
    embedding, scores, lse = encoder.encode(_blocks(bag, valid))
    try:
        store.put_pooled(
            slide_id,
            space,
            aggregator_id,
            embedding=embedding,
            scores=scores,
            lse=lse,
            attributes={"space": space, "aggregator": encoder.spec.fingerprint()},
            provenance={
                "aggregator": encoder.spec.fingerprint(),
                "bag": bag.commit.attempt,
                "slidelake_version": __version__,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )
    except AlreadyCommittedError:
        return "already"  # another writer was first, with the same bag and the same aggregator
    log.info("slide embedded", extra={"slide_id": slide_id, "aggregator_id": aggregator_id})
    return "made"


def _blocks(bag: "Bag", valid: NDArray[np.bool_]) -> Iterator[Block]:
    """The bag's rows in blocks; DamagedStoreError at the end where they are not those that were committed.

    zarr reads a lost shard as zeros: without the checksum, which costs next to nothing beside the reading, an
    embedding could be made of them.
    """
    digest = xxhash.xxh3_128()
    for start in range(0, len(valid), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        features = _read(bag, rows)
        little = features.astype(features.dtype.newbyteorder("<"), order="C", copy=False)
        digest.update(little.view(np.uint8).data)
        yield Block(features, valid[rows])
    if digest.hexdigest() != bag.commit.arrays["features"]["checksum"]:
        raise _damaged(bag, "does not hold what was committed")


def _read(bag: "Bag", rows: slice) -> NDArray[Any]:
    try:
        features: Any = bag.group["features"]
        return np.asarray(features[rows])
    except (OSError, ValueError, KeyError) as exc:
        raise _damaged(bag, f"cannot be read ({exc})") from exc


def _damaged(bag: "Bag", problem: str) -> DamagedStoreError:
    return DamagedStoreError(
        f"{bag.path}/features {problem}",
        remedy="Run slidelake verify, then ingest this slide again.",
        slide=bag.slide_id,
    )


def _reason(exc: SlidelakeError) -> str:
    return f"{exc.problem}. {exc.remedy}" if exc.remedy else exc.problem


def _silence(event: str, **fields: object) -> None:
    """Progress that nobody watches."""
