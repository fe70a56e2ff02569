"""Regions as queries: which patches they are, and what their hits and scores are."""

from pathlib import Path

import numpy as np
import pytest

from slidelake.errors import QueryError
from slidelake.index import SlideIndex
from slidelake.index.region import MOST_POINTS, Region, as_polygon, patches_in, spread
from slidelake.store import FeatureStore
from tests.index.lakes import FOOTPRINT, SPACE, features, make_lake, put_slide

F = FOOTPRINT


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    store = make_lake(tmp_path_factory.mktemp("region") / "lake", rows=30)
    SlideIndex(store).sync()
    return store


@pytest.fixture(scope="module")
def index(lake: FeatureStore) -> SlideIndex:
    return SlideIndex(lake)


def unit(slide: int) -> np.ndarray:
    """(30, D) float64 as the index holds them: unit length, in float16."""
    wide = features(slide, 30).astype(np.float32)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float16).astype(np.float64)


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)
    return np.asarray(first @ second.T / lengths)


def rows_of(lake: FeatureStore, **shape: object) -> list[int]:
    return patches_in(lake, "S1", SPACE, as_polygon(shape.get("box"), shape.get("polygon"))).rows.tolist()  # type: ignore[arg-type]


def test_a_patch_is_in_by_its_centre(lake: FeatureStore) -> None:
    assert rows_of(lake, box=(0, 0, 2 * F, 2 * F)) == [0, 1, 6, 7]
    assert rows_of(lake, box=(F / 2 - 1, F / 2 - 1, F, F)) == [0]
    assert rows_of(lake, polygon=[[0, 0], [3 * F, 0], [0, 3 * F]]) == [0, 1, 6]
    inside_out = [[0, 3 * F], [3 * F, 0], [0, 0]]  # the other way round
    assert rows_of(lake, polygon=inside_out) == [0, 1, 6]


def test_a_polygon_that_crosses_itself_is_filled_by_the_even_odd_rule(lake: FeatureStore) -> None:
    bow_tie = [[1, 0], [4 * F + 1, 4 * F], [4 * F + 1, 0], [1, 4 * F]]
    x, y = np.meshgrid(np.arange(6), np.arange(5))
    centre_x, centre_y = (x.ravel() + 0.5) * F, (y.ravel() + 0.5) * F
    # Left and right of the crossing at (2F + 1, 2F); the triangles above and below it are outside.
    near = np.abs(centre_x - 2 * F - 1)
    wanted = np.flatnonzero((np.abs(centre_y - 2 * F) < near) & (near < 2 * F))
    assert rows_of(lake, polygon=bow_tie) == wanted.tolist()
    assert len(wanted)


def test_what_is_drawn_within_a_patch_means_that_patch(lake: FeatureStore) -> None:
    assert rows_of(lake, box=(F + 10, 10, 50, 50)) == [1]
    assert rows_of(lake, polygon=[[2 * F - 9, 5], [2 * F + 9, 5], [2 * F, 20]]) == [1, 2]


def test_a_region_without_a_patch_names_the_nearest(index: SlideIndex) -> None:
    with pytest.raises(QueryError, match=r"no patch lies in the region.*\(2816, 256\)") as caught:
        index.search_region("S1", box=(50_000, 0, 100, 100))
    assert caught.value.slide == "S1"


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ({}, "a box or a polygon"),
        ({"box": (0, 0, 1, 1), "polygon": [[0, 0], [1, 0], [0, 1]]}, "a box or a polygon"),
        ({"box": (0, 0, 0, 5)}, "above 0"),
        ({"box": (0, 0, -4, 5)}, "above 0"),
        ({"box": (0, 0, float("nan"), 5)}, "NaN"),
        ({"box": (0, 0, 5)}, "x, y, width, height"),
        ({"polygon": [[0, 0], [1, 1]]}, "3 to"),
        ({"polygon": [[0, 0, 0], [1, 1, 1], [2, 2, 2]]}, "3 to"),
        ({"polygon": [[0, 0]] * (MOST_POINTS + 1)}, "3 to"),
        ({"polygon": [["a", "b"], [0, 0], [1, 1]]}, "not made of numbers"),
    ],
)
def test_what_is_no_region_is_refused(index: SlideIndex, shape: dict[str, object], problem: str) -> None:
    with pytest.raises(QueryError, match=problem):
        index.search_region("S1", **shape)  # type: ignore[arg-type]


