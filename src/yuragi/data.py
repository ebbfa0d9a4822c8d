"""Training data in any of the forms that `fit` takes, as a stream of minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from yuragi.ranks import Ranks


@dataclass(frozen=True)
class Batch:
    """A minibatch, or the rows of one that are this process's.

    Attributes:
        x: network input.
        y: targets.
        index: which data these are, None if unknown.
        weight: of each, None: all 1.
        whole: rows of the minibatch over all processes; None: these.
        share: how many of them these are, of 1. It is 0 for a process without any, which computes a row for nothing.
    """

    x: Any
    y: Tensor
    index: Tensor | None
    weight: Tensor | None
    whole: int | None = None
    share: float = 1.0

    @property
    def rows(self) -> int:
        """Rows of the minibatch over all processes."""
        return len(self.y) if self.whole is None else self.whole


class Batches:
    """An iterable of `Batch` over the training set; one iteration is one epoch.

    Attributes:
        num_data: N.
        steps: number of minibatches an epoch.
        sample: (x, y) of some of the data in memory, by which alternatives are chosen; None where there is none.
    """

    num_data: int
    steps: int
    sample: tuple[Any, Tensor] | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Start an epoch."""
        raise NotImplementedError

    def among(self, ranks: Ranks) -> Batches:
        """The same batches, of which this process gets every R-th row; the first process's order is that of all.

        Raises:
            ValueError: the rows cannot be divided.
        """
        raise ValueError(
            f"{type(self).__name__} cannot be divided among processes: give (x, y), a map-style Dataset, or a loader of one"
        )

    def generators(self) -> list[torch.Generator]:
        """What the order of the rows is drawn from, where that is not the global random state.

        Raises:
            ValueError: an epoch cannot be begun again in the same order.
        """
        raise NotImplementedError


