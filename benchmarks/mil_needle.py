"""A needle in a haystack: bags of 2,000 patches whose label hangs on 10 planted ones, 0.5 %.

Bags are drawn patient by patient from an encoded synthetic atlas (needle_bags.py) and committed to a lake; a slide is
positive by 10 patches of necrosis, and the other patches are of every other tissue. Trained by
`slidelake.encoders.training` on 16 patients, the epoch chosen on 4, measured on 8 that were never seen; no patch and no
stain of theirs was in training. The recipe was chosen on seeds 100 to 108; the seeds that are reported are others.

`auroc_<slide encoder>` over held-out slides, median over seeds; `attention_ap`: average precision of ABMIL's attention
for the planted rows of held-out positive slides (chance 0.005), and `attention_ap_<slide encoder>` of the others.

    python -m benchmarks.mil_needle --quick
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import average_precision_score

from benchmarks.harness import Benchmark, argument_parser
from benchmarks.needle_bags import Atlas, DrawnSlide, commit_slides, draw_slides, encoded_atlas
from slidelake.encoders import Bags, load_checkpoint
from slidelake.encoders.training import make_config, train
from slidelake.ingest.synthetic import DEFAULT_SIZE
from slidelake.kernels import attention_weights
from slidelake.store import BagLoader, FeatureStore
from slidelake.store.streaming import Classification, Labels, Splits, make_splits

PARTS = {"train": 16 / 28, "val": 4 / 28, "test": 8 / 28}


@dataclass(frozen=True)
class Size:
    """Patients of the atlas and the side of their slides (px); slides a patient in the lake, rows, needles; epochs."""

    patients: int
    side: tuple[int, int]
    slides: int
    rows: int
    planted: int
    epochs: int


FULL = Size(28, DEFAULT_SIZE, 6, 2000, 10, 120)
#: Small slides lack a tissue now and then: some of these patients have no needle and fall out.
QUICK = Size(12, (3072, 3072), 12, 1000, 5, 30)
#: The texture encoder's rows are small numbers, so they are standardised; few rows a step and a strong decay keep a
#: projection from learning the training bags by heart before it has found the needles. ABMIL has no loss of its own
#: that looks for them: with one branch it learns some draws by heart at every rate that was tried, with eight one
#: branch finds them; more rows a step (2.5 needles in place of 1.25) then keep the head from overfitting.
RECIPE: dict[str, Any] = {
    "bags_per_batch": 8, "sample": 250, "lr": 1e-3, "weight_decay": 0.1, "standardise": True, "patience": 0,
    "bootstrap": 0,
}  # fmt: skip
ENCODERS: dict[str, dict[str, Any]] = {
    "mean": {"encoder": "mean"},
    "abmil": {
        "encoder": "abmil", "options": {"branches": 8}, "lr": 2e-3, "bags_per_batch": 4, "sample": 500, "epochs": 80
    },
    "clam": {"encoder": "clam-sb", "options": {"projection": 256, "hidden": 128}},
    "acmil": {"encoder": "acmil"},
}  # fmt: skip


def trained(
    store: FeatureStore, splits: Path, out: Path, seed: int, epochs: int, recipe: dict[str, Any]
) -> tuple[float, Path]:
    """AUROC on the held-out patients, and the checkpoint."""
    told = {"labels": "needle", "classes": ["absent", "present"], "out": str(out), "splits": str(splits)}
    quiet = {"tensorboard": "off", "pictures": False, "device": "cpu", "seed": seed}
    fewer = {"epochs": min(epochs, recipe.get("epochs", epochs))}
    report = train(store, make_config(told, quiet, RECIPE, recipe, fewer))
    return report.metrics("test")["auroc"].value, report.checkpoints()[0]


def attention_precision(
    store: FeatureStore, splits: Splits, checkpoint: Path, slides: list[DrawnSlide]
) -> float:
    """Mean over held-out positive slides of the attention's average precision for the planted rows."""
    model = load_checkpoint(checkpoint).model
    planted = {slide.slide_id: slide.planted for slide in slides if slide.positive}
    found = []
    with torch.inference_mode():
        for batch in BagLoader(store, splits=splits, part="test", shuffle=False):
            truth = planted.get(batch.slide_ids[0])
            if truth is None:
                continue
            output = model(Bags(batch.features, batch.cu_seqlens))
            if output.scores is None or output.lse is None:
                return float("nan")
            attention = attention_weights(output.scores, output.lse, batch.cu_seqlens).mean(0)
            found.append(average_precision_score(truth[batch.rows.numpy()], attention.numpy()))
    return float(np.mean(found))


def one_seed(
    atlas: Atlas, folder: Path, seed: int, names: list[str], size: Size
) -> dict[str, tuple[float, float]]:
    """(AUROC, attention's average precision) of each slide encoder on bags drawn with this seed."""
    slides = draw_slides(atlas, slides=size.slides, rows=size.rows, planted=size.planted, seed=seed)
    store = FeatureStore.open(folder / f"lake-{seed}", create=True)
    commit_slides(store, atlas, slides)
    labels = Labels.read(store, Classification("needle", ["absent", "present"]))
    splits = make_splits(store, labels=labels, parts=PARTS, seed=seed)
    splits.save(folder / f"splits-{seed}.json")
    found = {}
    for name in names:
        out = folder / f"{name}-{seed}"
        auroc, checkpoint = trained(
            store, folder / f"splits-{seed}.json", out, seed, size.epochs, ENCODERS[name]
        )
        found[name] = auroc, attention_precision(store, splits, checkpoint, slides)
        print(
            f"seed {seed} {name:6} AUROC {auroc:.3f}  attention {found[name][1]:.3f}",
            file=sys.stderr,
            flush=True,
        )
    return found


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--cache", type=Path, help="folder in which the encoded atlas is kept")
    parser.add_argument("--seeds", type=int, nargs="*", help="those to run in place of 0 to 4")
    parser.add_argument("--encoders", nargs="*", choices=list(ENCODERS), default=list(ENCODERS))
    arguments = parser.parse_args()
    benchmark = Benchmark("mil_needle", quick=arguments.quick)
    seeds = arguments.seeds or ([0] if arguments.quick else [0, 1, 2, 3, 4])
    size = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        atlas = encoded_atlas(arguments.cache or folder, patients=size.patients, seed=7, size=size.side)
        distinct, patients = len(np.unique(atlas.rows, axis=0)), len(set(atlas.patients.tolist()))
        benchmark.note(
            f"{distinct:,} distinct patches of {patients} patients; a seed: {size.slides} slides each of "
            f"{size.rows:,} rows, {size.planted} planted in every other one"
        )
        found = [one_seed(atlas, folder, seed, arguments.encoders, size) for seed in seeds]
    for each in arguments.encoders:
        benchmark.record(f"auroc_{each}", [one[each][0] for one in found])
    for each in arguments.encoders:
        if each != "mean":
            key = "attention_ap" if each == "abmil" else f"attention_ap_{each}"
            benchmark.record(key, [one[each][1] for one in found], shown="chance 0.005")
    return benchmark.finish(arguments.out)


if __name__ == "__main__":
    raise SystemExit(main())
