"""Every form of training data gives the same minibatches."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

from yuragi.data import Batch, Batches, InMemory, Loaded, batches, check_finite, count_rows, take_rows, to_tensors
from yuragi.ranks import Ranks

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


class Rows(Dataset[Any]):
    """A data set of one's own, in Python numbers and float64 arrays."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> tuple[Any, float]:
        if not 0 <= index < N:
            raise IndexError(index)
        return X[index].double().numpy(), float(index)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(zip(X, Y, strict=True))


class CountedStream(Stream):
    def __len__(self) -> int:
        return N


FORMS: dict[str, Any] = {
    "tensors": (X, Y),
    "list of two": [X, Y],
    "arrays": (X.double().numpy(), Y.numpy()),
    "half-precision array": (X.numpy().astype(np.float16), Y),
    "fortran order and negative strides": (np.asfortranarray(X.numpy()), Y.numpy()[::-1].copy()[::-1]),
    "lists": (X.tolist(), Y.tolist()),
    "frames": (pd.DataFrame(X.numpy()), pd.DataFrame(Y.numpy())),
    "frame and column": (pd.DataFrame(X.double().numpy()), pd.Series(Y.flatten().numpy())),
    "data set": TensorDataset(X, Y),
    "data set of one's own": Rows(),
    "subset": Subset(TensorDataset(torch.cat([X, X]), torch.cat([Y, Y])), list(range(N))),
    "loader": DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True),
    "loader in order": DataLoader(Rows(), batch_size=4),
}


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_every_row_once_with_its_target_and_index(form: str, indexed: bool) -> None:
    source = make(FORMS[form], indexed=indexed)
    assert (source.num_data, source.steps) == (N, 3)
    for _ in range(2):
        epoch = list(source)
        assert [len(batch.y) for batch in epoch] == [4, 4, 2]  # the last one is uneven
        seen = []
        for batch in epoch:
            assert batch.x.dtype == batch.y.dtype == torch.float32
            rows = batch.y.flatten().long()
            torch.testing.assert_close(batch.x, X[rows])
            if indexed or isinstance(source, InMemory):
                assert batch.index is not None
                assert torch.equal(batch.index, rows)
            else:
                assert batch.index is None
            seen += rows.tolist()
        assert sorted(seen) == list(range(N))


@pytest.mark.parametrize("form", ["tensors", "data set"])
def test_the_order_is_new_each_epoch_and_follows_from_the_seed(form: str) -> None:
    def order(source: Batches) -> list[float]:
        return [float(y) for batch in source for y in batch.y]

    source = make(FORMS[form])
    first, second = order(source), order(source)
    assert first != second
    before = torch.get_rng_state()
    assert first == order(make(FORMS[form])) != order(make(FORMS[form], seed=1))
    if form == "tensors":  # a DataLoader takes a seed for its workers from the global state
        assert torch.equal(torch.get_rng_state(), before)


ORDER = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


class Told(Ranks):
    """A process that hears this order from the first one's sampler."""

    def from_first(self, value: Any) -> Any:
        return ORDER


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_processes_divide_every_batch_between_them(form: str, count: int) -> None:
    epochs = [list(make(FORMS[form], indexed=True).among(Told(rank, count))) for rank in range(count)]
    whole = make(FORMS[form])
    order = [batch.y.flatten().tolist() for batch in whole] if isinstance(whole, InMemory) else ORDER
    for parts, batch in zip(zip(*epochs, strict=True), order, strict=True):
        assert [part.rows for part in parts] == [len(batch)] * count
        assert sum(part.share for part in parts) == pytest.approx(1)
        own = [part for part in parts if part.share > 0]  # of five processes, one or three have no row
        assert sorted(row for part in own for row in part.y.flatten().tolist()) == sorted(batch)
        for part in own:
            assert part.index is not None
            assert part.share == len(part.y) / len(batch)
            assert torch.equal(part.x, X[part.index])
            assert torch.equal(part.index, part.y.flatten().long())
        assert all(len(part.y) == 1 for part in parts if part.share == 0)


