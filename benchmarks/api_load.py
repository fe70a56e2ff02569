"""The HTTP API under load: searches and tiles at fixed rates, memory over many requests, many thinking clients.

The lake: clustered features of 512 numbers through the real store and index (200,000 patches in 100 slides of 50
patients), and one synthetic slide that is ingested, whose tiles are asked for. The server: a real `slidelake serve`
process. The load comes from this process, on the same cores (open loop: see http_load.py).

Tiles are warm: each was drawn once before. Searches are for patches by their place, a third of them with a filter and
the patient left out; each is for another patch, and answers with 20 hits.

    python -m benchmarks.api_load --quick
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pandas as pd

from benchmarks.harness import Benchmark, parse_arguments
from benchmarks.http_load import Answers, Call, closed_loop, open_loop, thinking_clients
from slidelake.services import Lake
from slidelake.services import open as open_lake
from slidelake.store import fingerprint_id

GRID_ID = "256px-0.5mpp"
ENCODER_ID = fingerprint_id("clusters", {"name": "clusters"})
SPACE = f"{GRID_ID}/{ENCODER_ID}"
DIM, MODES, INNER, FOOTPRINT, ACROSS = 512, 500, 64, 512, 50
TILES_ASKED = 120
_SERVE = "from slidelake.services.cli.app import main; main()"


def make_lake(folder: Path, slides: int, rows: int) -> tuple[Lake, str]:
    """The lake, synced, and the id of the slide whose pixels are there."""
    from slidelake.ingest.synthetic import synthesise

    synthesise(folder / "slides", slides=1, seed=0, size=4096)
    lake = open_lake(folder / "lake")
    lake.ingest(str(folder / "slides"), sync_index=False)
    (seen,) = lake.store.slide_ids()
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(MODES, DIM)).astype(np.float32)
    inner = rng.normal(size=(MODES, INNER, DIM)).astype(np.float32) / np.sqrt(INNER)
    coords = np.stack([np.arange(rows) % ACROSS, np.arange(rows) // ACROSS], axis=1) * FOOTPRINT
    facts = {
        "spec": {"patch_px": 256, "mpp": 0.5, "stride_px": 256},
        "footprint_level0": [float(FOOTPRINT)] * 2,
        "stride_level0": [float(FOOTPRINT)] * 2,
        "effective_mpp": [0.5, 0.5],
        "slide_size": [ACROSS * FOOTPRINT, -(-rows // ACROSS) * FOOTPRINT],
    }
    for n in range(slides):
        slide_id, told = f"SLIDE-{n:04d}", {"patient_id": f"PATIENT-{n // 2:04d}"}
        modes = rng.choice(MODES, size=20)[rng.integers(0, 20, rows)]
        features = centres[modes]
        for mode in np.unique(modes):
            own = np.flatnonzero(modes == mode)
            features[own] += 0.7 * rng.normal(size=(len(own), INNER)).astype(np.float32) @ inner[mode]
        columns = {"tissue": np.full(rows, 255, np.uint8), "blur": rng.integers(0, 256, rows, dtype=np.uint8)}
        lake.store.put_grid(
            slide_id, GRID_ID, coords=coords, columns=columns, attributes=facts, provenance=told
        )
        with lake.store.bag_writer(slide_id, GRID_ID, ENCODER_ID, dim=DIM, attributes=facts) as writer:
            writer.write(features.astype(np.float16))
            writer.commit(told)
    ids = [f"SLIDE-{n:04d}" for n in range(slides)]
    lake.store.metadata.merge(
        pd.DataFrame({"slide_id": ids, "site": [("larynx", "lung", "skin")[n % 3] for n in range(slides)]})
    )
    lake.index.sync()
    return lake, seen


@contextmanager
def serving(store: Path) -> Iterator[tuple[str, int]]:
    """A server of its own process: its URL and process id."""
    command = [sys.executable, "-c", _SERVE, "serve", "--store", str(store), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the server did not start")
        yield json.loads(line)["url"], process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


class Calls:
    """Requests in an order that the seed decides."""

    def __init__(self, slides: int, rows: int, tiles: list[str]) -> None:
        self._chance = random.Random(0)
        self._slides, self._rows, self.tiles = slides, rows, tiles

    def search(self) -> Call:
        row = self._chance.randrange(self._rows)
        query = {
            "slide": f"SLIDE-{self._chance.randrange(self._slides):04d}",
            "x": row % ACROSS * FOOTPRINT + FOOTPRINT // 2,
            "y": row // ACROSS * FOOTPRINT + FOOTPRINT // 2,
        }
        asked: dict[str, object] = {"query": query, "space": SPACE, "k": 20}
        if self._chance.random() < 1 / 3:
            asked |= {"where": {"site": ["lung", "skin"]}, "exclude_same_patient": True}
        return Call("search", "POST", "/api/search/patches", json.dumps(asked).encode())

    def tile(self) -> Call:
        return Call("tile", "GET", self._chance.choice(self.tiles))

    def any(self) -> Call:
        """A search among five tiles, as in the open loop."""
        return self.search() if self._chance.random() < 1 / 6 else self.tile()


def tiles_of(url: str, slide_id: str) -> list[str]:
    """Paths of tiles of the deepest levels."""
    with urlopen(f"{url}api/slides/{slide_id}") as answer:
        zoom = json.load(answer)["deep_zoom"]
    found = []
    for level in range(zoom["max_level"], -1, -1):
        shrink = 2 ** (zoom["max_level"] - level)
        across = -(-max(1, zoom["width"] // shrink) // zoom["tile_size"])
        down = -(-max(1, zoom["height"] // shrink) // zoom["tile_size"])
        found += [
            f"/api/slides/{slide_id}_files/{level}/{x}_{y}.jpeg" for y in range(down) for x in range(across)
        ]
    return random.Random(0).sample(found, min(TILES_ASKED, len(found)))


def memory_mib(process: int) -> float:
    """Resident memory of a process, by Linux's word."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc has no VmRSS")


