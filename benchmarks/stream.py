"""Streaming whole bags to a trainer: BagLoader beside a bare np.load loop, and beside a DataLoader over HDF5.

All bags are (8,000, 1,024) float16, warm. `vs_npload`: our rate over that of a loop in one process that does nothing
but `np.load` each bag's features; ours gives coordinates, row numbers and tensors too. `vs_h5_dataloader`: our rate
over a torch DataLoader with 2 workers (spawned before, kept) on TRIDENT's layout: chunks of one row, float32.
`vs_h5_f16_dataloader` is the same with float16, the best that layout gives. `wait_share_5ms_step`: the share of the
time that a loop waits for batches whose every step sleeps 5 ms; `first_batch_ms` is the part of it that no reading
ahead can hide.

    python -m benchmarks.stream --quick
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from benchmarks.harness import Benchmark, interleaved, parse_arguments
from slidelake.store import BagLoader, FeatureStore

ROWS, DIM = 8000, 1024
GRID, ENCODER = "256px-0.5mpp", "bench.00000000"
STEP = 0.005


class Trident(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """A lab's own dataset over TRIDENT's files: `features` and `coords` of one slide an item."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        with h5py.File(self.paths[index], "r") as file:
            return torch.from_numpy(file["features"][:]), torch.from_numpy(file["coords"][:])


def write(folder: Path, bags: int, h5_bags: int) -> FeatureStore:
    """The same features as a store, as npy files, and (the first ones) as HDF5."""
    store = FeatureStore.open(folder / "store", create=True)
    coords = np.stack([np.arange(ROWS) % 90, np.arange(ROWS) // 90], axis=1) * 512
    base = np.random.default_rng(0).standard_normal((ROWS, DIM), np.float32).astype(np.float16)
    for number in range(bags):
        features = np.roll(base, number, axis=0)
        slide_id = f"S{number:02d}"
        store.put_grid(slide_id, GRID, coords=coords, columns={}, attributes={}, provenance={})
        with store.bag_writer(slide_id, GRID, ENCODER, dim=DIM) as writer:
            writer.write(features)
            writer.commit({})
        np.save(folder / f"{slide_id}.npy", features)
        for kind in ("float32", "float16") if number < h5_bags else ():
            with h5py.File(folder / f"{slide_id}.{kind}.h5", "w") as file:
                options: dict[str, Any] = {"maxshape": (None, DIM), "chunks": (1, DIM)}
                file.create_dataset("features", data=features.astype(kind), **options)
                file.create_dataset("coords", data=coords, maxshape=(None, 2), chunks=(1, 2))
    return store


class Loop:
    """np.load, file after file."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (np.load(path) for path in self._paths)


def h5_loader(folder: Path, bags: int, kind: str) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """Two workers that are kept, one slide a batch."""
    paths = [folder / f"S{number:02d}.{kind}.h5" for number in range(bags)]
    return DataLoader(
        Trident(paths),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="spawn",
        persistent_workers=True,
    )


def through(loader: Any) -> Callable[[], int]:
    """A loop that takes every batch and does nothing with it."""
    return lambda: sum(1 for _ in loader)


def sleeping(loader: Any) -> tuple[float, float, float]:
    """Seconds waited for the first batch, for the others, and the whole loop's; each step sleeps."""
    batches: Iterator[Any] = iter(loader)
    began = time.perf_counter()
    waits = []
    while True:
        asked = time.perf_counter()
        if next(batches, None) is None:
            return waits[0], sum(waits[1:]), time.perf_counter() - began
        waits.append(time.perf_counter() - asked)
        time.sleep(STEP)


def check(folder: Path, loader: BagLoader, h5: dict[str, Any]) -> None:
    """Both sides give the same features; raises SystemExit where not."""
    for number, batch in enumerate(loader):
        if not np.array_equal(batch.features.numpy(), np.load(folder / f"S{number:02d}.npy")):
            sys.exit(f"bag {number} is not what np.load gives")
    for kind, side in h5.items():
        for number, (features, _) in enumerate(side):
            stored = np.load(folder / f"S{number:02d}.npy")
            if not np.array_equal(features.numpy(), stored.astype(kind)):
                sys.exit(f"bag {number} of the {kind} HDF5 is not the same")


def main() -> int:
    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("stream", quick=arguments.quick)
    bags, (h5_bags, rounds) = 40, (6, 5) if arguments.quick else (40, 7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = write(folder, bags, h5_bags)
        loader = BagLoader(store, shuffle=False)
        few = BagLoader(store, shuffle=False, slides=[f"S{number:02d}" for number in range(h5_bags)])
        h5 = {kind: h5_loader(folder, h5_bags, kind) for kind in ("float32", "float16")}
        check(folder, loader, h5)

        paths = [folder / f"S{number:02d}.npy" for number in range(bags)]

        def let_go() -> int:
            return sum(len(np.load(path)) > 0 for path in paths)

        # As in any training loop, a bag is there until the next one is: both sides go round two pieces of memory.
        # (One that lets go of a bag before it asks for the next reads into the one piece that the caches hold.)
        sides = {"ours": through(loader), "npload": through(Loop(paths)), "let_go": let_go}
        seconds = interleaved(sides, rounds=rounds * 3)
        ratio = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds["npload"], strict=True)]
        size = bags * ROWS * DIM * 2 / 1e9
        benchmark.record("vs_npload", ratio, shown="× the rate of a bare np.load loop")
        ratio = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds["let_go"], strict=True)]
        benchmark.record("vs_npload_let_go", ratio, shown="each array let go of before the next is read")
        sides = {"ours": through(few), **{kind: through(side) for kind, side in h5.items()}}
        beside = interleaved(sides, rounds=rounds)
        for key, kind in (("vs_h5_dataloader", "float32"), ("vs_h5_f16_dataloader", "float16")):
            benchmark.record(key, [b / a for a, b in zip(beside["ours"], beside[kind], strict=True)])
        waited = [sleeping(loader) for _ in range(rounds)]
        benchmark.record("wait_share_5ms_step", [(first + rest) / whole for first, rest, whole in waited])
        benchmark.record("first_batch_ms", [first * 1e3 for first, _, _ in waited])
        benchmark.record("next_batch_ms", [rest / (bags - 1) * 1e3 for _, rest, _ in waited])
        theirs = [sleeping(h5["float32"]) for _ in range(rounds)]
        benchmark.record("h5_wait_share_5ms_step", [(first + rest) / whole for first, rest, whole in theirs])
        benchmark.record("gb_per_s", [size / each for each in seconds["ours"]])
        benchmark.record("npload_gb_per_s", [size / each for each in seconds["npload"]])
        benchmark.note(f"{bags} bags of ({ROWS}, {DIM}) float16, {size:.2f} GB; {h5_bags} of them as HDF5")
        del h5
    return benchmark.finish(out=arguments.out)


if __name__ == "__main__":
    sys.exit(main())
