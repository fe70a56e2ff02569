"""Whole bags from S3, 8,000 × 1024 float16: how much of the rate without latency is kept at 20 and 100 ms.

Against a server of its own on this machine (moto, see tests/store/s3_server.py), which waits so long before each
request. Bags are opened and read in flight, as a loader does; beside them obstore's plain GET of the same objects, as
many in flight. Client and server share the cores, so the rate without latency is the server's, not a network's.

    python -m benchmarks.s3 --quick
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
import obstore

from benchmarks.feature_bags import SPACE, commit_bag, random_features
from benchmarks.harness import Benchmark, parse_arguments
from slidelake.store import FeatureStore, read_many
from tests.store.s3_server import Bucket, running_server

ROWS, SLIDES = 8_000, 6
IN_FLIGHT = (4, 16, 64)
LATENCIES = (0.0, 0.02, 0.1)

#: GB/s of each round, by side, latency and bags in flight.
Rates = dict[tuple[str, float, int], list[float]]


def main() -> int:
    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("s3", quick=arguments.quick)
    with running_server() as server, server.client_environment():
        bucket = server.new_bucket()
        rates = _measure(bucket, arguments.quick)
    best = max(IN_FLIGHT, key=lambda n: median(rates["ours", 0.0, n]))
    reference = rates["ours", 0.0, best]
    kept = {
        latency: max(
            (_ratios(rates["ours", latency, n], reference) for n in IN_FLIGHT), key=lambda each: median(each)
        )
        for latency in LATENCIES[1:]
    }
    benchmark.record("rate_kept_at_20ms", kept[0.02], shown="best of those in flight, with / without latency")
    benchmark.record("rate_kept_at_100ms", kept[0.1])
    benchmark.record("gb_per_s_zero_latency", reference, shown=f"{best} bags in flight")
    for n in IN_FLIGHT:
        benchmark.record(f"rate_{n}", rates["ours", 0.02, n], shown=f"GB/s at 20 ms, {n} bags in flight")
    for n in IN_FLIGHT:
        ratios = _ratios(rates["ours", 0.02, n], rates["obstore", 0.02, n])
        benchmark.record(f"vs_obstore_{n}", ratios, shown="its plain GETs at 20 ms, no metadata, no index")
    for latency in LATENCIES:
        for side in ("ours", "obstore"):
            found = [rates[side, latency, n] for n in IN_FLIGHT if (side, latency, n) in rates]
            if found:
                shown = ", ".join(f"{median(each):.2f}" for each in found)
                benchmark.note(f"{side}, {latency * 1000:.0f} ms, {IN_FLIGHT} bags in flight: {shown} GB/s")
    return benchmark.finish(out=arguments.out)


def _measure(bucket: Bucket, quick: bool) -> Rates:
    store = FeatureStore.open(f"{bucket.url}/lake", create=True)
    bags = {f"S{n}": random_features(ROWS, seed=n) for n in range(SLIDES)}
    for slide_id, features in bags.items():
        commit_bag(store, slide_id, features)
    size = next(iter(bags.values())).nbytes
    plain = obstore.store.from_url(bucket.url)
    keys = [f"lake/{store.bag(slide_id, SPACE).commit.attempt}/features/c/0/0" for slide_id in bags]
    for (slide_id, expected), rows in zip(bags.items(), _ours(store, list(bags), 4, SLIDES), strict=True):
        if not np.array_equal(rows, expected):
            raise SystemExit(f"{slide_id} is not read as it was written")

    sides: dict[str, Callable[[int, int], Iterator[object]]] = {
        "ours": lambda n, count: _ours(store, list(bags), n, count),
        "obstore": lambda n, count: _plain(plain, keys, n, count),
    }
    rates: Rates = {}
    for read in sides.values():
        for _ in read(max(IN_FLIGHT), max(IN_FLIGHT)):
            pass  # connections are made before the clock runs
    for _ in range(3 if quick else 7):
        for latency in LATENCIES:
            bucket.latency(latency)
            for n in IN_FLIGHT:
                count = max(n, 8) if quick else max(2 * n, 24)
                for side, read in sides.items():
                    if quick and side == "obstore" and latency != 0.02:
                        continue
                    began = perf_counter()
                    for _ in read(n, count):
                        pass
                    rate = count * size / (perf_counter() - began) / 1e9
                    rates.setdefault((side, latency, n), []).append(rate)
    bucket.latency(0.0)
    return rates


def _ours(store: FeatureStore, slides: list[str], in_flight: int, count: int) -> Iterator[object]:
    opened = (partial(store.bag, slides[n % len(slides)], SPACE) for n in range(count))
    return read_many(opened, in_flight=in_flight)


def _plain(plain: object, keys: list[str], in_flight: int, count: int) -> Iterator[object]:
    with ThreadPoolExecutor(in_flight) as pool:
        waiting = [pool.submit(_get, plain, keys[n % len(keys)]) for n in range(in_flight)]
        for n in range(in_flight, count + in_flight):
            # One is taken, one is asked for: never more than so many in memory.
            yield waiting.pop(0).result()
            if n < count:
                waiting.append(pool.submit(_get, plain, keys[n % len(keys)]))


def _get(plain: object, key: str) -> memoryview:
    return memoryview(obstore.get(plain, key).bytes())


def _ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
