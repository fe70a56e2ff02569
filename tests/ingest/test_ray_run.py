"""The run on Ray: the same results as in one process, and workers that die."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slidelake.errors import UsageError
from slidelake.ingest import ingest, ray_run
from slidelake.store import FeatureStore, verify
from tests.ingest import encoders
from tests.ingest.slides import checksums, tissue, tissue_slide, write_slide

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One cluster for all of them: starting it takes seconds. Its workers find the tests' encoders."""
    import ray

    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    yield ray
    ray.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "slides").mkdir()
    for seed, name in enumerate("abcd"):
        tissue_slide(tmp_path / "slides" / f"{name}.tif", seed=seed, mpp=0.4)
    return tmp_path / "slides"


def new_store(path: Path) -> FeatureStore:
    return FeatureStore.open(path, create=True)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_two_workers_give_what_one_process_gives(cluster, folder, tmp_path):
    (folder / "notes.svs").write_text("no slide")
    (folder / "wide.tif").symlink_to("nowhere.tif")
    here, there = new_store(tmp_path / "here"), new_store(tmp_path / "there")
    told: list[str] = []
    alone = ingest(here, [str(folder), str(folder / "wide.tif")], workers=0)
    both = ingest(
        there,
        [str(folder), str(folder / "wide.tif")],
        workers=2,
        progress=lambda event, **_: told.append(event),
    )
    assert both.counts == alone.counts == {"made": 4, "quarantined": 2}
    assert [(o.slide_id, o.state, o.reason, o.message, o.patches) for o in both.outcomes] == [
        (o.slide_id, o.state, o.reason, o.message, o.patches) for o in alone.outcomes
    ]
    assert checksums(there) == checksums(here)
    assert len(checksums(here)) == 4 * (2 + 5 + 3)
    assert told[0] == "start"
    assert told[-1] == "end"
    assert told.count("slide") == 6
    assert np.array_equal(there.bag("a").features[:], here.bag("a").features[:])
    assert ingest(there, [str(folder)], workers=2).counts == {"already": 4, "quarantined": 2}
    assert verify(there, deep=True).ok


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_slide_that_kills_its_workers(cluster, folder, tmp_path):
    write_slide(folder / "b.tif", encoders.mark(tissue(1024, 1024)))
    store = new_store(tmp_path / "lake")
    report = ingest(store, [str(folder)], encoder="tests.ingest.encoders:dies_on_mark", workers=2)
    assert [outcome.reason or outcome.state for outcome in report.outcomes] == [
        "made",
        "worker-lost",
        "made",
        "made",
    ]
    refused = report.outcomes[1]
    assert "2 workers died" in refused.message
    assert "--workers 0" in refused.remedy
    assert report.exit_code == 3
    assert store.slide_ids() == ["a", "c", "d"]
    assert verify(store, deep=True).ok
    # Mended, it goes in, and its entry goes.
    write_slide(folder / "b.tif", tissue(1024, 1024))
    assert (
        ingest(store, [str(folder)], encoder="tests.ingest.encoders:dies_on_mark", workers=2).exit_code == 0
    )
    assert store.quarantine.read_all() == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_the_store_refuses_a_worker_ends_the_run(cluster, folder, tmp_path):
    store = new_store(tmp_path / "lake")
    (tmp_path / "lake" / "slides").write_text("a file where a folder has to be")
    with pytest.raises(OSError, match="slides"):
        ingest(store, [str(folder)], encoder="colour-histogram", workers=2)
    (kept,) = store.runs()
    assert kept["interrupted"] is True
    (tmp_path / "lake" / "slides").unlink()
    assert ingest(store, [str(folder)], encoder="colour-histogram", workers=2).counts == {"made": 4}


def test_a_store_in_memory_is_refused(folder):
    store = FeatureStore.open("memory://ray-test", create=True)
    with pytest.raises(UsageError, match="memory"):
        ingest(store, [str(folder)], encoder="colour-histogram", workers=2)


def test_a_slide_is_tried_as_often_as_workers_die():
    assert ray_run.DEATHS == 2
