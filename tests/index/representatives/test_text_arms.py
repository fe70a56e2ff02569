"""Queries take turns."""

import numpy as np

from slidelake.index.representatives.text_arms import query_order


def test_each_query_gives_its_nearest_that_is_left() -> None:
    alike = np.array([[0.9, 0.8, 0.7, 0.1], [0.6, 0.5, 0.4, 0.0], [0.1, 0.2, 0.3, 0.3]], np.float32)
    # The second query's nearest is given already: it gives the next. Of the third's equals the earlier comes first.
    assert list(query_order(alike)) == [(0, 0, 1), (1, 1, 2), (2, 2, 1), (3, 0, 4)]


def test_every_place_comes_once() -> None:
    cosines = np.random.default_rng(0).uniform(-1, 1, (7, 50)).astype(np.float32)
    given = list(query_order(cosines))
    assert sorted(place for place, _, _ in given) == list(range(50))
    assert [query for _, query, _ in given] == [turn % 7 for turn in range(50)]
    for place, query, rank in given:
        assert rank == 1 + (cosines[query] > cosines[query, place]).sum()
