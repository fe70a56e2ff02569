"""What a few labels make of features: a linear probe of stain-texture beside colour histograms.

On kather2016, lc25000_lung and idc where the shared data lies beside the checkout, else on the synthetic atlas. The
protocol is PathGen's: 2 to 128 labelled patches a class, ten draws, AdamW with a learning rate of 0.01, 20 epochs;
features as they are, and `_standardised` beside. A third of the patients is held out in each draw; where no patient is
known, nearly identical images (perceptual hashes within 6 bits in any of eight turns) are on one side. Numbers of shots
that a class does not have are left out.

`acc8_idc` is the balanced accuracy with 8 shots, `_low` and `_high` its 95 % interval over draws and patients;
`gain8_idc` ours less the histogram, a paired difference on the same patients and shots. Zero-shot figures are of
encoders that read text (`--encoder NAME` adds one); ours do not.

    python -m benchmarks.probe --quick --plots FOLDER
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.harness import Benchmark, argument_parser
from benchmarks.patch_sets import atlas_patches, shared_data
from slidelake.encoders import PatchEncoder, create_encoder
from slidelake.errors import QueryError
from slidelake.index.probing import (
    SHOTS,
    FewShot,
    Labelled,
    ZeroShot,
    draw_few_shot,
    draw_zero_shot,
    few_shot,
    labelled_images,
    zero_shot,
)

OURS, BASELINE = "stain-texture", "colour-histogram"
#: The folders of the shared data, and where a path names the patient.
SETS = {"kather2016": "", "lc25000_lung": "", "idc": r"/(\d+)_idx"}
SEED = 0


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--encoder", action="append", default=[], help="one more encoder; again for more")
    parser.add_argument("--plots", type=Path, help="folder for a picture a set")
    arguments = parser.parse_args()
    benchmark = Benchmark("probe", quick=arguments.quick)
    encoders = {name: create_encoder(name) for name in (OURS, BASELINE, *arguments.encoder)}
    for set_name, rows in _sets(encoders):
        few = {name: _few(benchmark, set_name, name, each, arguments.quick) for name, each in rows.items()}
        _gain(benchmark, set_name, few[OURS], few[BASELINE])
        zero = [
            result
            for name, each in rows.items()
            if (result := _zero(benchmark, set_name, encoders[name], each))
        ]
        if arguments.plots is not None:
            title = f"{set_name}: {len(rows[OURS])} patches, {few[OURS].groups} groups, 95 % intervals"
            draw_few_shot(list(few.values()), arguments.plots / f"probe_{set_name}.png", title=title)
            if zero:
                draw_zero_shot(zero, arguments.plots / f"zero_shot_{set_name}.png", title=set_name)
    silent = [name for name, encoder in encoders.items() if not hasattr(encoder, "encode_text")]
    benchmark.note(f"no zero-shot figures, for they read images alone: {', '.join(silent)}")
    return benchmark.finish(out=arguments.out)


def _sets(encoders: dict[str, PatchEncoder]) -> Iterator[tuple[str, dict[str, Labelled]]]:
    """Each set's name and its rows by encoder."""
    data = shared_data()
    there = [name for name in SETS if data is not None and (data / "patches" / name).is_dir()]
    for name in there:
        assert data is not None
        yield (
            name,
            {
                each: labelled_images(data / "patches" / name, encoder, group_pattern=SETS[name])
                for each, encoder in encoders.items()
            },
        )
    if not there:
        with tempfile.TemporaryDirectory() as folder:
            atlas = atlas_patches(Path(folder), slides=6, seed=SEED, size=(2560, 2560), patients=6)
        images, nobody = np.stack(atlas.images), np.full(len(atlas.labels), "")
        yield (
            "atlas",
            {
                each: Labelled(each, encoder.encode(images), atlas.labels, atlas.groups, atlas.groups, nobody)
                for each, encoder in encoders.items()
            },
        )


def _few(benchmark: Benchmark, set_name: str, encoder: str, rows: Labelled, quick: bool) -> FewShot:
    of = "" if encoder == OURS else f"_{encoder.replace('-', '_')}"
    found = few_shot(rows, shots=SHOTS, seed=SEED, draws=200 if quick else 2000)
    scaled = few_shot(rows, shots=SHOTS, seed=SEED, standardise=True, draws=200 if quick else 2000)
    for suffix, result in (("", found), ("_standardised", scaled)):
        for point in result.points:
            figure = point.balanced_accuracy
            shown = f"[{figure.low:.3f}, {figure.high:.3f}]  sd of draws {point.sd:.3f}"
            key = f"acc{point.shots}_{set_name}{of}{suffix}"
            benchmark.record(key, figure.mean, shown=shown)
            benchmark.record(f"{key}_low", figure.low)
            benchmark.record(f"{key}_high", figure.high)
    for note in found.notes if encoder == OURS else ():
        benchmark.note(f"{set_name}: {note}")
    return found


def _gain(benchmark: Benchmark, set_name: str, ours: FewShot, baseline: FewShot) -> None:
    """Ours less the baseline; both were asked about the same patients in the same draws."""
    for shots, gain in ours.gain_over(baseline, seed=SEED).items():
        benchmark.record(f"gain{shots}_{set_name}", gain.mean, shown=f"[{gain.low:+.3f}, {gain.high:+.3f}]")
        benchmark.record(f"gain{shots}_{set_name}_low", gain.low)
        benchmark.record(f"gain{shots}_{set_name}_high", gain.high)


def _zero(benchmark: Benchmark, set_name: str, encoder: PatchEncoder, rows: Labelled) -> ZeroShot | None:
    try:
        found = zero_shot(rows, encoder, seed=SEED)
    except QueryError:
        return None
    figure = found.balanced_accuracy
    key = f"zero_{set_name}_{encoder.spec.name.replace('-', '_')}"
    benchmark.record(key, figure.mean, shown=f"[{figure.low:.3f}, {figure.high:.3f}]")
    return found


if __name__ == "__main__":
    sys.exit(main())
