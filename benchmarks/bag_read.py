"""Whole bags, N × 1024 float16: into fresh memory and into a reused buffer, beside np.load and the other readers.

Every side opens the bag anew in each round (ours by slide and space, through the commit) and reads it warm. HDF5 is
laid out as TRIDENT and CLAM write it (float32, chunks of one row); zarr-python, zarrs and tensorstore read our file.

    python -m benchmarks.bag_read --quick
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorstore
import zarr

from benchmarks.feature_bags import SPACE, commit_bag, random_features, save_h5
from benchmarks.harness import Benchmark, interleaved, parse_arguments
from slidelake.store import FeatureStore

SIZES = {"20k": 20_000, "100k": 100_000}


def main() -> int:
    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("bag_read", quick=arguments.quick)
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore.open(Path(folder) / "store", create=True)
        for name, rows in SIZES.items():
            _whole_bags(benchmark, store, Path(folder), name, rows, arguments.quick)
        _open(benchmark, store)
    return benchmark.finish(out=arguments.out)


def _whole_bags(
    benchmark: Benchmark, store: FeatureStore, folder: Path, name: str, rows: int, quick: bool
) -> None:
    features = random_features(rows)
    commit_bag(store, name, features)
    npy, h5 = folder / f"{name}.npy", folder / f"{name}.h5"
    np.save(npy, features)
    buffer = np.empty_like(features)
    path = str(Path(store.bag(name, SPACE).path) / "features")
    sides: dict[str, Callable[[], Any]] = {
        "npload": lambda: np.load(npy),
        "fresh": lambda: store.bag(name, SPACE).read(),
        "reused": lambda: store.bag(name, SPACE).read(out=buffer),
        "zarr_python": lambda: zarr.open_array(path, mode="r")[...],
        "zarrs": lambda: _zarrs(path),
        "tensorstore": lambda: _tensorstore(path),
    }
    for side, read in sides.items():
        if not np.array_equal(read(), features):
            raise SystemExit(f"{side} does not read what was written")
    seconds = interleaved(sides, rounds=9 if quick else 21)
    benchmark.note(
        f"{name}: {', '.join(f'{side} {_rate(features.nbytes, each):.2f}' for side, each in seconds.items())} GB/s"
    )
    for side in ("fresh", "reused"):
        benchmark.record(f"{side}_vs_npload_{name}", _ratios(seconds["npload"], seconds[side]))
    for side in ("zarr_python", "zarrs", "tensorstore"):
        benchmark.record(f"vs_{side}_{name}", _ratios(seconds[side], seconds["fresh"]))
    if name != "100k":
        return
    # Slow: by itself, so that it does not push the file of the others out of the cache between their rounds.
    save_h5(h5, features)
    if not np.array_equal(_h5(h5), features):
        raise SystemExit("HDF5 does not read what was written")
    slow = interleaved({"h5": lambda: _h5(h5), "fresh": sides["fresh"]}, rounds=5, warm=False)
    benchmark.record(
        f"vs_trident_h5_{name}",
        _ratios(slow["h5"], slow["fresh"]),
        shown=f"HDF5 takes {np.median(slow['h5']):.2f} s",
    )


def _open(benchmark: Benchmark, store: FeatureStore) -> None:
    """From the slide's id to its first row, and reading the first row with a handle at hand."""
    bag = store.bag("20k", SPACE)
    seconds = interleaved(
        {"open": lambda: store.bag("20k", SPACE).rows([0]), "held": lambda: bag.rows([0])}, rounds=500
    )
    benchmark.record("open_first_row_ms", [each * 1e3 for each in seconds["open"]])
    benchmark.record("first_row_held_ms", [each * 1e3 for each in seconds["held"]])


def _zarrs(path: str) -> Any:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return zarr.open_array(path, mode="r")[...]


def _tensorstore(path: str) -> Any:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
    return tensorstore.open(spec, read=True).result().read().result()


def _h5(path: Path) -> Any:
    with h5py.File(path) as file:
        return file["features"][:]


def _ratios(theirs: list[float], ours: list[float]) -> list[float]:
    return [one / other for one, other in zip(theirs, ours, strict=True)]


def _rate(count: int, seconds: list[float]) -> float:
    return float(count / np.median(seconds) / 1e9)


if __name__ == "__main__":
    sys.exit(main())
