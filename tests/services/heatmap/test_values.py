"""What a heatmap shows: attention, columns, and what people bring."""

import numpy as np
import pytest

from slidelake.errors import UnknownAggregatorError, UnknownSlideError, UsageError
from slidelake.services.heatmap import choose_values
from slidelake.services.heatmap.values import attention_values, percentile_rank
from tests.services.heatmap.lakes import ABMIL, GRID, SPACE, lattice, new_store, put, put_scores


@pytest.fixture
def store(tmp_path):
    store = new_store(tmp_path)
    coords = lattice((1000, 750), 250, 250)
    put(store, "S1", coords, size=(1000, 750), footprint=250.0,
        columns={"tissue": np.arange(12, dtype=np.uint8), "blur": np.full(12, 9, np.uint8)})  # fmt: skip
    return store


def scores(seed=0):
    made = np.random.default_rng(seed).normal(size=(2, 12)) * 3
    made[:, [2, 5]] = -np.inf
    return made


def test_attention_score_and_rank(store):
    attention = put_scores(store, "S1", scores())
    kept = np.isfinite(scores()[0])
    for branch in range(2):
        shown = {
            show: attention_values(store, "S1", SPACE, ABMIL, show=show, branch=branch)[0]
            for show in ("attention", "score", "rank")
        }
        np.testing.assert_allclose(shown["attention"].values[kept], attention[branch, kept], rtol=1e-12)
        np.testing.assert_array_equal(shown["score"].values[kept], scores()[branch, kept].astype(np.float32))
        for each in shown.values():
            np.testing.assert_array_equal(each.shown, kept)
        assert list(np.argsort(shown["rank"].values[kept])) == list(np.argsort(attention[branch, kept]))
        assert np.nansum(shown["attention"].values) == pytest.approx(1, abs=1e-6)
        measures = shown["rank"].measures
        np.testing.assert_allclose(
            measures["attention x patches"][kept], 10 * attention[branch, kept], rtol=1e-12
        )
        assert "branch" in shown["rank"].label


def test_ranks_of_equal_values_are_equal():
    np.testing.assert_allclose(
        percentile_rank(np.array([3.0, 1, np.nan, 3, 2])), [75, 12.5, np.nan, 75, 37.5]
    )
    assert np.isnan(percentile_rank(np.full(3, np.nan))).all()


def test_attention_of_a_bag_that_was_made_again(store):
    put_scores(store, "S1", scores())
    assert attention_values(store, "S1", SPACE, ABMIL)[0].notes == ()
    put(store, "S1", lattice((1000, 750), 250, 250), size=(1000, 750), footprint=250.0)
    assert "older generation" in attention_values(store, "S1", SPACE, ABMIL)[0].notes[0]


def test_names_of_aggregators(store):
    with pytest.raises(UnknownAggregatorError, match="Make it first"):
        choose_values(store, "S1", SPACE, aggregator="abmil")
    put_scores(store, "S1", scores())
    put_scores(store, "S1", scores(1), "abmil.00000000")
    with pytest.raises(
        UnknownAggregatorError, match=r"means 2 aggregators.*abmil\.00000000, abmil\.89abcdef"
    ):
        choose_values(store, "S1", SPACE, aggregator="abmil")
    assert len(choose_values(store, "S1", SPACE, aggregator=ABMIL)) == 2
    store.put_pooled("S1", SPACE, "mean.0123abcd", embedding=np.ones((1, 3)), provenance={})
    with pytest.raises(UsageError, match="keeps no attention"):
        choose_values(store, "S1", SPACE, aggregator="mean")
    with pytest.raises(UsageError, match="no branch 2"):
        choose_values(store, "S1", SPACE, aggregator=ABMIL, branch=2)
    with pytest.raises(UsageError, match="not shown as 'heat'"):
        choose_values(store, "S1", SPACE, aggregator=ABMIL, show="heat")
    with pytest.raises(UnknownSlideError):
        choose_values(store, "S2", SPACE, aggregator=ABMIL)


def test_columns(store):
    [tissue] = choose_values(store, "S1", SPACE, column="tissue")
    np.testing.assert_array_equal(tissue.values, np.arange(12))
    with pytest.raises(UsageError, match=r"no column 'pen'.*blur, tissue"):
        choose_values(store, "S1", SPACE, column="pen")


def test_values_of_a_file(store, tmp_path):
    wanted = np.arange(12) / 7
    wanted[4] = np.nan
    np.save(tmp_path / "v.npy", wanted)
    [found] = choose_values(store, "S1", SPACE, file=tmp_path / "v.npy")
    np.testing.assert_array_equal(found.values, wanted)
    (tmp_path / "rows.csv").write_text("slide_id,row,value\nS1,3,0.5\nS2,4,9\nS1,0,-2\nS1,1,\n")
    [found] = choose_values(store, "S1", SPACE, file=tmp_path / "rows.csv")
    assert found.values[[3, 0]].tolist() == [0.5, -2]
    assert found.shown.sum() == 2
    (tmp_path / "places.csv").write_text("x,y,value\n250,500,1.5\n750.0,0,2\n")
    [found] = choose_values(store, "S1", SPACE, file=tmp_path / "places.csv")
    at = {tuple(place): value for place, value in zip(found.coords.tolist(), found.values, strict=True)}
    assert (at[250, 500], at[750, 0]) == (1.5, 2)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("v.csv", "row,score\n1,2\n", "has the columns row, score"),
        ("v.csv", "", "has the columns none"),
        ("v.csv", "row,value\n12,2\n", "line 2"),
        ("v.csv", "row,value\n-1,2\n", "line 2"),
        ("v.csv", "row,value\n1,high\n", "line 2"),
        ("v.csv", "x,y,value\n7,7,1\n", "line 2"),
        ("v.csv", "slide_id,row,value\nother,1,2\n", "holds no value for this slide"),
        ("v.npy", "nothing", "cannot be read"),
        ("v.txt", "1", "neither .npy nor .csv"),
    ],
)
def test_files_that_are_no_values(store, tmp_path, name, text, problem):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=problem):
        choose_values(store, "S1", SPACE, file=tmp_path / name)


def test_arrays_of_another_length(store, tmp_path):
    np.save(tmp_path / "v.npy", np.ones(11))
    with pytest.raises(UsageError, match=r"\(12,\)"):
        choose_values(store, "S1", SPACE, file=tmp_path / "v.npy")
    with pytest.raises(UsageError, match="no file"):
        choose_values(store, "S1", SPACE, file=tmp_path / "w.npy")
    assert store.grid("S1", GRID).columns
