"""Minibatches through a buffer: every row once an epoch, in an order that is random and of the seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import yuragi as yu
from yuragi.held_out import HeldOut
from yuragi.large_tables.shuffled import Part, ShuffledRows
from yuragi.tables import TableError


def rows(blocks: int = 20, each: int = 50, **settings: int) -> ShuffledRows:
    def read(block: int) -> Iterator[Part]:
        index = torch.arange(block * each, (block + 1) * each)
        for part in index.split(33):
            yield torch.stack([part, -part], 1).float(), part[:, None] / 2, part

    return ShuffledRows(read, blocks, blocks * each, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("buffer", [1, 64, 300, 5000])
@pytest.mark.parametrize("batch_size", [1, 32, 1000, 3000])
def test_every_row_comes_once_an_epoch(buffer: int, batch_size: int) -> None:
    data = rows(batch_size=batch_size, buffer=buffer)
    for _ in range(3):
        found = list(data)
        assert len(found) == data.steps
        assert [len(batch.y) for batch in found[:-1]] == [data.batch_size] * (data.steps - 1)
        index = torch.cat([batch.index for batch in found if batch.index is not None])
        assert sorted(index.tolist()) == list(range(1000))
        x, y = (torch.cat([getattr(batch, name) for batch in found]) for name in ("x", "y"))
        assert torch.equal(x, torch.stack([index, -index], 1).float())
        assert torch.equal(y, index[:, None] / 2)


def order(data: ShuffledRows) -> list[int]:
    return [int(i) for batch in data if batch.index is not None for i in batch.index]


def test_the_order_is_of_the_seed_and_another_in_each_epoch() -> None:
    first, again, other = (rows(batch_size=16, buffer=200, seed=seed) for seed in (1, 1, 2))
    epochs = [order(first), order(first)]
    assert epochs == [order(again), order(again)]
    assert epochs[0] != epochs[1]
    assert epochs[0] != order(other)


def test_a_minibatch_is_of_several_blocks_and_the_order_has_no_trend() -> None:
    data = rows(blocks=40, batch_size=32, buffer=400)
    places = torch.zeros(2000)
    blocks = []
    for _ in range(30):
        found = torch.tensor(order(data))
        places[found] += torch.arange(2000.0) / 30
        blocks.append(sum(len(set((found[i : i + 32] // 50).tolist())) for i in range(0, 1984, 32)) / 62)
    assert sum(blocks) / 30 > 6  # of the eight or so in the buffer
    # the mean place of a block is that of all: a standard deviation of 577/√30 = 105
    assert (places.reshape(40, 50).mean(1) - 1000).abs().max() < 4.5 * 105


def test_rows_that_fit_into_the_buffer_are_read_once() -> None:
    data, read = rows(batch_size=32, buffer=5000), list[int]()
    inner = data.read
    data.read = lambda block: (read.append(block), inner(block))[1]  # type: ignore[func-returns-value]
    assert order(data) != order(data)
    assert sorted(read) == list(range(20))


@pytest.mark.parametrize("buffer", [100, 5000])
@pytest.mark.parametrize("block_reads", [10, 31, 45])
def test_a_fit_that_was_interrupted_ends_as_one_that_was_not(buffer: int, block_reads: int, tmp_path: Path) -> None:
    def fit(read_most: int, **settings: Any) -> yu.Bayesian:
        data, read = rows(batch_size=16, buffer=buffer, seed=3), list[int]()
        inner = data.read

        def counted(block: int) -> Iterator[Part]:
            if len(read) == read_most:
                raise OSError("the disk is gone")
            read.append(block)
            return inner(block)

        data.read = counted
        torch.manual_seed(0)
        bnn = yu.bayesianize(nn.Linear(2, 1), likelihood=yu.Gaussian(10.0), seed=0)
        yu.fit(bnn, data, epochs=3, lr=1e-3, kl_weight=1.0, seed=0, **settings)
        return bnn

    folder = {"checkpoint": tmp_path, "every": 0.0}
    if buffer < 1000 or block_reads < 20:  # else the blocks are read once and no more
        with pytest.raises(OSError, match="the disk is gone"):
            fit(block_reads, **folder)
    resumed, whole = fit(10**6, resume=True, **folder), fit(10**6)
    for one, other in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)


def test_rows_that_come_and_go_are_noticed() -> None:
    data = rows(batch_size=32)
    data.num_data = 1001
    with pytest.raises(TableError, match="1,000 rows to learn from where there were 1,001"):
        list(data)
    with pytest.raises(ValueError, match="buffer must be at least 1, got 0"):
        rows(buffer=0)


@pytest.mark.parametrize("posterior", [yu.posteriors.Anchored(seed=0), yu.posteriors.MeanField()])
def test_fit_of_rows_in_blocks_is_the_posterior_of_all_rows(posterior: yu.posteriors.Posterior) -> None:
    # Bayesian linear regression, whose posterior is known
    torch.manual_seed(0)
    x, noise = torch.randn(600, 1), 0.5
    y = 2 * x + noise * torch.randn(600, 1)

    def read(block: int) -> Iterator[Part]:
        index = torch.arange(block * 100, (block + 1) * 100)
        yield x[index], y[index], index

    members = 32 if posterior.is_points else 1
    bnn = yu.bayesianize(
        nn.Linear(1, 1, bias=False),
        likelihood=yu.Gaussian(noise),
        prior=yu.priors.Normal(1.0),
        posterior=posterior,
        members=members,
        seed=0,
    )
    yu.fit(bnn, ShuffledRows(read, 6, 600, batch_size=60, buffer=200, seed=0), epochs=40, lr=0.1, seed=0)
    precision = 1 + float(x.square().sum()) / noise**2
    mean, std = float((x * y).sum()) / noise**2 / precision, precision**-0.5
    draws = bnn.draws(members if posterior.is_points else 400, seed=1)["weight"].flatten()
    assert abs(float(draws.mean()) - mean) < 5 * std / len(draws) ** 0.5 + 0.2 * std
    assert float(draws.std()) == pytest.approx(std, rel=0.3)


def test_alternatives_are_chosen_by_the_sample_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yuragi.loop.DEFAULT_STEPS", 100)
    torch.manual_seed(0)
    x = torch.randn(2000, 1)
    y = x + 0.1 * torch.randn(2000, 1)

    def read(block: int) -> Iterator[Part]:
        index = torch.arange(block * 500, (block + 1) * 500)
        yield x[index], y[index], index

    def fitted(sample: tuple[torch.Tensor, torch.Tensor] | None) -> yu.History:
        likelihoods = [yu.Gaussian(0.1), yu.Gaussian(10.0)]
        bnn = yu.bayesianize(
            nn.Linear(1, 1), likelihood=likelihoods, posterior=yu.posteriors.Anchored(), members=2, seed=0
        )
        return yu.fit(bnn, ShuffledRows(read, 4, 2000, sample=sample, seed=0), epochs=1, seed=0)

    for noise in (0.1, 10.0):
        shown = 20.0 * torch.randn(100, 1) if noise == 10 else y[:100]
        chosen = fitted((x[:100], shown)).selection
        assert chosen is not None
        assert repr(chosen.chosen.likelihood) == repr(yu.Gaussian(noise))
        assert chosen.held_out == 20
    with pytest.raises(TypeError, match="ShuffledRows has no sample to choose by"):
        fitted(None)


def test_the_sample_counts_as_the_share_of_all_rows_that_candidates_see() -> None:
    data = rows(batch_size=32)
    data.sample = torch.randn(100, 2), torch.randn(100, 1)
    bnn = yu.bayesianize(nn.Linear(2, 1), likelihood=yu.Gaussian(0.1), seed=0)
    held_out = HeldOut.of(bnn, data, None, None)
    assert len(held_out.y) == 20
    assert held_out.trained == pytest.approx(80 / 1000)
