"""How alike every patch of a slide is to a query: the values of a heatmap."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import QueryError
from slidelake.index.locate import patch_at
from slidelake.index.region import as_polygon, patches_in, spread, vectors_of
from slidelake.index.region_search import MOST_VECTORS
from slidelake.index.search import query_vector
from slidelake.index.tables import normalise

if TYPE_CHECKING:
    from slidelake.encoders import PatchEncoder
    from slidelake.index.image_query import ImageQuery
    from slidelake.store import FeatureStore

__all__ = ["Similarity"]

_ROWS_AT_ONCE = 16_384


class Similarity:
    """What `SlideIndex` has of likeness within one slide; the index's tables are not looked at."""

    store: FeatureStore
    _encoders: dict[str, PatchEncoder]

    def encode_image(
        self,
        image: str | os.PathLike[str] | bytes | np.ndarray,
        space: str,
        *,
        mpp: float | None = None,
        encoder: PatchEncoder | None = None,
    ) -> tuple[np.ndarray, ImageQuery]:
        """(D,) of an image by the encoder of a space (its full name), and the image as it was cut."""
        from slidelake.index.image_query import prepare_image
        from slidelake.index.space_encoder import space_encoder, space_patch

        patch_px, space_mpp = space_patch(self.store, space)
        picture = prepare_image(image, patch_px=patch_px, space_mpp=space_mpp, mpp=mpp)
        if space not in self._encoders or encoder is not None:
            self._encoders[space] = space_encoder(self.store, space, encoder)
        return self._encoders[space].encode(picture.pixels[None])[0], picture

    def similarity(
        self,
        slide_id: str,
        *,
        space: str | None = None,
        at: tuple[str, float, float] | None = None,
        region: tuple[str, Sequence[float] | None, Sequence[Sequence[float]] | None] | None = None,
        image: str | os.PathLike[str] | bytes | np.ndarray | None = None,
        mpp: float | None = None,
        vector: Any = None,
        text: str | None = None,
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """(N,) float64: the cosine of each patch of `slide_id` with a query, NaN where its pixels were unreadable;
        and what was assumed.

        The query is one of: the patch `at` (slide, x, y); a `region` (slide, box, polygon), of whose patches the
        nearest counts; an `image`; a `vector` (D,); a `text`. The features are the store's own, so that a value
        may differ from a search's score, whose vectors are float16 of unit length, by 5e-4.
        """
        from slidelake.index.space_encoder import text_vector

        full = self.store.resolve_space(space)
        notes: tuple[str, ...] = ()
        if at is not None:
            vectors = query_vector(patch_at(self.store, at[0], full, at[1], at[2]).feature)[None]
        elif region is not None:
            inside = patches_in(
                self.store, region[0], full, as_polygon(region[1], region[2], slide=region[0])
            )
            unit, usable = normalise(vectors_of(self.store, inside, full, spread(inside, MOST_VECTORS)))
            vectors = unit[usable].astype(np.float32)
        elif image is not None:
            feature, picture = self.encode_image(image, full, mpp=mpp)
            vectors, notes = query_vector(feature)[None], picture.notes
        elif text is not None:
            vectors = query_vector(text_vector(self.store, full, text, None, self._encoders))[None]
        else:
            vectors = query_vector(vector)[None]
        bag = self.store.bag(slide_id, full)
        mapped = bag.mapped()  # a bag may be gigabytes: its rows are read block by block where they can be
        features = np.asarray(bag.features) if mapped is None else mapped
        if features.shape[1] != vectors.shape[1]:
            raise QueryError(
                f"the query has {vectors.shape[1]} dimensions, the space {full} has {features.shape[1]}",
                remedy="Encode the query with the encoder of the space.",
            )
        found = np.empty(len(features))
        for start in range(0, len(features), _ROWS_AT_ONCE):
            wide = features[start : start + _ROWS_AT_ONCE].astype(np.float32)
            norms = np.sqrt(np.einsum("nd,nd->n", wide, wide))
            best = (wide @ vectors.T).max(axis=1, initial=-np.inf)
            found[start : start + _ROWS_AT_ONCE] = np.divide(
                best, norms, out=np.full(len(wide), np.nan, np.float32), where=norms > 0
            )
        found[~np.asarray(bag.valid).astype(bool)] = np.nan
        return np.clip(found, -1, 1), notes
