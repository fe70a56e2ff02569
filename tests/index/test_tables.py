"""Names, schemas and types of the index's tables, and what importing the part costs."""

import subprocess
import sys
from pathlib import Path

import lancedb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import slidelake.index
from slidelake.errors import NotFiniteError
from slidelake.index import SlideIndex
from slidelake.index.cohort import read_cohort
from slidelake.index.tables import Collection, declared_columns, metadata_fields, normalise, slides_schema
from slidelake.store import FeatureStore
from tests.index.lakes import SPACE, make_lake


def test_table_names_are_plain_and_each_its_own() -> None:
    assert Collection(SPACE).table == "patches__256px-0.5mpp__toy.0123abcd"
    assert Collection(SPACE, "mean.4567cdef").table == "pooled__256px-0.5mpp__toy.0123abcd__mean.4567cdef"
    assert Collection("a__b/c").table != Collection("a/b__c").table
    assert Collection("a/b", "c").table != Collection("a/b__c").table


def test_tables_say_their_metric_space_and_version(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=1)
    SlideIndex(store).sync()
    schema = lancedb.connect(tmp_path / "lake" / "index").open_table(Collection(SPACE).table).schema
    said = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    assert said == {
        "slidelake.schema": "1",
        "slidelake.metric": "cosine",
        "slidelake.space": SPACE,
        "slidelake.aggregator": "",
        "slidelake.store_id": store.info.store_id,
    }
    assert schema.field("vector").type == pa.list_(pa.float16(), 16)
    assert schema.field("row").type == pa.int32()


def test_metadata_columns_keep_their_names_whatever_they_are() -> None:
    names = ["site", "Site", "row", "slide_id", "age at diagnosis", "a.b", "µ", "vector"]
    fields = metadata_fields({name: pa.string() for name in names})
    physical = [field.name for field in fields]
    assert physical[0] == "site"
    assert len({name.lower() for name in physical}) == len(names)
    assert all(name.replace("_", "").isalnum() and name.isascii() for name in physical)
    columns = declared_columns(slides_schema("id", fields), patches=True)
    assert set(names) <= set(columns)
    assert columns["row"].level == "slide"
    assert columns["x"].level == "patch"


def test_metadata_types_are_kept(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    frame = pd.DataFrame(
        {
            "slide_id": ["A", "B"],
            "whole": [1, 2],
            "gap": [61.0, None],
            "share": [0.5, None],
            "flag": [True, False],
            "text": ["01", None],
            "day": pd.to_datetime(["2020-01-02", "2021-03-04"]),
            "patient_id": ["P", None],
        }
    )
    store.metadata.merge(frame)
    cohort = read_cohort(store)
    assert {name: str(kind) for name, kind in cohort.types.items()} == {
        "whole": "int64",
        "gap": "int64",
        "share": "double",
        "flag": "bool",
        "text": "string",
        "day": "string",
    }
    assert cohort.values["A"]["day"].startswith("2020-01-02")
    assert cohort.values["B"] == {
        "whole": 2,
        "gap": None,
        "share": None,
        "flag": False,
        "text": None,
        "day": cohort.values["B"]["day"],
    }
    assert cohort.patients == {"A": "P"}


def test_a_missing_value_meets_no_condition(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", slides=3)
    store.metadata.merge(pd.DataFrame({"slide_id": ["S0", "S1"], "stage": ["I", "II"]}))
    index = SlideIndex(store)
    index.sync()
    for where, slides in ((["stage=I"], {"S0"}), (["stage!=I"], {"S1"}), (["stage not in I,III"], {"S1"})):
        assert {hit.slide_id for hit in index.search_vector(np.ones(16), k=99, where=where)} == slides


def test_normalising_survives_any_finite_row() -> None:
    rows = np.array([[3, 4], [0, 0], [1e38, 1e38], [1e-38, 0], [-2, 0]], np.float32)
    unit, usable = normalise(rows)
    assert unit.dtype == np.float16
    assert usable.tolist() == [True, False, True, True, True]
    assert np.allclose(unit, [[0.6, 0.8], [0, 0], [0.7071, 0.7071], [1, 0], [-1, 0]], atol=1e-3)
    assert normalise(np.empty((0, 4), np.float16))[0].shape == (0, 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(NotFiniteError):
        normalise(np.array([[1, value]], np.float32), slide="S0")


def test_exports_are_complete_and_sorted() -> None:
    assert slidelake.index.__all__ == sorted(slidelake.index.__all__)
    assert all(getattr(slidelake.index, name) is not None for name in slidelake.index.__all__)
    with pytest.raises(AttributeError):
        _ = slidelake.index.nothing


def test_importing_the_part_is_light() -> None:
    script = (
        "import sys, slidelake.index as index; index.SlideIndex;"
        "print([m for m in ('lancedb', 'torch', 'ray') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(root / "src")}, capture_output=True, check=True
    )
    assert done.stdout.strip() == b"[]", done.stdout