class InMemory(Batches):
    """Tensors indexed directly: no collation row by row."""

    def __init__(self, x: Any, y: Tensor, batch_size: int, weight: Tensor | None, generator: torch.Generator | None):
        self.x, self.y, self.weight = x, y, weight
        self.generator = generator
        self.num_data = len(y)
        self.batch_size = min(batch_size, self.num_data)
        self.steps = -(-self.num_data // self.batch_size)
        self._ranks = Ranks()
        self._all = torch.arange(self.num_data, device=y.device)
        self._whole = Batch(x, y, self._all, weight)

    def __iter__(self) -> Iterator[Batch]:
        """Start an epoch, in a new random order; the whole set at once where it fits one batch."""
        if self.steps == 1:
            yield self._whole
            return
        order = torch.randperm(self.num_data, generator=self.generator, device=self.y.device)
        for start in range(0, self.num_data, self.batch_size):  # not `split`, which makes all of an epoch at once
            yield self._at(order[start : start + self.batch_size])

    def among(self, ranks: Ranks) -> InMemory:
        """The same batches, of which this process gets every R-th row; all have the same rows, and draw the same order."""
        divided = InMemory(self.x, self.y, self.batch_size, self.weight, self.generator)
        divided._ranks = ranks
        if divided.steps == 1:
            divided._whole = divided._at(self._all)
        return divided

    def _at(self, index: Tensor) -> Batch:
        whole = len(index)
        if not self._ranks.alone:
            index = _own_rows(index, self._ranks)
        weight = None if self.weight is None else self.weight[index]
        return Batch(take_rows(self.x, index), self.y[index], index, weight, whole, _own_share(whole, self._ranks))

    def generators(self) -> list[torch.Generator]:
        """That of the order."""
        return [] if self.generator is None else [self.generator]


_SAMPLERS = (SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


class Loaded(Batches):
    """Batches from a DataLoader whose items are (index, item)."""

    def __init__(self, loader: DataLoader[Any], indexed: bool, device: torch.device, dtype: torch.dtype):
        self.loader, self.indexed, self.device, self.dtype = loader, indexed, device, dtype
        self.num_data = _length_of(loader)
        self.steps = len(loader)
        self._own = loader  # what is iterated over: of several processes, the rows of this one
        self._divided: _Divided | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Start an epoch, in the loader's order."""
        for at, item in enumerate(self._own):
            index, pair = item if self.indexed else (None, item)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise TypeError(
                    f"the data must yield pairs (x, y), got {type(pair).__name__}"
                    + (f" of length {len(pair)}" if isinstance(pair, (tuple, list)) else "")
                )
            x, y = (to_tensors(part, self.device, self.dtype) for part in pair)
            check_rows(x, y, " of a batch")
            batch = Batch(x, y, None if index is None else index.to(self.device), None)
            if self._divided is not None:
                whole = self._divided.sizes[at]
                batch = replace(batch, whole=whole, share=_own_share(whole, self._divided.ranks))
            yield batch

    def among(self, ranks: Ranks) -> Loaded:
        """The same batches, of which this process gets every R-th row, in the order of the first process's sampler.

        Raises:
            ValueError: its order is not drawn by a sampler.
        """
        if self.loader.batch_sampler is None or isinstance(self.loader.dataset, IterableDataset):
            raise ValueError(
                "the batches of this loader are not drawn by a sampler, and so cannot be divided among processes: give "
                "(x, y), a map-style Dataset, or a loader of one"
            )
        divided = Loaded(self.loader, self.indexed, self.device, self.dtype)
        divided._divided = _Divided(self.loader.batch_sampler, ranks)
        divided._own = _remade(self.loader, batch_sampler=divided._divided)
        return divided

    def generators(self) -> list[torch.Generator]:
        """Those of the loader and its sampler.

        Raises:
            ValueError: its order is not drawn by a sampler of torch, or worker processes live on from epoch to epoch.
        """
        batch_sampler, why = self.loader.batch_sampler, ""
        sampler = getattr(batch_sampler, "sampler", self.loader.sampler)
        if isinstance(self.loader.dataset, IterableDataset):
            why = f"{type(self.loader.dataset).__name__} is an IterableDataset"
        elif type(batch_sampler) not in (BatchSampler, type(None)) or type(sampler) not in _SAMPLERS:
            other = sampler if type(sampler) not in _SAMPLERS else batch_sampler
            why = f"{type(other).__name__} is no sampler of torch.utils.data"
        elif self.loader.num_workers and self.loader.persistent_workers:
            why = "its workers are persistent"
        if why:
            raise ValueError(
                f"the order of the rows cannot be drawn again, as a checkpoint needs: {why}. Give fit (x, y), a map-style "
                "Dataset, or a loader of one with torch's samplers"
            )
        found = [self.loader.generator, getattr(sampler, "generator", None)]
        return [one for one in found if one is not None]


class _Divided:
    """Of each batch of a sampler the rows of one process; the order is that of the first one's sampler.

    Attributes:
        sizes: rows of each batch of the epoch that was begun last, over all processes.
    """

    def __init__(self, batch_sampler: Any, ranks: Ranks) -> None:
        self.batch_sampler, self.ranks = batch_sampler, ranks
        self.sizes: list[int] = []

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list[int]]:
        order = self.ranks.from_first([list(batch) for batch in self.batch_sampler] if self.ranks.first else [])
        self.sizes = [len(batch) for batch in order]
        yield from (_own_rows(batch, self.ranks) for batch in order)


class _Indexed(Dataset[Any]):
    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return index, self.dataset[index]


class _CollateIndexed:  # a class, since worker processes may have to pickle it
    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, items: list[tuple[int, Any]]) -> tuple[Tensor, Any]:
        return torch.tensor([index for index, _ in items]), self.collate([item for _, item in items])


