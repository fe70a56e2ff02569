"""Search: true cosines, exact filters, one order, and an answer only to what is a question."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from slidelake.errors import FilterError, QueryError, SlidelakeError, UnknownSlideError
from slidelake.index import SlideIndex
from slidelake.store import FeatureStore
from tests.index.lakes import DIM, FOOTPRINT, SPACE, features, make_lake, put_pooled, put_slide, true_cosines


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Six slides, synced; tests that change anything make their own."""
    store = make_lake(tmp_path_factory.mktemp("search") / "lake")
    for i in range(5):
        put_pooled(store, f"S{i}")
    SlideIndex(store).sync()
    return store


@pytest.fixture(scope="module")
def index(lake: FeatureStore) -> SlideIndex:
    return SlideIndex(lake)


def test_scores_are_true_cosines_in_the_true_order(lake: FeatureStore, index: SlideIndex) -> None:
    query = features(2)[4].astype(np.float64)
    hits = index.search_vector(query, k=30)
    truth = true_cosines(lake, query)
    for hit in hits:
        assert hit.row is not None
        assert hit.score == pytest.approx(truth[hit.slide_id, hit.row], abs=1e-3)
    assert [hit.rank for hit in hits] == list(range(1, 31))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    best = sorted(truth, key=lambda key: -truth[key])[:30]
    assert abs(truth[best[-1]] - hits[29].score) < 1e-3
    assert (hits[0].slide_id, hits[0].row) == ("S2", 4)
    assert hits[0].score == pytest.approx(1, abs=1e-6)


def test_hits_say_where_and_what(index: SlideIndex) -> None:
    hit = index.search_vector(features(4)[8])[0]
    assert (hit.slide_id, hit.patient_id, hit.row, hit.x, hit.y) == ("S4", "P2", 8, 2 * FOOTPRINT, FOOTPRINT)
    assert hit.metadata == {"site": "lung", "age": 60, "ratio": 1.0, "fixed": False}
    assert type(hit.metadata["age"]) is int
    assert hit.space == SPACE


def test_patch_search_leaves_the_query_out(index: SlideIndex) -> None:
    hits = index.search_patch("S2", 3 * FOOTPRINT + 17, FOOTPRINT + 400, k=71)
    assert (hits.query.row, hits.query.x, hits.query.y, hits.query.patient_id) == (9, 1536, 512, "P1")
    assert len(hits) == 71
    assert ("S2", 9) not in {(hit.slide_id, hit.row) for hit in hits}
    assert "S2" in {hit.slide_id for hit in hits}
    assert hits[0].row is not None
    assert hits[0].row % 4 == 9 % 4  # the same cluster


def test_a_point_off_the_tissue_names_the_nearest_patch(index: SlideIndex) -> None:
    with pytest.raises(QueryError, match=r"The nearest patch holds \(2816, 768\)") as caught:
        index.search_patch("S2", 5000, 900)
    assert caught.value.slide == "S2"
    with pytest.raises(QueryError, match="no place"):
        index.search_patch("S2", float("nan"), 0)
    with pytest.raises(UnknownSlideError):
        index.search_patch("nothing", 0, 0)


