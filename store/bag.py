"""What readers get: overviews, grids, bags and pooled embeddings; Zarr groups, opened when first asked."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray

from slidelake.errors import DamagedStoreError, StoreError, UsageError
from slidelake.store.array_reader import ArrayReader
from slidelake.store.clients import is_client_error, meaning
from slidelake.store.commits import Commit
from slidelake.store.objects import Objects

if TYPE_CHECKING:
    import torch
    import xarray

__all__ = ["Bag", "Grid", "Overview", "Pooled"]

#: A grid's arrays that say where its patches lie; the others are columns.
_PLACES = ("coords", "coords_original")


class _Committed:
    """A committed Zarr group; `zarr.open_group(path)`, `xarray.open_zarr(path)` open it without us."""

    def __init__(self, objects: Objects, commit: Commit) -> None:
        self.objects = objects
        self.commit = commit
        self.slide_id = commit.slide_id
        self.path = objects.url_of(commit.attempt)
        self._readers: dict[str, ArrayReader] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.slide_id!r}, {self.path!r})"

    @cached_property
    def group(self) -> zarr.Group:
        """The Zarr group, read-only; slice its arrays to read rows without the rest."""
        with _damage(self):
            return zarr.open_group(self._zarr_store(), mode="r", zarr_format=3)

    @property
    def attributes(self) -> dict[str, Any]:
        """The group's attributes, from the commit, which holds a copy."""
        return self.commit.attributes

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the data came from, and with what it was made (DESIGN §4)."""
        return self.commit.provenance

    def array(self, name: str) -> NDArray[Any]:
        """One whole array, in fresh memory; raises DamagedStoreError where it is not what the commit says."""
        return self.reader(name).read()

    def reader(self, name: str) -> ArrayReader:
        """What reads one array; its files are looked at once. Raises UsageError for a name that is not there."""
        reader = self._readers.get(name)
        if reader is None:
            arrays = self.commit.arrays
            if name not in arrays:
                raise UsageError(
                    f"{self.path} has no array {name!r}",
                    remedy=f"Name one of {', '.join(sorted(arrays))}.",
                    slide=self.slide_id,
                )
            folder = f"{self.commit.attempt}/{name}"
            reader = self._readers[name] = ArrayReader(self.objects, folder, arrays[name], self.slide_id)
        return reader

    def _zarr_store(self) -> Any:
        return self.objects.zarr_store(self.commit.attempt)

    def to_xarray(self) -> "xarray.Dataset":
        """The group as an xarray Dataset over dask arrays; nothing is read until computed."""
        import xarray

        with _damage(self):
            dataset: xarray.Dataset = xarray.open_zarr(self._zarr_store(), consolidated=False)
            return dataset


class Overview(_Committed):
    """A slide's thumbnail, tissue mask and facts (`attributes`)."""

    @cached_property
    def thumbnail(self) -> NDArray[np.uint8]:
        """(h, w, 3) uint8, RGB."""
        return self.array("thumbnail")

    @cached_property
    def tissue_mask(self) -> NDArray[np.uint8]:
        """(h, w) uint8, 1 where there is tissue; its own size, over the whole slide."""
        return self.array("tissue_mask")


class Grid(_Committed):
    """Where a slide's patches lie: row n of every bag on this grid is the patch at `coords[n]`."""

    def __len__(self) -> int:
        return int(self.commit.arrays["coords"]["shape"][0])

    @property
    def checksum(self) -> str:
        """Checksum of the coords, which each bag on this grid repeats."""
        return self.commit.grid_checksum

    @cached_property
    def coords(self) -> NDArray[np.int32]:
        """(N, 2) int32: level-0 pixel of each patch's top-left corner, x before y."""
        return self.array("coords")

    @cached_property
    def columns(self) -> dict[str, NDArray[np.uint8]]:
        """(N,) uint8 by name: `tissue` and `blur` where the grid is our own, others as the tissue rule gives
        them."""
        return {name: self.array(name) for name in self.commit.arrays if name not in _PLACES}

    @cached_property
    def coords_original(self) -> NDArray[Any] | None:
        """(N, 2) int32, float32 or float64: an imported grid's coordinates as its file had them, where whole
        level-0 pixels could not hold them; `attributes["coords_original"]` says their unit. Else None."""
        return self.array("coords_original") if "coords_original" in self.commit.arrays else None


