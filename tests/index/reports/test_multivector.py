"""Rows of several vectors, as page images have: found by the mean of best cosines."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from slidelake.errors import QueryError
from slidelake.index.connection import Connection
from slidelake.index.reports.multivector import nearest_by_maxsim
from slidelake.index.reports.tables import vectors_field
from slidelake.store import FeatureStore

DIM = 8


@pytest.fixture
def table(tmp_path: Path) -> object:
    draw = np.random.default_rng(0)
    pages = [draw.normal(size=(3 + n % 4, DIM)) for n in range(40)]
    schema = pa.schema([pa.field("report_id", pa.string()), vectors_field("vectors", DIM)])
    rows = [
        {
            "report_id": f"page-{n}",
            "vectors": (page / np.linalg.norm(page, axis=1, keepdims=True)).astype(np.float16),
        }
        for n, page in enumerate(pages)
    ]
    data = pa.Table.from_pylist(
        [row | {"vectors": [list(v) for v in row["vectors"]]} for row in rows], schema=schema
    )
    return Connection(FeatureStore.open(tmp_path, create=True)).database.create_table(
        "pages", data=data, schema=schema
    )


def test_the_order_is_that_of_maxsim_over_all_rows(table: object) -> None:
    rows = table.to_arrow().to_pylist()  # type: ignore[attr-defined]
    asked = np.random.default_rng(1).normal(size=(3, DIM)).astype(np.float32)
    unit = asked / np.linalg.norm(asked, axis=1, keepdims=True)
    expected = {}
    for row in rows:
        held = np.asarray(row["vectors"], np.float64)
        held /= np.linalg.norm(held, axis=1, keepdims=True)
        expected[row["report_id"]] = (unit @ held.T).max(axis=1).mean()
    found = nearest_by_maxsim(table, asked, k=5)
    assert [name for name, _ in found] == sorted(expected, key=lambda name: -expected[name])[:5]
    for name, score in found:
        assert score == pytest.approx(expected[name], abs=2e-3)


@pytest.mark.parametrize("asked", [np.ones((2, DIM + 1)), np.zeros((1, DIM)), np.full((1, DIM), np.nan)])
def test_vectors_that_cannot_be_searched_are_refused(table: object, asked: np.ndarray) -> None:
    with pytest.raises(QueryError):
        nearest_by_maxsim(table, asked, k=3)