def batches(
    data: Any,
    like: Tensor,
    *,
    batch_size: int | None = None,
    sample_weight: Any = None,
    indexed: bool = False,
    generator: torch.Generator | None = None,
) -> Batches:
    """Any form of training data as `Batches`.

    Args:
        data: (x, y) of tensors or arrays (x may be a tuple or dict of them), a Dataset of pairs, a DataLoader of them, or
            `Batches` that are made already, which stay as they are.
        like: on its device the batches are put, and in its dtype are floating-point inputs and targets.
        batch_size: rows a minibatch, `usual_batch_size` where None; a DataLoader keeps its own.
        sample_weight: [N] or None; only for data in memory.
        indexed: whether the batches must say which data they hold.
        generator: of the order of the rows.

    Raises:
        ValueError: empty, of unequal lengths, NaN or infinite; or indices are needed and cannot be had.
        TypeError: not one of these forms.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    device, dtype = like.device, like.dtype
    if isinstance(data, (tuple, list)) and len(data) == 2:
        x, y = to_tensors(data[0], device, dtype), to_tensors(data[1], device, dtype)
        check_rows(x, y)
        weight = None if sample_weight is None else check_weight(to_tensors(sample_weight, device, dtype), len(y))
        return InMemory(x, y, batch_size or usual_batch_size(len(y)), weight, generator)
    if sample_weight is not None:
        raise ValueError("sample_weight needs data in memory: fit(bnn, (x, y), sample_weight=...)")
    if isinstance(data, Batches):
        return data
    if isinstance(data, DataLoader):
        return Loaded(_with_index(data) if indexed else data, indexed, device, dtype)
    if isinstance(data, IterableDataset):
        raise TypeError(
            f"{type(data).__name__} is an IterableDataset, whose rows cannot be shuffled or counted: "
            "give fit a map-style Dataset, or a DataLoader of this one (which needs a __len__)"
        )
    if isinstance(data, Dataset) and hasattr(data, "__len__"):
        order = None if generator is None else torch.Generator().manual_seed(generator.initial_seed())
        source: Dataset[Any] = _Indexed(data) if indexed else data
        if not len(data):
            raise ValueError("the data are empty")
        return Loaded(
            DataLoader(source, batch_size or usual_batch_size(len(data)), shuffle=True, generator=order),
            indexed,
            device,
            dtype,
        )
    raise TypeError(f"data must be a pair (x, y), a Dataset or a DataLoader, got {type(data).__name__}")


def usual_batch_size(rows: int) -> int:
    """Rows a minibatch where the user has not said: all up to 256, then 128, and 256 from 4,096 rows on.

    Few rows at once have no sampling noise; and of many rows, the usual number of steps should see each often enough.
    """
    return 256 if rows <= 256 or rows >= 4096 else 128


def to_tensors(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Arrays and numbers to tensors on `device`, floating-point ones in `dtype`, within any nest of tuples and dicts."""

    def convert(leaf: Any) -> Any:
        if hasattr(leaf, "to_numpy"):  # a pandas or polars frame or column
            leaf = leaf.to_numpy()
        if isinstance(leaf, np.ndarray):
            if leaf.dtype.kind not in "biuf":
                raise TypeError(f"cannot use an array of dtype {leaf.dtype} as numbers: convert it first")
            # a copy where it is read-only, as the columns of a frame are: torch would warn
            leaf = torch.as_tensor(np.require(leaf, requirements=("C", "W")))
        if not isinstance(leaf, Tensor):
            return leaf
        return leaf.to(device, dtype if leaf.is_floating_point() else None)

    if isinstance(value, list) and (not value or isinstance(value[0], (int, float, np.number, list))):
        value = np.asarray(value)
    return pytree.tree_map(convert, value)


def take_rows(x: Any, index: Any) -> Any:
    """The rows `index` of every tensor in `x`; anything else in it (an option, None) stays as it is."""
    if isinstance(x, Tensor):
        return x[index]
    return pytree.tree_map(lambda leaf: leaf[index] if isinstance(leaf, Tensor) else leaf, x)


def count_rows(x: Any) -> int:
    """Number of rows of every tensor in `x`.

    Raises:
        ValueError: there is no row, or the tensors differ.
        TypeError: there is no tensor.
    """
    lengths = {len(leaf) if leaf.dim() else 0 for leaf in pytree.tree_leaves(x) if isinstance(leaf, Tensor)}
    if not lengths:
        raise TypeError(f"x must be a tensor or array, or a tuple or dict of them, got {type(x).__name__}")
    if lengths == {0}:
        raise ValueError("the data are empty")
    if len(lengths) > 1:
        raise ValueError(f"the parts of x have different numbers of rows: {sorted(lengths)}")
    return lengths.pop()


