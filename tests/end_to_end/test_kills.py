"""Any plug may be pulled at any time: kill -9, type the same again, and nothing is lost or doubled."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import slidelake

COMMAND = [sys.executable, "-c", "from slidelake.services.cli import main; main()"]
SOURCE = Path(slidelake.__file__).resolve().parents[1]
PATIENCE = 90.0


def _start(*arguments: object) -> "subprocess.Popen[bytes]":
    # A session of its own, so that what is left of a killed driver can be cleared away as a whole.
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        start_new_session=True,
    )


def _call(*arguments: object) -> dict[str, object]:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments), "--json"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=False,
    )
    assert done.stdout, done.stderr.decode()
    result: dict[str, object] = json.loads(done.stdout)
    return result


def _wait_for_first_bag(store: Path, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + PATIENCE
    while not list(store.glob("commits/*/*/*~bag~*.json")):
        assert process.poll() is None, "the run ended before anything was committed"
        assert time.monotonic() < until
        time.sleep(0.005)


def _workers(process: "subprocess.Popen[bytes]") -> Iterator[psutil.Process]:
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if any(word.startswith("ray::_Worker") for word in child.cmdline()):
                yield child
        except psutil.NoSuchProcess:
            continue


def _check_whole(store: Path, slides: int) -> None:
    """Complete, clean, and every patch once in the index."""
    assert _call("verify", "--deep", "--store", store)["problems"] == []
    _call("index", "sync", "--store", store)
    lake = slidelake.open(store, create=False)
    space = lake.store.resolve_space(None)
    assert len(lake.store.slide_ids()) == slides
    expected = {
        (slide_id, row)
        for slide_id in lake.store.slide_ids()
        for row in range(len(lake.bag(slide_id, space)))
    }
    slide_id = lake.store.slide_ids()[0]
    x, y = (int(value) for value in lake.bag(slide_id, space).coords[:][0])
    hits = lake.search(slide=slide_id, at=(x, y), space=space, k=10 * len(expected), exact=True)
    found = [(hit.slide_id, hit.row) for hit in hits]
    assert len(found) == len(set(found))
    assert set(found) == expected - {(slide_id, 0)}


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_driver(slides: Path, tmp_path: Path, workers: int) -> None:
    store = tmp_path / "lake"
    again = ("ingest", "--manifest", slides / "manifest.csv", "--store", store, "--workers", workers)
    process = _start(*again)
    children: list[psutil.Process] = []
    try:
        _wait_for_first_bag(store, process)
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for child in children:
            if child.is_running():
                child.kill()
    result = _call(*again)
    assert result["exit_code"] == 0, result
    counts = result["counts"]
    assert isinstance(counts, dict)
    assert counts.get("made", 0) + counts.get("already", 0) == 4
    assert counts.get("already", 0) >= 1, "what was committed before the kill is done again"
    _check_whole(store, 4)


def test_killed_worker(slides: Path, tmp_path: Path) -> None:
    store = tmp_path / "lake"
    again = ("ingest", "--manifest", slides / "manifest.csv", "--store", store, "--workers", 2)
    process = _start(*again)
    _wait_for_first_bag(store, process)
    victim = next(_workers(process), None)
    assert victim is not None, "no Ray worker was found"
    victim.kill()
    assert process.wait(PATIENCE) == 0, "the run does not outlive its worker"
    assert _call(*again)["exit_code"] == 0
    _check_whole(store, 4)


def test_interrupted_run_ends_with_130_and_goes_on_later(slides: Path, tmp_path: Path) -> None:
    store = tmp_path / "lake"
    again = ("ingest", "--manifest", slides / "manifest.csv", "--store", store)
    process = _start(*again)
    _wait_for_first_bag(store, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    # What was being made is gone, what was committed stands, and the run is on record.
    assert _call("verify", "--deep", "--store", store)["problems"] == []
    assert len(slidelake.open(store, create=False).store.runs()) == 1
    assert _call(*again)["exit_code"] == 0
    _check_whole(store, 4)
