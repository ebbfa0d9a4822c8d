import numpy as np
import pandas as pd

from yuragi.report.explain import most_uncertain, never_met, reasons
from yuragi.tables.schema import Schema


def training_table() -> pd.DataFrame:
    rows = 1000
    return pd.DataFrame(
        {
            "size": np.linspace(0, 100, rows),
            "colour": ["green"] * 3 + ["red", "blue"] * 498 + ["red"],
            "day": pd.date_range("2020-01-01", periods=rows, freq="D"),
            "holed": [None] * 20 + [1.5, 2.5] * 490,
            "y": np.random.default_rng(0).normal(size=rows),
        }
    )


def test_reasons_say_how_a_value_is_far_and_rank_the_farthest_first() -> None:
    schema = Schema.of(training_table(), "y")
    usual = {"size": 50.0, "colour": "red", "day": pd.Timestamp("2021-01-01"), "holed": 1.5}
    changes: list[tuple[dict[str, object], list[str]]] = [
        ({}, []),
        ({"size": 150.0}, ["above"]),
        ({"size": -10.0}, ["below"]),
        ({"size": 99.5}, ["high"]),
        ({"size": 0.5}, ["low"]),
        ({"size": None}, ["never missing"]),
        ({"colour": "mauve"}, ["unseen"]),
        ({"colour": "green"}, ["rare"]),
        ({"holed": None}, ["missing"]),
        ({"day": pd.Timestamp("2030-01-01")}, ["above"]),
        ({"size": 400.0, "colour": "mauve", "holed": None}, ["above", "unseen", "missing"]),
    ]
    frame = pd.DataFrame([usual | change for change, _ in changes])
    found = reasons(schema, frame, np.arange(len(frame)))
    assert [[reason.kind for reason in row] for row in found] == [kinds for _, kinds in changes]
    assert found[1][0].reference == 100
    assert found[7][0].reference == 3


def test_what_the_model_has_never_met_is_counted_by_column() -> None:
    schema = Schema.of(training_table(), "y")
    frame = training_table().iloc[:6].copy()
    frame["size"] = [-1.0, 1.0, 200.0, np.nan, 300.0, 5.0]
    frame["colour"] = ["red", "mauve", "red", "blue", None, "red"]
    found = {(one.column.name, one.kind): np.flatnonzero(one.rows).tolist() for one in never_met(schema, frame)}
    assert found == {
        ("size", "above"): [2, 4],
        ("size", "below"): [0],
        ("size", "never missing"): [3],
        ("colour", "unseen"): [1],
        ("colour", "never missing"): [4],
    }


def test_the_most_uncertain_come_first_and_ties_keep_their_order() -> None:
    assert most_uncertain(np.array([1.0, 3.0, 2.0, 3.0]), 3).tolist() == [1, 3, 2]
