"""Filters over plain rows: the same answers as the index gives, with no index there."""

from pathlib import Path

import pytest

from slidelake.errors import FilterError
from slidelake.index import Column, cohort_columns, parse_where, read_cohort, row_test
from slidelake.store import FeatureStore

COLUMNS = {
    "site": Column("site", "site", "text", "slide"),
    "age": Column("age", "age", "integer", "slide"),
    "fixed": Column("fixed", "fixed", "boolean", "slide"),
    "tissue": Column("tissue", "tissue", "integer", "patch"),
}
ROWS = (
    {"site": "lung", "age": 50, "fixed": True},
    {"site": "larynx, left", "age": 61, "fixed": False},
    {"age": 70},
)


@pytest.mark.parametrize(
    ("where", "met"),
    [
        ([], [0, 1, 2]),
        (["site=lung"], [0]),
        (["site!=lung"], [1]),  # a missing value meets nothing, as in SQL
        (["site<lung"], [1]),
        (["age>=61"], [1, 2]),
        (["age<61"], [0]),
        (["age in 50,70"], [0, 2]),
        (["age not in 50"], [1, 2]),
        (['site in "larynx, left",none'], [1]),
        (["site not in lung"], [1]),
        (["fixed=no"], [1]),
        (["age>55", "fixed=false"], [1]),
    ],
)
def test_rows_that_meet_all_conditions(where, met):
    test = row_test(parse_where(where), COLUMNS)
    assert [number for number, row in enumerate(ROWS) if test(row)] == met


@pytest.mark.parametrize("where", ["organ=x", "age>old", "fixed>true", "tissue>3"])
def test_what_cannot_be_compared(where):
    with pytest.raises(FilterError):
        row_test(parse_where([where]), COLUMNS)


def test_the_columns_of_a_store_without_metadata(tmp_path: Path):
    cohort = read_cohort(FeatureStore.open(tmp_path / "lake", create=True))
    assert list(cohort_columns(cohort, patches=False)) == ["slide_id", "patient_id"]
    assert {"row", "x", "y", "tissue", "blur"} < set(cohort_columns(cohort, patches=True))
