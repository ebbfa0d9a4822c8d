"""Loading a checkpoint with Bayesian-Torch's names: compared with closed forms, without that package."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from yuragi.compat.bayesian_torch import dnn_to_bnn, get_kl_loss, load_state_dict

PARAMETERS: dict[str, Any] = {
    "prior_mu": 0.2,
    "prior_sigma": 0.7,
    "posterior_mu_init": 0.0,
    "posterior_rho_init": -3.0,
    "type": "Reparameterization",
    "moped_enable": False,
}


def converted(net: nn.Module, kind: str = "Reparameterization") -> nn.Module:
    dnn_to_bnn(net, PARAMETERS | {"type": kind})
    return net


def gaussian(prefix: str, weight: str, bias: str, layer: nn.Module) -> dict[str, Tensor]:
    """A layer's tensors there: μ and ρ of weight and bias, in the shapes of `layer`."""
    state = {}
    for theirs, ours in ((weight, "weight"), (bias, "bias")):
        shape = layer.get_parameter(ours).shape
        state[f"{prefix}mu_{theirs}"] = 0.5 * torch.randn(shape)
        state[f"{prefix}rho_{theirs}"] = -1 + 0.5 * torch.randn(shape)
    return state


def lstm_state(prefix: str, inputs: int, hidden: int, rho: float) -> dict[str, Tensor]:
    shapes = {
        "ih.{}_weight": (4 * hidden, inputs),
        "hh.{}_weight": (4 * hidden, hidden),
        "ih.{}_bias": (4 * hidden,),
        "hh.{}_bias": (4 * hidden,),
    }
    means = {prefix + name.format("mu"): torch.randn(shape) for name, shape in shapes.items()}
    return means | {
        prefix + name.format("rho"): rho + 0.3 * torch.randn(shape) if rho > -20 else torch.full(shape, rho)
        for name, shape in shapes.items()
    }


def sigma(rho: Tensor) -> Tensor:
    return torch.log1p(torch.exp(rho))  # as written there


def assert_moments(draws: Tensor, mean: Tensor, variance: Tensor) -> None:
    """Of Normal outputs [S, ...]: each within 5 standard errors."""
    samples = len(draws)
    assert float(((draws.mean(0) - mean) / (variance / samples).sqrt()).abs().max()) < 5
    assert float((draws.var(0) / variance - 1).abs().max()) < 5 * (2 / samples) ** 0.5


LAYERS: list[tuple[nn.Module, Callable[..., Tensor], dict[str, Any], tuple[int, ...]]] = [
    (nn.Linear(3, 2), F.linear, {}, (3,)),
    (nn.Conv1d(2, 4, 3, 2, 1, 1, 2), torch.conv1d, {"stride": 2, "padding": 1, "groups": 2}, (2, 7)),
    (nn.Conv2d(2, 3, (3, 2), dilation=2), torch.conv2d, {"dilation": 2}, (2, 6, 5)),
    (nn.Conv3d(2, 2, 2), torch.conv3d, {}, (2, 3, 3, 3)),
    (nn.ConvTranspose1d(2, 3, 3, stride=2), F.conv_transpose1d, {"stride": 2}, (2, 3)),
    (
        nn.ConvTranspose2d(4, 2, 3, 2, output_padding=1, groups=2),
        F.conv_transpose2d,
        {"stride": 2, "output_padding": 1, "groups": 2},
        (4, 3, 2),
    ),
    (nn.ConvTranspose3d(2, 1, 2), F.conv_transpose3d, {}, (2, 2, 2, 2)),
]


