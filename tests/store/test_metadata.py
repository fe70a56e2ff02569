"""The cohort's table: merging, generations, lost races."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from slidelake.errors import ManifestError
from slidelake.store import Metadata, Objects


@pytest.fixture
def metadata(tmp_path: Path) -> Metadata:
    return Metadata(Objects(tmp_path))


def _table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


def _said(metadata: Metadata, slide_id: str) -> dict[str, Any]:
    row = metadata.read().set_index("slide_id").loc[slide_id].dropna()
    return dict(row)


def test_merge_by_slide_and_column(metadata: Metadata) -> None:
    assert metadata.merge(_table(slide_id=["S1", "S2"], site=["lung", "skin"], age=[61, 47])) == 1
    assert metadata.merge(_table(slide_id=["S3", "S2"], site=[None, "larynx"], stage=["I", "II"])) == 2
    assert metadata.read().slide_id.tolist() == ["S1", "S2", "S3"]
    assert _said(metadata, "S1") == {"site": "lung", "age": 61}
    assert _said(metadata, "S2") == {"site": "larynx", "age": 47, "stage": "II"}
    assert _said(metadata, "S3") == {"stage": "I"}


def test_nothing_new_is_no_generation(metadata: Metadata) -> None:
    table = _table(
        slide_id=["S1", "S2"], site=["lung", None], age=[61, 47], fresh=[True, False], d=[0.5, 1.0]
    )
    assert metadata.merge(table) == 1
    assert metadata.merge(table) == 1
    assert metadata.merge(table.iloc[:1]) == 1
    assert metadata.merge(_table(slide_id=["S2"], site=[None])) == 1
    assert metadata.merge(_table(slide_id=["S1"])) == 1
    assert metadata.generation() == 1


def test_types_stay(metadata: Metadata) -> None:
    metadata.merge(_table(slide_id=["S1"], age=[61], fresh=[True], share=[0.5], name=["x"]))
    metadata.merge(_table(slide_id=["S2"], other=[1]))
    frame = metadata.read()
    assert pd.api.types.is_integer_dtype(frame.age)
    assert frame.age.tolist()[0] == 61
    assert pd.api.types.is_float_dtype(frame["share"])
    assert frame.fresh.tolist()[0] is True
    metadata.merge(_table(slide_id=["S2"], age=[50], fresh=[False]))
    frame = metadata.read()
    assert frame.age.tolist() == [61, 50]
    assert frame.fresh.tolist() == [True, False]


def test_gaps_and_categories(metadata: Metadata) -> None:
    metadata.merge(_table(slide_id=["S1", "S2"], age=[61.0, None], grade=pd.Categorical(["a", None])))
    metadata.merge(_table(slide_id=["S2", "S3"], age=[3, 4], grade=["b", "c"]))
    metadata.merge(_table(slide_id=["S3"], age=[4.5], grade=pd.Categorical(["d"])))
    frame = metadata.read()
    assert frame.age.tolist() == [61, 3, 4.5]
    assert frame.grade.tolist() == ["a", "b", "d"]
    assert not isinstance(frame.grade.dtype, pd.CategoricalDtype)


def test_a_slide_alone_is_something_new(metadata: Metadata) -> None:
    assert metadata.merge(_table(slide_id=["S1"])) == 1
    assert metadata.read().slide_id.tolist() == ["S1"]


def test_a_generation_that_goes_while_it_is_read(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata.merge(_table(slide_id=["S1"], site=["lung"]))
    real = Objects.read

    def read(self: Objects, key: str) -> bytes:
        monkeypatch.undo()
        metadata.merge(_table(slide_id=["S1"], site=["skin"]))
        self.delete(key)
        return real(self, key)

    monkeypatch.setattr(Objects, "read", read)
    assert metadata.read().site.tolist() == ["skin"]


def test_a_lost_race_merges_both(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata.merge(_table(slide_id=["S1"], site=["lung"]))
    real = Objects.put_if_absent
    meddled = []

    def meddle(self: Objects, key: str, data: bytes) -> bool:
        if not meddled:
            meddled.append(key)
            Metadata(Objects(self.url)).merge(_table(slide_id=["S1", "S9"], stage=["II", "I"]))
        return real(self, key, data)

    monkeypatch.setattr(Objects, "put_if_absent", meddle)
    assert metadata.merge(_table(slide_id=["S2"], site=["skin"])) == 3
    assert _said(metadata, "S1") == {"site": "lung", "stage": "II"}
    assert _said(metadata, "S2") == {"site": "skin"}
    assert _said(metadata, "S9") == {"stage": "I"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (_table(uri=["x"]), "no slide_id column"),
        (_table(slide_id=["S1", "s1"]), "twice"),
        (_table(slide_id=["a/b"]), "no slide_id"),
        (_table(slide_id=["S1"], age=["old"]), "the column age holds text, and numbers"),
        (pd.DataFrame([["S1", 1, 2]], columns=["slide_id", "a", "a"]), "twice the same"),
        (_table(slide_id=["S1", "S2"], mixed=[1, "x"]), "cannot be kept"),
    ],
)
def test_tables_that_are_refused(metadata: Metadata, table: pd.DataFrame, message: str) -> None:
    metadata.merge(_table(slide_id=["S0"], age=[1]))
    with pytest.raises(ManifestError, match=message):
        metadata.merge(table)
    assert metadata.generation() == 1
