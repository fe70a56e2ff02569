"""A large lake's table of slides: listed with a valid catalog, made anew from the commits, checked, and any bag opened.

The store: one slide is committed through the public API, with an overview, a grid and a bag; the others are its
copies (commits with the ids replaced, arrays as hard links), as to commit each would take minutes and change
nothing that is measured. Listing and rebuilding look at commits alone: the large store has no arrays. Checking and
opening look at a store of fewer slides that has them all.

Beside it, in turns, a plain loop that opens each slide's Zarr group with zarr-python and reads its shape and
attributes, on a sample of slides.

    python -m benchmarks.catalog --quick
"""

import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.harness import Benchmark, interleaved, parse_arguments
from slidelake.store import CommitKey, FeatureStore, Subject, fingerprint_id, verify

GRID_ID = "256px-0.5mpp"
ENCODER_ID = fingerprint_id("encoder", {"name": "encoder"})
SPACE = f"{GRID_ID}/{ENCODER_ID}"
ROWS, DIM = 64, 32
SAMPLE = 200
TEMPLATE, PATIENT = "TEMPLATE-SLIDE", "TEMPLATE-PATIENT"


def _template(folder: Path) -> FeatureStore:
    """A store of one slide, told of as an ingest tells."""
    store = FeatureStore.open(folder, create=True)
    rng = np.random.default_rng(0)
    facts = {
        "slide_size": [98304, 76800], "mpp": [0.25, 0.25], "footprint_level0": [512.0, 512.0],
        "stride_level0": [512.0, 512.0], "patch_px": 256, "slide_id": TEMPLATE, "encoder_id": ENCODER_ID,
    }  # fmt: skip
    told = {
        "source_uri": f"s3://archive/2026/{TEMPLATE}.svs", "source_size": 1234567890, "source_mtime": 1.7e9,
        "source_checksum": "0" * 32, "reader": "openslide", "reader_version": "4.0.0", "mpp_x": 0.25,
        "mpp_y": 0.25, "mpp_source": "properties", "patient_id": PATIENT, "patient_source": "manifest",
        "tissue_rule": "default1", "weights_sha256": "0" * 64, "dtype": "float16", "device": "cuda:0",
        "time": "2026-11-21T12:00:00+00:00", "slidelake_version": "0.1.0",
    }  # fmt: skip
    thumbnail, mask = np.zeros((64, 96, 3), np.uint8), np.zeros((32, 48), np.uint8)
    store.put_overview(TEMPLATE, thumbnail=thumbnail, tissue_mask=mask, attributes=facts, provenance=told)
    store.put_grid(
        TEMPLATE,
        GRID_ID,
        coords=np.stack([np.arange(ROWS) % 8, np.arange(ROWS) // 8], axis=1) * 512,
        columns={name: rng.integers(0, 256, ROWS, dtype=np.uint8) for name in ("tissue", "blur")},
        attributes=facts,
        provenance=told,
    )
    with store.bag_writer(TEMPLATE, GRID_ID, ENCODER_ID, dim=DIM, attributes=facts) as writer:
        writer.write(rng.normal(size=(ROWS, DIM)).astype(np.float16))
        writer.commit(told)
    return store


def large_store(folder: Path, slides: int, *, arrays: bool) -> FeatureStore:
    """A store of many slides; see above."""
    template = _template(folder / "template")
    made = folder / "store"
    store = FeatureStore.open(made, create=True)
    commits = [
        (key.rpartition("/")[2], template.objects.read(key)) for key in template.objects.list("commits")
    ]
    files = [key.removeprefix(f"slides/{TEMPLATE}/") for key in template.objects.list("slides")]
    folders = sorted({name.rpartition("/")[0] for name in files})
    source = folder / "template" / "slides" / TEMPLATE
    for n in range(slides):
        slide_id, patient = f"SLIDE-{n:06d}-DX1", f"PATIENT-{n // 2:06d}"
        place = made / CommitKey(slide_id, 1, Subject("overview"), 1).key.rpartition("/")[0]
        place.mkdir(parents=True)
        for name, body in commits:
            body = body.replace(TEMPLATE.encode(), slide_id.encode()).replace(
                PATIENT.encode(), patient.encode()
            )
            (place / name).write_bytes(body)
        if arrays:
            target = made / "slides" / slide_id
            for each in folders:
                (target / each).mkdir(parents=True, exist_ok=True)
            for name in files:
                if name.endswith("zarr.json") and b'"attributes": {}' not in (source / name).read_bytes():
                    text = (source / name).read_bytes().replace(TEMPLATE.encode(), slide_id.encode())
                    (target / name).write_bytes(text)
                else:
                    os.link(source / name, target / name)
    # What changed in the last 2 s is listed again the next time: not what is measured.
    time.sleep(2.1)
    return store


def _in_fresh_process(folder: Path, pipe: Any) -> None:
    """Seconds of a first listing with and without the imports, and what it adds to the memory of the process."""
    began = time.perf_counter()
    store = FeatureStore.open(folder)
    # What any table costs: pandas, pyarrow and the first Parquet file.
    pd.read_parquet(folder / "catalog" / "slides.parquet", columns=["slide_id"]).head(0)
    before = _memory("VmRSS")
    table = store.catalog()
    seconds = time.perf_counter() - began
    pipe.send({"seconds": seconds, "rss_mib": _memory("VmHWM") - before, "slides": len(table)})


def _memory(what: str) -> float:
    """MiB of this process by Linux's words: VmRSS now, VmHWM at most (ru_maxrss would count the parent's)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/self/status has no {what}")


def _fresh(folder: Path) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_in_fresh_process, args=(folder, theirs))
    process.start()
    theirs.close()
    result: dict[str, float] = ours.recv()
    process.join()
    return result


def _zarr_loop(store: FeatureStore, ids: list[str]) -> list[tuple[str, tuple[int, ...], list[int]]]:
    """What one does without a catalog: open each group, read its shape and attributes."""
    import zarr

    found = []
    for slide_id in ids:
        place = Path(store.url, "slides", slide_id, "bags", GRID_ID, ENCODER_ID)
        group = zarr.open_group(str(next(place.iterdir())), mode="r", zarr_format=3)
        features: Any = group["features"]
        found.append((slide_id, tuple(features.shape), list(group.attrs["slide_size"])))  # type: ignore[arg-type]
    return found


def _rebuild(store: FeatureStore) -> pd.DataFrame:
    shutil.rmtree(Path(store.url, "catalog"), ignore_errors=True)
    return store.catalog()


def _open_all(store: FeatureStore, ids: list[str]) -> None:
    for slide_id in ids:
        store.bag(slide_id, SPACE)


def _first_rows(store: FeatureStore, ids: list[str]) -> None:
    for slide_id in ids:
        store.bag(slide_id, SPACE).rows([0])


def _check(large: FeatureStore, whole: FeatureStore, sample: list[str]) -> None:
    """Equal results before anything is timed."""
    pd.testing.assert_frame_equal(_rebuild(large), large.catalog())
    table = whole.catalog().set_index("slide_id")
    for slide_id, shape, size in _zarr_loop(whole, sample):
        row = table.loc[slide_id]
        if (row.space_patches[0], [row.width, row.height]) != (shape[0], size):
            raise SystemExit(f"{slide_id} differs between the catalog and its group")
    if not verify(whole).ok:
        raise SystemExit("the store that was made is not sound")


def _larger(benchmark: Benchmark, folder: Path) -> None:
    store = large_store(folder, 100_000, arrays=False)
    sides: dict[str, Callable[[], Any]] = {"list": store.catalog}
    store.catalog()
    benchmark.record("list_100k_s", interleaved(sides)["list"])
    benchmark.record(
        "rebuild_100k_s", interleaved({"rebuild": lambda: _rebuild(store)}, rounds=2, warm=False)["rebuild"]
    )
    benchmark.record("rss_100k_mib", _fresh(Path(store.url))["rss_mib"])


def main() -> int:
    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("catalog", quick=arguments.quick)
    slides, with_arrays = 10_000, 300 if arguments.quick else 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = large_store(folder / "large", slides, arrays=False)
        whole = large_store(folder / "whole", with_arrays, arrays=True)
        rng = random.Random(0)
        sample = rng.sample(whole.slide_ids(), SAMPLE)
        anywhere = rng.sample(large.slide_ids(), SAMPLE)
        _check(large, whole, sample)
        seconds = interleaved(
            {
                "list": large.catalog,
                "states": large.states,
                "zarr": lambda: _zarr_loop(whole, sample),
                "open": lambda: _open_all(large, anywhere),
                "first": lambda: _first_rows(whole, sample),
            }
        )
        rebuild = interleaved({"rebuild": lambda: _rebuild(large)}, rounds=5, warm=False)["rebuild"]
        checked = interleaved({"verify": lambda: verify(whole)}, rounds=5, warm=False)["verify"]
        fresh = [_fresh(Path(large.url)) for _ in range(3)]
        loop = [each / SAMPLE * slides for each in seconds["zarr"]]
        benchmark.record("list_10k_s", seconds["list"])
        benchmark.record(
            "rebuild_10k_s", rebuild, shown=f"{slides / float(np.median(rebuild)):,.0f} slides/s"
        )
        benchmark.record(
            "verify_per_s", [with_arrays / each for each in checked], shown="slides, each with 3 commits"
        )
        benchmark.record(
            "open_ms", [each / SAMPLE * 1e3 for each in seconds["open"]], shown="store.bag(slide, space)"
        )
        benchmark.record("open_first_row_ms", [each / SAMPLE * 1e3 for each in seconds["first"]])
        benchmark.record(
            "rss_mib", [each["rss_mib"] for each in fresh], shown="what a listing adds to a new process"
        )
        benchmark.record("list_new_process_s", [each["seconds"] for each in fresh])
        benchmark.record("list_keys_10k_s", seconds["states"], shown="store.states(), which lists every key")
        benchmark.record("zarr_loop_10k_s", loop, shown=f"from {SAMPLE} slides")
        benchmark.record(
            "vs_zarr_loop", [theirs / mine for theirs, mine in zip(loop, seconds["list"], strict=True)]
        )
        if not arguments.quick:
            _larger(benchmark, folder / "larger")
        benchmark.note(f"{slides:,} slides listed; {with_arrays:,} with arrays for checking and opening")
    return benchmark.finish(out=arguments.out)


if __name__ == "__main__":
    sys.exit(main())
