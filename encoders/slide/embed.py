"""Slide embeddings of a whole store: every bag of a space through one aggregator, committed as `pooled`."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slidelake._version import __version__
from slidelake.encoders.slide.base import Block, SlideEmbedding, SlideEncoder
from slidelake.encoders.slide.predictions import Prediction, predict
from slidelake.encoders.slide.pretrained import create_pretrained, pretrained_names
from slidelake.encoders.slide.read_bags import Buffer, in_turn, is_large, read_blocks, read_whole
from slidelake.encoders.slide.registry import aggregator_names, create_aggregator, slide_model_names
from slidelake.errors import (
    AlreadyCommittedError,
    EncoderError,
    SlidelakeError,
    StoreFullError,
    StoreNotWritableError,
    UnknownAggregatorError,
    UsageError,
)
from slidelake.store import split_space

if TYPE_CHECKING:
    from slidelake.store import Bag, FeatureStore

log = logging.getLogger(__name__)

#: Bags read ahead of the one that is encoded: a local disk gives one in that time, a server several at once.
_AHEAD_LOCAL, _AHEAD_REMOTE = 1, 4

Progress = Callable[..., None]


@dataclass
class EmbedReport:
    """How many embeddings were made, how many were there, and which slides have none, with the reason.

    `predictions` of all slides that have an embedding now, where a checkpoint made them; `notes` on how single slides
    were done (slide_id, note).
    """

    made: int = 0
    already: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    space: str = ""
    aggregator_id: str = ""
    predictions: list[Prediction] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


def embed(
    store: "FeatureStore",
    *,
    space: str | None = None,
    aggregator: "str | os.PathLike[str]" = "mean",
    slides: Sequence[str] | None = None,
    snapshot: str | None = None,
    weights: "str | os.PathLike[str] | None" = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> EmbedReport:
    """Commit the slide embedding of every slide that has a bag in `space`, or of `slides` alone.

    `aggregator` is a name (mean, max), a checkpoint's path (its own space is the default then, and the only one it
    takes), or a pre-trained slide encoder's name (titan) with the folder of its `weights`. A slide whose embedding
    was made from the bag that now stands is left as it is; one whose bag was made again gets the next generation.
    Rows with `valid` 0 do not count; a slide without a valid row, or whose bag is damaged, or (where named) that is
    not there, or whose output is not finite, is in `failed`.

    `snapshot` takes the slides and bags as it pinned them; the embeddings go to the store as it is now, so a slide
    whose bag was made again since is in `failed`. progress: start (total), slide (slide_id, state made | already |
    failed), end.

    Raises UnknownSpaceError, UnknownAggregatorError; UsageError for a checkpoint of another space, with both
    fingerprints, and for a store that is itself opened at a snapshot; WeightsError for a checkpoint that cannot be
    read; StoreFullError and StoreNotWritableError end the run.
    """
    store.objects.check_writable()
    source = store.at(snapshot) if snapshot else store
    encoder, space = _choose(source, space, os.fspath(aggregator), weights, device)
    wanted = list(slides) if slides is not None else _slides_of(source, *split_space(space))
    run = _Run(store, source, space, encoder)
    report = EmbedReport(space=space, aggregator_id=encoder.spec.aggregator_id)
    tell = progress or _silence
    tell("start", total=len(wanted))
    with in_turn(wanted, run.look, _AHEAD_REMOTE if store.objects.local is None else _AHEAD_LOCAL) as coming:
        for slide_id, looked in coming:
            try:
                state = run.finish(looked(), report)
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


def _choose(
    store: "FeatureStore",
    space: str | None,
    aggregator: str,
    weights: "str | os.PathLike[str] | None",
    device: str,
) -> tuple[SlideEncoder, str]:
    """The encoder of that name or path, and the space whose bags it takes."""
    if aggregator in pretrained_names():
        space = store.resolve_space(space)
        folder = None if weights is None else Path(weights)
        return create_pretrained(aggregator, space=space, weights=folder, device=device), space
    if weights is not None:
        raise UsageError(
            f"{aggregator} takes no weights beside it",
            remedy=f"Weights go with a pre-trained slide encoder: {', '.join(pretrained_names())}.",
        )
    if not _is_path(aggregator):
        if aggregator in set(slide_model_names()) - set(aggregator_names()):
            raise UnknownAggregatorError(
                f"{aggregator} has to be trained first",
                remedy="Run slidelake train, then pass --aggregator CHECKPOINT.safetensors.",
            )
        space = store.resolve_space(space)
        return create_aggregator(aggregator, encoder_id=split_space(space)[1]), space
    from slidelake.encoders.slide.checkpoint_encoder import CheckpointEncoder

    encoder = CheckpointEncoder.load(aggregator, device=device)
    checkpoint = encoder.checkpoint
    spaces = store.spaces()
    wanted = store.resolve_space(space) if space is not None or not spaces else checkpoint.space
    if wanted not in spaces:
        wanted = _nearest(list(spaces), checkpoint.space)
    checkpoint.check_space(wanted, _fingerprint(store, wanted))
    return encoder, wanted


def _is_path(aggregator: str) -> bool:
    if aggregator in aggregator_names():
        return False
    return aggregator.endswith(".safetensors") or os.sep in aggregator or Path(aggregator).is_file()


def _nearest(spaces: Sequence[str], wanted: str) -> str:
    """The space that shares most with one that is not there: how the two differ is what people want to know."""
    _, encoder_id = split_space(wanted)
    name = encoder_id.rpartition(".")[0]
    return max(spaces, key=lambda each: (each.endswith(encoder_id), f"/{name}." in each))


def _fingerprint(store: "FeatureStore", space: str) -> dict[str, Any]:
    """What the store says of a space's patch encoder; {} where it says nothing."""
    for slide_id in _slides_of(store, *split_space(space)):
        told = store.bag(slide_id, space).provenance.get("encoder")
        if isinstance(told, dict):
            return told
    return {}


