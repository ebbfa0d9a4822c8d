"""`fit`: what it accepts, what it refuses, when it stops, and what it leaves alone."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import yuragi as yu

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(50, 2, generator=GENERATOR)
Y = X.sum(1, keepdim=True) + 0.1 * torch.randn(50, 1, generator=GENERATOR)


def bayesian(**options: Any) -> yu.Bayesian:
    torch.manual_seed(0)
    defaults: dict[str, Any] = {"likelihood": yu.Gaussian(0.1), "seed": 0}
    return yu.bayesianize(nn.Linear(2, 1), **defaults | options)


def weights(bnn: yu.Bayesian) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in bnn.parameters()])


def quick(bnn: yu.Bayesian, data: Any = (X, Y), **options: Any) -> yu.History:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", yu.ConvergenceWarning)
        return yu.fit(bnn, data, **{"epochs": 3, "batch_size": 20, "seed": 0} | options)


class Items(Dataset[tuple[Tensor, Tensor]]):
    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return X[index], Y[index]


@pytest.mark.parametrize(
    "data",
    [(X, Y), (X.numpy(), Y.numpy()), (X.double().numpy().tolist(), Y.tolist()), Items(), TensorDataset(X, Y)],
    ids=["tensors", "arrays", "lists", "dataset", "tensor dataset"],
)
@pytest.mark.parametrize(
    "posterior", [yu.posteriors.MeanField(), yu.posteriors.Anchored(seed=0)], ids=["mf", "anchored"]
)
def test_every_form_of_data_trains(data: Any, posterior: yu.posteriors.Posterior) -> None:
    bnn = bayesian(posterior=posterior)
    history = quick(bnn, data, epochs=300, lr=0.02)
    assert history.loss[-1] < history.loss[0] - 10
    mean = torch.stack([draw.mean(0) for draw in (bnn.draws(20, seed=0)["weight"],)])[0]
    torch.testing.assert_close(mean, torch.ones(1, 2), atol=0.15, rtol=0)


def test_a_loader_keeps_its_batches_and_anchored_gets_their_indices() -> None:
    sizes = []

    class Net(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            sizes.append(x.shape[-2])
            return super().forward(x)

    torch.manual_seed(0)
    bnn = yu.bayesianize(Net(2, 1), posterior=yu.posteriors.Anchored(), members=2, likelihood=yu.Gaussian(0.1))
    history = quick(bnn, DataLoader(Items(), batch_size=20), epochs=1)
    assert sizes == [20, 20, 10]
    assert history.steps == 3


def test_the_same_seed_gives_the_same_fit_and_leaves_the_global_state_alone() -> None:
    results: list[Tensor] = []
    for _ in range(2):
        bnn = bayesian()
        torch.manual_seed(len(results))
        state = torch.get_rng_state()
        quick(bnn)
        assert torch.equal(torch.get_rng_state(), state)
        results.append(weights(bnn))
    assert torch.equal(*results)
    other = bayesian()
    quick(other, seed=1)
    assert not torch.equal(weights(other), results[0])


def test_modes_are_restored() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4), nn.Dropout(), nn.Linear(4, 1))
    bnn = yu.bayesianize(net, likelihood=yu.Gaussian(0.1))
    bnn.eval()
    net[1].train()
    quick(bnn)
    assert [part.training for part in net] == [False, True, False]
    assert not bnn.training


def test_sample_weights_count_rows() -> None:
    v = torch.ones(50)
    v[:25] = 0
    weighted, half = bayesian(), bayesian()
    quick(weighted, sample_weight=v, epochs=400, batch_size=50, lr=0.02)
    y = Y.clone()
    y[:25] += 100  # rows that count for nothing may say anything
    quick(half, (X, y), sample_weight=v, epochs=400, batch_size=50, lr=0.02)
    assert torch.equal(weights(weighted), weights(half))
    for bad, message in (
        (torch.ones(3), r"shape \(3,\)"),
        (-torch.ones(50), "must not be negative"),
        (torch.full((50,), torch.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            quick(bayesian(), sample_weight=bad)


def test_validation_keeps_the_best_state_and_stops_early() -> None:
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(12, 2, generator=generator), torch.randn(12, 1, generator=generator)  # noise: nothing to learn
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 50), nn.ReLU(), nn.Linear(50, 1))
    bnn = yu.bayesianize(net, likelihood=yu.Gaussian(0.3), posterior=yu.posteriors.MeanField(0.01))
    held_out = (torch.randn(50, 2, generator=generator), torch.randn(50, 1, generator=generator))
    history = quick(bnn, (x, y), epochs=400, validation=held_out, patience=3, lr=0.02)
    assert history.stopped == "validation"
    assert len(history.loss) < 400
    best = max(history.validation, key=lambda pair: pair[1])
    assert history.best_epoch == best[0]
    kept = yu.predict(bnn, held_out[0], samples=32).log_prob(held_out[1]).mean()
    assert float(kept) == pytest.approx(best[1], rel=1e-4)


def test_callbacks_see_every_epoch_and_can_stop() -> None:
    seen: list[yu.Epoch] = []
    history = quick(bayesian(), epochs=10, callbacks=[lambda epoch: seen.append(epoch), lambda epoch: epoch.epoch == 4])
    assert [epoch.epoch for epoch in seen] == [1, 2, 3, 4]
    assert history.stopped == "callback"
    assert [epoch.loss for epoch in seen] == history.loss
    assert seen[0].kl > 0
    assert seen[0].lr > seen[3].lr


def test_optimiser_factory_and_parameter_groups() -> None:
    bnn = bayesian()
    made: list[torch.optim.Optimizer] = []

    def factory(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        made.append(torch.optim.SGD(groups, lr=1e-9))
        return made[0]

    before = copy.deepcopy(bnn)
    quick(bnn, optimizer=factory, parameter_groups=[{"params": [bnn.posterior.rho], "lr": 1e-4}])
    assert len(made[0].param_groups) == 2
    assert torch.allclose(bnn.module.weight, before.module.weight, atol=1e-5)  # type: ignore[arg-type]
    assert not torch.allclose(bnn.posterior.rho, before.posterior.rho, atol=1e-5)  # type: ignore[arg-type]


def test_stopping_far_from_converged_warns() -> None:
    with pytest.warns(yu.ConvergenceWarning, match="more epochs"):
        history = yu.fit(bayesian(posterior=yu.posteriors.MeanField(0.01)), (X, Y), epochs=100, lr=1e-3, seed=0)
    assert not history.converged
    assert yu.fit(bayesian(), (X, Y), epochs=1500, lr=0.02, seed=0).converged


def test_members_train_side_by_side_with_their_own_settings() -> None:
    bnn = bayesian(members=2, posterior=yu.posteriors.MeanField(0.05))
    quick(bnn, kl_weight=torch.tensor([1.0, 1000.0]), epochs=600, lr=0.02)
    kl = bnn.q().kl(bnn.prior)
    assert kl[1] < 0.3 * kl[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, Y[:10]), "x has 50 rows, but y has shape"),
        ((X[:0], Y[:0]), "empty"),
        ((X, Y[:, 0]), "reshape the targets"),
        ((X, Y.expand(2, 50, 1)), "y has shape"),
        ((torch.full((50, 2), torch.nan), Y), "x holds 100 values that are NaN"),
        ((X, torch.full((50, 1), torch.inf)), "y holds 50 values"),
        ((X, Y.long()), "must be floating point"),
    ],
)
def test_bad_data_are_refused(data: Any, message: str) -> None:
    bnn = bayesian()
    before = weights(bnn)
    with pytest.raises(ValueError, match=message):
        quick(bnn, data)
    assert torch.equal(weights(bnn), before)


def test_a_constant_target_is_refused_where_the_noise_is_learned() -> None:
    with pytest.raises(ValueError, match="targets are constant"):
        quick(bayesian(likelihood=yu.Gaussian("learned")), (X, torch.full((50, 1), 3.0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"lr": -1.0}, "lr must be positive"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"patience": -1}, "patience must not be negative"),
        ({"kl_weight": float("nan")}, "kl_weight must be finite"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quick(bayesian(), **options)


def test_a_diverging_fit_says_so() -> None:
    with pytest.raises(FloatingPointError, match="lower lr"):
        quick(bayesian(), optimizer=lambda groups: torch.optim.SGD(groups, lr=1e30), epochs=20)


def test_classification_learns_and_knows_what_it_does_not_know() -> None:
    torch.manual_seed(0)
    labels = (X[:, 0] > 0).long().numpy()
    net = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    bnn = yu.bayesianize(net, likelihood=yu.Categorical(), posterior=yu.posteriors.Anchored(), members=8, seed=0)
    quick(bnn, (X.numpy(), labels), epochs=300)
    prediction = yu.predict(bnn, X)
    assert isinstance(prediction, yu.ClassificationPrediction)
    assert float((prediction.label == torch.as_tensor(labels)).float().mean()) > 0.95
    far = yu.predict(bnn, np.array([[0.0, 8.0]]))
    assert isinstance(far, yu.ClassificationPrediction)
    assert float(far.mutual_information.mean()) > float(prediction.mutual_information.mean())


class Named(nn.Module):
    """Two keyword inputs, a dictionary out."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, *, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {"y": self.layer(torch.stack([left, right], 1)), "other": left}


