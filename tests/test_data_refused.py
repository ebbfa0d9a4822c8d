"""Data that cannot be used are refused, with a message that names what is wrong."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from yuragi.data import Batches, batches

N = 10
X, Y = torch.arange(3.0 * N).reshape(N, 3), torch.arange(float(N)).reshape(N, 1)
CPU = torch.device("cpu")


def make(data: Any, batch_size: int = 4, weight: Any = None, indexed: bool = False, seed: int | None = 0) -> Batches:
    return batches(
        data,
        X,
        batch_size=batch_size,
        sample_weight=weight,
        indexed=indexed,
        generator=None if seed is None else torch.Generator().manual_seed(seed),
    )


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(zip(X, Y, strict=True))


class CountedStream(Stream):
    def __len__(self) -> int:
        return N


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(N, 1), r"sample_weight has shape \(10, 1\), but there are 10 rows"),
        (torch.ones(N - 1), r"shape \(9,\)"),
        (-torch.ones(N), "must not be negative"),
        (torch.zeros(N), "not all zero"),
        (torch.full((N,), math.nan), "sample_weight holds 10 values that are NaN"),
    ],
)
def test_bad_sample_weights(weight: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make((X, Y), weight=weight)


def test_sample_weights_that_are_no_numbers_or_have_no_rows() -> None:
    with pytest.raises(TypeError, match="sample_weight must be a tensor or array, got str"):
        make((X, Y), weight="balanced")
    with pytest.raises(ValueError, match="needs data in memory"):
        make(TensorDataset(X, Y), weight=torch.ones(N))


def spoiled(values: Tensor, *where: int, value: float = math.nan) -> Tensor:
    values = values.clone()
    values[where] = value
    return values


BAD_VALUES = [
    ((spoiled(X, 7, 1), Y), r"x holds 1 values that are NaN or infinite, the first at \[7, 1\]"),
    ((spoiled(X, 7, 1, value=math.inf), Y), r"^x holds 1 .* \[7, 1\]"),
    ((X, spoiled(Y, 4, 0, value=-math.inf)), r"^y holds 1 .* \[4, 0\]"),
    (({"a": X, "b": spoiled(X, 2)}, Y), r"^x holds 3 .* \[2, 0\]"),
    ((X.double() * 1e300, Y), "^x holds .* infinite"),  # infinite in the network's own float32
]


@pytest.mark.parametrize(("data", "message"), BAD_VALUES)
def test_nan_and_infinite_values_are_refused_and_located(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(data)


@pytest.mark.parametrize("form", [TensorDataset, lambda x, y: DataLoader(TensorDataset(x, y))])
def test_nan_in_a_batch_of_a_loader(form: Any) -> None:
    for data, message in (
        ((spoiled(X, 7, 1), Y), "x of a batch holds 1"),
        ((X, spoiled(Y, 4)), "y of a batch holds 1"),
    ):
        with pytest.raises(ValueError, match=message):
            list(make(form(*data)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, Y[1:]), r"x has 10 rows, but y has shape \(9, 1\)"),
        ((X, torch.tensor(1.0)), r"x has 10 rows, but y has shape \(\)"),
        (((X, X[1:]), Y), r"different numbers of rows: \[9, 10\]"),
        ((X[:0], Y[:0]), "the data are empty"),
        (([], []), "the data are empty"),
        (TensorDataset(X[:0], Y[:0]), "the data are empty"),
        (DataLoader(TensorDataset(X[:0], Y[:0])), "the data are empty"),
        (DataLoader(Stream()), "no length, .* give the dataset a __len__"),
    ],
)
def test_data_that_are_empty_or_do_not_match(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (X, "must be a pair .* got Tensor"),
        ((X, Y, Y), "got tuple"),
        ("file.csv", "got str"),
        (Stream(), "Stream is an IterableDataset"),
        (CountedStream(), "CountedStream is an IterableDataset"),
        ((None, Y), "x must be a tensor or array.* got NoneType"),
        ((X, None), "targets must be a tensor or array, got NoneType"),
        ((X, (Y, Y)), "targets must be a tensor or array, got tuple"),
        ((np.array([["a"]] * N), Y), "array of dtype <U1"),
        ((pd.DataFrame({"a": ["x"] * N}), Y), "as numbers"),
    ],
)
def test_data_of_another_kind(data: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make(data)


@pytest.mark.parametrize(("item", "message"), [((X, Y, Y), "got list of length 3"), ((X,), "of length 1")])
def test_items_that_are_no_pairs(item: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(TypeError, match=f"must yield pairs .*{message}"):
        list(make(TensorDataset(*item)))


@pytest.mark.parametrize(
    "loader", [DataLoader(CountedStream(), batch_size=4), DataLoader(TensorDataset(X, Y), batch_size=None)]
)
def test_loaders_without_indices(loader: DataLoader[Any]) -> None:
    with pytest.raises(ValueError, match="needs to know which data a batch holds"):
        make(loader, indexed=True)


def test_batch_size_must_be_positive() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        make((X, Y), batch_size=0)