def _slides_of(store: "FeatureStore", grid_id: str, encoder_id: str) -> list[str]:
    """The slides that have a bag in a space, by one listing."""
    return [
        slide_id
        for slide_id, state in store.states().items()
        if ("bag", grid_id, encoder_id, "") in state.keys
    ]


class _Looked(NamedTuple):
    """One slide before it is encoded: its bag, read where it is not large, or the logits of what is there already."""

    bag: "Bag"
    done: bool
    #: The generation of the embedding that stands; 0: there is none.
    seen: int
    logits: Sequence[float] | None = None
    whole: Block | None = None


class _Run:
    """One run of `embed`: bags come from `source`, embeddings go to `store`."""

    def __init__(
        self,
        store: "FeatureStore",
        source: "FeatureStore",
        space: str,
        encoder: SlideEncoder,
    ) -> None:
        self.store, self.source, self.space, self.encoder = store, source, space, encoder
        self.about = dict(encoder.about())
        self.task: Mapping[str, Any] = self.about.get("task") or {}

    def look(self, slide_id: str, buffer: Buffer) -> _Looked:
        """What is there of a slide; its bag in memory, where that is wanted. Runs ahead, in a thread."""
        bag = self.source.bag(slide_id, self.space)
        ids = split_space(self.space)
        done = self.store.commit(slide_id, "pooled", *ids, self.encoder.spec.aggregator_id)
        seen = done.generation if done is not None else 0
        if done is not None and done.provenance.get("bag") == bag.commit.attempt:
            return _Looked(bag, True, seen, done.attributes.get("logits"))
        if self.source is not self.store:
            stands = self.store.commit(slide_id, "bag", *ids)
            if stands is None or stands.attempt != bag.commit.attempt:
                raise UsageError(
                    "its bag was made again since the snapshot, and an embedding belongs to the bag that stands",
                    remedy="Embed it without --snapshot.",
                    slide=slide_id,
                )
        _valid(bag)
        if not self.encoder.whole or is_large(bag):
            return _Looked(bag, False, seen)
        return _Looked(bag, False, seen, None, self._read(bag, buffer))

    def finish(self, looked: _Looked, report: EmbedReport) -> str:
        """Encode and commit; made or already."""
        bag = looked.bag
        if looked.done:
            self._tell(bag.slide_id, looked.logits, report)
            return "already"
        made = self._encode(bag, looked.whole)
        if made.note:
            report.notes.append((bag.slide_id, made.note))
        said: dict[str, Any] = {"space": self.space, "aggregator": self.encoder.spec.fingerprint()}
        logits = None if made.logits is None else [float(each) for each in made.logits]
        if logits is not None:
            values, label = predict(logits, self.task)
            said |= {"task": self.task, "logits": logits, "prediction": {"label": label, "values": values}}
        provenance = {
            "aggregator": self.encoder.spec.fingerprint(),
            "bag": bag.commit.attempt,
            "slidelake_version": __version__,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if self.about:
            provenance["checkpoint"] = self.about
        try:
            self.store.put_pooled(
                bag.slide_id,
                self.space,
                self.encoder.spec.aggregator_id,
                embedding=made.embedding,
                scores=made.scores,
                lse=made.lse,
                attributes=said,
                provenance=provenance,
                seen=looked.seen,
            )
        except AlreadyCommittedError:
            state = "already"  # another writer was first, with the same bag and the same aggregator
        else:
            state = "made"
        self._tell(bag.slide_id, logits, report)
        return state

    def _encode(self, bag: "Bag", whole: Block | None) -> SlideEmbedding:
        if not self.encoder.whole:
            return self.encoder.encode(read_blocks(bag, _valid(bag)))
        try:
            return self.encoder.encode([whole or self._read(bag, Buffer())])
        except EncoderError as exc:
            raise EncoderError(exc.problem, remedy=exc.remedy, slide=bag.slide_id) from exc

    def _read(self, bag: "Bag", buffer: Buffer) -> Block:
        footprint = None
        if self.encoder.needs_coords:
            grid = self.source.grid(bag.slide_id, split_space(self.space)[0])
            width, height = grid.attributes["footprint_level0"]
            footprint = (float(width), float(height))
        return read_whole(bag, _valid(bag), buffer, footprint=footprint)

    def _tell(self, slide_id: str, logits: Sequence[float] | None, report: EmbedReport) -> None:
        if logits is not None and self.task:
            report.predictions.append(Prediction(slide_id, *predict(logits, self.task)))


def _valid(bag: "Bag") -> NDArray[np.bool_]:
    """(N,) which rows count; SlidelakeError where none does."""
    valid = bag.valid.astype(bool)
    if not valid.any():
        raise SlidelakeError(
            "the bag has no valid row" if len(valid) else "the bag is empty",
            remedy="Ingest the slide again if its pixels can be read now.",
            slide=bag.slide_id,
        )
    return valid


def _reason(exc: SlidelakeError) -> str:
    return f"{exc.problem}. {exc.remedy}" if exc.remedy else exc.problem


def _silence(event: str, **fields: object) -> None:
    """Progress that nobody watches."""
