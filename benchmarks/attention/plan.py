"""The shapes of the sweep, in parts that each end well within ten minutes on an H200."""

from dataclasses import dataclass, replace
from itertools import product

from benchmarks.attention.inputs import log_uniform_lengths

__all__ = ["FULL", "PARTS", "TINY", "Case", "Scale", "plan"]

#: In the order that they are run; "default" follows the table of winners that comes of the others.
PARTS = ("headline", "rows", "shapes", "branches", "features", "float32", "ragged", "default")

#: Every back end and what it keeps, so that both can be chosen by what was measured.
_OURS = ("chunked_recompute", "chunked_store", "triton_recompute", "triton_store")
_COMPILED = ("compile_dynamic", "compile_static")
_BAGS = ("loop_eager", "loop_compiled", "padded_eager")


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
    if part not in PARTS:
        raise ValueError(f"no part is called {part!r}; parts: {', '.join(PARTS)}")
    made = {
        "headline": _headline,
        "rows": _rows,
        "shapes": _shapes,
        "branches": _branches,
        "features": _features,
        "float32": _float32,
        "ragged": _ragged,
        "default": _default,
    }
    return made[part](scale)


def _headline(scale: Scale) -> list[Case]:
    peers = ("eager", "eager_fp32", "eager_tf32", *_COMPILED)
    # Tuned for the first two sizes only: trying every kernel takes Inductor a minute a size.
    return [
        Case(
            "headline",
            (scale.million,),
            (*size, 1),
            (*peers, *(["compile_autotuned"] if number < 2 else []), *_OURS),
        )
        for number, size in enumerate(scale.headline)
    ]


def _single(part: str, scale: Scale, rows: int, size: tuple[int, int, int], *peers: str) -> Case:
    reference = ["reference"] if rows <= scale.reference_rows else []
    return Case(part, (rows,), size, ("eager", *peers, *_OURS, *reference))


def _rows(scale: Scale) -> list[Case]:
    return [
        _single("rows", scale, rows, (*size, 1), "compile_dynamic")
        for size, rows in product(scale.headline[:2], scale.rows)
    ]


def _shapes(scale: Scale) -> list[Case]:
    return [
        _single("shapes", scale, rows, (dim, hidden, 1), "compile_dynamic")
        for dim, hidden, rows in product(scale.dims, scale.hiddens, scale.counts)
    ]


def _branches(scale: Scale) -> list[Case]:
    sizes = dict.fromkeys([*scale.headline[:2], scale.headline[-1]])
    return [
        _single("branches", scale, rows, (*size, branches))
        for size, branches, rows in product(sizes, scale.branches, scale.counts[1:])
    ]


def _features(scale: Scale) -> list[Case]:
    return [
        Case("features", (rows,), (*size, 1), ("eager", "compile_dynamic", *_OURS), features=True)
        for size, rows in product(scale.headline[:3:2], scale.counts)
    ]


def _float32(scale: Scale) -> list[Case]:
    sides = [f"{name}_{precision}" for precision in ("fp32", "tf32") for name in ("eager", *_OURS)]
    return [
        Case("float32", (rows,), (*size, 1), tuple(sides))
        for size, rows in product(scale.headline[:2], scale.counts)
    ]


def _ragged(scale: Scale) -> list[Case]:
    lengths = log_uniform_lengths(*scale.bags)
    return [Case("ragged", lengths, (*size, 1), (*_BAGS, *_OURS)) for size in scale.headline[:2]]


def _default(scale: Scale) -> list[Case]:
    """What a user gets who chooses nothing, beside its peers: every shape of bfloat16 once more."""
    cases = [
        Case("default", (scale.million,), (*size, 1), ("eager", *_COMPILED, "auto", "auto_recompute"))
        for size in scale.headline
    ]
    cases += [
        replace(case, part="default", sides=(*_BAGS, "auto", "auto_recompute")) for case in _ragged(scale)
    ]
    made = {case.key for case in cases}
    for single in (*_rows(scale), *_shapes(scale), *_branches(scale), *_features(scale)):
        case = replace(single, part="default", sides=("eager", "auto"))
        if case.key not in made:
            cases.append(case)
            made.add(case.key)
    return cases
