"""Nested values as JSON and tensors, and back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from yuragi.encoding import decoded, encoded


def test_what_comes_back_is_what_went_in() -> None:
    value: dict[Any, Any] = {
        "a/b": [1, -2.5, math.inf, True, None, "text"],
        "a": {"b": torch.ones(2), 3: (torch.zeros(1), ()), "tensor": {"tuple": []}},
        0: {},
    }
    text, tensors = encoded(value)
    assert len(tensors) == 2
    found = decoded(json.loads(json.dumps(text)), tensors)
    assert list(found) == ["a/b", "a", 0]
    assert found["a/b"] == value["a/b"]
    assert found["a"]["b"] is value["a"]["b"]
    assert found["a"][3] == value["a"][3]
    assert isinstance(found["a"][3], tuple)
    assert found["a"]["tensor"] == {"tuple": []}
    assert found[0] == {}
    assert math.isnan(decoded(json.loads(json.dumps(encoded(math.nan)[0])), {}))
    assert torch.equal(decoded(*encoded(torch.ones(3))), torch.ones(3))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, {2}]}, "/a/1 is a set, which cannot be written"),
        ({"a": {1.5: 2}}, r"/a has the key 1\.5, and only text and whole numbers"),
        ({True: 2}, "it has the key True"),
        (len, "it is a builtin_function_or_method"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        encoded(value)


@pytest.mark.parametrize(
    "text", [{"tensor": "0"}, {"pairs": 3}, {"pairs": [[1]]}, {"set": []}, {}, {"tuple": None}, {"tensor": []}]
)
def test_what_nothing_was_encoded_as_is_refused(text: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        decoded([text], {})
