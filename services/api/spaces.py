"""What is known of each space: how much is in it, how its patches were cut, what can be asked of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from slidelake.services.api.models import SpaceInfo

if TYPE_CHECKING:
    from slidelake.services.api.catalog_view import CatalogView
    from slidelake.store import FeatureStore, SlideState

__all__ = ["read_spaces"]


def read_spaces(
    store: "FeatureStore", view: "CatalogView", states: Mapping[str, "SlideState"]
) -> list[SpaceInfo]:
    """All spaces, those with most patches first, then those of most dimensions: a page takes the first that it can use,
    and a baseline of few numbers is rarely what somebody looks for. One slide's grid is looked at for each."""
    slides: dict[str, int] = {}
    patches: dict[str, int] = {}
    example: dict[str, str] = {}
    for row in view.rows:
        for space, count in zip(row.spaces, row.space_patches, strict=True):
            slides[space] = slides.get(space, 0) + 1
            patches[space] = patches.get(space, 0) + count
            example.setdefault(space, row.slide_id)
    aggregators: dict[str, set[str]] = {}
    for state in states.values():
        for subject in state.keys:
            if subject.kind == "pooled":
                space = f"{subject.grid_id}/{subject.encoder_id}"
                aggregators.setdefault(space, set()).add(subject.aggregator_id)
    found = [
        _space(store, space, example[space], slides[space], patches[space], aggregators.get(space, set()))
        for space in slides
    ]
    return sorted(found, key=lambda each: (-each.patches, -(each.dim or 0), each.space))


def _space(
    store: "FeatureStore", space: str, slide_id: str, slides: int, patches: int, aggregators: set[str]
) -> SpaceInfo:
    grid_id, _, encoder_id = space.partition("/")
    grid = store.commit(slide_id, "grid", grid_id)
    bag = store.commit(slide_id, "bag", grid_id, encoder_id)
    spec = (grid.attributes.get("spec") or {}) if grid is not None else {}
    fingerprint = (bag.provenance.get("encoder") or {}) if bag is not None else {}
    name = str(fingerprint.get("name") or encoder_id.rpartition(".")[0])
    return SpaceInfo(
        space=space,
        grid_id=grid_id,
        encoder_id=encoder_id,
        slides=slides,
        patches=patches,
        patch_px=int(spec["patch_px"]) if spec.get("patch_px") else None,
        mpp=float(spec["mpp"]) if spec.get("mpp") else None,
        dim=int(bag.arrays["features"]["shape"][1]) if bag is not None else None,
        aggregators=sorted(aggregators),
        can_encode_images=_can_be_made(name),
    )


def _can_be_made(encoder: str) -> bool:
    """Whether an encoder of that name can be made here without weights that somebody has to bring."""
    from slidelake.encoders import describe_encoders

    return any(info.name == encoder and info.available for info in describe_encoders())