def test_of_overlapping_patches_the_nearest_centre_is_meant(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    put_slide(store, "S0", features(0, 3), at=np.array([[0, 0], [256, 0], [512, 0]]))
    index = SlideIndex(store)
    index.sync()
    assert index.search_patch("S0", 300, 10).query.row == 0
    assert index.search_patch("S0", 500, 10).query.row == 1
    assert index.search_patch("S0", 1000, 10).query.row == 2


def test_an_unreadable_patch_is_no_query(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    data = features(0)
    data[3] = 0
    put_slide(store, "S0", data, valid=(np.arange(12) != 3).astype(np.uint8))
    index = SlideIndex(store)
    index.sync()
    with pytest.raises(QueryError, match="could not be read"):
        index.search_patch("S0", 3 * FOOTPRINT, 0)


def test_patients_are_left_out(index: SlideIndex) -> None:
    own = index.search_patch("S2", 0, 0, k=100, exclude_same_patient=True)
    assert {hit.slide_id for hit in own} == {"S0", "S1", "S4", "S5"}
    assert len(own) == 48
    assert own.query.exclude_patients == ("P1",)
    named = index.search_patch("S2", 0, 0, k=100, exclude_same_patient=True, exclude_patient="P0")
    assert {hit.slide_id for hit in named} == {"S4", "S5"}
    unknown = index.search_vector(np.ones(DIM), exclude_patient="nobody")
    assert any("nobody" in note for note in unknown.notes)


@pytest.mark.parametrize(
    ("where", "slides"),
    [
        ({"site": "larynx"}, {"S0", "S3"}),
        (["site!=larynx"], {"S1", "S2", "S4", "S5"}),
        (["site in larynx,lung", "age>=55"], {"S3", "S4"}),
        ({"site": "O'Brien; DROP"}, {"S2", "S5"}),
        ({"fixed": True}, {"S1", "S3", "S5"}),
        (["ratio<0.5"], {"S0", "S1"}),
        ({"slide_id": ["S1", "S4"]}, {"S1", "S4"}),
        (["patient_id=P1"], {"S2", "S3"}),
        (["site=x' OR '1'='1"], set()),
        (["age>=50.5"], {"S3", "S4", "S5"}),
    ],
)
def test_filters_are_exact_and_come_first(index: SlideIndex, where: object, slides: set[str]) -> None:
    hits = index.search_vector(features(2)[0], k=100, where=where)  # type: ignore[arg-type]
    assert {hit.slide_id for hit in hits} == slides
    assert len(hits) == 12 * len(slides)
    few = index.search_vector(features(2)[0], k=10, where=where)  # type: ignore[arg-type]
    assert [(h.slide_id, h.row) for h in few] == [(h.slide_id, h.row) for h in hits[:10]]


def test_patch_columns_can_be_filtered_on(index: SlideIndex) -> None:
    hits = index.search_vector(np.ones(DIM), k=100, where=["blur<3", "x<1024", "site=larynx"])
    assert {(hit.slide_id, hit.row) for hit in hits} == {("S0", 0), ("S0", 1), ("S3", 0), ("S3", 1)}


def test_a_filter_on_no_column_names_the_columns(index: SlideIndex) -> None:
    with pytest.raises(FilterError, match=r"slide_id \(text\).*site \(text\).*age \(integer\).*tissue"):
        index.search_vector(np.ones(DIM), where={"organ": "x"})


@pytest.mark.parametrize(
    "query",
    [
        np.full(DIM, np.nan),
        np.r_[np.ones(DIM - 1), np.inf],
        [1e300] * DIM,
        [10**400] * DIM,
        np.zeros(DIM),
        np.ones(DIM + 1),
        np.ones((2, DIM)),
        np.ones(0),
        ["a"] * DIM,
        1.0,
    ],
)
def test_what_is_no_query_gets_no_answer(index: SlideIndex, query: object) -> None:
    with pytest.raises(QueryError) as caught:
        index.search_vector(query)  # type: ignore[arg-type]
    assert caught.value.remedy


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "3"])
def test_k_is_a_positive_whole_number(index: SlideIndex, k: object) -> None:
    with pytest.raises(QueryError, match="hits"):
        index.search_vector(np.ones(DIM), k=k)  # type: ignore[arg-type]


def test_more_hits_than_there_are_is_all_of_them(index: SlideIndex) -> None:
    assert len(index.search_vector(np.ones(DIM), k=10_000)) == 72


def test_ties_come_in_one_order_whatever_was_written_first(tmp_path: Path) -> None:
    orders = []
    for name, slides in (("one", ["A", "B", "C"]), ("two", ["C", "B", "A"])):
        store = FeatureStore.open(tmp_path / name, create=True)
        index = SlideIndex(store)
        for slide in slides:
            put_slide(store, slide, np.tile(features(0, 1), (50, 1)))  # blank patches: alike to the bit
            index.sync()
        hits = index.search_vector(features(0, 1)[0], k=60)
        orders.append([(hit.slide_id, hit.row) for hit in hits])
        assert len({hit.score for hit in hits}) == 1
    assert orders[0] == orders[1] == [("A", i) for i in range(50)] + [("B", i) for i in range(10)]