def check_finite(name: str, value: Any) -> None:
    """Refuse NaN and infinite values, saying where the first one is."""
    for leaf in pytree.tree_leaves(value):
        if isinstance(leaf, Tensor) and leaf.is_floating_point():
            bad = ~torch.isfinite(leaf)
            if bad.any():
                first = bad.nonzero()[0].tolist()
                raise ValueError(
                    f"{name} holds {int(bad.sum())} values that are NaN or infinite, the first at {first}: "
                    "remove or impute them"
                )


def check_rows(x: Any, y: Tensor, of: str = "") -> None:
    """Refuse data that are empty, of unequal lengths, NaN or infinite; `of` says in the message where they are from."""
    if not isinstance(y, Tensor):
        raise TypeError(f"targets must be a tensor or array, got {type(y).__name__}")
    rows = count_rows(x)
    if y.dim() == 0 or len(y) != rows:
        raise ValueError(f"x has {rows} rows, but y has shape {tuple(y.shape)}")
    check_finite(f"x{of}", x)
    check_finite(f"y{of}", y)


def check_weight(weight: Tensor, rows: int) -> Tensor:
    """The weights of `rows` data, where they are [rows], finite, not negative and not all zero."""
    if not isinstance(weight, Tensor):
        raise TypeError(f"sample_weight must be a tensor or array, got {type(weight).__name__}")
    if weight.shape != (rows,):
        raise ValueError(f"sample_weight has shape {tuple(weight.shape)}, but there are {rows} rows")
    check_finite("sample_weight", weight)
    if (weight < 0).any() or not (weight > 0).any():
        raise ValueError("sample_weight must not be negative, and not all zero")
    return weight


def check_pair(name: str, data: Any, device: torch.device, dtype: torch.dtype) -> tuple[Any, Tensor]:
    """(x, y) as tensors, where `data` is such a pair; `name` says in an error what it was to be."""
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"{name} must be a pair (x, y), got {type(data).__name__}")
    x, y = (to_tensors(part, device, dtype) for part in data)
    check_rows(x, y, f" of the {name} data")
    return x, y


def _length_of(loader: DataLoader[Any]) -> int:
    try:
        rows = len(loader.dataset)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(
            "the loader's dataset has no length, and the ELBO needs the number of data: give the dataset a __len__"
        ) from None
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    if isinstance(sampler, SubsetRandomSampler):  # the usual way to hold rows out
        rows = len(sampler)
    if not rows:
        raise ValueError("the data are empty")
    return rows


def _with_index(loader: DataLoader[Any]) -> DataLoader[Any]:
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        raise ValueError(
            "the Anchored posterior needs to know which data a batch holds, and this loader's dataset has no indices: "
            "use a map-style dataset, or tensors"
        )
    return _remade(loader, dataset=_Indexed(loader.dataset), collate_fn=_CollateIndexed(loader.collate_fn))


def _remade(loader: DataLoader[Any], **other: Any) -> DataLoader[Any]:
    """The same loader but for some of its arguments."""
    workers: dict[str, Any] = {}
    if loader.num_workers:
        workers = {
            "prefetch_factor": loader.prefetch_factor,
            "persistent_workers": loader.persistent_workers,
            "multiprocessing_context": loader.multiprocessing_context,
            "worker_init_fn": loader.worker_init_fn,
            "timeout": loader.timeout,
        }
    same = {
        "dataset": loader.dataset,
        "batch_sampler": loader.batch_sampler,
        "collate_fn": loader.collate_fn,
        "num_workers": loader.num_workers,
        "pin_memory": loader.pin_memory,
        "generator": loader.generator,
    }
    return DataLoader(**same | workers | other)


def _own_rows(rows: Any, ranks: Ranks) -> Any:
    own = rows[ranks.rank :: ranks.count]
    return own if len(own) else rows[:1]  # each process makes each step: its share of this row is 0


def _own_share(whole: int, ranks: Ranks) -> float:
    return len(range(ranks.rank, whole, ranks.count)) / whole
