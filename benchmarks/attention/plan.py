"""The shapes of the sweep, in parts that each end well within ten minutes on an H200."""

from dataclasses import dataclass
from itertools import product

from benchmarks.attention.inputs import log_uniform_lengths
from benchmarks.attention.rows import MODES

__all__ = ["FULL", "PARTS", "TINY", "Case", "Scale", "plan"]

PARTS = ("headline", "rows", "shapes", "branches", "features", "ragged")

_PEERS = ("eager", "compile_dynamic")
_OURS = ("chunked", "triton")
_EVERY = (
    *("eager", "compile_dynamic", "compile_static", "chunked", "chunked_recompute", "chunked_store"),
    *("triton", "triton_recompute", "triton_store"),
    *("eager_fp32", "eager_tf32", "chunked_tf32", "triton_tf32"),
)
_BAGS = ("loop_eager", "loop_compiled", "padded_eager", *_OURS)


@dataclass(frozen=True)
class Scale:
    """The numbers that a sweep is made of: those of whole slides, or tiny ones that run through the same code."""

    #: (D, L) of the figures; the first two are also swept over all numbers of rows.
    headline: tuple[tuple[int, int], ...]
    #: Rows of a bag of the headline.
    million: int
    rows: tuple[int, ...]
    #: The reference back end is a candidate up to here only: it copies the features to float32.
    reference_rows: int
    dims: tuple[int, ...]
    hiddens: tuple[int, ...]
    #: Rows: launches count, both count, arithmetic counts.
    counts: tuple[int, ...]
    branches: tuple[int, ...]
    #: From here on a bag counts as one on which nothing may be slower than eager.
    least_rows: int
    #: Bags of one packed batch: how many, rows of the shortest and of the longest.
    bags: tuple[int, int, int]


FULL = Scale(
    headline=((1024, 256), (384, 128), (512, 256), (2560, 512)),
    million=1 << 20,
    rows=tuple(1 << power for power in range(10, 22)),
    reference_rows=1 << 16,
    dims=(384, 512, 768, 1024, 1536, 2560),
    hiddens=(128, 256, 512),
    counts=(1 << 12, 1 << 16, 1 << 20),
    branches=(1, 2, 4, 8),
    least_rows=1_000,
    bags=(64, 1_000, 100_000),
)
TINY = Scale(
    headline=((48, 24), (32, 16)),
    million=97,
    rows=(17, 64),
    reference_rows=64,
    dims=(32, 48),
    hiddens=(16,),
    counts=(33, 97),
    branches=(1, 3),
    least_rows=1,
    bags=(3, 5, 60),
)


@dataclass(frozen=True)
class Case:
    """One measurement: bags of `lengths` rows, size (D, L, K), the sides that are timed in turns."""

    part: str
    lengths: tuple[int, ...]
    size: tuple[int, int, int]
    sides: tuple[str, ...]
    features: bool = False
    modes: tuple[str, ...] = MODES

    @property
    def key(self) -> tuple[object, ...]:
        """As `Row.case`."""
        return self.part, len(self.lengths), sum(self.lengths), *self.size, self.features

    def __str__(self) -> str:
        bags = f"{len(self.lengths)} bags, " if len(self.lengths) > 1 else ""
        dim, hidden, branches = self.size
        gradient = ", gradient of the features" if self.features else ""
        return f"{self.part}: {bags}N {sum(self.lengths):,}, D {dim}, L {hidden}, K {branches}{gradient}"


def plan(part: str, scale: Scale = FULL) -> list[Case]:
    """The cases of one part. Those of one (D, L, K) follow each other, so that each is compiled once."""
    if part == "headline":
        # Only the shapes of the figures: trying every kernel takes Inductor a minute a shape.
        return [
            Case(
                part, (scale.million,), (*each, 1), (*_EVERY, *(["compile_autotuned"] if number < 2 else []))
            )
            for number, each in enumerate(scale.headline)
        ]
    if part == "rows":
        return [
            Case(
                part,
                (rows,),
                (*each, 1),
                (*_PEERS, *_OURS, *(["reference"] if rows <= scale.reference_rows else [])),
            )
            for each, rows in product(scale.headline[:2], scale.rows)
        ]
    if part == "shapes":
        return [
            Case(part, (rows,), (dim, hidden, 1), (*_PEERS, *_OURS))
            for dim, hidden, rows in product(scale.dims, scale.hiddens, scale.counts)
        ]
    if part == "branches":
        sizes = dict.fromkeys([*scale.headline[:2], scale.headline[-1]])
        return [
            Case(part, (rows,), (*each, branches), ("eager", *_OURS))
            for each, branches, rows in product(sizes, scale.branches, scale.counts[1:])
        ]
    if part == "features":
        return [
            Case(part, (rows,), (*each, 1), (*_PEERS, *_OURS), features=True)
            for each, rows in product(scale.headline[:3:2], scale.counts)
        ]
    if part == "ragged":
        lengths = log_uniform_lengths(*scale.bags)
        return [Case(part, lengths, (*each, 1), _BAGS) for each in scale.headline[:2]]
    raise ValueError(f"no part is called {part!r}; parts: {', '.join(PARTS)}")
