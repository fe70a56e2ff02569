"""4,096 sorted random rows of 100,000 × 1024 float16, beside np.memmap's fancy indexing; both open the file anew.

python -m benchmarks.row_subset --quick
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr

from benchmarks.feature_bags import SPACE, commit_bag, random_features, save_h5
from benchmarks.harness import Benchmark, interleaved, parse_arguments
from slidelake.store import FeatureStore

ROWS, CHOSEN = 100_000, 4096


def main() -> int:
    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("row_subset", quick=arguments.quick)
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore.open(Path(folder) / "store", create=True)
        features = random_features(ROWS)
        held = commit_bag(store, "S1", features)
        npy = Path(folder) / "features.npy"
        np.save(npy, features)
        rows = np.sort(np.random.default_rng(1).choice(ROWS, CHOSEN, replace=False))
        buffer = np.empty((CHOSEN, features.shape[1]), features.dtype)
        path = str(Path(held.path) / "features")
        sides: dict[str, Callable[[], Any]] = {
            "memmap": lambda: np.load(npy, mmap_mode="r")[rows],
            "ours": lambda: store.bag("S1", SPACE).rows(rows),
            "reused": lambda: store.bag("S1", SPACE).rows(rows, out=buffer),
        }
        others: dict[str, Callable[[], Any]] = {
            "zarr_python": lambda: zarr.open_array(path, mode="r").oindex[rows],
        }
        if not arguments.quick:
            h5 = Path(folder) / "features.h5"
            save_h5(h5, features)
            others["trident_h5"] = lambda: _h5(h5, rows)
        for side, read in {**sides, **others}.items():
            if not np.array_equal(read(), features[rows]):
                raise SystemExit(f"{side} does not read what was written")
        seconds = interleaved(sides, rounds=31 if arguments.quick else 101)
        slow = interleaved({**others, "ours": sides["ours"]}, rounds=5)
        mapped = held.mapped()
        fixed = np.load(npy, mmap_mode="r")
        gather = interleaved({"memmap": lambda: fixed[rows], "ours": lambda: mapped[rows]}, rounds=31)
    benchmark.record(
        "time_vs_memmap",
        _ratios(seconds["ours"], seconds["memmap"]),
        shown=f"{np.median(seconds['ours']) * 1e3:.2f} ms, memmap {np.median(seconds['memmap']) * 1e3:.2f} ms",
    )
    benchmark.record("time_vs_memmap_reused_buffer", _ratios(seconds["reused"], seconds["memmap"]))
    benchmark.record("time_vs_memmap_both_held", _ratios(gather["ours"], gather["memmap"]))
    for side in others:
        benchmark.record(f"rate_vs_{side}", _ratios(slow[side], slow["ours"]))
    return benchmark.finish(out=arguments.out)


def _h5(path: Path, rows: Any) -> Any:
    with h5py.File(path) as file:
        return file["features"][rows]


def _ratios(ones: list[float], others: list[float]) -> list[float]:
    return [one / other for one, other in zip(ones, others, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
