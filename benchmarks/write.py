"""Writing features, N × 1024 float16: the streaming shard writer beside np.save; both files are fsynced.

Ours takes the rows in batches of 1,024, as from an encoder, and makes the checksum on the way. Beside it a whole
bag: features, coords, flags, all folders synced, and the commit. Memory is measured in a process of its own.

    python -m benchmarks.write --quick
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.feature_bags import SPACE, commit_bag, put_grid, random_features
from benchmarks.harness import Benchmark, interleaved, parse_arguments
from slidelake.store import ArrayProfile, FeatureStore, Objects, ShardWriter

BATCH = 1024
ROWS = {"20k": 20_000, "100k": 100_000}

_GROWTH = """
import resource, sys
from pathlib import Path
from benchmarks.feature_bags import random_features
from slidelake.store import ArrayProfile, Objects, ShardWriter

folder, rows = Path(sys.argv[1]), int(sys.argv[2])
block = random_features(1024)
writer = ShardWriter(Objects(folder), "a", ArrayProfile((rows, 1024), "float16", ("patch", "feature")))
writer.append(block)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
while writer.rows < rows:
    writer.append(block[: rows - writer.rows])
writer.close()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def main() -> int:
    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("write", quick=arguments.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        name = "20k" if arguments.quick else "100k"
        features = random_features(ROWS[name])
        _ours(folder / "shard", features)
        store = FeatureStore.open(folder / "store", create=True)
        put_grid(store, "S1", len(features))
        if not np.array_equal(commit_bag(store, "S1", features).read(), features):
            raise SystemExit("what was written is not read")
        seconds = interleaved(
            {
                "npsave": lambda: _npsave(folder / "features.npy", features),
                "ours": lambda: _ours(folder / "shard", features),
            },
            rounds=15,
        )
        # A bag of its own kind: each round the next generation, as when it is made again.
        small = random_features(ROWS["20k"])
        put_grid(store, "S2", len(small))
        commits = interleaved(
            {
                "npsave": lambda: _npsave(folder / "features.npy", small),
                "bag": lambda: commit_bag(store, "S2", small),
            },
            rounds=7 if arguments.quick else 15,
        )
        if store.bag("S2", SPACE).commit.generation < 7:
            raise SystemExit("the bags were not committed")
        growth = subprocess.run(
            [sys.executable, "-c", _GROWTH, str(folder / "growth"), str(ROWS[name])],
            capture_output=True,
            text=True,
            check=True,
        )
    benchmark.record("vs_npsave", _ratios(seconds["npsave"], seconds["ours"]))
    benchmark.record("write_mb_s", [features.nbytes / each / 1e6 for each in seconds["ours"]])
    benchmark.record("npsave_mb_s", [features.nbytes / each / 1e6 for each in seconds["npsave"]])
    benchmark.record("bag_commit_ms", [each * 1e3 for each in commits["bag"]], shown="20,000 rows, 41 MB")
    benchmark.record("npsave_20k_ms", [each * 1e3 for each in commits["npsave"]])
    benchmark.record(
        "rss_growth_mib", float(growth.stdout), shown=f"while {features.nbytes >> 20} MiB go through"
    )
    return benchmark.finish(out=arguments.out)


def _npsave(path: Path, features: NDArray[Any]) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        np.save(file, features)
        file.flush()
        os.fsync(file.fileno())


def _ours(folder: Path, features: NDArray[Any]) -> None:
    profile = ArrayProfile(features.shape, features.dtype.name, ("patch", "feature"))
    shard = folder / "a" / profile.shard_name
    shard.unlink(missing_ok=True)
    writer = ShardWriter(Objects(folder), "a", profile)
    for start in range(0, len(features), BATCH):
        writer.append(features[start : start + BATCH])
    (folder / "a" / "zarr.json").unlink(missing_ok=True)
    writer.close()
    handle = os.open(shard, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _ratios(theirs: list[float], ours: list[float]) -> list[float]:
    return [one / other for one, other in zip(theirs, ours, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
