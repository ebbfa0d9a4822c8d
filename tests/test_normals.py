"""Normals read from a table: their moments, tails and correlations are those of normals drawn anew."""

from __future__ import annotations

import pytest
import scipy.stats
import torch
from tests.mean_field_optimum import from_the_optimum, linear_model
from torch import Tensor, nn

import yuragi as yu
from yuragi import normals
from yuragi.estimators import Estimator
from yuragi.normals import NormalTable

LIKE = torch.zeros(1)
STEPS, WEIGHTS = 400, 4096


def read(steps: int, weights: int = WEIGHTS, seed: int = 0) -> Tensor:
    table, generator = NormalTable(), torch.Generator().manual_seed(seed)
    return torch.stack([table((weights,), LIKE, generator) for _ in range(steps)]).double()


@pytest.fixture(scope="module")
def noise() -> Tensor:
    return read(STEPS)


def test_its_distribution_is_normal(noise: Tensor) -> None:
    count = noise.numel()
    # a number is read several times, so that fewer are independent than are read
    independent = min(count, normals._HALF)
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        error = (scipy.stats.norm.moment(2 * power) / independent) ** 0.5
        assert abs(float((noise**power).mean()) - moment) < 5 * error
    for beyond in (1, 2, 3, 4):
        share = 2 * scipy.stats.norm.sf(beyond)
        found = float((noise.abs() > beyond).double().mean())
        assert abs(found - share) < 5 * (share / independent) ** 0.5


def test_steps_weights_and_their_products_are_uncorrelated(noise: Tensor) -> None:
    # a weight's noise in one step and in the next ones
    for lag in (1, 2, 7):
        of_weights = (noise[lag:] * noise[:-lag]).mean(0)
        assert (of_weights.abs() < 6 / (STEPS - lag) ** 0.5).all()
        # and those of all weights together, which is where a place that is read again would show
        together = (noise[lag:] * noise[:-lag]).mean(1)
        assert (together.abs() < 6 / WEIGHTS**0.5).all()
    # the noise of two weights in a step, near ones and far ones
    for distance in (1, 10, 1000):
        between = (noise[:, distance:] * noise[:, :-distance]).mean(0)
        assert (between.abs() < 6 / STEPS**0.5).all()
    # squares too: the size of a step's noise says nothing of the next step's
    size = noise.square().mean(1) - 1
    assert float((size[1:] * size[:-1]).mean()) < 6 * float(size.var()) / STEPS**0.5


def test_sums_over_a_layer_have_the_variance_of_independent_normals() -> None:
    sums = read(2000).sum(1) / WEIGHTS**0.5
    # a window of 4,096 of two million: some 500 are apart
    assert abs(float(sums.var()) - 1) < 5 * (2 / 500) ** 0.5
    assert abs(float(sums.mean())) < 5 / 500**0.5


def test_more_numbers_than_a_window_come_from_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normals, "_WINDOW", 3000)
    drawn = read(200, 10_000)
    for first, second in ((0, 3000), (3000, 6000), (6000, 7000), (10, 9500)):
        together = drawn[:, first] * drawn[:, second]
        assert abs(float(together.mean())) < 5 / 200**0.5


def test_a_seed_gives_the_same_numbers_and_others_others() -> None:
    assert torch.equal(read(3), read(3))
    assert not torch.equal(read(3), read(3, seed=1))


def test_it_goes_on_from_its_state() -> None:
    table, generator = NormalTable(), torch.Generator().manual_seed(0)
    for _ in range(5):
        table((WEIGHTS,), LIKE, generator)
    state = table.state()
    other = NormalTable()
    other.restore(state)
    for _ in range(normals._PLACES + 1):
        assert torch.equal(table((WEIGHTS,), LIKE, generator), other((WEIGHTS,), LIKE, None))


def test_the_table_is_drawn_anew_and_what_was_read_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normals, "_HALF", 2**13)
    monkeypatch.setattr(normals, "_WINDOW", 2**12)
    monkeypatch.setattr(normals, "_USES", 1)
    table, generator = NormalTable(), torch.Generator().manual_seed(0)
    first = table((WEIGHTS,), LIKE, generator)
    before = first.clone()
    values = {float(table((WEIGHTS,), LIKE, generator).abs().max()) for _ in range(20)}
    assert len(values) > 4  # each table has its own largest number
    assert torch.equal(first, before)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    read_window = normals._Table._window

    def window(self: normals._Table, size: int, generator: torch.Generator | None) -> Tensor:
        sizes.append(size)
        return read_window(self, size, generator)

    monkeypatch.setattr(normals._Table, "_window", window)
    return sizes


@pytest.mark.parametrize("estimator", ["shared", "flipout", "local"])
def test_steps_use_it_in_the_context_alone(estimator: Estimator, counted: list[int]) -> None:
    net = nn.Sequential(nn.Linear(50, 60), nn.ReLU(), nn.Linear(60, 1))
    bnn = yu.bayesianize(net, likelihood=yu.Gaussian(0.1), estimator=estimator, seed=0)
    x, y = torch.randn(200, 50), torch.randn(200, 1)
    bnn.loss(x, y, num_data=200).backward()
    assert not counted
    with bnn.keeping_noise():
        bnn.loss(x, y, num_data=200).backward()
    assert counted
    counted.clear()
    bnn.loss(x, y, num_data=200).backward()
    assert not counted


def test_members_have_noise_of_their_own() -> None:
    net = nn.Linear(100, 100)
    bnn = yu.bayesianize(net, likelihood=yu.Gaussian(0.1), estimator="local", members=3, seed=0)
    with torch.no_grad():
        for mean in bnn.means.parameters():
            mean.zero_()
    with bnn.keeping_noise(), torch.no_grad():
        outputs = bnn(torch.ones(50, 100)).flatten(1)
    assert torch.corrcoef(outputs).triu(1).abs().max() < 5 / outputs.shape[1] ** 0.5


@pytest.mark.parametrize("estimator", ["shared", "flipout", "local"])
def test_a_fit_finds_the_best_mean_field_posterior_of_a_linear_model(
    estimator: Estimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normals, "_FEW", 0)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 5, generator=generator)
    y = x @ torch.randn(5, 1, generator=generator) + 0.5 * torch.randn(64, 1, generator=generator)
    bnn = linear_model(5, estimator)
    yu.fit(bnn, (x, y), epochs=1500, batch_size=64, lr=0.02, kl_weight=1.0, seed=0)
    distance, ratio = from_the_optimum(bnn, x, y)
    assert distance.abs().max() < 0.25
    assert abs(float(ratio.mean())) < 0.08  # 0.04 each is chance, with normals drawn anew too
    assert ratio.abs().max() < 0.2


def test_gradients_of_passes_add_up() -> None:
    bnn = yu.bayesianize(nn.Linear(100, 100), likelihood=yu.Gaussian(0.1), estimator="shared", seed=0)
    x, y = torch.randn(8, 100), torch.randn(8, 100)
    rho = bnn.get_parameter("posterior.rho")

    def losses() -> list[Tensor]:
        with bnn.keeping_noise():
            generator = torch.Generator().manual_seed(0)
            return [bnn.loss(x, y, num_data=8, generator=generator) for _ in range(3)]

    (together,) = torch.autograd.grad(torch.stack(losses()).sum(), rho)
    apart = sum(torch.autograd.grad(loss, rho)[0] for loss in losses())
    torch.testing.assert_close(together, apart)
