"""Does an encoder find tissue of the same kind, also when another laboratory stained the query?

stain-texture beside colour-histogram and chance, on the synthetic atlas (seed 0) and, where the shared data lies
beside the checkout, on kather2016, lc25000_lung and idc. Every labelled patch asks the others of its set by exact
cosine; near-identical images (perceptual hashes within 6 bits) and, for idc and the atlas, patches of the query's
patient are left out for all encoders alike.

AP@5 = (1 / min(5, R)) · Σ over the first five of (hit is relevant) · precision@i, R = relevant candidates.

`_shifted`: the queries as eight other laboratories would have them, at the ends of the range (haematoxylin and
eosin ± 30 %, hue ± 8 degrees), the mean of the eight (--quick, atlas and idc: each query in one of the eight, in turn).
`_shifted_inside`: the same with shifts drawn evenly within the range, each query its own; milder.
Intervals: paired bootstrap over queries, 95 %.

    python -m benchmarks.encoder_retrieval --quick
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.harness import Benchmark, parse_arguments
from benchmarks.patch_sets import (
    LABORATORIES,
    PatchSet,
    atlas_patches,
    real_sets,
    shift_all,
    shifts_inside,
)
from slidelake.encoders import PatchEncoder, create_encoder
from slidelake.index import (
    RetrievalScores,
    bootstrap_difference,
    bootstrap_mean,
    phash64,
    random_scores,
    retrieval_scores,
)

OURS, BASELINE = "stain-texture", "colour-histogram"
#: How a key names an encoder: ours has no suffix.
SUFFIX = {OURS: "", BASELINE: "_colour_histogram", "random": "_random"}
SEED = 0
#: What was promised of the gain over the histogram: (set, way of asking) to the least.
DEMANDED = {
    ("lc25000_lung", ""): -0.02,
    ("idc", ""): -0.02,
    ("lc25000_lung", "_shifted"): 0.10,
    ("atlas", "_shifted"): 0.10,
}
_BATCH = 64


@dataclass(frozen=True)
class Asked:
    """One way of asking: the suffix of its keys, and the queries' images, one list a laboratory."""

    suffix: str
    versions: list[list[npt.NDArray[np.uint8]]]


def main() -> int:
    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("encoder_retrieval", quick=arguments.quick)
    encoders = {name: create_encoder(name) for name in (OURS, BASELINE)}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            atlas = atlas_patches(Path(folder), slides=3, seed=SEED, size=(2560, 2560), patients=3)
        else:
            atlas = atlas_patches(Path(folder), slides=6, seed=SEED)
    for patches in [*real_sets(), atlas]:
        _measure(benchmark, patches, encoders, quick=arguments.quick)
    _speed(benchmark, encoders, np.stack(atlas.images[:128]), rounds=3 if arguments.quick else 7)
    return benchmark.finish(out=arguments.out)


def _measure(
    benchmark: Benchmark, patches: PatchSet, encoders: dict[str, PatchEncoder], *, quick: bool
) -> None:
    hashes = np.array([phash64(image) for image in patches.images], np.uint64)
    rows = {name: _encode(encoder, patches.images) for name, encoder in encoders.items()}
    for asked in _ways(patches.images, in_turn=quick and patches.name in ("atlas", "idc")):
        average: dict[str, npt.NDArray[np.float64]] = {}
        precision: dict[str, npt.NDArray[np.float64]] = {}
        for name, encoder in encoders.items():
            scores: list[RetrievalScores] = []
            for images in asked.versions:
                queries = _encode(encoder, images) if asked.suffix else None
                scores.append(
                    retrieval_scores(rows[name], patches.labels, patches.groups, hashes, queries=queries)
                )
            average[name] = np.mean([score.average_precision for score in scores], axis=0)
            precision[name] = np.mean([score.precision for score in scores], axis=0)
        chance = random_scores(patches.labels, patches.groups, hashes, seed=SEED + len(asked.suffix))
        average["random"], precision["random"] = chance.average_precision, chance.precision
        for name, values in average.items():
            mean = bootstrap_mean(values, seed=SEED)
            key = f"map5_{patches.name}{SUFFIX[name]}{asked.suffix}"
            benchmark.record(key, mean.mean, shown=f"[{mean.low:.3f}, {mean.high:.3f}]")
        _gain(
            benchmark,
            f"map5_{patches.name}{asked.suffix}",
            average,
            DEMANDED.get((patches.name, asked.suffix)),
        )
        if patches.name == "atlas" and not asked.suffix:
            for name, values in precision.items():
                benchmark.record(f"p10_atlas_{name.replace('-', '_')}", float(np.nanmean(values)))
            _gain(benchmark, "p10_atlas", precision, 0.15)


def _ways(images: list[npt.NDArray[np.uint8]], *, in_turn: bool) -> list[Asked]:
    count = len(images)
    if in_turn:
        shifted = [[LABORATORIES[number % len(LABORATORIES)] for number in range(count)]]
        inside = [shifts_inside(count, SEED)]
    else:
        shifted = [[laboratory] * count for laboratory in LABORATORIES]
        inside = [shifts_inside(count, SEED + draw) for draw in range(3)]
    return [
        Asked("", [images]),
        Asked("_shifted", [shift_all(images, shifts) for shifts in shifted]),
        Asked("_shifted_inside", [shift_all(images, shifts) for shifts in inside]),
    ]


def _gain(
    benchmark: Benchmark, key: str, values: dict[str, npt.NDArray[np.float64]], demanded: float | None
) -> None:
    gain = bootstrap_difference(values[OURS], values[BASELINE], seed=SEED)
    wanted = (
        ""
        if demanded is None
        else f"  demanded {demanded:+.2f}: {'met' if gain.mean >= demanded else 'NOT MET'}"
    )
    benchmark.record(f"gain_{key}", gain.mean, shown=f"[{gain.low:+.3f}, {gain.high:+.3f}]{wanted}")
    benchmark.record(f"gain_{key}_low", gain.low)


def _encode(encoder: PatchEncoder, images: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    if len({image.shape for image in images}) == 1:
        chunks = [np.stack(images[first : first + _BATCH]) for first in range(0, len(images), _BATCH)]
    else:
        chunks = [image[None] for image in images]
    return np.concatenate([encoder.encode(chunk) for chunk in chunks])


def _speed(
    benchmark: Benchmark, encoders: dict[str, PatchEncoder], batch: npt.NDArray[np.uint8], *, rounds: int
) -> None:
    # One thread, processor time: a rate a core that a busy machine does not change.
    rates: dict[str, list[float]] = {name: [] for name in encoders}
    for round_number in range(rounds + 1):
        for name, encoder in encoders.items():
            began = time.process_time()
            encoder.encode(batch)
            if round_number:
                rates[name].append(len(batch) / (time.process_time() - began))
    reached = "met" if np.median(rates[OURS]) >= 400 else "NOT MET"
    benchmark.record("patches_per_s_core", rates[OURS], shown=f"demanded 400: {reached}")
    benchmark.record("patches_per_s_core_colour_histogram", rates[BASELINE])


if __name__ == "__main__":
    sys.exit(main())
