"""The encoder: against scikit-learn's transformers used one by one, and against the formulas."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from yuragi.tables import Schema, TableEncoder, TableError
from yuragi.tables.calendar import PARTS, Calendar
from yuragi.tables.encoder import FARTHEST

RNG = np.random.default_rng(0)
ROWS = 200
LARGE = [f"shop {number}" for number in range(40)]


def table() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "size": RNG.normal(50, 10, ROWS),
            "colour": RNG.choice(["red", "green", "blue"], ROWS),
            "shop": RNG.choice(LARGE, ROWS),
            "day": pd.date_range("2020-01-01", periods=ROWS, freq="37h"),
            "ok": RNG.choice([True, False], ROWS),
            "y": RNG.normal(size=ROWS),
        }
    )
    return frame


def names(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame.columns]


def encoded(frame: pd.DataFrame, target: str = "y") -> pd.DataFrame:
    encoder = TableEncoder(Schema.of(frame, target)).set_output(transform="pandas")
    result = encoder.fit_transform(frame)
    assert isinstance(result, pd.DataFrame)
    return result


def test_numbers_and_booleans_are_standardised() -> None:
    frame = table()
    expected = StandardScaler().fit_transform(frame[["size", "ok"]].astype(float))
    np.testing.assert_allclose(encoded(frame)[["size", "ok"]], expected, atol=1e-12)


def test_missing_values_are_the_median_and_have_an_indicator() -> None:
    frame = table()
    frame.loc[::7, "size"] = np.nan
    frame.loc[3, "size"] = np.inf
    frame["ok"] = frame["ok"].astype("boolean")
    frame.loc[::5, "ok"] = pd.NA
    frame.loc[::9, "day"] = pd.NaT
    frame.loc[::11, "colour"] = None
    got = encoded(frame)
    known = frame["size"].replace(np.inf, np.nan)
    filled = known.fillna(known.median())
    np.testing.assert_allclose(got["size"], (filled - filled.mean()) / filled.std(ddof=0), atol=1e-12)
    np.testing.assert_array_equal(got["size missing"], known.isna())
    for name in ("ok", "day", "colour"):
        np.testing.assert_array_equal(got[f"{name} missing"], frame[name].isna())
    assert not [name for name in names(got) if "shop" in name and "missing" in name]


def test_a_category_is_one_hot_and_unseen_levels_are_zeros() -> None:
    frame = table()
    schema = Schema.of(frame, "y")
    encoder = TableEncoder(schema).set_output(transform="pandas").fit(frame)
    got = encoder.transform(frame)[["colour=red", "colour=green", "colour=blue"]]
    levels: Any = [["red", "green", "blue"]]
    expected = OneHotEncoder(categories=levels, sparse_output=False).fit_transform(frame[["colour"]])
    np.testing.assert_array_equal(got, expected)
    unseen = encoder.transform(frame.head(2).assign(colour=pd.Series(["mauve", None])))
    assert (unseen[["colour=red", "colour=green", "colour=blue"]] == 0).all(axis=None)


def test_a_large_category_is_its_mean_target_out_of_fold() -> None:
    frame = table()
    schema = Schema.of(frame, "y")
    encoder = TableEncoder(schema).set_output(transform="pandas")
    trained = encoder.fit_transform(frame)
    y = (frame["y"] - frame["y"].mean()) / frame["y"].std(ddof=0)
    theirs = TargetEncoder(target_type="continuous").fit(frame[["shop"]], y)
    plain = encoder.transform(frame)
    np.testing.assert_allclose(plain["shop mean target"], theirs.transform(frame[["shop"]])[:, 0], atol=1e-9)
    assert not np.allclose(trained["shop mean target"], plain["shop mean target"])
    # no row is encoded by its own target: a target of pure noise must not be found again in its encoding
    assert abs(np.corrcoef(trained["shop mean target"], y)[0, 1]) < 3 / np.sqrt(ROWS)
    assert np.corrcoef(plain["shop mean target"], y)[0, 1] > 0.2
    others = [name for name in names(plain) if name != "shop mean target"]
    pd.testing.assert_frame_equal(trained[others], plain[others])
    new = encoder.transform(frame.head(1).assign(shop="shop 99"))
    assert new["shop other"].item() == 1
    assert abs(new["shop mean target"].item()) < 1e-12  # the mean of all rows
    assert sum(name.startswith("shop=") for name in names(plain)) == 20


def test_a_large_category_and_classes() -> None:
    frame = table().assign(y=RNG.choice(["a", "b", "c"], ROWS))
    got = encoded(frame)
    assert [name for name in names(got) if "mean target" in name] == [
        f"shop mean target {place}" for place in (1, 2, 3)
    ]
    two = encoded(frame.assign(y=RNG.choice(["a", "b"], ROWS)))
    assert [name for name in names(two) if "mean target" in name] == ["shop mean target"]
    alone = TableEncoder().fit(frame.drop(columns="y"))
    assert not [name for name in alone.get_feature_names_out() if "mean target" in name]


def test_thousands_of_levels() -> None:
    levels = [f"l{number}" for number in range(3000)]
    frame = pd.DataFrame({"a": levels * 2, "y": RNG.normal(size=6000)})
    got = encoded(frame)
    assert got.shape == (6000, 22)  # twenty levels, other, and the mean target


def test_a_date_is_the_parts_of_the_calendar_that_vary() -> None:
    frame = table()
    got = encoded(frame)
    days = pd.to_datetime(frame["day"])
    for part, values in {"month": days.dt.month.to_numpy(), "Friday": (days.dt.day_of_week == 4).to_numpy()}.items():
        expected = StandardScaler().fit_transform(values.astype(float)[:, None])[:, 0]
        np.testing.assert_allclose(got[f"day ({part})"], expected, atol=1e-9)
    assert "day (year)" not in got  # all in 2020
    constant_time = encoded(frame.assign(day=pd.date_range("2024-01-01", periods=ROWS)))
    assert not [name for name in names(constant_time) if "time of day" in name]


def test_the_calendar_is_pandas_calendar() -> None:
    days = pd.Series(pd.date_range("1895-02-03 04:05:06", periods=500, freq="1234567s"))
    seconds = (days - pd.Timestamp("1970-01-01")) / pd.Timedelta(seconds=1)
    got = pd.DataFrame(Calendar().transform(np.asarray(seconds)[:, None]), columns=list(PARTS))
    np.testing.assert_array_equal(got["year"], days.dt.year)
    np.testing.assert_array_equal(got["month"], days.dt.month)
    for number, name in enumerate(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]):
        np.testing.assert_array_equal(got[name], days.dt.day_of_week == number)
    angle = np.arctan2(got["day of year, sin"], got["day of year, cos"]) % (2 * np.pi)
    np.testing.assert_allclose(angle / (2 * np.pi) * 365.2425, days.dt.day_of_year - 1, atol=1e-6)
    hours = np.arctan2(got["time of day, sin"], got["time of day, cos"]) % (2 * np.pi) / (2 * np.pi) * 24
    np.testing.assert_allclose(hours, days.dt.hour + days.dt.minute / 60 + days.dt.second / 3600, atol=1e-6)


def test_far_outside_the_outputs_are_cut_off() -> None:
    frame = table()
    encoder = TableEncoder(Schema.of(frame, "y")).fit(frame)
    far = encoder.transform(frame.head(2).assign(size=[1e300, -1e300]))
    assert far[:, 0].tolist() == [FARTHEST, -FARTHEST]


def test_names_are_distinct_and_tell_their_column() -> None:
    frame = pd.DataFrame({"a": ["x", "y"] * 5, "a=x": RNG.normal(size=10), "y": RNG.normal(size=10)})
    encoder = TableEncoder(Schema.of(frame, "y")).fit(frame)
    assert list(encoder.get_feature_names_out()) == ["a=x", "a=x (2)", "a=y"]
    assert encoder.sources_ == ("a=x", "a", "a")


@pytest.mark.parametrize("target", ["y", "colour"])
def test_the_encoder_survives_json_bit_by_bit(target: str) -> None:
    frame = table()
    frame.loc[::7, ["size", "shop", "day"]] = None
    schema = Schema.of(frame, target)
    encoder = TableEncoder(schema).fit(frame)
    described = json.loads(json.dumps(encoder.described(), allow_nan=False))
    again = TableEncoder.restore(described, schema)
    np.testing.assert_array_equal(again.transform(frame), encoder.transform(frame))
    np.testing.assert_array_equal(again.get_feature_names_out(), encoder.get_feature_names_out())
    assert again.described() == encoder.described()


@pytest.mark.parametrize(
    "damage",
    [
        {"columns": []},
        {"columns": None},
        {"learned": {}},
        {"learned": {"numbers": {"size": [0.0]}, "dates": {}, "encodings": []}},
        {"learned": {"numbers": {"other": [0.0, 0.0, 1.0]}, "dates": {}, "encodings": []}},
        {"learned": {"numbers": {}, "dates": {"day": {"fill": 0, "parts": ["century"]}}, "encodings": []}},
    ],
)
def test_what_is_no_encoder_is_refused(damage: dict[str, Any]) -> None:
    frame = table()
    described = TableEncoder(Schema.of(frame, "y")).fit(frame).described()
    with pytest.raises(TableError, match="not the description of a table's encoder"):
        TableEncoder.restore({**described, **damage})


def test_columns_in_another_order_and_extra_columns_change_nothing() -> None:
    frame = table()
    encoder = TableEncoder(Schema.of(frame, "y")).fit(frame)
    later = frame.drop(columns="y").assign(extra="x")[["extra", "ok", "day", "shop", "colour", "size"]]
    np.testing.assert_array_equal(encoder.transform(later), encoder.transform(frame))


def test_in_a_pipeline_of_scikit_learn() -> None:
    frame = table()
    pipeline = make_pipeline(TableEncoder(), LinearRegression())
    x, y = frame.drop(columns="y"), 3 * frame["size"] + (frame["colour"] == "red")
    assert clone(pipeline).fit(x, y).score(x, y) > 0.999


def test_targets_that_do_not_fit_are_refused() -> None:
    frame = table()
    encoder = TableEncoder()
    with pytest.raises(TableError, match="one entry for each of the 200 rows, got shape"):
        encoder.fit(frame, np.zeros(3))
    with pytest.raises(TableError, match="the target is nan in row 2: drop the rows without a target"):
        encoder.fit(frame, np.r_[0.5, np.nan, np.zeros(198)])
    with pytest.raises(TableError, match="no rows"):
        encoder.fit(frame.head(0))
    with pytest.raises(TableError, match="no rows"):
        encoder.fit(frame).transform(frame.head(0))