def test_patches_score_by_the_nearest_of_the_region(index: SlideIndex) -> None:
    hits = index.search_region("S1", box=(0, 0, 2 * F, 2 * F), k=500)
    asked = unit(1)[[0, 1, 6, 7]]
    truth = {
        (f"S{slide}", row): score
        for slide in range(6)
        for row, score in enumerate(cosines(asked, unit(slide)).max(axis=0))
        if not (slide == 1 and row in (0, 1, 6, 7))
    }
    found = {(hit.slide_id, hit.row): hit.score for hit in hits}
    assert len(hits) == len(found) == len(truth) == 6 * 30 - 4
    assert found.keys() == truth.keys()
    for place, score in found.items():
        assert score == pytest.approx(truth[place], abs=1e-6)  # type: ignore[index]
    assert [hit.score for hit in hits] == sorted(found.values(), reverse=True)
    assert (hits.query.kind, hits.query.patches, hits.query.x, hits.query.width) == ("region", 4, 0, 2 * F)
    assert "region of S1 at 0, 0 (4 patches)" in repr(hits)


def test_slides_score_by_the_mean_of_their_best(index: SlideIndex) -> None:
    hits = index.search_region("S1", box=(0, 0, 2 * F, 2 * F), find="slides")
    asked = unit(1)[[0, 1, 6, 7]]
    truth = {f"S{slide}": cosines(asked, unit(slide)).max(axis=1).mean() for slide in range(6) if slide != 1}
    assert {hit.slide_id for hit in hits} == truth.keys()
    for hit in hits:
        assert hit.score == pytest.approx(truth[hit.slide_id], abs=1e-6)
        assert (hit.row, hit.x, hit.y) == (None, None, None)
    assert [hit.slide_id for hit in hits] == sorted(truth, key=lambda each: -truth[each])


def test_filters_patients_and_k_hold(index: SlideIndex) -> None:
    hits = index.search_region("S1", box=(0, 0, F, F), k=7, exclude_same_patient=True, where={"site": "lung"})
    assert len(hits) == 7
    assert {hit.slide_id for hit in hits} == {"S4"}  # S1 is lung too, and of the patient left out
    slides = index.search_region("S1", box=(0, 0, F, F), find="slides", where=["age<50"], k=1)
    assert [hit.slide_id for hit in slides] == ["S0"]
    assert not len(index.search_region("S1", box=(0, 0, F, F), where={"site": "nowhere"}))
    with pytest.raises(QueryError, match="0 hits"):
        index.search_region("S1", box=(0, 0, F, F), k=0)
    with pytest.raises(QueryError, match="finds no"):
        index.search_region("S1", box=(0, 0, F, F), find="reports")  # type: ignore[arg-type]


def test_every_way_to_look_gives_the_same_hits(lake: FeatureStore, index: SlideIndex) -> None:
    resident = SlideIndex(lake, resident_bytes=2**30)
    for find in ("patches", "slides"):
        for shape in ({"box": (0, 0, 3 * F, 3 * F)}, {"polygon": [[0, 0], [5 * F, 0], [0, 5 * F]]}):
            asked = {"find": find, "k": 12, "where": ["age>=45", "blur<25"], **shape}
            one, other = index.search_region("S2", **asked), resident.search_region("S2", **asked)  # type: ignore[arg-type]
            assert len(one)
            assert one == other
            assert one.query.exact


def test_a_large_region_asks_with_patches_spread_over_it(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    put_slide(store, "S0", features(0, 600))
    put_slide(store, "S1", features(1, 12))
    index = SlideIndex(store)
    index.sync()
    hits = index.search_region("S0", box=(0, 0, 6 * F, 100 * F), k=600)
    assert hits.query.patches == 600
    assert any("600 patches: 128 spread over it" in note for note in hits.notes)
    assert {hit.slide_id for hit in hits} == {"S1"}  # all 600 are left out, asked with or not
    assert hits == index.search_region("S0", box=(0, 0, 6 * F, 100 * F), k=600)


def test_the_spread_keeps_each_part_its_share() -> None:
    x, y = np.meshgrid(np.arange(60), np.arange(50))
    coords = np.stack([x.ravel(), y.ravel()], axis=1) * 224
    region = Region("S0", np.arange(3000), coords, np.zeros((3, 2)))
    places = spread(region, 120)
    assert len(set(places.tolist())) == 120
    quarters = (coords[places] // [30 * 224, 25 * 224]) @ [1, 2]
    assert np.bincount(quarters, minlength=4).tolist() == pytest.approx([30] * 4, abs=4)
    assert spread(region, 5000).tolist() == list(range(3000))
