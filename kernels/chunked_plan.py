"""How the rows are cut into chunks, and each chunk into pieces of bags."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slidelake.kernels.borders import host_borders

#: Bytes of scratch that the arrays of one chunk may take together. On a CPU, one core is as quick with 2 MiB as with
#: 128 (D 512, L 256: within 5 %, the noise), but each operation on a chunk ends by waiting for all cores: on two cores
#: that other processes used too, 32 MiB took twice as long as 128. On a GPU (not measured yet) a chunk has to be large
#: enough for every multiprocessor and small enough for the L2.
_SCRATCH = {"cpu": 128 << 20, "cuda": 96 << 20}
_OTHER_DEVICE = 32 << 20
_FEWEST, _MOST = 16, 1 << 16


def chunk_rows(device: torch.device, bytes_per_row: int) -> int:
    """Rows of a chunk whose scratch takes `bytes_per_row`; a multiple of 16."""
    rows = _SCRATCH.get(device.type, _OTHER_DEVICE) // max(1, bytes_per_row)
    return max(_FEWEST, min(_MOST, rows // 16 * 16))


@dataclass(frozen=True)
class Chunk:
    """Rows start … stop, which hold the pieces of the bags first … last of `BagPlan.bags`."""

    start: int
    stop: int
    first: int
    last: int
    #: Whether the last bag has rows in the next chunk too.
    goes_on: bool
    #: The first bag's number in `cu_seqlens`.
    bag: int

    @property
    def pieces(self) -> int:
        return self.last - self.first + 1


class BagPlan:
    """The bags that have rows, in order, and where they lie in each chunk.

    Bags without a row are left out here: a million of them at one place would be a million pieces of one chunk.
    The borders are read on the host, which on a GPU waits for them once for each `cu_seqlens` tensor; from then on
    nothing waits.
    """

    def __init__(self, cu_seqlens: Tensor, rows: int, step: int) -> None:
        borders = host_borders(cu_seqlens)
        filled = np.flatnonzero(np.diff(borders))
        self.rows, self.step, self.count = rows, min(step, max(1, rows)), len(filled)
        #: Numbers of the bags with rows, on the device; None where every bag has rows.
        self.bags: Tensor | None = None
        self._borders = cu_seqlens
        if len(filled) < len(borders) - 1:
            self.bags = torch.from_numpy(filled).to(cu_seqlens.device)
            self._borders = F.pad(cu_seqlens[self.bags + 1], (1, 0))
        self._host, self._filled = np.append(0, borders[filled + 1]), filled

    def __iter__(self) -> Iterator[Chunk]:
        starts = np.arange(0, self.rows, self.step)
        stops = np.minimum(starts + self.step, self.rows)
        first = np.searchsorted(self._host, starts, side="right") - 1
        last = np.searchsorted(self._host, stops, side="left") - 1
        goes_on = self._host[last + 1] > stops
        columns = (starts, stops, first, last, goes_on, self._filled[first])
        for values in zip(*(column.tolist() for column in columns), strict=True):
            yield Chunk(*values)

    def borders(self, chunk: Chunk) -> Tensor:
        """(pieces + 1,) int64 borders of the pieces, counted from the chunk's first row."""
        cut = self._borders[chunk.first : chunk.last + 2] - chunk.start
        return cut.clamp_(0, chunk.stop - chunk.start)

    def everywhere(self, values: Tensor, bags: int, fill: float) -> Tensor:
        """(bags, …) from (count, …): the bags without a row get `fill`."""
        if self.bags is None:
            return values
        return values.new_full((bags, *values.shape[1:]), fill).index_copy_(0, self.bags, values)
