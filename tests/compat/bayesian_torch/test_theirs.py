"""Against Bayesian-Torch itself, where it is installed."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import yuragi.compat.bayesian_torch as compat
from yuragi.compat.bayesian_torch import get_kl_loss, load_state_dict

PARAMETERS: dict[str, Any] = {
    "prior_mu": 0.2,
    "prior_sigma": 0.7,
    "posterior_mu_init": 0.0,
    "posterior_rho_init": -1.5,
    "type": "Reparameterization",
    "moped_enable": False,
}


def channels(inputs: int, outputs: int) -> dict[str, int]:
    return {"in_channels": inputs, "out_channels": outputs, "kernel_size": 3}


KINDS = ("Flipout", "Reparameterization")
# arguments of torch's layer and theirs, and an input. Their transposed Flipout layers compare a prior [out, in] with a
# kernel [in, out], and so need as many outputs as inputs.
LAYERS: dict[str, tuple[dict[str, int], tuple[int, ...]]] = {
    "Linear": ({"in_features": 3, "out_features": 2}, (2, 3)),
    "Conv1d": (channels(2, 4) | {"stride": 2, "padding": 1, "groups": 2}, (2, 2, 7)),
    "Conv2d": (channels(2, 3) | {"dilation": 2}, (2, 2, 6, 6)),
    "Conv3d": (channels(2, 2), (2, 2, 3, 3, 3)),
    "ConvTranspose1d": (channels(2, 2) | {"stride": 2}, (2, 2, 3)),
    "ConvTranspose2d": (channels(4, 4) | {"stride": 2, "output_padding": 1, "groups": 2}, (2, 4, 3, 3)),
    "ConvTranspose3d": (channels(2, 2), (2, 2, 2, 2, 2)),
}


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses names that torch has deprecated
        layers: ModuleType = pytest.importorskip("bayesian_torch.layers")
    return layers


def converted_there(theirs: ModuleType, net: nn.Module, kind: str) -> nn.Module:
    from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn

    dnn_to_bnn(net, PARAMETERS | {"type": kind})
    return net


def converted_here(net: nn.Module, kind: str) -> nn.Module:
    compat.dnn_to_bnn(net, PARAMETERS | {"type": kind})
    return net


def assert_same_moments(ours: Tensor, other: Tensor) -> None:
    """Of draws [S, ...]: each mean and each variance within 5 standard errors of their difference."""
    samples = len(ours)
    ours, other = ours.double().flatten(1), other.double().flatten(1)
    first = ((ours.var(0) + other.var(0)) / samples).sqrt()
    assert float(((ours.mean(0) - other.mean(0)) / first).abs().max()) < 5
    squares = [(draws - draws.mean(0)).square() for draws in (ours, other)]
    second = ((squares[0].var(0) + squares[1].var(0)) / samples).sqrt()
    assert float(((squares[0].mean(0) - squares[1].mean(0)) / second).abs().max()) < 5


def assert_predict_the_same(ours: Callable[[], Tensor], other: Callable[[], Tensor], samples: int) -> None:
    with torch.no_grad():
        assert_same_moments(*(torch.stack([run() for _ in range(samples)]) for run in (ours, other)))


@pytest.mark.parametrize("name", [name for name in compat.__all__ if name[0].isupper()])
def test_the_signatures_are_theirs(theirs: ModuleType, name: str) -> None:
    own = inspect.signature(getattr(compat, name)).parameters
    their = inspect.signature(getattr(theirs, name)).parameters
    assert list(own) == list(their)
    for argument, parameter in their.items():
        # Conv3dReparameterization has no defaults for its distributions there
        assert parameter.default is inspect.Parameter.empty or own[argument].default == parameter.default


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_predicts_as_theirs(theirs: ModuleType, name: str, kind: str) -> None:
    torch.manual_seed(0)
    arguments, shape = LAYERS[name]
    distribution = {"prior_mean": 0.2, "prior_variance": 0.7, "posterior_mu_init": 0.0, "posterior_rho_init": -1.5}
    layer = getattr(theirs, name + kind)(**arguments, **distribution)
    converted = converted_here(getattr(nn, name)(**arguments), kind)
    built = getattr(compat, name + kind)(**arguments, **distribution)
    built.dnn_to_bnn_flag = True
    x = torch.randn(shape)
    with torch.no_grad():
        expected = torch.stack([layer(x)[0] for _ in range(150)])
    for ours in (converted, built):
        load_state_dict(ours, layer.state_dict())
        with torch.no_grad():
            assert_same_moments(torch.stack([ours(x) for _ in range(150)]), expected)
        torch.testing.assert_close(get_kl_loss(ours), layer.kl_loss())


def test_a_deep_flipout_network_predicts_as_theirs(theirs: ModuleType) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    ours = converted_here(copy.deepcopy(net), "Flipout")
    other = converted_there(theirs, net, "Flipout")
    load_state_dict(ours, other.state_dict())
    x = torch.randn(3, 2)
    assert_predict_the_same(lambda: ours(x), lambda: other(x), 400)


def test_a_convolutional_network_with_norms_predicts_as_theirs(theirs: ModuleType) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2)
    )
    norm: Any = net[1]
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.uniform_(0.5, 1.5)
    ours = converted_here(copy.deepcopy(net), "Reparameterization").eval()
    other = converted_there(theirs, net, "Reparameterization").eval()
    load_state_dict(ours, other.state_dict())
    x = torch.randn(3, 1, 6, 6)
    assert_predict_the_same(lambda: ours(x), lambda: other(x), 400)
    from bayesian_torch.models.dnn_to_bnn import get_kl_loss as get_their_kl_loss

    torch.testing.assert_close(get_kl_loss(ours), get_their_kl_loss(other))


@pytest.mark.parametrize("kind", KINDS)
def test_an_lstm_predicts_as_theirs(theirs: ModuleType, kind: str) -> None:
    torch.manual_seed(0)
    ours = converted_here(nn.LSTM(3, 4, batch_first=True), kind)
    layer = getattr(theirs, "LSTM" + kind)(3, 4, posterior_rho_init=-1.5)
    load_state_dict(ours, layer.state_dict())
    x = torch.randn(2, 6, 3)
    # one step: the same distribution; over several they draw anew at each step
    assert_predict_the_same(lambda: ours(x[:, :1])[0], lambda: layer(x[:, :1])[0], 400)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if "rho" in name:
                parameter.fill_(-40.0)
    load_state_dict(ours, layer.state_dict())
    torch.testing.assert_close(ours(x)[0], layer(x)[0])


@pytest.mark.slow
def test_their_own_example_network_is_loaded(theirs: ModuleType) -> None:
    torch.manual_seed(0)
    from bayesian_torch.models.bayesian.resnet_variational import resnet20

    other = resnet20().eval()
    ours = copy.deepcopy(other)
    for prefix, layer in list(ours.named_modules()):
        kind = type(layer).__name__
        if kind in compat.__all__:
            parent, _, attribute = prefix.rpartition(".")
            keys = inspect.signature(getattr(compat, kind)).parameters
            values = {key: getattr(layer, key) for key in keys if hasattr(layer, key)}
            bias = {"bias": "mu_bias" in dict(layer.named_parameters())}
            built = getattr(compat, kind)(**values | {"posterior_mu_init": 0.0, "posterior_rho_init": -3.0} | bias)
            setattr(ours.get_submodule(parent), attribute, built)
    load_state_dict(ours, other.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert_predict_the_same(lambda: ours(x)[0], lambda: other(x)[0], 100)
    torch.testing.assert_close(ours(x)[1], other(x)[1])