@pytest.mark.parametrize("kind", ["Flipout", "Reparameterization"])
@pytest.mark.parametrize(("layer", "op", "options", "shape"), LAYERS, ids=lambda value: type(value).__name__)
def test_a_layers_outputs_have_the_moments_of_the_checkpoint(
    kind: str, layer: nn.Module, op: Callable[..., Tensor], options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    net = converted(nn.Sequential(copy.deepcopy(layer)), kind)
    weight = "weight" if isinstance(layer, nn.Linear) else "kernel"
    state = gaussian("0.", weight, "bias", layer)
    load_state_dict(net, state)
    x = torch.randn(2, *shape)
    with torch.no_grad():
        draws = torch.stack([net(x) for _ in range(300)])
    mean = op(x, state[f"0.mu_{weight}"], state["0.mu_bias"], **options)
    variance = op(x**2, sigma(state[f"0.rho_{weight}"]) ** 2, sigma(state["0.rho_bias"]) ** 2, **options)
    assert_moments(draws, mean, variance)


def recursion(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    """An LSTM at its means, with the gates in the order input, forget, cell, output and two biases."""
    h = c = torch.zeros(x.shape[0], state["hh.mu_weight"].shape[1])
    outputs = []
    for x_t in x.unbind(1):
        gates = x_t @ state["ih.mu_weight"].T + state["ih.mu_bias"] + h @ state["hh.mu_weight"].T + state["hh.mu_bias"]
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("kind", ["Flipout", "Reparameterization"])
def test_an_lstm_without_spread_is_the_recursion(kind: str) -> None:
    torch.manual_seed(0)
    net = converted(nn.LSTM(3, 4, batch_first=True), kind)
    state = lstm_state("", 3, 4, rho=-40.0)
    load_state_dict(net, state)
    x = torch.randn(2, 6, 3)
    torch.testing.assert_close(net(x)[0].detach(), recursion(x, state))


def test_an_lstm_has_the_moments_of_independent_gates() -> None:
    # from h = c = 0 one step is σ(o)·tanh(σ(i)·tanh(g)), and the gates are independent Normals
    torch.manual_seed(0)
    net = converted(nn.LSTM(3, 4, batch_first=True))
    state = lstm_state("", 3, 4, rho=-1.0)
    load_state_dict(net, state)
    x = torch.randn(1, 1, 3)
    with torch.no_grad():
        draws = torch.stack([net(x)[0][0, 0] for _ in range(1000)])
    mean = x[0, 0] @ state["ih.mu_weight"].T + state["ih.mu_bias"] + state["hh.mu_bias"]
    variance = x[0, 0] ** 2 @ sigma(state["ih.rho_weight"]).T ** 2
    variance = variance + sigma(state["ih.rho_bias"]) ** 2 + sigma(state["hh.rho_bias"]) ** 2
    i, _, g, o = Normal(mean, variance.sqrt()).sample(torch.Size([200_000])).chunk(4, 1)
    expected = o.sigmoid() * (i.sigmoid() * g.tanh()).tanh()
    error = expected.std(0) / 1000**0.5
    assert float(((draws.mean(0) - expected.mean(0)) / error).abs().max()) < 5
    torch.testing.assert_close(draws.std(0), expected.std(0), rtol=0.1, atol=0)


class ConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.norm(self.conv(x))).mean((2, 3)))  # type: ignore[no-any-return]


def conv_net_state(net: ConvNet) -> dict[str, Tensor]:
    return (
        gaussian("conv.", "kernel", "bias", net.conv)
        | gaussian("head.", "weight", "bias", net.head)
        | {
            "norm.weight": torch.rand(3) + 0.5,
            "norm.bias": torch.randn(3),
            "norm.running_mean": torch.randn(3),
            "norm.running_var": torch.rand(3) + 0.5,
            "norm.num_batches_tracked": torch.tensor(7),
        }
    )


def test_a_network_predicts_as_one_written_by_hand() -> None:
    torch.manual_seed(0)
    net = ConvNet()
    state = conv_net_state(net)
    load_state_dict(converted(net), state)
    net.eval()
    x = torch.randn(3, 1, 5, 5)
    mean, variance, gain, offset = (state[f"norm.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))

    def by_hand() -> Tensor:
        w = {
            name.replace("mu_", ""): Normal(state[name], sigma(state[name.replace("mu_", "rho_")])).sample()
            for name in state
            if "mu_" in name
        }
        h = torch.conv2d(x, w["conv.kernel"], w["conv.bias"])
        h = F.batch_norm(h, mean, variance, gain, offset)
        return F.linear(F.relu(h).mean((2, 3)), w["head.weight"], w["head.bias"])

    with torch.no_grad():
        draws = torch.stack([net(x) for _ in range(1000)])
    expected = torch.stack([by_hand() for _ in range(1000)])
    error = (2 / 1000) ** 0.5 * expected.std(0)
    assert float(((draws.mean(0) - expected.mean(0)) / error).abs().max()) < 5
    torch.testing.assert_close(draws.std(0), expected.std(0), rtol=0.2, atol=0)


def test_what_has_no_spread_there_is_deterministic_here_and_still_trains() -> None:
    torch.manual_seed(0)
    net = converted(ConvNet())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)  # made before loading
    state = conv_net_state(ConvNet())
    load_state_dict(net, state)
    mean = {name: tensor for name, tensor in state.items() if "mu_" in name}
    kls = [
        kl_divergence(Normal(mu, sigma(state[name.replace("mu_", "rho_")])), Normal(0.2, 0.7))
        for name, mu in mean.items()
    ]
    torch.testing.assert_close(get_kl_loss(net, "sum").detach(), torch.stack([kl.sum() for kl in kls]).sum())
    torch.testing.assert_close(get_kl_loss(net).detach(), torch.stack([kl.mean() for kl in kls]).sum())
    assert int(net.norm.num_batches_tracked) == 7  # type: ignore[arg-type, union-attr]
    (net(torch.randn(4, 1, 5, 5)).square().sum() + get_kl_loss(net)).backward()
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    optimizer.step()
    assert all(not torch.equal(parameter, before[name]) for name, parameter in net.named_parameters())


def test_a_network_whose_every_part_was_converted_alone() -> None:
    torch.manual_seed(0)
    net = ConvNet()
    dnn_to_bnn(net.conv, PARAMETERS)
    dnn_to_bnn(net.head, PARAMETERS)
    state = conv_net_state(net)
    load_state_dict(net, state)
    torch.testing.assert_close(net.head.weight.detach(), state["head.mu_weight"])
    rho = net.head.get_parameter("posterior_rho").detach()[0]
    torch.testing.assert_close(rho, torch.cat([state["head.rho_weight"].flatten(), state["head.rho_bias"]]))


def test_a_loaded_network_can_be_copied_and_its_own_state_dict_loaded() -> None:
    torch.manual_seed(0)
    net = converted(ConvNet())
    state = conv_net_state(ConvNet())
    load_state_dict(net, state)
    net.eval()
    again = ConvNet()
    dnn_to_bnn(again, PARAMETERS, where=(nn.Conv2d, nn.Linear))
    again.load_state_dict(net.state_dict())
    again.eval()
    x = torch.randn(2, 1, 5, 5)
    for other in (copy.deepcopy(net), again):
        outputs = []
        for one in (net, other):
            one(x)  # the first pass finds out where draws are shared, and takes random numbers for that
            torch.manual_seed(1)
            outputs.append(one(x))
        assert torch.equal(*outputs)


def test_a_layer_without_bias_and_tensors_that_are_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 2, bias=False)
            self.second = self.first

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))  # type: ignore[no-any-return]

    net = converted(Tied())
    one = {"first.mu_weight": torch.eye(2), "first.rho_weight": torch.full((2, 2), -2.0)}
    both = one | {name.replace("first", "second"): tensor for name, tensor in one.items()}
    load_state_dict(net, both)
    assert torch.equal(net.first.weight, torch.eye(2))  # type: ignore[arg-type, union-attr]
    with pytest.raises(ValueError, match=r"one tensor here and two there: first\.mu_weight and second\.mu_weight"):
        load_state_dict(net, both | {"second.rho_weight": torch.zeros(2, 2)})


