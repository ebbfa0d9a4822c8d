"""`predict`: coherent draws, members, modes, randomness and threads."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu

ROWS = 13


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.lstm(x)
        result: Tensor = self.head(hidden[:, -1])
        return result


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


def conv() -> nn.Module:
    return nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6, 1))


def noisy() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))


def made(build: Callable[[], nn.Module] = mlp, **options: Any) -> yu.Bayesian:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options.setdefault("likelihood", yu.Gaussian(noise=0.1))
        options.setdefault("posterior", yu.posteriors.MeanField(init_scale=0.2))
        return yu.bayesianize(build(), seed=0, **options)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (3,)),
    "conv": (conv, (3, 6)),
    "lstm": (Recurrent, (6, 3)),
    "batch norm and dropout": (noisy, (3,)),
}


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("estimator", ["shared", "flipout", "local"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_draw_is_one_function_however_the_rows_are_batched(name: str, estimator: str, members: int) -> None:
    build, shape = NETWORKS[name]
    bnn, x = made(build, estimator=estimator, members=members), randn(ROWS, *shape)
    whole = yu.predict(bnn, x, samples=7, seed=3).samples
    assert float(whole.std(0).min()) > 0  # the draws differ
    for batch_size in (1, 4, 5, ROWS, 1000):
        close(yu.predict(bnn, x, samples=7, seed=3, batch_size=batch_size).samples, whole)
    alone = torch.cat([yu.predict(bnn, row[None], samples=7, seed=3).samples for row in x], 1)
    close(alone, whole)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))
    close(yu.predict(bnn, x[order], samples=7, seed=3).samples, whole[:, order])


@pytest.mark.parametrize("members", [1, 3])
def test_draws_do_not_depend_on_how_many_are_asked_for(members: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bnn, x = made(members=members), randn(ROWS, 3)
    many = yu.predict(bnn, x, samples=50, seed=1).samples
    for samples in (1, 2, 17):
        close(yu.predict(bnn, x, samples=samples, seed=1).samples, many[:samples])
    monkeypatch.setattr(yu.draws, "_DRAWN", 200)  # a few draws held at once
    close(yu.predict(bnn, x, samples=50, seed=1).samples, many)


@pytest.mark.parametrize("members", [1, 3])
def test_samples_are_the_network_at_draws_of_the_posterior(members: int) -> None:
    bnn, x = made(members=members), randn(ROWS, 3)
    prediction = yu.predict(bnn, x, samples=9, seed=4)
    draws = bnn.draws(9, seed=4)
    net = mlp()
    expected = torch.stack(
        [torch.func.functional_call(net, {name: w[s] for name, w in draws.items()}, (x,)) for s in range(9)]
    )
    close(prediction.samples, expected)


def test_epistemic_spread_of_a_linear_network_is_the_closed_form() -> None:
    bnn, x = made(lambda: nn.Linear(3, 1)), randn(ROWS, 3)
    prediction = yu.predict(bnn, x, samples=4000)
    assert isinstance(prediction, yu.RegressionPrediction)
    expected = 0.2 * (1 + x.square().sum(1, keepdim=True)).sqrt()
    torch.testing.assert_close(prediction.epistemic, expected, rtol=0.05, atol=0)
    torch.testing.assert_close(prediction.aleatoric, torch.full((ROWS, 1), 0.1))
    torch.testing.assert_close(prediction.std, (expected.square() + 0.01).sqrt(), rtol=0.05, atol=0)


# -- members


def test_mean_field_members_take_turns() -> None:
    bnn = made(lambda: nn.Linear(1, 1, bias=False), members=3, posterior=yu.posteriors.MeanField(init_scale=1e-6))
    means = bnn.means.get_parameter("weight").detach().reshape(3)
    samples = yu.predict(bnn, torch.ones(2, 1), samples=7).samples[:, 0, 0]
    close(samples, means[[0, 1, 2, 0, 1, 2, 0]])


@pytest.mark.parametrize(("samples", "used"), [(100, 4), (4, 4), (2, 2)])
def test_each_anchored_member_is_used_once(samples: int, used: int) -> None:
    bnn, x = made(posterior=yu.posteriors.Anchored(), members=4), randn(ROWS, 3)
    prediction = yu.predict(bnn, x, samples=samples, seed=8)
    with bnn.at_mean():
        close(prediction.samples, bnn(x)[:used].detach())
    assert torch.equal(prediction.samples, yu.predict(bnn, x, samples=samples, seed=9).samples)


def test_each_member_has_its_own_noise() -> None:
    bnn = made(members=2, likelihood=yu.Gaussian(noise=torch.tensor([0.1, 1.0])))
    prediction = yu.predict(bnn, randn(ROWS, 3), samples=5)
    assert isinstance(prediction, yu.RegressionPrediction)
    close(prediction.noise[:, 0, 0], torch.tensor([0.1, 1.0, 0.1, 1.0, 0.1]))
    close(prediction.aleatoric, torch.full((ROWS, 2), math.sqrt((3 * 0.01 + 2 * 1.0) / 5)))


# -- randomness, modes, threads


def test_the_seed_alone_decides_and_the_global_state_is_left_alone() -> None:
    bnn, x = made(), randn(ROWS, 3)
    before = torch.get_rng_state()
    first = yu.predict(bnn, x, samples=3, seed=1).samples
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(yu.predict(bnn, x, samples=3, seed=1).samples, first)
    assert not torch.equal(yu.predict(bnn, x, samples=3, seed=2).samples, first)


def test_without_a_seed_the_global_state_decides() -> None:
    bnn, x = made(), randn(ROWS, 3)
    results = []
    with torch.random.fork_rng():
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            results.append(yu.predict(bnn, x, samples=3, seed=None).samples)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("members", [1, 3])
def test_runs_in_evaluation_mode_without_gradient_and_restores_each_mode(members: int) -> None:
    bnn, x = made(noisy, members=members), randn(ROWS, 3)
    bnn.train()
    norm = bnn.module.get_submodule("1").eval()  # one's own choice, as when fine-tuning
    modes = [module.training for module in bnn.modules()]
    state = {name: value.clone() for name, value in bnn.state_dict().items()}
    trained = yu.predict(bnn, x, samples=4)
    assert [module.training for module in bnn.modules()] == modes
    assert not norm.training
    for name, value in bnn.state_dict().items():  # no running statistics were updated
        assert torch.equal(value, state[name]), name
    bnn.eval()
    assert torch.equal(yu.predict(bnn, x, samples=4).samples, trained.samples)
    assert not trained.samples.requires_grad
    assert torch.is_grad_enabled()


class Broken(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        raise KeyError("broken network")


def test_modes_are_restored_when_the_network_fails() -> None:
    bnn = made(lambda: nn.Sequential(nn.Dropout(0.5), Broken(3, 1)))
    bnn.module.get_submodule("0").eval()
    modes = [module.training for module in bnn.modules()]
    for _ in range(2):
        with pytest.raises(KeyError, match="broken network"):
            yu.predict(bnn, randn(ROWS, 3))
        assert [module.training for module in bnn.modules()] == modes


@pytest.mark.parametrize("threads", [2, 8])
@pytest.mark.parametrize(("name", "members"), [("mlp", 1), ("batch norm and dropout", 3), ("lstm", 2)])
def test_threads_that_predict_at_once_get_what_one_would(name: str, members: int, threads: int) -> None:
    build, shape = NETWORKS[name]
    bnn, x = made(build, members=members), randn(ROWS, *shape)
    bnn.train()
    expected = [yu.predict(bnn, x, samples=5, seed=seed, batch_size=3).samples for seed in range(threads)]
    start = threading.Barrier(threads)

    def work(seed: int) -> list[Tensor]:
        start.wait()
        return [yu.predict(bnn, x, samples=5, seed=seed, batch_size=3).samples for _ in range(3)]

    with ThreadPoolExecutor(threads) as pool:
        for got, want in zip(pool.map(work, range(threads)), expected, strict=True):
            for one in got:
                assert torch.equal(one, want)
    assert all(module.training for module in bnn.modules())
