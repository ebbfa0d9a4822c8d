"""The article's script with one import line changed."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from yuragi.compat.bayesian_torch import dnn_to_bnn, get_kl_loss

PARAMETERS: dict[str, Any] = {
    "prior_mu": 0.2,
    "prior_sigma": 0.7,
    "posterior_mu_init": 0.5,
    "posterior_rho_init": -3.0,
    "type": "Flipout",
    "moped_enable": False,
}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(1, 100)
        self.fc2 = nn.Linear(100, 100)
        self.fc3 = nn.Linear(100, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)  # type: ignore[no-any-return]


def converted(net: nn.Module, **changes: Any) -> nn.Module:
    dnn_to_bnn(net, PARAMETERS | changes)
    return net


def test_the_article_runs() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(np.concatenate([rng.uniform(-4, -1, 100), rng.uniform(1, 4, 100)])).float().view(-1, 1)
    loader = DataLoader(TensorDataset(x, x.sin()), batch_size=64, shuffle=True)
    model = Net()
    parameters = PARAMETERS | {"prior_mu": 0.0, "prior_sigma": 1.0, "posterior_mu_init": 0.0}
    assert dnn_to_bnn(model, parameters) is None  # type: ignore[func-returns-value]
    model = model.to("cpu")
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    losses = []
    for _ in range(60):
        for inputs, targets in loader:
            loss = criterion(model(inputs), targets) + 1e-4 * get_kl_loss(model) / 64
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert sum(losses[-20:]) < 0.3 * sum(losses[:20])
    model.eval()
    with torch.no_grad():
        draws = torch.stack([model(x) for _ in range(20)])
    assert float(draws.std(0).min()) > 0  # stochastic in eval mode too


def test_initialisation_is_theirs() -> None:
    torch.manual_seed(0)
    model = converted(Net())
    rho = model.posterior_rho
    assert isinstance(rho, nn.Parameter)
    assert float((rho.mean() + 3).abs().detach()) < 0.01
    assert float((rho.std() - 0.1).abs().detach()) < 0.01
    weight = model.fc2.weight.detach()  # type: ignore[operator, union-attr]
    assert abs(float(weight.mean()) - 0.5) < 0.01
    assert abs(float(weight.std()) - 0.1) < 0.01


def test_moped_starts_at_the_network() -> None:
    net = Net()
    before = copy.deepcopy(net)
    converted(net, moped_enable=True, moped_delta=0.2)
    torch.testing.assert_close(net.fc2.weight, before.fc2.weight, rtol=0, atol=0)
    rho = net.posterior_rho
    assert isinstance(rho, Tensor)
    expected = 0.2 * torch.cat([parameter.detach().abs().flatten() for parameter in before.parameters()])
    torch.testing.assert_close(F.softplus(rho.detach())[0], expected, rtol=1e-3, atol=1e-8)


def test_kl_is_theirs_or_the_true_one() -> None:
    torch.manual_seed(0)
    model = converted(Net())
    rho = model.posterior_rho
    assert isinstance(rho, Tensor)
    parts = F.softplus(rho.detach())[0].split([p.numel() for n, p in model.named_parameters() if n != "posterior_rho"])
    kls = [
        torch.distributions.kl_divergence(
            torch.distributions.Normal(p.detach().flatten(), s), torch.distributions.Normal(0.2, 0.7)
        )
        for (_, p), s in zip(((n, p) for n, p in model.named_parameters() if n != "posterior_rho"), parts, strict=True)
    ]
    torch.testing.assert_close(get_kl_loss(model).detach(), torch.stack([kl.mean() for kl in kls]).sum())
    torch.testing.assert_close(get_kl_loss(model, "sum").detach(), torch.stack([kl.sum() for kl in kls]).sum())
    get_kl_loss(model).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_parameters_hold_means_and_spreads_and_nothing_twice() -> None:
    model = converted(Net())
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == 7
    assert len({id(parameter) for parameter in model.parameters()}) == 7
    assert sum(parameter.numel() for parameter in model.parameters()) == 2 * 10401
    assert set(model.state_dict()) == {*names, "prior_loc", "prior_scale"}


@pytest.mark.parametrize("kind", ["Flipout", "Reparameterization"])
def test_copies_and_state_dicts_are_bit_identical(kind: str) -> None:
    torch.manual_seed(0)
    model = converted(nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1)), type=kind)
    x = torch.randn(5, 1)
    model(x).sum().backward()
    other = converted(nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1)), type=kind)
    other.load_state_dict(model.state_dict())
    assigned = converted(nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1)), type=kind)
    assigned.load_state_dict(model.state_dict(), assign=True)
    copies = [other, assigned, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for one in copies:
        one(x)
    torch.manual_seed(1)
    expected = model(x)
    for one in copies:
        torch.manual_seed(1)
        assert torch.equal(one(x), expected)
        assert torch.equal(get_kl_loss(one), get_kl_loss(model))
    copies[2][0].weight.data += 1  # a copy is a copy
    torch.manual_seed(1)
    assert torch.equal(model(x), expected)


def test_moving_the_model_moves_all_of_it() -> None:
    model = converted(Net()).to(torch.float64)
    out = model(torch.randn(3, 1, dtype=torch.float64))
    assert out.dtype == torch.float64
    assert get_kl_loss(model).dtype == torch.float64


@pytest.mark.parametrize("kind", ["Flipout", "Reparameterization"])
@pytest.mark.parametrize(
    ("net", "x"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)), torch.randn(3, 1, 4, 4)),
        (nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)),
        (nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True), torch.randn(2, 5, 4)),
        (nn.Embedding(5, 3), torch.tensor([[0, 1], [2, 4]])),
        (nn.GroupNorm(2, 4), torch.randn(3, 4, 5)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_module_type_is_covered(kind: str, net: nn.Module, x: Tensor) -> None:
    torch.manual_seed(0)
    model = converted(copy.deepcopy(net), type=kind)
    outputs = [model(x) for _ in range(2)]
    first, second = (out[0] if isinstance(out, tuple) else out for out in outputs)
    assert not torch.equal(first, second)
    first.square().sum().backward()
    assert isinstance(model.posterior_rho, Tensor)
    assert model.posterior_rho.grad is not None
    assert float((model.posterior_rho.grad != 0).float().mean()) > 0.5


def test_the_first_pass_counts_once() -> None:
    torch.manual_seed(0)
    model = converted(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    model(torch.randn(4, 2))
    assert int(model[1].num_batches_tracked) == 1  # type: ignore[index]


def test_a_weight_met_again_by_another_operation_keeps_one_draw() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) - x @ self.layer.weight.T  # type: ignore[no-any-return]

    torch.testing.assert_close(converted(Twice())(torch.randn(4, 3)), torch.zeros(4, 3), atol=1e-5, rtol=0)


def test_an_exception_does_not_leave_the_noise_on() -> None:
    model = converted(Net())
    with pytest.raises(RuntimeError):
        model(torch.randn(4, 7))
    hidden = model.fc1(torch.ones(1, 1))  # type: ignore[operator]
    assert torch.equal(hidden, model.fc1(torch.ones(1, 1)))  # type: ignore[operator]
    assert not torch.equal(model(torch.ones(1, 1)), model(torch.ones(1, 1)))


def test_a_converted_part_of_a_network() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 1)))
    dnn_to_bnn(net[1], PARAMETERS)
    x = torch.randn(3, 2)
    assert not torch.equal(net(x), net(x))
    torch.testing.assert_close(get_kl_loss(net), get_kl_loss(net[1]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "Laplace"}, "type must be one of"),
        ({"moped_enable": True}, "lacks moped_delta"),
        ({"moped_enable": True, "moped_delta": 0.0}, "moped_delta must be positive"),
        ({"prior_sigma": -1.0}, "prior scale must be positive"),
        ({"prior_mu": float("nan")}, "prior_mu must be a finite number, got nan"),
        ({"posterior_rho_init": "-3"}, "posterior_rho_init must be a finite number, got '-3'"),
        ({"prior_variance": 1.0}, "unknown keys: prior_variance; known are prior_mu, .*moped_delta"),
    ],
)
def test_bad_parameters_are_named_and_nothing_changes(changes: dict[str, Any], message: str) -> None:
    net = Net()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=message):
        converted(net, **changes)
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    x = torch.randn(3, 1)
    assert torch.equal(net(x), net(x))


def test_moped_delta_without_moped_is_known() -> None:
    converted(Net(), moped_delta=0.2)


def test_networks_that_cannot_be_converted_are_named() -> None:
    with pytest.raises(ValueError, match="has no parameters"):
        converted(nn.ReLU())
    with pytest.raises(ValueError, match="lazy module"):
        converted(nn.Sequential(nn.LazyLinear(3)))
    with pytest.raises(ValueError, match=r"no parameter of Net becomes Bayesian .* fc1\.weight"):
        dnn_to_bnn(Net(), PARAMETERS, where=nn.Conv2d)
    with pytest.raises(TypeError, match="list"):
        converted([nn.Linear(1, 1)])  # type: ignore[arg-type]


def test_where_leaves_the_rest_deterministic() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    dnn_to_bnn(net, PARAMETERS, where=nn.Linear)
    assert net.get_parameter("posterior_rho").shape == (1, 9)
    assert torch.equal(net.get_parameter("1.weight"), torch.ones(3))


@pytest.mark.parametrize("kind", ["Flipout", "Reparameterization"])
@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (nn.Linear(3, 2), (4, 3)),
        (nn.Conv1d(2, 3, 3), (4, 2, 5)),
        (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (4, 2, 5, 5)),
        (nn.ConvTranspose2d(2, 3, 3, stride=2, output_padding=1), (4, 2, 3, 3)),
        (nn.ConvTranspose3d(2, 3, 2), (4, 2, 2, 2, 2)),
        (nn.LSTM(3, 2, num_layers=2, bidirectional=True, bias=False), (5, 4, 3)),
        (nn.GRU(3, 2), (5, 4, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_network_with_almost_no_spread_is_the_network(kind: str, net: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape)
    expected = net(x)
    other = converted(copy.deepcopy(net), type=kind, moped_enable=True, moped_delta=1e-7)(x)
    for ours, plain in zip(*(out if isinstance(out, tuple) else (out,) for out in (other, expected)), strict=True):
        if isinstance(plain, Tensor):
            torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


def test_tied_modules_stay_tied() -> None:
    first = nn.Linear(3, 3)
    net = converted(nn.Sequential(first, nn.ReLU(), first))
    assert net[0] is net[2]  # type: ignore[index]
    assert net.get_parameter("posterior_rho").shape == (1, 12)


def test_misuse_is_named() -> None:
    with pytest.raises(ValueError, match="lacks prior_mu"):
        dnn_to_bnn(Net(), {"type": "Flipout"})
    with pytest.raises(ValueError, match="call dnn_to_bnn once"):
        converted(converted(Net()))
    with pytest.raises(ValueError, match="call dnn_to_bnn on it first"):
        get_kl_loss(Net())
    with pytest.raises(ValueError, match="reduction"):
        get_kl_loss(converted(Net()), "max")  # type: ignore[arg-type]
    model = converted(Net())
    with pytest.raises(RuntimeError, match=r"deepcopy"):
        copy.copy(model)(torch.zeros(1, 1))
    assert math.isfinite(float(get_kl_loss(model).detach()))


class Interrupted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.interrupt = nn.Linear(2, 2), True

    def forward(self, x: Tensor) -> Tensor:
        if self.interrupt:
            raise KeyboardInterrupt
        return self.layer(x)  # type: ignore[no-any-return]


def test_an_interrupted_pass_leaves_no_noise_behind_after_the_next() -> None:
    net = Interrupted()
    net.interrupt = False
    model = converted(net)
    model(torch.ones(1, 2))
    net.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        model(torch.ones(1, 2))
    net.interrupt = False
    model(torch.ones(1, 2))
    x = torch.ones(1, 2)
    assert torch.equal(net.layer(x), net.layer(x))


def test_a_pass_that_differs_from_the_first_runs() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            h: Tensor = self.layer(x)
            return h if self.training else h @ self.layer.weight

    model = converted(Branches())
    model(torch.randn(4, 3))
    model.eval()
    assert model(torch.randn(4, 3)).shape == (4, 3)
