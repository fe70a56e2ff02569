"""The encoder that made a space, made again for image queries, and the patch that it saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import QueryError
from slidelake.index.live import live_versions
from slidelake.index.tables import Collection

if TYPE_CHECKING:
    from slidelake.encoders import PatchEncoder
    from slidelake.store import Commit, FeatureStore

__all__ = ["space_encoder", "space_patch", "text_vector"]


def space_patch(store: FeatureStore, space: str) -> tuple[int, float | None]:
    """Patch side in pixels and µm/px of a space; None for a level-0 grid, whose slides may differ."""
    grid_id = space.partition("/")[0]
    spec: dict[str, Any] = store.grid(_any_commit(store, space).slide_id, grid_id).attributes["spec"]
    mpp = spec.get("mpp")
    return int(spec["patch_px"]), None if mpp is None else float(mpp)


def space_encoder(store: FeatureStore, space: str, encoder: PatchEncoder | None = None) -> PatchEncoder:
    """`encoder`, or the registered one of the space's name; QueryError when its id is not the space's."""
    encoder_id = space.partition("/")[2]
    if encoder is None:
        from slidelake.encoders import create_encoder

        fingerprint = _any_commit(store, space).provenance.get("encoder") or {}
        encoder = create_encoder(str(fingerprint.get("name") or encoder_id.rpartition(".")[0]))
    if encoder.spec.encoder_id != encoder_id:
        raise QueryError(
            f"the space was made by encoder {encoder_id}, and this one is {encoder.spec.encoder_id}: "
            "their vectors cannot be compared",
            remedy="Use the version and weights that made the space, or ingest again with this encoder.",
        )
    return encoder


def text_vector(
    store: FeatureStore, space: str, text: str, encoder: PatchEncoder | None, made: dict[str, PatchEncoder]
) -> np.ndarray:
    """(D,) of a text by the space's encoder, where it has `encode_text(list[str]) -> (n, D)`; QueryError where not.

    `made` keeps encoders by space.
    """
    if encoder is not None or space not in made:
        made[space] = space_encoder(store, space, encoder)
    encode = getattr(made[space], "encode_text", None)
    if encode is None:
        raise QueryError(
            f"the encoder {made[space].spec.name} reads images alone: its space cannot be searched by words",
            remedy="Ingest with an encoder of images and text (a CONCH or PLIP, registered with an `encode_text` "
            "method), or search the reports.",
        )
    found: np.ndarray = np.asarray(encode([text]), np.float32)
    return np.asarray(found[0])


def _any_commit(store: FeatureStore, space: str) -> Commit:
    slides = live_versions(store).get(Collection(space), {})
    grid_id, _, encoder_id = space.partition("/")
    for slide_id in sorted(slides):
        commit = store.commit(slide_id, "bag", grid_id, encoder_id)
        if commit is not None:
            return commit
    raise QueryError(f"no slide has features in {space}", remedy="Ingest slides first: `slidelake ingest`.")
