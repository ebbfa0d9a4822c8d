"""Numbers written as text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yuragi.tables import numerals


@pytest.mark.parametrize(
    ("texts", "notation", "values"),
    [
        (["1", "-2", "+3"], ".", [1, -2, 3]),
        (["1.5", ".5", "2."], ".", [1.5, 0.5, 2]),
        (["1,5", "1.234,5"], ",", [1.5, 1234.5]),
        (["1,234", "1,234,567.25"], ".", [1234, 1234567.25]),
        (["1 234,5", "1\u00a0234,5", "1\u202f234,5"], ",", [1234.5] * 3),
        (["1'234.5", "1’234.5"], ".", [1234.5] * 2),
        (["1e-3", "2.5E6"], ".", [1e-3, 2.5e6]),
        (["12%", "0.5 %"], ".%", [12, 0.5]),
        (["€1.234,00", "€ 0,50"], ",€", [1234, 0.5]),
        (["¥1,234.5", "¥-8"], ".¥", [1234.5, -8]),
        (["300円", "1,234.0円"], ".円", [300, 1234]),
        (["inf", "-Infinity", "0.5"], ".", [math.inf, -math.inf, 0.5]),
        (["0", "0.25", "-0"], ".", [0, 0.25, -0.0]),
    ],
)
def test_a_column_of_numbers(texts: list[str], notation: str, values: list[float]) -> None:
    assert numerals.notation(texts) == notation
    assert numerals.numbers(texts, notation).tolist() == values


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["a"],
        ["1", "x"],
        ["1,5", "1.5"],  # either sign makes one of them no number
        ["1,23,4.5"],
        ["1_000"],
        ["0x1F"],
        ["1%", "2"],
        ["007", "123"],  # codes
        ["1 2"],
        ["--1"],
        ["1e"],
        ["9" * 1001],
        ["１"],  # `plain` makes it half-width
    ],
)
def test_no_column_of_numbers(texts: list[str]) -> None:
    assert numerals.notation(texts) is None


def test_what_the_values_leave_open_is_the_default() -> None:
    assert [numerals.notation(["1.234"], default) for default in ".,"] == [".", ","]
    assert numerals.number("1.234", ".") == 1.234
    assert numerals.number("1.234", ",") == 1234
    assert [numerals.decimals(texts)[0] for texts in (["1.234"], ["1.23"], ["1.234.567"], ["12"])] == [
        ".,",
        ".",
        ",",
        ".,",
    ]


def test_plain_text() -> None:
    texts = {" a ": "a", "−1": "-1", "１，２３４．５": "1,234.5", "ﾃﾞｰﾀ": "データ", "\u3000x": "x"}
    assert [numerals.plain(text) for text in texts] == list(texts.values())


def test_integers_are_what_an_int64_writes_the_same() -> None:
    assert numerals.integers(["0", "-5", "9" * 18])
    for text in ("01", "1.0", "9" * 19, "1e3", " 1", ""):
        assert not numerals.integers([text])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(value=st.floats(allow_nan=False), group=st.sampled_from(["", ",", " "]))
def test_a_number_is_read_as_python_writes_it(value: float, group: str) -> None:
    text = repr(value) if group == "" or abs(value) > 1e15 else f"{value:,.3f}".replace(",", group)
    assert numerals.notation([text]) == "."
    assert numerals.number(text, ".") == float(text.replace(group, "") if group else text)