def test_keyword_inputs_and_dictionary_outputs() -> None:
    torch.manual_seed(0)
    bnn = yu.bayesianize(Named(), likelihood=yu.Gaussian(0.1), output="y")
    x = {"left": X[:, 0], "right": X[:, 1]}
    quick(bnn, (x, Y), epochs=600, lr=0.02)
    assert float((yu.predict(bnn, x).mean - Y).abs().mean()) < 0.2  # type: ignore[union-attr]
    with pytest.raises(TypeError, match="output="):
        yu.predict(yu.bayesianize(Named(), likelihood=yu.Gaussian(0.1)), x)


@pytest.mark.parametrize("validation", [X, TensorDataset(X, Y)], ids=["tensor", "dataset"])
def test_validation_must_be_a_pair(validation: Any) -> None:
    with pytest.raises(TypeError, match=r"validation must be a pair \(x, y\), got"):
        quick(bayesian(), validation=validation)


def test_validation_targets_of_another_shape_are_refused_before_training() -> None:
    epochs: list[yu.Epoch] = []
    with pytest.raises(ValueError, match="shape"):
        quick(bayesian(), validation=(X, Y[:, 0]), callbacks=[epochs.append])
    assert not epochs


def test_the_first_targets_of_a_loader_may_be_equal() -> None:
    order = Y[:, 0].argsort()
    y = torch.cat([torch.zeros(20, 1), Y[order][20:]])
    quick(bayesian(likelihood=yu.Gaussian("learned")), DataLoader(TensorDataset(X, y), batch_size=10))
