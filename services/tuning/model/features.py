"""Features streamed from the lake: a bag, or some patches of it, for each row of a batch, read some batches ahead.

Memory holds `ahead` batches and no more. Which rows of a large bag are seen is drawn from (seed, place, row's id),
so that threads and kills change nothing.
"""

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slidelake.errors import NotFiniteError, UsageError
from slidelake.services.tuning.model.rows import Placed

if TYPE_CHECKING:
    from slidelake.store import Bag, FeatureStore

__all__ = ["FeatureReader", "Packed", "Waiting", "shuffled_slides", "stream"]

_OPEN_BAGS = 256


@dataclass(frozen=True)
class Packed:
    """Bags end to end: features (T, D) as they are stored, borders (B + 1,) int64, coords (T, 2) int32 level-0 px."""

    features: Tensor
    cu_seqlens: Tensor
    coords: Tensor | None

    def to(self, device: torch.device) -> "Packed":
        """On a device."""
        coords = None if self.coords is None else self.coords.to(device, non_blocking=True)
        return Packed(
            self.features.to(device, non_blocking=True), self.cu_seqlens.to(device, non_blocking=True), coords
        )


@dataclass
class Waiting:
    """Seconds that somebody waited for features."""

    seconds: float = 0.0


@dataclass
class FeatureReader:
    """Reads the features of rows. `kind` "zeros" gives zeros in their place, "shuffled" those of the slide that
    `exchanged` names: as many rows and the same way of drawing, so that only the content differs."""

    store: "FeatureStore"
    space: str
    patches: int
    seed: int
    with_coords: bool = False
    kind: str = "lake"
    exchanged: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        # Opening a bag reads its commit; epochs come back to the same slides. An open one holds its places and marks,
        # so that no more are kept open than memory takes without notice.
        self._bag = lru_cache(_OPEN_BAGS)(self._open)

    def read(self, rows: Sequence[Placed], place: Sequence[object]) -> Packed:
        """The packed bags of some rows, for one place in the training."""
        features, coords, lengths = [], [], [0]
        for each in rows:
            bag, chosen = self._choose(each, place)
            values = bag.rows(chosen) if len(chosen) < len(bag) else bag.read()
            if not np.isfinite(values).all():
                raise NotFiniteError(
                    "the features hold NaN or infinity",
                    remedy="Run slidelake verify --deep, and ingest the slide again.",
                    slide=bag.slide_id,
                )
            features.append(np.zeros_like(values) if self.kind == "zeros" else values)
            lengths.append(len(values))
            if self.with_coords:
                coords.append(bag.coords[chosen])
        return Packed(
            torch.from_numpy(np.concatenate(features)),
            torch.from_numpy(np.cumsum(lengths, dtype=np.int64)),
            torch.from_numpy(np.concatenate(coords)) if self.with_coords else None,
        )

    def _choose(self, placed: Placed, place: Sequence[object]) -> "tuple[Bag, NDArray[np.int64]]":
        other = None if self.exchanged is None else self.exchanged.get(placed.slide_id)
        bag = self._bag(other or placed.slide_id)
        valid = np.flatnonzero(bag.valid)
        key = "\0".join(map(str, (self.seed, *place, placed.row.id)))
        chance = np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()))
        if placed.rows is not None:
            # Another slide's patches are any of its patches.
            of_row = (
                chance.choice(valid, min(len(placed.rows), len(valid)), replace=False)
                if other
                else placed.rows
            )
            valid = np.intersect1d(of_row, valid)
        if not len(valid):
            raise UsageError(
                f"row {placed.row.id} is about patches of which none could be read",
                remedy="Leave the row out, or ingest the slide again.",
                slide=bag.slide_id,
            )
        if len(valid) > self.patches:
            valid = np.sort(chance.choice(valid, self.patches, replace=False))
        return bag, valid

    def _open(self, slide: str) -> "Bag":
        return self.store.bag(slide, self.space)


def stream(
    reader: FeatureReader,
    batches: Iterable[tuple[Sequence[object], Sequence[Placed]]],
    *,
    readers: int,
    ahead: int,
    waiting: Waiting,
) -> Iterator[Packed]:
    """The features of each batch, given as (place, rows), in order; `readers` threads read `ahead` batches ahead.

    What the consumer waits for is added to `waiting`. Raises at its turn what reading raised.
    """
    queue: deque[Future[Packed]] = deque()
    with ThreadPoolExecutor(readers, thread_name_prefix="slidelake-tune") as pool:
        try:
            for place, rows in batches:
                queue.append(pool.submit(reader.read, rows, place))
                if len(queue) > ahead:
                    yield _taken(queue, waiting)
            while queue:
                yield _taken(queue, waiting)
        finally:
            for each in queue:
                each.cancel()


def _taken(queue: "deque[Future[Packed]]", waiting: Waiting) -> Packed:
    began = time.perf_counter()
    found = queue.popleft().result()
    waiting.seconds += time.perf_counter() - began
    return found


def shuffled_slides(slides: Iterable[tuple[str, str]], seed: int) -> dict[str, str]:
    """For each (slide, patient) a slide of another patient, each once: slides sorted by patient are turned by as many
    as the largest patient has. Raises UsageError where one patient has more than half of them."""
    patients: dict[str, list[str]] = {}
    for slide, patient in sorted(set(slides)):
        patients.setdefault(patient, []).append(slide)
    order = list(patients)
    np.random.default_rng(seed).shuffle(order)
    chain = [(slide, patient) for patient in order for slide in patients[patient]]
    turn = max((len(each) for each in patients.values()), default=0)
    if 2 * turn > len(chain):
        raise UsageError(
            "features cannot be exchanged between patients: one has more than half of the slides",
            remedy="Use --features zeros as a control.",
        )
    return {chain[n][0]: chain[(n + turn) % len(chain)][0] for n in range(len(chain))}
