"""The compression profiles on real features: size, reading and writing, each beside no compression.

The features are `stain-texture`'s, of crops of the real patches where the shared data lies beside the checkout, else
of the synthetic atlas. As many distinct rows as four inner chunks hold are repeated to the bag's length: chunks are
packed one by one, so that repetition saves nothing. `size_<profile>` is of float16 as it is; the other forms are
float32, divided by its norm, and rounded to bfloat16 before, as from a model that computes in it.

    python -m benchmarks.compression --quick
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.feature_bags import SPACE, commit_bag
from benchmarks.harness import Benchmark, interleaved, parse_arguments
from benchmarks.patch_sets import PATCH_PX, atlas_patches, real_sets
from slidelake.encoders import create_encoder
from slidelake.store import COMPRESSIONS, FeatureStore, verify

DISTINCT = 4096


def main() -> int:
    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("compression", quick=arguments.quick)
    source, features = _real_features()
    repeats = 2 if arguments.quick else 8
    with tempfile.TemporaryDirectory() as folder:
        stores = {
            name: FeatureStore.open(Path(folder) / name, create=True, compression=name)
            for name in COMPRESSIONS
        }
        for form, values in _forms(features).items():
            raw = None
            for name, store in stores.items():
                size = _size(store, f"forms-{form}", values)
                raw = raw or size
                benchmark.record(f"size_{name}{form and '_'}{form}", size / raw)
        bag = np.concatenate([features.astype(np.float16)] * repeats)
        for name, store in stores.items():
            if not np.array_equal(commit_bag(store, "S1", bag).read(), bag):
                raise SystemExit(f"{name} does not give back what was written")
        buffer = np.empty_like(bag)
        reads = interleaved(
            {name: _reading(store, buffer) for name, store in stores.items()},
            rounds=5 if arguments.quick else 11,
        )
        writes = interleaved(
            {name: _writing(store, bag) for name, store in stores.items()}, rounds=5, warm=False
        )
        if not all(verify(store, deep=True).ok for store in stores.values()):
            raise SystemExit("a store is not sound")
    for name in COMPRESSIONS:
        benchmark.record(f"read_gb_s_{name}", [bag.nbytes / each / 1e9 for each in reads[name]])
        benchmark.record(
            f"read_vs_none_{name}",
            [plain / each for plain, each in zip(reads["none"], reads[name], strict=True)],
        )
        benchmark.record(f"write_mb_s_{name}", [bag.nbytes / each / 1e6 for each in writes[name]])
    benchmark.note(
        f"{len(bag)} × {bag.shape[1]} float16, of {source}; written as whole bags, synced and committed"
    )
    return benchmark.finish(out=arguments.out)


def _real_features() -> tuple[str, NDArray[np.float32]]:
    """What they were made of, and (DISTINCT, D) features of random crops, seeded."""
    sets = [each for each in real_sets() if each.name != "idc"]  # 50 px a side: too small to crop
    if sets:
        source = " and ".join(each.name for each in sets)
        images = [image for each in sets for image in each.images]
    else:
        source = "the synthetic atlas"
        with tempfile.TemporaryDirectory() as folder:
            images = atlas_patches(Path(folder), slides=2, seed=3, size=(2048, 2048)).images
    generator = np.random.default_rng(0)
    encoder = create_encoder("stain-texture")
    rows = []
    for start in range(0, DISTINCT, 256):
        batch = [_crop(images[number % len(images)], generator) for number in range(start, start + 256)]
        rows.append(encoder.encode(np.stack(batch)))
    return source, np.concatenate(rows)


def _crop(image: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    side = int(generator.integers(96, min(image.shape[:2]) + 1))
    y, x = (int(generator.integers(0, n - side + 1)) for n in image.shape[:2])
    crop = np.ascontiguousarray(image[y : y + side, x : x + side])
    return np.asarray(cv2.resize(crop, (PATCH_PX, PATCH_PX), interpolation=cv2.INTER_LINEAR), np.uint8)


def _forms(features: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    rounded = torch.from_numpy(features).to(torch.bfloat16).to(torch.float16).numpy()
    return {
        "": features.astype(np.float16),
        "float32": features,
        "normalised": (features / norms).astype(np.float16),
        "bfloat16": rounded,
    }


def _size(store: FeatureStore, slide_id: str, features: NDArray[Any]) -> int:
    attempt = commit_bag(store, slide_id, features).commit.attempt
    return sum(store.objects.size(key) for key in store.objects.list(f"{attempt}/features/c"))


def _reading(store: FeatureStore, buffer: NDArray[Any]) -> Any:
    return lambda: store.bag("S1", SPACE).read(out=buffer)


def _writing(store: FeatureStore, bag: NDArray[Any]) -> Any:
    return lambda: commit_bag(store, "S1", bag)


if __name__ == "__main__":
    sys.exit(main())
