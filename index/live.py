"""What the store holds now, collection by collection, from the commits' keys alone: one listing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slidelake.index.tables import Collection

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["Version", "live_versions"]


@dataclass(frozen=True, order=True)
class Version:
    """Which commit of a slide's vectors: the epoch it belongs to and its generation there."""

    epoch: int
    generation: int


def live_versions(store: FeatureStore) -> dict[Collection, dict[str, Version]]:
    """The live commit of every slide in every collection; slides in closed epochs are not there."""
    live: dict[Collection, dict[str, Version]] = defaultdict(dict)
    for slide_id, state in store.states().items():
        for subject, key in state.keys.items():
            if subject.kind in ("bag", "pooled"):
                collection = Collection(f"{subject.grid_id}/{subject.encoder_id}", subject.aggregator_id)
                live[collection][slide_id] = Version(key.epoch, key.generation)
    return dict(live)
