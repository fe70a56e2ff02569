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
    closed: dict[str, int] = defaultdict(int)
    found: dict[tuple[Collection, str], Version] = {}
    for key in store.objects.list("commits"):
        *_, slide_id, name = key.split("/")
        epoch_text, kind, *rest = name.removesuffix(".json").split("~")
        epoch = int(epoch_text)
        if kind == "closed":
            closed[slide_id] = max(closed[slide_id], epoch)
        elif kind in ("bag", "pooled"):
            grid_id, encoder_id, *aggregator, generation = rest
            where = Collection(f"{grid_id}/{encoder_id}", aggregator[0] if aggregator else ""), slide_id
            version = Version(epoch, int(generation))
            found[where] = max(version, found.get(where, version))
    live: dict[Collection, dict[str, Version]] = defaultdict(dict)
    for (collection, slide_id), version in found.items():
        if version.epoch > closed[slide_id]:
            live[collection][slide_id] = version
    return dict(live)