def test_index_removed_and_synced_again_gives_the_same_hits(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake")
    index = SlideIndex(store)
    index.sync()
    put_slide(store, "S1", features(1, seed=9))
    index.sync()
    before = [index.search_vector(features(i)[i], k=40) for i in range(6)]
    shutil.rmtree(tmp_path / "lake" / "index")
    index.sync()
    after = [index.search_vector(features(i)[i], k=40) for i in range(6)]
    assert before == after  # scores bit for bit
    assert before[0].to_dicts() == after[0].to_dicts()


def test_a_reader_opened_before_a_sync_sees_what_it_wrote(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=2)
    reader = SlideIndex(FeatureStore.open(tmp_path / "lake"))
    SlideIndex(store).sync()
    assert len(reader.search_vector(np.ones(DIM), k=100)) == 24
    put_slide(store, "S7", features(7))
    SlideIndex(store).sync()
    hits = reader.search_vector(features(7)[0], k=100)
    assert len(hits) == 36
    assert hits[0].slide_id == "S7"


def test_an_index_older_than_the_store_says_so_and_shows_nothing_old(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=4)
    index = SlideIndex(store)
    index.sync()
    assert index.search_vector(np.ones(DIM)).stale == 0
    put_slide(store, "S8", features(8))
    put_slide(store, "S1", features(1, seed=5))
    store.close_epoch("S2")
    hits = index.search_vector(np.ones(DIM), k=100)
    assert hits.stale == 3
    assert {hit.slide_id for hit in hits} == {"S0", "S3"}
    assert len(hits.notes) == 3
    assert all("slidelake index sync" in note for note in hits.notes)


def test_a_remembered_listing_never_shows_what_has_gone(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=4)
    index = SlideIndex(store, fresh_for=3600)
    index.sync()
    assert index.search_vector(np.ones(DIM), k=100).stale == 0
    assert index.search_vector(features(1)[0], k=1)[0].slide_id == "S1"
    store.close_epoch("S1")
    hits = index.search_vector(features(1)[0], k=1)
    assert hits[0].slide_id != "S1"
    assert hits.stale == 1
    put_slide(store, "S8", features(8))
    SlideIndex(store).sync()  # another process
    assert index.search_vector(features(8)[0], k=1)[0].slide_id == "S8"


def test_slides_like_a_slide(index: SlideIndex) -> None:
    hits = index.search_slide("S0", k=10)
    assert {hit.slide_id for hit in hits} == {"S1", "S2", "S3", "S4"}
    assert (hits[0].row, hits[0].x, hits[0].y) == (None, None, None)
    assert hits[0].metadata["site"]
    assert {h.slide_id for h in index.search_slide("S0", exclude_same_patient=True)} == {"S2", "S3", "S4"}
    assert {h.slide_id for h in index.search_slide("S0", where=["age>=55"])} == {"S3", "S4"}
    with pytest.raises(FilterError):
        index.search_slide("S0", where=["tissue>1"])


def test_no_pooled_embedding_says_what_to_run(index: SlideIndex) -> None:
    with pytest.raises(QueryError, match="slidelake embed --aggregator mean"):
        index.search_slide("S5")
    with pytest.raises(QueryError, match="slidelake embed --aggregator max"):
        index.search_slide("S0", aggregator="max")


def test_approximate_search_has_true_scores_and_an_exact_flag(tmp_path: Path) -> None:
    """LanceDB's own `_distance` of this kind of index is twice the cosine distance."""
    store = FeatureStore.open(tmp_path / "lake", create=True)
    for i in range(4):
        put_slide(store, f"S{i}", features(i, 1000))
    index = SlideIndex(store, exact_below=2000)
    index.sync()
    query = features(1)[3].astype(np.float64)
    exact = index.search_vector(query, k=20, exact=True)
    near = index.search_vector(query, k=20)
    truth = true_cosines(store, query)
    for hit in [*exact, *near]:
        assert hit.row is not None
        assert hit.score == pytest.approx(truth[hit.slide_id, hit.row], abs=1e-3)
    assert len({(h.slide_id, h.row) for h in exact} & {(h.slide_id, h.row) for h in near}) >= 18
    # Rows outside the index are found as well, on the same scale.
    put_slide(store, "S9", features(9, 20))
    index.sync()
    assert index.status()["tables"][0]["unindexed_rows"] == 20
    own = index.search_vector(features(9, 20)[3], k=5)
    assert (own[0].slide_id, own[0].row) == ("S9", 3)
    assert own[0].score == pytest.approx(1, abs=1e-6)
    # A narrow filter still fills k.
    assert len(index.search_vector(query, k=15, where={"slide_id": "S9"})) == 15


def test_hits_become_tables(index: SlideIndex) -> None:
    hits = index.search_vector(features(0)[0], k=5, where={"site": "larynx"})
    frame = hits.to_pandas()
    assert list(frame.columns[:9]) == [
        "rank",
        "score",
        "slide_id",
        "patient_id",
        "row",
        "x",
        "y",
        "space",
        "site",
    ]
    assert len(frame) == 5
    assert hits.to_dicts()[0]["metadata"]["site"] == "larynx"
    assert len(hits[:2]) == 2
    assert hits[:2].query is hits.query
    assert "5 hits for a vector, where site = larynx" in repr(hits)
    assert list(hits[:0].to_pandas().columns)[:3] == ["rank", "score", "slide_id"]


def test_a_notebook_shows_a_table_and_runs_nothing(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=1)
    import pandas as pd

    store.metadata.merge(pd.DataFrame({"slide_id": ["S0"], "site": ["<script>alert(1)</script>"]}))
    index = SlideIndex(store)
    index.sync()
    shown = index.search_vector(np.ones(DIM))._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_errors_are_of_one_tree(index: SlideIndex) -> None:
    with pytest.raises(SlidelakeError):
        index.search_vector(np.ones(DIM), space="nothing")
