"""A whole ingest of small slides: patches/s, where the time goes, peak memory.

Beside it, in turns, a plain loop over the same patches with the same encoder: open the slide with OpenSlide,
read a region, encode a batch, keep the features in a list, `np.save` them at the end. That is what a lab's own
script does, with neither quality measures nor a commit.

    python -m benchmarks.ingest_small --quick
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Benchmark, parse_arguments

ENCODER = "stain-texture"
BATCH = 64


def _ours(slides: Path, pipe: Any) -> None:
    """Run in a process of its own, so that peak memory is this run's alone."""
    from slidelake.ingest import ingest
    from slidelake.store import FeatureStore

    _warm_up()
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore.open(folder, create=True)
        began = time.perf_counter()
        report = ingest(store, [], manifest=str(slides / "manifest.csv"), encoder=ENCODER, batch_size=BATCH)
        wall = time.perf_counter() - began
    made = [outcome for outcome in report.outcomes if outcome.state == "made"]
    pipe.send(
        {
            "wall": wall,
            "slides": len(made),
            "patches": sum(outcome.patches for outcome in made),
            "decode": sum(outcome.decode_seconds for outcome in made),
            "encode": sum(outcome.encode_seconds for outcome in made),
            "write": sum(outcome.write_seconds for outcome in made),
            "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )


def _plain(slides: Path, places: dict[str, list[tuple[int, int]]], pipe: Any) -> None:
    import openslide

    from slidelake.encoders import create_encoder

    _warm_up()
    encoder = create_encoder(ENCODER)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for slide_id, coords in places.items():
            with openslide.OpenSlide(slides / f"{slide_id}.svs") as slide:
                rows = []
                for first in range(0, len(coords), BATCH):
                    batch = [
                        np.asarray(slide.read_region(place, 0, (256, 256)).convert("RGB"))
                        for place in coords[first : first + BATCH]
                    ]
                    rows.append(encoder.encode(np.stack(batch)).astype(np.float16))
            np.save(Path(folder) / f"{slide_id}.npy", np.concatenate(rows))
        wall = time.perf_counter() - began
    pipe.send({"wall": wall, "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


def _warm_up() -> None:
    # Compiled code is loaded once a process, not once a slide: it is not what is measured.
    from slidelake.encoders import create_encoder
    from slidelake.ingest import area_average

    white = np.full((2, 256, 256, 3), 200, np.uint8)
    create_encoder(ENCODER).encode(white)
    area_average(white[0], 0.0, 0.0, 2.5, 2.5, (100, 100))


def _in_process(target: Any, *arguments: Any) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*arguments, theirs))
    process.start()
    theirs.close()
    result: dict[str, float] = ours.recv()
    process.join()
    return result


def _coords(slides: Path) -> dict[str, list[tuple[int, int]]]:
    """The patches that an ingest keeps, so that both sides do the same work."""
    from slidelake.ingest import ingest
    from slidelake.store import FeatureStore

    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore.open(folder, create=True)
        ingest(store, [], manifest=str(slides / "manifest.csv"), encoder="colour-histogram")
        space = store.resolve_space(None)
        return {
            slide_id: [(int(x), int(y)) for x, y in store.bag(slide_id, space).coords[:]]
            for slide_id in store.slide_ids()
        }


def main() -> int:
    from slidelake.ingest.synthetic import DEFAULT_SIZE, synthesise

    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("ingest_small", quick=arguments.quick)
    with tempfile.TemporaryDirectory() as folder:
        slides = Path(folder)
        quick = arguments.quick
        synthesise(slides, slides=2 if quick else 6, seed=3, size=2048 if quick else DEFAULT_SIZE)
        places = _coords(slides)
        ours, plain = [], []
        for _ in range(3 if arguments.quick else 5):
            ours.append(_in_process(_ours, slides))
            plain.append(_in_process(_plain, slides, places))
    patches = sum(len(coords) for coords in places.values())
    if any(run["patches"] != patches for run in ours):
        print("the two sides did not encode the same patches", file=sys.stderr)
        return 1
    stages = {name: float(np.median([run[name] for run in ours])) for name in ("decode", "encode", "write")}
    busy = sum(stages.values())
    benchmark.record("patches_per_s", [patches / run["wall"] for run in ours])
    for name, seconds in stages.items():
        benchmark.record(f"share_{name}", [seconds / busy])
    benchmark.record("peak_rss_mib", [run["rss_mib"] for run in ours])
    benchmark.record("plain_loop_patches_per_s", [patches / run["wall"] for run in plain])
    benchmark.record(
        "vs_plain_loop", [theirs["wall"] / mine["wall"] for mine, theirs in zip(ours, plain, strict=True)]
    )
    benchmark.note(
        f"{patches} patches of {len(places)} slides; plain loop peak {json.dumps(plain[0]['rss_mib'])} MiB"
    )
    return benchmark.finish(out=arguments.out)


if __name__ == "__main__":
    sys.exit(main())
