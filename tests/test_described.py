"""What a file says of itself: every entry of another kind gives one clear error."""

from __future__ import annotations

from typing import Any

import pytest

from yuragi.described import Described, FileError

D = Described(
    "m.yuragi",
    {
        "text": "a",
        "texts": ["a", "b"],
        "mixed": ["a", 1],
        "flag": True,
        "whole": 3,
        "wholes": [1, 2],
        "number": 0.5,
        "huge": 10**400,
        "nan": float("nan"),
        "infinite": float("inf"),
        "numbers": [1, 2.5],
        "part": {"inner": {"deep": "no"}},
        "parts": [{"a": 1}, {"a": 2}],
        "none": None,
        "long": "x" * 1000,
    },
)


def test_entries_of_the_right_kind() -> None:
    assert D.text("text") == D.text("text", ("a", "b")) == "a"
    assert D.texts("texts") == ["a", "b"]
    assert D.flag("flag") is True
    assert D.whole("whole", 3, 3) == 3
    assert D.wholes("wholes", 1, 2) == [1, 2]
    assert D.number("number") == 0.5
    assert D.number("whole", positive=True) == 3.0
    assert D.numbers("numbers") == [1.0, 2.5]
    assert [part.whole("a", 0, 9) for part in D.parts("parts")] == [1, 2]
    assert "none" in D
    assert D.entry("none") is None
    assert "other" not in D
    assert list(D.part("part")) == ["inner"]


@pytest.mark.parametrize(
    ("call", "arguments", "message"),
    [
        ("entry", ("other",), "'other' is missing"),
        ("text", ("whole",), "'whole' is 3, no text"),
        ("text", ("text", ("x", "y")), "'text' is 'a', none of x, y"),
        ("texts", ("text",), "'text' is 'a', no list"),
        ("texts", ("mixed",), "'mixed' is 1, no text"),
        ("flag", ("whole",), "'whole' is 3, neither true nor false"),
        ("whole", ("number", 0, 9), "'number' is 0.5, no whole number"),
        ("whole", ("flag", 0, 9), "'flag' is True, no whole number"),
        ("whole", ("whole", 4, 9), "'whole' is 3, not between 4 and 9"),
        ("whole", ("huge", 0, 9), "not between 0 and 9"),
        ("wholes", ("numbers", 0, 9), "'numbers' is 2.5, no whole number"),
        ("number", ("text",), "'text' is 'a', no number"),
        ("number", ("flag",), "'flag' is True, no number"),
        ("number", ("nan",), "'nan' is nan, no finite number"),
        ("number", ("infinite",), "'infinite' is inf, no finite number"),
        ("number", ("huge",), "no finite number"),
        ("numbers", ("mixed",), "'mixed' is 'a', no number"),
        ("part", ("texts",), "'texts' is list of 2 entries, no JSON object"),
        ("parts", ("texts",), "'texts[0]' is 'a', no JSON object"),
        ("flag", ("long",), "…"),
    ],
)
def test_entries_of_another_kind(call: str, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(FileError) as caught:
        getattr(D, call)(*arguments)
    assert str(caught.value).startswith("m.yuragi is no file that this yuragi can use: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


def test_the_place_is_told() -> None:
    with pytest.raises(FileError, match=r"'part\.inner\.deep' is 'no', no number"):
        D.part("part").part("inner").number("deep")
    with pytest.raises(FileError, match="'its description' is list of 0 entries, no JSON object"):
        Described("m", [])
    with pytest.raises(FileError, match="'low' is 0, not positive"):
        Described("m", {"low": 0}).number("low", positive=True)