class Bag(_Committed):
    """All the patch features of one slide in one space; whole in itself."""

    def __len__(self) -> int:
        return int(self.commit.arrays["features"]["shape"][0])

    @property
    def space(self) -> str:
        return f"{self.commit.subject.grid_id}/{self.commit.subject.encoder_id}"

    @property
    def dim(self) -> int:
        """D, the features' dimension."""
        return int(self.commit.arrays["features"]["shape"][1])

    @cached_property
    def features(self) -> NDArray[Any]:
        """(N, D) float16 or float32; rows with `valid` 0 are zero."""
        return self.array("features")

    @cached_property
    def coords(self) -> NDArray[np.int32]:
        """(N, 2) int32: level-0 pixel of each patch's top-left corner, x before y."""
        return self.array("coords")

    @cached_property
    def valid(self) -> NDArray[np.uint8]:
        """(N,) uint8: 0 where the patch's pixels could not be read; leave those rows out."""
        return self.array("valid")

    def read(self, name: str = "features", out: "NDArray[Any] | torch.Tensor | None" = None) -> NDArray[Any]:
        """A whole array: in fresh memory, or into `out`; the result is then the view `out[:N]`.

        `out` is a C-contiguous numpy array or CPU tensor (pinned or not) of the same dtype, with at least N rows.
        To read bag after bag into one buffer costs no page faults. Raises UsageError for a buffer that does
        not fit, DamagedStoreError where the array is not what the commit says.
        """
        return self.reader(name).read(out)

    def rows(
        self,
        rows: ArrayLike,
        name: str = "features",
        out: "NDArray[Any] | torch.Tensor | None" = None,
    ) -> NDArray[Any]:
        """The chosen rows, in the order given (any, also repeated), without reading the rest where its files allow.

        Fresh, or into `out` as in `read`. Raises UsageError for numbers below 0 or past the last row.
        """
        return self.reader(name).rows(rows, out)

    def mapped(self, name: str = "features") -> NDArray[Any] | None:
        """A read-only memory map of an array; None where there can be none (remote, compressed, written by others).

        It holds a file handle until it is let go of.
        """
        return self.reader(name).mapped()

    def to_xarray(self) -> "xarray.Dataset":
        """`features (patch, feature)` over dask, with `row`, `x`, `y` and `valid` as coordinates along `patch`, and
        what is known of the slide as attributes; nothing is read until computed."""
        from slidelake.store.views.bag_dataset import bag_dataset

        return bag_dataset(self)

    def to_torch(self) -> "torch.Tensor":
        """The features as a (N, D) tensor that shares their memory."""
        import torch

        return torch.from_numpy(self.features)


class Pooled(_Committed):
    """What an aggregator made of a bag, with the attention it used."""

    @cached_property
    def embedding(self) -> NDArray[np.float32]:
        """(K, E) float32."""
        return self.array("embedding")

    @cached_property
    def scores(self) -> NDArray[np.float32] | None:
        """(K, N) float32, attention = exp(scores - lse); None for aggregators without attention."""
        return self.array("scores") if "scores" in self.commit.arrays else None

    @cached_property
    def lse(self) -> NDArray[np.float32] | None:
        """(K,) float32; None for aggregators without attention."""
        return self.array("lse") if "lse" in self.commit.arrays else None


class _damage:  # noqa: N801 - reads as the statement it makes
    """Turns what zarr raises about missing or broken files of committed data into DamagedStoreError."""

    def __init__(self, reader: _Committed) -> None:
        self._reader = reader

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, StoreError):
            return
        if self._reader.objects.local is None and is_client_error(error):
            # A server that is away is no damage.
            raise meaning(self._reader.objects.url, error, slide=self._reader.slide_id) from error
        if isinstance(error, OSError | ValueError | KeyError):
            raise DamagedStoreError(
                f"{self._reader.path} cannot be read ({error})",
                remedy="Run slidelake verify: it says what to do.",
                slide=self._reader.slide_id,
            ) from error
