"""Any DataFrame at all: encoded to finite numbers or refused by a `TableError`, and the same again after JSON."""

from __future__ import annotations

import datetime
import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yuragi.tables import Schema, TableEncoder, TableError

WORDS = st.one_of(
    st.sampled_from(["a", "b", "c", "yes", "no", "NA", "", " ", "1", "1,5", "1.234,5", "2,000", "50%", "¥3", "1e400"]),
    st.sampled_from(
        ["2024-03-01", "1/2/2024", "2024年3月1日", "13:45", "0001-01-01", "9999-12-31", "はい", "いいえ", "007"]
    ),
    st.text(max_size=5),
)
FLOATS = st.one_of(st.floats(width=64), st.floats(-10, 10), st.sampled_from([0.0, 1.0, 1e300, -1e99, 5e-324]))
CELLS: tuple[st.SearchStrategy[Any], ...] = (
    FLOATS,
    st.floats(-5, 5),
    st.integers(0, 3),
    st.integers(),
    st.booleans(),
    WORDS,
    st.sampled_from(["x", "y", "z"]),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2030, 1, 1), timezones=st.timezones()),
    st.timedeltas(),
    st.decimals(allow_nan=False),  # pandas itself cannot tell whether a signalling NaN is missing
    st.fractions(),
    st.complex_numbers(),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
)
MISSING = st.sampled_from([None, np.nan, pd.NA, pd.NaT])
DTYPES = (
    "float32",
    "Int8",
    "boolean",
    "category",
    "string",
    "datetime64[s]",
    "Sparse[float64]",
    "uint64",
    "timedelta64[ms]",
)


@st.composite
def columns(draw: st.DrawFn, rows: int) -> pd.Series[Any]:
    kinds = draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=2))
    cell = st.one_of(*kinds, *[MISSING] * draw(st.integers(0, 1)))
    # few different values give categories, and constant columns
    pool = draw(st.lists(cell, min_size=1, max_size=max(rows, 1)))
    values = [draw(st.sampled_from(pool)) for _ in range(rows)] if draw(st.booleans()) else (pool * rows)[:rows]
    column = pd.Series(values, dtype=object)
    if draw(st.booleans()):
        column = column.infer_objects()
    if draw(st.integers(0, 3)) == 0:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of values that the type cannot hold
            try:
                return column.astype(draw(st.sampled_from(DTYPES)))
            except (TypeError, ValueError, OverflowError, ArithmeticError):  # such values are none of that type
                return column
    return column


@st.composite
def frames(draw: st.DrawFn, names: tuple[str, ...] = ("a", "b", "c", "y"), fewest: int = 0) -> pd.DataFrame:
    rows = draw(st.integers(fewest, 30))
    return pd.concat({name: draw(columns(rows)) for name in names}, axis=1)


CHECKS = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@CHECKS
@given(frame=frames(), later=frames(fewest=1))
def test_any_frame_is_encoded_or_refused(frame: pd.DataFrame, later: pd.DataFrame) -> None:
    try:
        schema = Schema.of(frame, "y")
    except TableError:
        return
    known = schema.with_target(frame)
    before = known.copy()
    encoder = TableEncoder(schema)
    encoded = encoder.fit_transform(known)
    assert encoded.shape == (schema.rows, len(encoder.get_feature_names_out()))
    assert np.isfinite(encoded).all()
    assert len(set(encoder.get_feature_names_out())) == encoded.shape[1] == len(encoder.sources_)
    assert np.isfinite(schema.targets(known)).all()
    pd.testing.assert_frame_equal(known, before)
    described = json.loads(json.dumps([schema.described(), encoder.described()], allow_nan=False))
    assert Schema.restore(described[0]) == schema
    again = TableEncoder.restore(described[1], schema)
    for table in (known, later):
        try:
            values = encoder.transform(table)
            schema.notes(table)
        except TableError:
            continue
        assert values.shape == (len(table), encoded.shape[1])
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(again.transform(table), values)


@CHECKS
@given(frame=frames())
def test_rows_do_not_depend_on_each_other(frame: pd.DataFrame) -> None:
    try:
        encoder = TableEncoder().fit(frame)
    except TableError:
        return
    encoded = encoder.transform(frame)
    np.testing.assert_array_equal(encoder.transform(frame[::-1]), encoded[::-1])
    np.testing.assert_array_equal(encoder.transform(frame.head(1)), encoded[:1])
