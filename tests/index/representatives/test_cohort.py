"""Over a cohort: slide after slide, a bad one costs itself alone."""

from pathlib import Path

import numpy as np
import pytest

from slidelake.errors import QueryError, SlidelakeError, UnknownSlideError, UnknownSpaceError, UsageError
from slidelake.index.representatives import Texts, select_cohort, select_representatives
from slidelake.store import FeatureStore
from tests.index.representatives.colour_words import MIXED, ColourWords, new_store, put_coloured, put_report


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    store = new_store(tmp_path_factory.mktemp("cohort"))
    for number in range(3):
        put_coloured(store, f"S{number}", MIXED, patient=f"P{number}")
    put_coloured(store, "S1-empty", [], features=np.empty((0, 12), np.float32))
    put_report(store, "Purple cells with necrosis.", patient="P2")
    return store


def test_each_slide_as_it_would_be_alone(store: FeatureStore) -> None:
    told: list[tuple[str, str]] = []

    def progress(event: str, **fields: object) -> None:
        told.append((event, str(fields.get("total", fields.get("state", "")))))

    found = list(select_cohort(store, count=20, seed=3, progress=progress))
    assert [each.slide_id for each in found] == ["S0", "S1", "S1-empty", "S2"]
    assert told == [
        ("start", "4"),
        ("slide", "made"),
        ("slide", "made"),
        ("slide", "failed"),
        ("slide", "made"),
        ("end", ""),
    ]
    for each in found:
        if each.picked is None:
            assert isinstance(each.error, SlidelakeError)
            assert (each.slide_id, each.error.problem) == ("S1-empty", "the bag is empty")
        else:
            alone = select_representatives(store, each.slide_id, count=20, seed=3)
            assert each.picked.to_dict() == alone.to_dict()
    # Chance belongs to the slide too: equal slides do not have equal picks.
    assert found[0].picked is not None
    assert found[1].picked is not None
    assert found[0].picked.rows.tolist() != found[1].picked.rows.tolist()


def test_named_slides_in_their_order_once(store: FeatureStore) -> None:
    found = list(select_cohort(store, slides=["S2", "S9", "S0", "S2"], count=6))
    assert [each.slide_id for each in found] == ["S2", "S9", "S0"]
    assert isinstance(found[1].error, UnknownSlideError)


def test_texts_are_encoded_once(store: FeatureStore) -> None:
    seen: list[str] = []

    class Counting(ColourWords):
        def encode_text(self, texts):
            seen.extend(texts)
            return super().encode_text(texts)

    list(select_cohort(store, count=12, encoder=Counting()))
    assert len(seen) == len(set(seen)) > 1


def test_what_is_wrong_for_all_is_said_at_once(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(UnknownSpaceError):
        select_cohort(store, "uni")
    with pytest.raises(UsageError):
        select_cohort(store, count=0)

    class Blind:
        spec = ColourWords.spec

        def encode(self, patches):
            return ColourWords().encode(patches)

    with pytest.raises(QueryError, match="reads no text"):
        select_cohort(store, texts=Texts(attributes=["nuclei"]), encoder=Blind())
    with pytest.raises(UnknownSpaceError, match="no features are committed"):
        select_cohort(new_store(tmp_path))
