"""The layer names, for networks built by hand."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

import yuragi.compat.bayesian_torch as compat
from yuragi.compat.bayesian_torch import (
    Conv2dFlipout,
    Conv2dReparameterization,
    Conv3dReparameterization,
    ConvTranspose1dFlipout,
    ConvTranspose2dFlipout,
    LinearFlipout,
    LinearReparameterization,
    LSTMFlipout,
    LSTMReparameterization,
    dnn_to_bnn,
    get_kl_loss,
    load_state_dict,
)

Constructor = Callable[..., Any]

NORM = ("running_mean", "running_var", "weight", "bias")
KINDS = ("Flipout", "Reparameterization")
LAYERS: list[tuple[str, type[nn.Module], tuple[int, ...], tuple[int, ...]]] = [
    ("Linear", nn.Linear, (3, 2), (5, 3)),
    ("Conv1d", nn.Conv1d, (3, 2, 2), (5, 3, 4)),
    ("Conv2d", nn.Conv2d, (3, 2, 2), (5, 3, 4, 4)),
    ("Conv3d", nn.Conv3d, (3, 2, 2), (5, 3, 2, 3, 3)),
    ("ConvTranspose1d", nn.ConvTranspose1d, (3, 2, 2), (5, 3, 4)),
    ("ConvTranspose2d", nn.ConvTranspose2d, (3, 2, 2), (5, 3, 4, 4)),
    ("ConvTranspose3d", nn.ConvTranspose3d, (3, 2, 2), (5, 3, 2, 2, 2)),
    ("LSTM", nn.LSTM, (3, 2), (5, 4, 3)),
]
CASES = [(name + kind, torchs, sizes, shape) for name, torchs, sizes, shape in LAYERS for kind in KINDS]


def closed_form_kl(layer: nn.Module, mean: float, scale: float) -> Tensor:
    """Averaged within each tensor, summed over tensors."""
    rho = layer.get_parameter("posterior_rho").detach()[0]
    weights = [parameter.detach() for name, parameter in layer.named_parameters() if name != "posterior_rho"]
    spreads = rho.split([weight.numel() for weight in weights])
    prior = Normal(mean, scale)
    return torch.stack(
        [
            kl_divergence(Normal(weight.flatten(), F.softplus(spread)), prior).mean()
            for weight, spread in zip(weights, spreads, strict=True)
        ]
    ).sum()


@pytest.mark.parametrize(("name", "kind", "arguments", "shape"), CASES, ids=[case[0] for case in CASES])
def test_a_layer_is_torchs_own_and_returns_the_kl(
    name: str, kind: type[nn.Module], arguments: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    layer: Any = getattr(compat, name)(*arguments, prior_mean=0.3, prior_variance=2.0)
    x = torch.randn(shape)
    assert [type(layer)] == [kind]  # in lists, as mypy would take `layer` for a plain module below
    result = layer(x)
    output, kl = result[0], result[-1]
    assert len(result) == (3 if kind is nn.LSTM else 2)
    # prior_variance is the standard deviation, as there
    torch.testing.assert_close(kl.detach(), closed_form_kl(layer, 0.3, 2.0))
    assert torch.equal(kl, layer.kl_loss())
    assert torch.equal(kl, get_kl_loss(layer))
    alone = layer(x, return_kl=False)
    assert not torch.equal(output, alone[0] if kind is nn.LSTM else alone)  # another draw
    assert isinstance(alone, tuple) == (kind is nn.LSTM)
    (output.square().sum() + kl).backward()
    assert all(float((parameter.grad != 0).float().mean()) > 0.5 for parameter in layer.parameters())
    layer.dnn_to_bnn_flag = True
    assert isinstance(layer(x), Tensor) == (kind is not nn.LSTM)
    assert kind is not nn.LSTM or len(layer(x)) == 2


def test_return_kl_by_position() -> None:
    layer = LinearFlipout(3, 2)
    assert isinstance(layer(torch.zeros(4, 3), False), Tensor)
    assert len(LSTMFlipout(3, 2)(torch.zeros(4, 5, 3), None, False)) == 2


def test_the_start_is_around_what_was_asked_for() -> None:
    torch.manual_seed(0)
    layer = LinearReparameterization(100, 100, posterior_mu_init=0.5, posterior_rho_init=-4.0)
    for tensor, mean in ((layer.weight, 0.5), (layer.get_parameter("posterior_rho"), -4.0)):
        assert abs(float(tensor.detach().mean()) - mean) < 0.005
        assert abs(float(tensor.detach().std()) - 0.1) < 0.005


def test_their_orders_of_arguments() -> None:
    window = (2, 1, 3, 2)  # stride, padding, dilation, groups
    conv = Conv2dFlipout(2, 4, 3, *window)
    assert (conv.stride, conv.padding, conv.dilation, conv.groups) == ((2, 2), (1, 1), (3, 3), 2)
    conv3 = Conv3dReparameterization(2, 4, 3, 0.0, 1.0, 0.0, -3.0, *window)
    assert (conv3.stride, conv3.padding, conv3.dilation, conv3.groups) == ((2,) * 3, (1,) * 3, (3,) * 3, 2)
    late = ConvTranspose1dFlipout(2, 4, 3, 3, 1, 3, 2, 2)
    assert (late.stride, late.padding, late.dilation, late.groups, late.output_padding) == ((3,), (1,), (3,), 2, (2,))
    early = ConvTranspose2dFlipout(2, 4, 3, 3, 1, 2, 3, 2)
    assert (early.output_padding, early.dilation, early.groups) == ((2, 2), (3, 3), 2)
    assert LinearFlipout(3, 2, bias=False).bias is None
    assert not LSTMReparameterization(3, 2, bias=False).bias
    assert LSTMReparameterization(3, 2).batch_first
    assert list(inspect.signature(LinearFlipout).parameters)[:2] == ["in_features", "out_features"]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'out_features'"):
        LinearFlipout(3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'prior_sigma'"):
        LinearFlipout(3, 2, prior_sigma=1.0)
    with pytest.raises(ValueError, match="prior scale must be positive"):
        LinearFlipout(3, 2, prior_variance=0.0)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv2dReparameterization(1, 2, 2)
        self.norm = nn.BatchNorm2d(2)
        self.head = LinearReparameterization(2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h, first = self.conv(x)
        out, second = self.head(F.relu(self.norm(h)).mean((2, 3)))
        return out, first + second


def test_a_network_built_by_hand_trains_is_copied_pickled_and_loaded() -> None:
    torch.manual_seed(0)
    net = Net()
    x = torch.randn(4, 1, 3, 3)
    out, kl = net(x)
    (out.square().mean() + kl).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    torch.testing.assert_close(kl, get_kl_loss(net))
    copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    other = Net()
    other.load_state_dict(net.state_dict())
    other(x)
    net.eval()
    for one in (*copies, other):
        one.eval()
        one.norm.load_state_dict(net.norm.state_dict())  # a pass in training changed its statistics
        torch.manual_seed(1)
        expected = net(x)
        torch.manual_seed(1)
        assert all(torch.equal(a, b) for a, b in zip(one(x), expected, strict=True))
    copied: Any = copies[0].head
    with torch.no_grad():
        copied.weight.add_(1.0)
    assert torch.equal(copied.kl_loss(), get_kl_loss(copied))
    assert not torch.equal(copied.kl_loss(), get_kl_loss(net.head))


def test_a_checkpoint_is_loaded_into_a_network_built_by_hand() -> None:
    torch.manual_seed(0)
    net = Net()
    state = {f"norm.{name}": tensor + 1 for name, tensor in net.norm.state_dict().items()}
    for layer, weight in (("conv", "kernel"), ("head", "weight")):
        for theirs, ours in ((weight, "weight"), ("bias", "bias")):
            shape = net.get_parameter(f"{layer}.{ours}").shape
            state |= {f"{layer}.mu_{theirs}": torch.randn(shape), f"{layer}.rho_{theirs}": torch.full(shape, -40.0)}
    load_state_dict(net, state)
    net.eval()
    x = torch.randn(4, 1, 3, 3)
    h = torch.conv2d(x, state["conv.mu_kernel"], state["conv.mu_bias"])
    mean, variance, gain, offset = (state[f"norm.{name}"] for name in NORM)
    h = F.batch_norm(h, mean, variance, gain, offset)
    expected = F.linear(F.relu(h).mean((2, 3)), state["head.mu_weight"], state["head.mu_bias"])
    torch.testing.assert_close(net(x)[0].detach(), expected)


def test_flipouts_signs_are_one_per_example_and_channel() -> None:
    torch.manual_seed(0)
    layer = Conv2dFlipout(2, 3, 3)
    with torch.no_grad():
        output, _ = layer(torch.ones(4, 2, 6, 6))
    spread = output.flatten(2).amax(2) - output.flatten(2).amin(2)
    assert float(spread.max()) < 1e-5  # all positions of a channel see the same weights
    assert float(output[:, :, 0, 0].std(0).min()) > 1e-3  # examples see others


@pytest.mark.parametrize("layer", [LSTMFlipout, LSTMReparameterization])
def test_an_lstm_draws_once_a_sequence(layer: Constructor) -> None:
    torch.manual_seed(0)
    lstm = layer(2, 3)
    with torch.no_grad():
        lstm.bias_ih_l0[3:6] = -200.0  # the forget gate is shut: nothing but h comes from the step before,
        lstm.weight_hh_l0.zero_()  # and its weights are zero
        numels = [parameter.numel() for name, parameter in lstm.named_parameters() if name != "posterior_rho"]
        lstm.posterior_rho[0, numels[0] : numels[0] + numels[1]] = -200.0
        output, _, _ = lstm(torch.ones(1, 5, 2))
        again, _, _ = lstm(torch.ones(1, 5, 2))
    torch.testing.assert_close(output, output[:, :1].expand_as(output))
    assert not torch.equal(output, again)


def test_passes_add_up_their_gradients() -> None:
    torch.manual_seed(0)
    layer = LinearReparameterization(1, 1, bias=False)
    outputs = [layer(torch.ones(1, 1), return_kl=False) for _ in range(3)]
    rho = layer.get_parameter("posterior_rho")
    parts = [torch.autograd.grad(output.sum(), rho, retain_graph=True)[0] for output in outputs]
    torch.stack(outputs).sum().backward()
    torch.testing.assert_close(rho.grad, torch.stack(parts).sum(0))
    # d out / d ρ = ε·σ'(ρ), and ε = (w − μ)/σ
    noise = (torch.stack(outputs).flatten() - layer.weight.flatten()) / F.softplus(rho).flatten()
    torch.testing.assert_close(rho.grad.flatten(), (noise.sum() * torch.sigmoid(rho)).detach().flatten())  # type: ignore[union-attr]


def test_a_large_spread_stays_finite() -> None:
    layer = LinearReparameterization(2, 2)
    layer.get_parameter("posterior_rho").data.fill_(90.0)
    output, kl = layer(torch.ones(1, 2))
    assert bool(output.isfinite().all())
    assert bool(kl.isfinite())


def test_an_error_in_a_layer_leaves_the_next_pass_right() -> None:
    layer = LinearFlipout(3, 2)
    with pytest.raises(RuntimeError):
        layer(torch.zeros(4, 7))
    assert len(layer(torch.zeros(4, 3))) == 2
    assert isinstance(layer(torch.zeros(4, 3), return_kl=False), Tensor)


def test_layers_are_not_converted_twice() -> None:
    with pytest.raises(ValueError, match="Bayesian already"):
        dnn_to_bnn(
            Net(),
            {"prior_mu": 0.0, "prior_sigma": 1.0, "posterior_mu_init": 0.0, "posterior_rho_init": -3.0}
            | {"type": "Flipout", "moped_enable": False},
        )