def changed(remove: str = "", **add: Tensor) -> dict[str, Tensor]:
    state = {name: tensor for name, tensor in conv_net_state(ConvNet()).items() if name != remove}
    return state | {name.replace("__", "."): tensor for name, tensor in add.items()}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (changed("conv.mu_kernel"), "missing there: conv.weight; unknown here: conv.rho_kernel"),
        (changed("head.rho_bias"), "missing there: head.rho_bias"),
        (changed("norm.running_var"), "missing there: norm.running_var"),
        (changed(head__mu_kernel=torch.zeros(2, 3)), "unknown here: head.mu_kernel"),
        (changed(other__weight=torch.zeros(2)), "unknown here: other.weight"),
        (changed(conv__prior_weight_mu=torch.zeros(3, 1, 3, 3)), "unknown here: conv.prior_weight_mu"),
        (changed(head__mu_weight=torch.zeros(2, 4)), r"of another shape: head.mu_weight \(2, 4\) for \(2, 3\)"),
        (changed(head__rho_weight=torch.zeros(1)), r"of another shape: head.rho_weight \(1,\) for \(2, 3\)"),
        (
            {f"module.{name}": tensor for name, tensor in changed().items()},
            "missing there: conv.weight, .*; unknown here: module.* and 3 more",
        ),
        (ConvNet().state_dict(), "converted here and without any spread there: ConvNet"),
        ({}, "missing there"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_and_nothing_changes(state: dict[str, Tensor], message: str) -> None:
    net = converted(ConvNet())
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match=message) as caught:
        load_state_dict(net, state)
    assert "does not fit ConvNet" in str(caught.value)
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_deeper_lstm_than_theirs_is_refused() -> None:
    net = converted(nn.LSTM(3, 4, num_layers=2, batch_first=True))
    with pytest.raises(ValueError, match="missing there: weight_ih_l1, weight_hh_l1, bias_ih_l1, bias_hh_l1"):
        load_state_dict(net, lstm_state("", 3, 4, rho=-3.0))


def test_misuse_is_named() -> None:
    net = ConvNet()
    with pytest.raises(ValueError, match="call dnn_to_bnn on it first"):
        load_state_dict(net, conv_net_state(net))
    dnn_to_bnn(net, PARAMETERS, where=nn.Linear)
    with pytest.raises(ValueError, match=r"deterministic here and with a spread there: conv\.weight, conv\.bias"):
        load_state_dict(net, conv_net_state(net))
    with pytest.raises(TypeError, match="holds a dict as 'state_dict', not a tensor"):
        load_state_dict(net, {"state_dict": {}})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="got str"):
        load_state_dict(net, "checkpoint.pt")  # type: ignore[arg-type]