def test_a_stream_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match="not drawn by a sampler, and so cannot be divided among processes"):
        make(DataLoader(CountedStream(), batch_size=4)).among(Ranks(0, 2))
    with pytest.raises(ValueError, match="Batches cannot be divided among processes"):
        Batches().among(Ranks(0, 2))


def test_one_batch_holds_all_in_order() -> None:
    (batch,) = make((X, Y), batch_size=100)
    assert batch.x is X
    assert batch.index is not None
    assert torch.equal(batch.index, torch.arange(N))


@pytest.mark.parametrize("structure", ["tuple", "dict", "nested"])
def test_inputs_of_several_parts(structure: str) -> None:
    ids = np.arange(N)
    parts: dict[str, Any] = {
        "tuple": (X.double().numpy(), ids),
        "dict": {"x": X.double(), "ids": ids},
        "nested": {"x": (X, X), "ids": ids, "option": None, "mode": "fast"},
    }
    source = make((parts[structure], Y))
    for batch in source:
        leaves = batch.x.values() if isinstance(batch.x, dict) else batch.x
        first, second, *options = leaves
        assert options in ([], [None, "fast"])
        first = first[0] if isinstance(first, tuple) else first
        assert first.dtype == torch.float32
        assert second.dtype == torch.int64
        torch.testing.assert_close(first, X[batch.index])
        assert batch.index is not None
        assert torch.equal(second, batch.index)


def test_a_loader_of_dicts_keeps_its_collation() -> None:
    def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[dict[str, Tensor], Tensor]:
        return {"twice": 2 * torch.stack([x for x, _ in items])}, torch.stack([y for _, y in items])

    loader = DataLoader(TensorDataset(X, Y), batch_size=3, shuffle=True, drop_last=True, collate_fn=collate)
    source = make(loader, indexed=True)
    assert (source.num_data, source.steps) == (N, 3)
    for batch in source:
        assert batch.index is not None
        torch.testing.assert_close(batch.x["twice"], 2 * X[batch.index])


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.slow
def test_worker_processes(context: str) -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=4, num_workers=1, multiprocessing_context=context)
    rows = torch.cat([batch.index for batch in make(loader, indexed=True) if batch.index is not None])
    assert torch.equal(rows, torch.arange(N))


def test_a_sampler_of_held_in_rows_counts_only_those() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=4, sampler=SubsetRandomSampler([1, 5, 7, 8, 9]))
    source = make(loader, indexed=True)
    assert (source.num_data, source.steps) == (5, 2)
    rows = torch.cat([batch.index for batch in source if batch.index is not None])
    assert sorted(rows.tolist()) == [1, 5, 7, 8, 9]


@pytest.mark.parametrize("weight", [np.linspace(0, 1, N), torch.arange(N), list(range(N)), pd.Series(range(N))])
def test_sample_weights_follow_their_rows(weight: Any) -> None:
    for batch in make((X, Y), weight=weight):
        assert batch.weight is not None
        torch.testing.assert_close(batch.weight.double(), torch.tensor(np.asarray(weight))[batch.index].double())


def test_a_counted_stream_can_be_loaded() -> None:
    source = make(DataLoader(CountedStream(), batch_size=4))
    assert isinstance(source, Loaded)
    assert torch.equal(torch.cat([batch.x for batch in source]), X)


def test_small_helpers() -> None:
    assert count_rows({"a": X, "b": None}) == N
    assert torch.equal(take_rows({"a": X}, torch.tensor([2]))["a"], X[2:3])
    check_finite("x", (X, torch.arange(3), None))
    assert to_tensors(torch.ones(2, dtype=torch.float64), CPU, torch.bfloat16).dtype == torch.bfloat16
    assert isinstance(next(iter(make((X, Y)))), Batch)
