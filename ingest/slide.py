"""A slide as the rest of ingest sees it: pyramid levels, properties, and pixels in level-0 coordinates."""

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["SlideReader"]


class SlideReader(Protocol):
    """What reads one slide. Coordinates are level-0 pixels of the top-left corner, as OpenSlide's are.

    Methods may be called from several threads. A region that cannot be decoded raises DamagedSlideError and
    leaves the reader usable.
    """

    #: Where the slide lies, as it was asked for.
    uri: str
    #: The file on this machine that is read: the slide itself, or its temporary copy.
    local_path: str
    #: The reader's name and version, for the provenance.
    name: str
    version: str

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height of level 0 in pixels."""
        ...

    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        """Width and height of each level, the finest first."""
        ...

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        """How many level-0 pixels a pixel of each level spans."""
        ...

    @property
    def properties(self) -> Mapping[str, str]:
        """The file's own properties, with OpenSlide's names where it has them."""
        ...

    def read_region(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        """(height, width, 3) RGB of a level, from level-0 (x, y); transparent and beyond the edge is white."""
        ...

    def thumbnail(self, longest: int) -> NDArray[np.uint8]:
        """The whole slide as (h, w, 3) RGB, no side longer than `longest` pixels."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
