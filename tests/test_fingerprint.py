"""Fingerprints: equal for the same fit in another process, and different where a number is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import yuragi as yu
from yuragi.fingerprint import differences, of_fit, of_schedule

X, Y = torch.arange(6.0).reshape(3, 2), torch.arange(3.0).reshape(3, 1)


def fingerprint(data: Any = (X, Y), validation: Any = None, **settings: Any) -> dict[str, Any]:
    made = of_fit(yu.bayesianize(nn.Linear(2, 1)), data, validation, None, False, settings)
    assert json.loads(json.dumps(made)) == made
    return made


def test_the_form_of_the_data_does_not_count_and_neither_do_the_first_weights() -> None:
    same = (X, Y), (X.numpy(), Y.double().numpy()), (X.tolist(), Y.tolist()), (pd.DataFrame(X.numpy()), Y)
    for data in same:
        assert fingerprint(data) == fingerprint()
    assert fingerprint((X.clone().T.contiguous().T, Y)) == fingerprint()


@pytest.mark.parametrize(
    "data",
    [
        (X + torch.eye(3, 2) * 1e-6, Y),
        (X, Y + 1),
        (X[:2], Y[:2]),
        (X, Y[:, 0]),
        ((X, X), Y),
        ({"a": X}, Y.long()),
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y)),
    ],
)
def test_other_data_differ(data: Any) -> None:
    found = differences(fingerprint(), fingerprint(data))
    assert found
    assert all(one.startswith("the data: ") for one in found)
    assert differences(fingerprint(data), fingerprint(data)) == []


def test_loaders_differ_in_how_they_cut_and_order() -> None:
    rows = TensorDataset(X, Y)
    found = differences(
        fingerprint(DataLoader(rows)), fingerprint(DataLoader(rows, batch_size=2, drop_last=True, shuffle=True))
    )
    assert found == [
        "the data: batch_size was 1 and is 2",
        "the data: drop_last was False and is True",
        "the data: sampler was SequentialSampler and is RandomSampler",
    ]


def test_settings_are_compared_by_what_they_are_and_not_where() -> None:
    def penalty(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return output.sum()

    class Scheduled:
        def __call__(self, done: float) -> float:
            return 1 - done

    one, other = (fingerprint(penalty=Scheduled(), weights=(1.0, torch.ones(2))) for _ in range(2))
    assert one == other
    assert differences(one, fingerprint(penalty=penalty, weights=(1.0, torch.ones(2)))) != []
    assert of_schedule(yu.training.cosine) != of_schedule(yu.training.constant)
    long = differences({"a": "x" * 1000}, {"a": np.nan})
    assert len(long[0]) < 120
