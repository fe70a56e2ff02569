"""Filters: what people write, what they get, and that nothing they write is ever SQL."""

import contextlib
from pathlib import Path

import lancedb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidelake.errors import FilterError
from slidelake.index import Condition, Filter, parse_where
from slidelake.index.filters import Column, as_filter

COLUMNS = {
    "site": Column("site", "site", "text", "slide"),
    "age": Column("age", "age", "integer", "slide"),
    "ratio": Column("ratio", "ratio", "number", "slide"),
    "fixed": Column("fixed", "fixed", "boolean", "slide"),
    "tissue": Column("tissue", "tissue", "integer", "patch"),
}


def sql(where: object) -> tuple[str | None, str | None]:
    slide, patch = as_filter(where).split(COLUMNS)  # type: ignore[arg-type]
    return (slide.to_sql() if slide is not None else None, patch.to_sql() if patch is not None else None)


@pytest.mark.parametrize(
    ("term", "condition"),
    [
        ("site=larynx", Condition("site", "=", ("larynx",))),
        ("site == larynx", Condition("site", "=", ("larynx",))),
        ("site!=lung", Condition("site", "!=", ("lung",))),
        ("age>=50", Condition("age", ">=", ("50",))),
        ("age < 50", Condition("age", "<", ("50",))),
        ("stage in I,II", Condition("stage", "in", ("I", "II"))),
        ("stage NOT IN I, II", Condition("stage", "not in", ("I", "II"))),
        ("age at diagnosis>50", Condition("age at diagnosis", ">", ("50",))),
        ("note=made in Italy", Condition("note", "=", ("made in Italy",))),
        ('site="larynx"', Condition("site", "=", ("larynx",))),
        ('diagnosis in "mucinous, NOS",other', Condition("diagnosis", "in", ("mucinous, NOS", "other"))),
        ("formula=a=b", Condition("formula", "=", ("a=b",))),
    ],
)
def test_terms_are_read(term: str, condition: Condition) -> None:
    assert parse_where([term]) == Filter((condition,))


def test_dicts_are_read() -> None:
    where = Filter.from_dict({"site": "larynx", "stage": ["I", "II"], "age": {">=": 50, "<": 70}})
    assert [str(condition) for condition in where.conditions] == [
        "site = larynx",
        "stage in I, II",
        "age >= 50",
        "age < 70",
    ]


def test_conditions_are_split_by_where_their_column_stands() -> None:
    assert sql(["site=larynx", "tissue>=128", "age>50"]) == (
        "((site = 'larynx') AND (age > 50))",
        "(tissue >= 128)",
    )


@pytest.mark.parametrize("where", [None, {}, []])
def test_no_condition_is_no_expression(where: object) -> None:
    assert sql(where) == (None, None)


def test_text_becomes_the_type_of_its_column() -> None:
    assert sql(["age=50.0"])[0] == "(age = 50)"
    assert sql(["fixed=yes"])[0] == sql({"fixed": True})[0]
    assert sql(["ratio<0.5"])[0] == sql({"ratio": {"<": 0.5}})[0]


@pytest.mark.parametrize(
    "value", ["x' OR '1'='1", "'; DROP TABLE slides; --", "O'Brien", 'quote " and \\ slash', "a`b", "%_"]
)
def test_values_are_only_characters(value: str) -> None:
    expression = sql({"site": value})[0]
    assert expression is not None
    inside = expression.removeprefix("(site = '").removesuffix("')")
    assert inside.replace("''", "") == value.replace("'", "")
    assert inside.count("'") == 2 * value.count("'")


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_filter_error(term: str) -> None:
    for text in (term, f"site={term}", f"site in {term}", f"age>={term}", f"fixed={term}"):
        with contextlib.suppress(FilterError):
            sql([text])


NASTY = [
    "",
    "'",
    "''",
    "a'b",
    '"',
    "\\",
    "\\'",
    "`",
    "%",
    "_",
    "--",
    "/*",
    ";",
    "\n",
    "\x00",
    "µ組織",
    "' OR '1'='1",
]


def test_lancedb_finds_the_value_that_was_asked_for_and_no_other(tmp_path: Path) -> None:
    table = lancedb.connect(tmp_path).create_table("slides", data=pa.table({"site": NASTY}))
    for value in NASTY:
        for where in ({"site": value}, {"site": [value]}):
            slide, _ = as_filter(where).split(COLUMNS)
            assert [row["site"] for row in table.search().where(slide).to_list()] == [value]


@pytest.mark.parametrize("column", ["color", "1=1 OR site", "site; --", "SITE", "vector", "_distance", ""])
def test_unknown_columns_name_the_known(column: str) -> None:
    with pytest.raises(FilterError, match=r"site \(text\), age \(integer\)"):
        sql({column: "x"})


@pytest.mark.parametrize(
    "where",
    [
        ["age>=abc"],
        ["age=nan"],
        ["ratio=inf"],
        {"age": True},
        {"age": None},
        {"site": 3},
        {"site": []},
        {"site": {"like": "x"}},
        {"site": object()},
        ["fixed=maybe"],
        ["fixed>true"],
        ["site=\udcff"],
        ["site in a\rb"],
        ["site"],
        ["=x"],
        ["site in "],
        3,
    ],
)
def test_what_is_no_filter_says_so(where: object) -> None:
    with pytest.raises(FilterError) as caught:
        sql(where)
    assert caught.value.remedy.endswith(".")
    assert caught.value.exit_code == 2
