"""Tables of labels, as people have them, into the metadata; and taking something back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import ManifestError, UnknownSlideError, UsageError
from slidelake.store import FeatureStore, Objects, update_metadata
from tests.store.lakes import copy_of, make_cohort

Write = Callable[[str], Path]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_cohort(tmp_path_factory.mktemp("cohort") / "store", slides=4)
    # S2 and S3 are one patient's by the metadata's word; the commits say P2 and P3.
    store = FeatureStore.open(folder)
    store.metadata.merge(pd.DataFrame({"slide_id": ["S3"], "patient_id": ["P2"]}))
    store.catalog()
    return folder


@pytest.fixture
def store(cohort: Path, tmp_path: Path) -> FeatureStore:
    return copy_of(cohort, tmp_path / "store", "memory")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> Path:
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return put


def _column(store: FeatureStore, name: str) -> dict[str, Any]:
    return dict(store.metadata.read().set_index("slide_id")[name].dropna())


def test_cells_are_merged(store: FeatureStore, write: Write) -> None:
    path = write("slide_id,site,age,consent\nS0,larynx,61,yes\ns1,,47,\nS2,NA,,no\n")
    report = update_metadata(store, path)
    assert (report.generation, report.changed, report.slides) == (3, True, 3)
    assert report.columns == ("site", "age", "consent")
    assert _column(store, "site") == {"S0": "larynx", "S1": "skin", "S9": "liver"}
    assert _column(store, "age") == {"S0": 61, "S1": 47}
    assert _column(store, "consent") == {"S0": "yes", "S2": "no"}
    again = update_metadata(store, path)
    assert (again.generation, again.changed) == (3, False)
    assert store.catalog().set_index("slide_id").age.to_dict()["S1"] == 47


def test_by_patient_alone(store: FeatureStore, write: Write) -> None:
    report = update_metadata(store, write("patient_id,grade\nP2,high\nP0,low\n"))
    assert (report.slides, report.moved) == (3, ())
    assert _column(store, "grade") == {"S0": "low", "S2": "high", "S3": "high"}
    with pytest.raises(UnknownSlideError, match="no patient P3"):
        update_metadata(store, write("patient_id,grade\nP3,high\n"))
    left = update_metadata(store, write("patient_id,grade\nP3,x\nP0,mid\n"), allow_unknown=True)
    assert (left.unknown, _column(store, "grade")["S0"]) == (("P3",), "mid")
    nobody = update_metadata(store, write("patient_id,grade\nP3,x\n"), allow_unknown=True)
    assert (nobody.slides, nobody.changed, nobody.unknown) == (0, False, ("P3",))


def test_a_patient_that_changes_is_told(store: FeatureStore, write: Write) -> None:
    report = update_metadata(store, write("slide_id,patient_id\nS0,P0\nS1,Q1\nS2,\n"))
    assert report.moved == ("S1",)
    assert store.catalog().patient_id.tolist() == ["P0", "Q1", "P2", "P2"]


def test_unknown_ids_are_refused_by_name(store: FeatureStore, write: Write) -> None:
    rows = "".join(f"X{n},a\n" for n in range(7))
    with pytest.raises(UnknownSlideError) as caught:
        update_metadata(store, write(f"slide_id,label\nS0,a\n{rows}S10,b\n"))
    assert "X0, X1, X2, X3, X4, and 3 more" in caught.value.problem
    assert "--allow-unknown" in caught.value.remedy
    assert store.metadata.generation() == 2
    with pytest.raises(UnknownSlideError, match=r"S10 \(did you mean S1\?\)"):
        update_metadata(store, write("slide_id,label\nS10,b\n"))
    # Of S9 something was said before it was ingested.
    assert update_metadata(store, write("slide_id,label\ns9,b\n")).changed
    kept = update_metadata(store, write("slide_id,label\nS10,b\n"), allow_unknown=True)
    assert kept.unknown == ("S10",)
    assert _column(store, "label") == {"S9": "b", "S10": "b"}


def test_the_catalogs_own_columns_are_passed_over(store: FeatureStore, write: Write) -> None:
    report = update_metadata(store, write("uri,slide_id,mpp,spaces,label\na.svs,S0,9,x,1\n"))
    assert report.left_out == ("uri", "mpp", "spaces")
    assert report.columns == ("label",)
    assert not {"uri", "mpp", "spaces"} & set(store.metadata.read().columns)
    with pytest.raises(ManifestError, match="says nothing but uri, n_patches"):
        update_metadata(store, write("slide_id,uri,n_patches\nS0,a,3\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("slide_id,label\n", "no rows"),
        ("slide_id\nS0\n", "says nothing"),
        ("name,label\nS0,a\n", "no slide_id and no patient_id column"),
        ("slide_id,label\nS0,a\nS0,b\n", "S0 stands in the table twice"),
        ("slide_id,label\nS0,a\ns0,b\n", "s0 stands in the table twice"),
        ("slide_id,label\n S0 ,a\nS0,b\n", "S0 stands in the table twice"),
        ("patient_id,label\nP0,a\nP0,b\n", "P0 stands in the table twice as patient_id"),
        ("slide_id,label\nS0,a\n,b\n", "row 2 of the table has no slide_id"),
        ("slide_id,label\nS0,a\n  ,b\n", "row 2 of the table has no slide_id"),
        ("slide_id,label,Label\nS0,a,b\n", "twice"),
        ("slide_id,label\nS0,a,b\n", "3 fields under 2 columns"),
        ("slide_id,site\nS0,7\n", "holds numbers, and text in the store"),
    ],
)
def test_tables_that_are_refused(store: FeatureStore, write: Write, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        update_metadata(store, write(text))
    assert caught.value.remedy.endswith(".")
    assert store.metadata.generation() == 2


def test_other_encodings_and_missing_files(store: FeatureStore, tmp_path: Path) -> None:
    latin = tmp_path / "latin.csv"
    latin.write_bytes("slide_id,label\nS0,Kehlkopf-Präparat\n".encode("latin-1"))
    with pytest.raises(ManifestError, match="UTF-8"):
        update_metadata(store, latin)
    wide = tmp_path / "wide.csv"
    wide.write_bytes("slide_id,label\nS0,a\n".encode("utf-16"))
    with pytest.raises(ManifestError, match="cannot be read"):
        update_metadata(store, wide)
    with pytest.raises(ManifestError, match="there is no table"):
        update_metadata(store, tmp_path / "none.csv")
    marked = tmp_path / "marked.csv"
    marked.write_bytes("\ufeffslide_id,label\r\nS0,Präparat\r\n".encode())
    assert update_metadata(store, marked).changed
    assert _column(store, "label") == {"S0": "Präparat"}


def test_frames_and_parquet(store: FeatureStore, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {" slide_id": ["S0", "S1"], "age": [61.0, np.nan], "fresh": [True, False], "n": pd.array([1, None])}
    )
    before = frame.copy()
    assert update_metadata(store, frame).changed
    pd.testing.assert_frame_equal(frame, before)
    frame.to_parquet(tmp_path / "t.parquet")
    assert not update_metadata(store, tmp_path / "t.parquet").changed
    assert _column(store, "age") == {"S0": 61}
    assert _column(store, "fresh") == {"S0": True, "S1": False}
    with pytest.raises(ManifestError, match="twice"):
        update_metadata(store, pd.DataFrame([["S0", 1, 2]], columns=["slide_id", "a", "a "]))


def test_unset(store: FeatureStore) -> None:
    store.snapshots.create("v1")
    store.metadata.merge(pd.DataFrame({"slide_id": ["S0", "S1"], "age": [61, 47]}))
    assert store.metadata.unset("site", ["s0"]) == 4
    assert _column(store, "site") == {"S1": "skin", "S9": "liver"}
    assert store.metadata.unset("site", ["S0"]) == 4
    assert store.metadata.unset("age", ["S1"]) == 5
    assert _column(store, "age") == {"S0": 61}
    assert store.metadata.unset("age", ["S0"]) == 6
    assert "age" not in store.metadata.read()
    # What says nothing any more may come back as something else.
    store.metadata.merge(pd.DataFrame({"slide_id": ["S0"], "age": ["old"]}))
    assert store.metadata.unset("site") == 8
    assert store.metadata.read().columns.tolist() == ["slide_id", "patient_id", "age"]
    assert store.at("v1").metadata.read().site.dropna().tolist() == ["lung", "skin"]
    for column in ("site", "slide_id", ""):
        with pytest.raises(UsageError, match="no column"):
            store.metadata.unset(column)
    with pytest.raises(UnknownSlideError, match="says nothing of this slide"):
        store.metadata.unset("age", ["S77"])
    with pytest.raises(UsageError, match="cannot be written"):
        store.at("v1").metadata.unset("site")


def test_unset_after_a_lost_race(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Objects.put_if_absent
    meddled: list[str] = []

    def meddle(self: Objects, key: str, data: bytes) -> bool:
        if not meddled:
            meddled.append(key)
            FeatureStore.open(store.url).metadata.merge(pd.DataFrame({"slide_id": ["S1"], "age": [3]}))
        return real(self, key, data)

    monkeypatch.setattr(Objects, "put_if_absent", meddle)
    assert store.metadata.unset("site") == 4
    assert store.metadata.read().columns.tolist() == ["slide_id", "patient_id", "age"]
