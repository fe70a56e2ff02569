"""Vectors in memory: the same hits and scores as LanceDB's exact search, whatever is asked, and never old ones."""

from pathlib import Path

import numpy as np
import pytest

from slidelake.index import SlideIndex
from slidelake.index.quantised import empty_quantised
from slidelake.store import FeatureStore
from tests.index.lakes import DIM, FOOTPRINT, features, make_lake, put_slide

PLENTY = 2**30


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    store = make_lake(tmp_path_factory.mktemp("resident") / "lake", rows=80)
    blank = np.tile(features(9, 1), (40, 1))  # patches alike to the bit, in several slides
    for name in ("B1", "B0"):
        put_slide(store, name, np.concatenate([blank, features(7, 20)]), patient="PB")
    SlideIndex(store).sync()
    return store


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"k": 1},
        {"k": 5000},
        {"where": {"site": ["lung", "larynx"]}},
        {"where": ["age>=50", "blur<30"]},
        {"where": ["blur!=3", "x>512"]},
        {"where": ["row in 1,2,3,40", "tissue>100"]},
        {"where": {"row": {"not in": [1, 2, 3]}, "y": {"<=": 1024}}},
        {"exclude_same_patient": True},
        {"exclude_patient": "P2"},
        {"where": {"site": "nowhere"}},
    ],
)
def test_hits_are_those_of_an_exact_search(lake: FeatureStore, asked: dict[str, object]) -> None:
    exact, resident = SlideIndex(lake), SlideIndex(lake, resident_bytes=PLENTY)
    for slide, x in (("S0", 0), ("S3", 3 * FOOTPRINT), ("B0", 0)):
        one = exact.search_patch(slide, x, 0, exact=True, **asked)  # type: ignore[arg-type]
        other = resident.search_patch(slide, x, 0, **asked)  # type: ignore[arg-type]
        assert one == other  # scores too, to the bit
        assert other.query.exact
        assert one.notes == other.notes


def test_ties_at_the_edge_come_in_the_one_order(lake: FeatureStore) -> None:
    hits = SlideIndex(lake, resident_bytes=PLENTY).search_vector(features(9, 1)[0], k=50)
    assert [(hit.slide_id, hit.row) for hit in hits] == [
        *(("B0", row) for row in range(40)),
        *(("B1", row) for row in range(10)),
    ]
    assert len({hit.score for hit in hits}) == 1


@pytest.mark.parametrize("dim", [3, 16, 512, 2560])
@pytest.mark.parametrize("kind", ["even", "outliers", "sparse"])
def test_the_bounds_hold_the_true_cosine(dim: int, kind: str) -> None:
    rng = np.random.default_rng(dim)
    rows = rng.normal(size=(300, dim))
    if kind == "outliers":  # a few huge activations, as large models have them
        rows[:, : max(1, dim // 100)] *= 50
    if kind == "sparse":
        rows[rng.random(rows.shape) < 0.9] = 0
    rows[0] = 0
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = (rows / np.where(norms > 0, norms, 1)).astype(np.float32)
    kept = empty_quantised(300, dim)
    kept.put(slice(0, 300), unit)
    query = rng.normal(size=dim)
    query = (query / np.linalg.norm(query)).astype(np.float32)
    near, slack = kept.bounds(query)
    off = np.abs(near - unit.astype(np.float64) @ query.astype(np.float64))
    assert (off <= slack).all()
    assert slack.max() < 0.2  # of use: it rules something out


def test_a_sync_is_seen_and_a_deletion_too(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=3)
    index = SlideIndex(store, fresh_for=60.0, resident_bytes=PLENTY)
    index.sync()
    assert index.search_vector(features(1)[4], k=1)[0].slide_id == "S1"
    put_slide(store, "NEW", features(1))
    index.sync()
    assert {hit.slide_id for hit in index.search_vector(features(1)[4], k=2)} == {"S1", "NEW"}
    # Another process deletes: nothing tells this one.
    store.delete_slide("S1")
    hits = index.search_vector(features(1)[4], k=40)
    assert "S1" not in {hit.slide_id for hit in hits}
    assert hits[0].slide_id == "NEW"
    assert any("have gone from the store" in note for note in hits.notes)
    index.erase_denied()
    assert {hit.slide_id for hit in index.search_vector(features(1)[4], k=40)} == {"S0", "S2", "NEW"}


def test_another_process_syncs(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=2)
    index = SlideIndex(store, resident_bytes=PLENTY)
    index.sync()
    assert len(index.search_vector(features(0)[0], k=100)) == 24
    put_slide(store, "S1", features(5))  # the next generation
    hits = index.search_vector(features(5)[0], k=100)
    assert len(hits) == 12
    assert any("have changed" in note for note in hits.notes)
    SlideIndex(store).sync()
    hits = index.search_vector(features(5)[0], k=100)
    assert len(hits) == 24
    assert hits[0].score > 0.999
    assert not hits.notes


def test_what_does_not_fit_is_searched_on_disk(lake: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    small = SlideIndex(lake, resident_bytes=1000)
    monkeypatch.setattr("slidelake.index.opener.load", pytest.fail)
    exact = SlideIndex(lake)
    assert small.search_vector(np.ones(DIM)) == exact.search_vector(np.ones(DIM))
    assert SlideIndex(lake, resident_bytes=0).search_vector(np.ones(DIM)) == exact.search_vector(np.ones(DIM))
