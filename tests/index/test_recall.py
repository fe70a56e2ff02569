"""Approximate indexes: what they find is measured, kept and told; too few probes are not believed."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from slidelake.index import SlideIndex
from slidelake.index.recall import UNMEASURED, kept_recall, measure
from slidelake.services.cli.app import app
from slidelake.store import FeatureStore
from tests.index.lakes import FOOTPRINT, put_slide


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """20,000 patches without structure: the hardest case for partitions."""
    store = FeatureStore.open(tmp_path_factory.mktemp("recall") / "lake", create=True)
    rng = np.random.default_rng(0)
    for n in range(4):
        put_slide(store, f"S{n}", rng.normal(size=(5000, 24)).astype(np.float16), patient=f"P{n}")
    SlideIndex(store, exact_below=10_000).sync()
    return store


def test_probes_rise_until_enough_is_found(lake: FeatureStore) -> None:
    index = SlideIndex(lake)
    (table,) = index.status()["tables"]
    assert table["approximate"]
    kept = kept_recall(lake.objects, table["table"])
    assert kept is not None
    assert kept.recall >= 0.97
    assert table["recall"]["recall"] == kept.recall
    opened = index._connection.table(table["table"])
    assert measure(opened, probes=1).recall < 0.9  # the measure can tell
    (found,) = index.evaluate(queries=100)
    assert found["recall"] >= 0.95
    assert (found["queries"], found["k"], found["rows"], found["probes"]) == (100, 10, 20_000, kept.probes)


def test_searches_find_what_was_promised(lake: FeatureStore) -> None:
    index, resident = SlideIndex(lake), SlideIndex(lake, resident_bytes=2**30)
    found = total = 0
    for n in range(40):
        place = ("S1", n % 6 * FOOTPRINT, n * 16 * FOOTPRINT)
        near = index.search_patch(*place, k=10)
        true = index.search_patch(*place, k=10, exact=True)
        assert not near.query.exact
        scores = {(hit.slide_id, hit.row): hit.score for hit in true}
        for hit in near:  # whatever is found has its true score
            assert scores.get((hit.slide_id, hit.row), hit.score) == hit.score
        found += len({(hit.slide_id, hit.row) for hit in near} & scores.keys())
        total += 10
        assert resident.search_patch(*place, k=10) == true
    assert found / total >= 0.95


def test_regions_by_the_approximate_index(lake: FeatureStore) -> None:
    index = SlideIndex(lake)
    box = (0, 0, 6 * FOOTPRINT, 4 * FOOTPRINT)
    near, true = (index.search_region("S1", box=box, k=30, exact=exact) for exact in (None, True))
    assert not near.query.exact
    assert true.query.exact
    assert len({(h.slide_id, h.row) for h in near} & {(h.slide_id, h.row) for h in true}) >= 28
    assert len({(h.slide_id, h.row) for h in near}) == 30
    near, true = (index.search_region("S1", box=box, find="slides", exact=exact) for exact in (None, True))
    assert near == true
    assert {hit.slide_id for hit in near} == {"S0", "S2", "S3"}
    few = index.search_region("S1", box=box, k=30, where=["row<20"], exclude_same_patient=True)
    assert len(few) == 30


def test_the_command_says_it(lake: FeatureStore) -> None:
    done = CliRunner().invoke(
        app, ["index", "evaluate", "--queries", "50", "--json", "--store", str(lake.url)]
    )
    assert done.exit_code == 0, done.output
    (table,) = json.loads(done.stdout)["tables"]
    assert table["recall"] >= 0.95
    told = CliRunner().invoke(app, ["index", "status", "--store", str(lake.url)])
    assert "recall@10" in " ".join(told.stdout.split())


def test_without_a_measure_every_partition_is_looked_into(lake: FeatureStore) -> None:
    index = SlideIndex(lake)
    key = f"index/recall/{index.status()['tables'][0]['table']}.json"
    kept = lake.objects.read(key)
    for damaged in (None, b"{", b'{"recall": 1}'):
        if damaged is None:
            lake.objects.delete(key)
        else:
            lake.objects.replace(key, damaged)
        place = ("S2", 0, 0)
        assert index.search_patch(*place, k=10) == index.search_patch(*place, k=10, exact=True)
        (opened,) = [each.opened for each in index._opener._opened.values()]
        assert opened.probes == UNMEASURED
    lake.objects.replace(key, kept)


def test_an_index_that_grows_is_measured_again(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    rng = np.random.default_rng(0)
    index = SlideIndex(store, exact_below=500)
    for name, rows in (("S0", 600), ("S1", 20), ("S2", 900)):
        put_slide(store, name, rng.normal(size=(rows, 16)).astype(np.float16))
        index.sync()
        kept = kept_recall(store.objects, index.status()["tables"][0]["table"])
        assert kept is not None
        assert kept.rows == {"S0": 600, "S1": 600, "S2": 1520}[name]