def _check(answers: Answers, what: str) -> Answers:
    for each in answers.errors[:5]:
        print(f"{what}: {each}", file=sys.stderr)
    return answers


def main() -> int:
    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("api_load", quick=arguments.quick)
    slides, rows = (40, 500) if arguments.quick else (100, 2000)
    seconds, many, thinking = (8.0, 1500, 4.0) if arguments.quick else (60.0, 10_000, 20.0)
    with tempfile.TemporaryDirectory() as name:
        lake, seen = make_lake(Path(name), slides, rows)
        with serving(Path(lake.store.url)) as (url, process):
            calls = Calls(slides, rows, tiles_of(url, seen))
            # The first searches load the vectors, the first look at a tile draws it: neither is what is measured.
            warm = [Call("tile", "GET", path) for path in calls.tiles] + [calls.search() for _ in range(100)]
            first = _check(closed_loop(url, warm, 2), "first look")
            load = _check(open_loop(url, [(20, calls.search), (100, calls.tile)], seconds), "open loop")
            before = memory_mib(process)
            loop = _check(closed_loop(url, [calls.any() for _ in range(many)], 4), "many requests")
            after = memory_mib(process)
            crowd = _check(thinking_clients(url, calls.any, 32, 1.0, thinking), "thinking clients")
        for kind in ("search", "tile"):
            for share in (50, 95):
                benchmark.record(f"{kind}_p{share}_ms", load.percentile(kind, share / 100))
        failed = [len(each.errors) for each in (first, load, loop, crowd)]
        benchmark.record("errors", float(sum(failed)))
        benchmark.record(
            "rss_growth_mib", after - before, shown=f"from {before:.0f} MiB over {many:,} requests"
        )
        benchmark.record("rss_mib", after)
        benchmark.record("requests", float(sum(each.count() for each in (first, load, loop, crowd))))
        benchmark.record("clients32_search_p95_ms", crowd.percentile("search", 0.95))
        benchmark.record("clients32_tile_p95_ms", crowd.percentile("tile", 0.95))
        benchmark.note(
            f"{slides * rows:,} × {DIM} vectors; 20 searches/s and 100 tiles/s for {seconds:g} s; load and server "
            f"share {len(os.sched_getaffinity(0))} cores"
        )
    return benchmark.finish(arguments.out)


if __name__ == "__main__":
    raise SystemExit(main())
