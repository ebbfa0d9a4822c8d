"""What a column of the training table is, and how later columns are read as it."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from yuragi.tables import Column, LeftOut, TableError
from yuragi.tables.columns import LEVELS, find, read

RNG = np.random.default_rng(0)


def column(*values: Any, times: int = 1) -> pd.Series[Any]:
    return pd.Series(list(values) * times, dtype=object).infer_objects()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (column(1.5, 2, None), "number"),
        (column(1, 2, 2, times=5), "number"),
        (column("1,5", "2,5", "3"), "number"),
        (column("12%", "7%"), "number"),
        (column("¥1,200", "¥90"), "number"),
        (column(True, False, True), "boolean"),
        (column("yes", "no", "No", None), "boolean"),
        (column("はい", "いいえ", "はい"), "boolean"),
        (column("red", "blue", times=3), "category"),
        (column("1", "2", "A", times=3), "category"),  # few different values, one no number
        (column("007", "123", times=3), "category"),  # codes
        (column("赤", "青", "赤", None), "category"),
        (column("yes", "no", "perhaps", times=2), "category"),
        (column("2024-03-01", "2024-03-02 12:00"), "date"),
        (column("2024年3月1日", "2024年3月2日"), "date"),
        (column(datetime.date(2024, 3, 1), datetime.datetime(2024, 3, 2, 1, 2), None), "date"),
        (column("9:30", "18:00"), "date"),
    ],
)
def test_the_kind_of_a_column(values: pd.Series[Any], kind: str) -> None:
    found = find("a", values)
    assert isinstance(found, Column)
    assert found.kind == kind
    assert found.missing == values.isna().sum()
    assert Column.restore(json.loads(json.dumps(found.described()))) == found
    assert read(found, values).shape == (len(values),)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (column(None, None), "no values"),
        (column("", " "), "no values"),
        (column(np.inf, -np.inf), "no values that are finite"),
        (column(7, times=5), "constant: 7 in every row"),
        (column(0.1, times=1000), "constant: 0.1 in every row"),
        (column("x", times=5), "constant: 'x' in every row"),
        (column(True, times=5), "constant: True in every row"),
        (column("2024-03-01", times=5), "constant: 2024-03-01 in every row"),
        (column(*range(1, 1001)), "identifier: a running number from 1 to 1000"),
        (column(*RNG.permutation(1000)), "identifier: a running number from 0 to 999"),
        (column(*(f"u{number}" for number in range(1000))), "identifier: all 1,000 values differ"),
        (column(*(f"{number:05d}" for number in range(50))), "identifier: all 50 values differ"),
        (column("word " * 50, "b", times=2), "free text: up to 249 characters long"),
        (column(*(f"t{number}" for number in range(9)), "a", "a"), "free text: 10 different values in 11 rows"),
        (column("1/2/2024", "3/4/2024"), "dates that may be day/month or month/day"),
    ],
)
def test_columns_that_no_model_should_read(values: pd.Series[Any], reason: str) -> None:
    found = find("a", values)
    assert isinstance(found, LeftOut)
    assert found.reason.startswith(reason)


def test_what_is_constant_but_for_missing_values_is_used() -> None:
    for values in (column(7.0, None, times=3), column("x", None, times=3), column(True, None, times=3)):
        assert isinstance(find("a", values), Column)


def test_whole_numbers_that_are_no_identifiers() -> None:
    years = find("year", column(*range(1990, 2020)))
    sparse = find("a", column(*RNG.choice(10**6, 500, replace=False)))
    kept = find("a", column(*range(100)), keep_running=True)
    assert all(isinstance(found, Column) for found in (years, sparse, kept))


def test_percentiles_and_levels() -> None:
    values = RNG.normal(size=333)
    found = find("a", pd.Series([*values, np.nan, np.inf]))
    assert isinstance(found, Column)
    assert found.missing == 2
    np.testing.assert_allclose(found.quantiles, np.percentile(values, range(101)))
    levels = find("a", column("b", "a", "c", "c", "a", "c"))
    assert isinstance(levels, Column)
    assert list(levels.levels.items()) == [("c", 3), ("a", 2), ("b", 1)]


def test_the_most_frequent_of_very_many_levels_are_kept() -> None:
    many = [f"l{number}" for number in range(LEVELS + 500)]
    found = find("a", pd.Series([*many, *many, *many[:LEVELS]]))
    assert isinstance(found, Column)
    assert set(found.levels) == set(many[:LEVELS])
    assert read(found, pd.Series([many[-1], many[0]])).tolist()[0] == -1


def test_words_for_missing_values_among_numbers_and_dates() -> None:
    numbers = find("a", pd.Series([*map(str, RNG.normal(size=40)), "?", "unknown"]))
    assert isinstance(numbers, Column)
    assert (numbers.kind, numbers.missing, set(numbers.words)) == ("number", 2, {"?", "unknown"})
    later = read(numbers, pd.Series(["1.5", "?"]))
    assert later[0] == 1.5
    assert np.isnan(later[1])
    days = [str(day) for day in pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d")]
    dated = find("a", pd.Series([*days, "never"]))
    assert isinstance(dated, Column)
    assert (dated.kind, dated.missing, dated.words) == ("date", 1, ("never",))


def test_numbers_too_large_to_square_are_refused_by_row() -> None:
    with pytest.raises(TableError, match=r"column 'a' holds -1e\+200 in row 2, .* another unit"):
        find("a", column(1.0, -1e200))


def test_later_columns_may_be_kept_otherwise() -> None:
    number = find("a", column(1.5, 2.5))
    category = find("b", column("1", "2", "A", times=2))
    date = find("c", column("2024-03-01", "2024-03-02"))
    truth = find("d", column(True, False))
    assert isinstance(number, Column)
    assert isinstance(category, Column)
    assert isinstance(date, Column)
    assert isinstance(truth, Column)
    assert read(number, column("1.5", "1,000.5")).tolist() == [1.5, 1000.5]
    assert read(number, column(True, False)).tolist() == [1, 0]
    assert read(category, column(2.0, 1, "A", None, "new")).tolist() == [
        *(list(category.levels).index(level) for level in "21A"),
        3,
        -1,
    ]
    day = datetime.date(2024, 3, 1)
    assert read(date, column(day)).tolist() == read(date, column("2024-03-01")).tolist()
    assert read(truth, column("yes", "No", 1)).tolist()[:2] == [1, 0]
    assert read(truth, column(1, 0)).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("trained", "later", "message"),
    [
        (
            column(1.5, 2.5),
            column("3", "abc"),
            "column 'a' holds numbers in the training table, and here 'abc' in row 2: ",
        ),
        (column(1.5, 2.5), pd.Series(pd.to_datetime(["2024-03-01"])), "column 'a' holds numbers .* in row 1: "),
        (
            column("13/2/2024", "1/3/2024"),
            column("2024-03-01"),
            "holds dates written as %d/%m/%Y .* '2024-03-01' in row 1",
        ),
        (column("2024-03-01", "2024-03-02"), column(3.5), "holds dates written as ISO8601 .* 3.5 in row 1"),
        (column("yes", "no"), column("a", "b"), "holds only .* and here 'a' in row 1: correct it, or leave it empty"),
    ],
)
def test_another_kind_of_value_is_refused_by_row(trained: pd.Series[Any], later: pd.Series[Any], message: str) -> None:
    found = find("a", trained)
    assert isinstance(found, Column)
    with pytest.raises(TableError, match=message):
        read(found, later)
