"""The schema of a table: features, target, task, and what is said about later tables."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from yuragi.tables import Schema, TableError
from yuragi.tables.frames import as_frame

RNG = np.random.default_rng(0)


def table(rows: int = 60) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": range(rows),
            "大きさ": RNG.normal(size=rows),
            "colour": RNG.choice(["red", "blue"], rows),
            "day": pd.date_range("2024-01-01", periods=rows).strftime("%Y-%m-%d"),
            "ok": RNG.choice([True, False], rows),
            "flat": 1,
            "price": RNG.normal(size=rows),
        }
    )


def test_the_schema_of_a_table() -> None:
    frame = table()
    schema = Schema.of(frame, "price")
    assert schema.task == "regression"
    assert schema.classes == ()
    assert schema.rows == 60
    assert [(column.name, column.kind) for column in schema.columns] == [
        ("大きさ", "number"),
        ("colour", "category"),
        ("day", "date"),
        ("ok", "boolean"),
    ]
    assert [one.name for one in schema.left_out] == ["id", "flat"]
    np.testing.assert_array_equal(schema.targets(frame), frame["price"])
    assert Schema.restore(json.loads(json.dumps(schema.described(), allow_nan=False))) == schema


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (RNG.normal(size=60), "regression", ()),
        (np.arange(60), "regression", ()),
        (np.arange(60) % 3, "classification", ("0", "1", "2")),
        (np.arange(60) % 12, "regression", ()),  # more than ten values
        (np.arange(60) // 2 % 2 + 0.5, "regression", ()),  # not whole
        ([*[5] * 59, 6], "regression", ()),  # one stands once
        ([10, 9] * 30, "classification", ("9", "10")),  # in the order of numbers
        (["yes", "no"] * 30, "classification", ("no", "yes")),
        ([True, False] * 30, "classification", ("False", "True")),
        (["c", "a", "b"] * 20, "classification", ("a", "b", "c")),
        (["1,5", "2,25"] * 30, "regression", ()),
    ],
)
def test_the_target_says_the_task(values: Any, task: str, classes: tuple[str, ...]) -> None:
    frame = table().assign(y=values)
    schema = Schema.of(frame, "y")
    assert (schema.task, schema.classes) == (task, classes)
    targets = schema.targets(frame)
    if task == "classification":
        assert targets.dtype == np.int64
        said = pd.Series(values).astype(str).str.removesuffix(".0")
        assert [schema.classes[place] for place in targets] == said.tolist()


def test_the_task_can_be_said() -> None:
    frame = table().assign(y=np.arange(60) % 3)
    schema = Schema.of(frame, "y", "regression")
    assert schema.task == "regression"
    assert schema.targets(frame).tolist() == (np.arange(60) % 3).tolist()
    assert len(Schema.of(frame.assign(y=np.arange(60) % 20), "y", "classification").classes) == 20


def test_rows_without_a_target_are_left_aside() -> None:
    frame = table()
    frame.loc[[3, 7], "price"] = np.nan
    schema = Schema.of(frame, "price")
    assert (schema.rows, schema.target.missing) == (58, 2)
    known = schema.with_target(frame)
    assert len(known) == len(schema.targets(known)) == 58
    with pytest.raises(TableError, match="the target 'price' is nan in row 4, no number: correct or drop 2 such rows"):
        schema.targets(frame)


def test_classes_are_what_they_say_however_they_are_written() -> None:
    numbers = Schema.of(table().assign(y=np.arange(60) % 2), "y")
    for later in (["1", "0"], [1.0, 0.0], [1, 0], ["1.0", " 0"]):
        assert numbers.targets(pd.DataFrame({"y": later})).tolist() == [1, 0]
    words = Schema.of(table().assign(y=["Yes", "No"] * 30), "y")
    assert words.targets(pd.DataFrame({"y": ["no", "YES"]})).tolist() == [0, 1]
    with pytest.raises(TableError, match="'y' is 'maybe' in row 2, none of the classes 'No', 'Yes'"):
        words.targets(pd.DataFrame({"y": ["No", "maybe"]}))


@pytest.mark.parametrize(
    ("frame", "target", "task", "message"),
    [
        (table(), "prize", None, "the target column 'prize' is missing; the table has 'id', '大きさ'"),
        (table().assign(price=None), "price", None, "the target 'price' has no values in 60 rows"),
        (table(), "flat", None, "the target 'flat' cannot be predicted: constant: 1 in every row"),
        (table(), "day", None, "the target 'day' is a date: give it as a number"),
        (
            table().assign(price=[np.nan, np.inf, *range(58)]),
            "price",
            None,
            r"is inf in row 2, among numbers: .* \(1 such row\)",
        ),
        (table(), "colour", "regression", "the target 'colour' holds '(red|blue)', no number"),
        (table().assign(y=range(60)), "y", "classification", "the class '0' in one row only .and 59 more such classes"),
        (
            table(240).assign(y=np.arange(240) % 120),
            "y",
            "classification",
            "has 120 different values, at most 100 can",
        ),
        (table()[["price"]], "price", None, "the table has no column to predict from"),
        (table()[["flat", "price"]], "price", None, r"no column to predict from: 'flat' is left out \(constant: 1"),
        (table().iloc[:0], "price", None, "has no values in 0 rows"),
    ],
)
def test_tables_that_cannot_be_learned(frame: pd.DataFrame, target: str, task: Any, message: str) -> None:
    with pytest.raises(TableError, match=message):
        Schema.of(frame, target, task)


def test_a_running_number_is_used_when_there_is_nothing_else() -> None:
    schema = Schema.of(table()[["id", "price"]], "price")
    assert [column.name for column in schema.columns] == ["id"]


def test_columns_that_a_later_table_lacks_are_named() -> None:
    schema = Schema.of(table(), "price")
    with pytest.raises(
        TableError, match="2 columns of the training table are missing: '大きさ', 'ok'; the table has 'id', "
    ):
        schema.check(table().drop(columns=["大きさ", "ok"]))


def test_what_is_unusual_about_a_later_table_is_said_by_column() -> None:
    frame = table()
    schema = Schema.of(frame, "price")
    assert schema.notes(frame) == []
    assert schema.notes(frame.drop(columns=["price", "id", "flat"])) == []  # not needed to predict
    later = frame.assign(extra=1)
    later.loc[4, "大きさ"], later.loc[5, "大きさ"], later.loc[6, "大きさ"] = 99.5, np.nan, np.inf
    later.loc[[1, 2], "colour"] = ["violet", None]
    later.loc[0, "day"] = "1999-12-31"
    notes = schema.notes(later)
    low, high = frame["大きさ"].min(), frame["大きさ"].max()
    assert notes == [
        "column '大きさ': 1 missing value, and the training table had none",
        "column '大きさ': 1 infinite number, taken as missing",
        f"column '大きさ': 1 value outside the training range {low:g} to {high:g}, the first in row 5: 99.5",
        "column 'colour': 1 missing value, and the training table had none",
        "column 'colour': 1 value that the training table had not, the first in row 2: 'violet'",
        "column 'day': 1 value outside the training range 2024-01-01 to 2024-02-29, the first in row 1: 1999-12-31",
        "1 column that the model does not use: 'extra'",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"task": "ranking"},
        {"classes": ["a"]},
        {"columns": []},
        {"columns": [{}]},
        {"columns": 3},
        {"rows": "many"},
        {"left_out": [{"name": "a"}]},
        {"target": None},
    ],
)
def test_what_is_no_schema_is_refused(change: dict[str, Any]) -> None:
    described = json.loads(json.dumps(Schema.of(table(), "price").described()))
    with pytest.raises(TableError, match="not the description of a table's schema"):
        Schema.restore({**described, **change})
    kinds: list[dict[str, Any]] = [
        {"kind": "other"},
        {"quantiles": [1.0]},
        {"levels": "abc"},
        {"missing": None},
        {"quantiles": [float("nan")] * 101},
    ]
    for other in kinds:
        columns = [{**described["columns"][0], **other}]
        with pytest.raises(TableError, match="not the description"):
            Schema.restore({**described, "columns": columns})


def test_any_library_s_table() -> None:
    frame = table()
    schema = Schema.of(frame, "price")
    assert Schema.of(pl.from_pandas(frame), "price") == schema
    array = as_frame(np.arange(6).reshape(3, 2))
    assert list(array.columns) == ["x0", "x1"]
    assert list(as_frame(pd.DataFrame({0: [1], "a": [2]})).columns) == ["0", "a"]
    with pytest.raises(TableError, match="column 'a' appears more than once: rename one"):
        as_frame(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(TableError, match="got list"):
        as_frame([1, 2])
