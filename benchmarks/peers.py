"""The same networks made Bayesian by other libraries, each as its own documentation does it.

    pip install --no-deps --target DIR -r requirements-peers.txt      # none of them may bring another torch
    PYTHONPATH=DIR python benchmarks/speed.py

A function takes a case and gives two calls: one step of Adam, and one draw of a prediction. It raises `Unsupported` for a
network that the library has no layers for, and ImportError where the library is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch import library as registry

from networks import Case

NUM_DATA = 50_000
Call = Callable[[], object]


class Unsupported(Exception):
    """The library has no layers for this network."""


class Calls(NamedTuple):
    """One step of training; a prediction of so many draws."""

    step: Call
    predict: Call
    draws: int


def step_of(parameters: Any, loss: Callable[[], Tensor]) -> Call:
    """One step of Adam with torch's defaults."""
    optimizer = torch.optim.Adam(parameters, lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def looped(case: Case, net: nn.Module, predictor: nn.Module, kl: Callable[[nn.Module], Any]) -> Calls:
    """Calls for networks whose layers draw their own weights in every pass."""
    (x, y), new = case.batch(), case.new_rows()
    predictor.eval()

    def predict() -> None:
        with torch.no_grad():
            predictor(new)

    return Calls(step_of(net.parameters(), lambda: case.loss(net(x), y) + kl(net) / NUM_DATA), predict, 1)


def bayesian_torch(kind: str) -> Callable[[Case], Calls]:
    """Bayesian-Torch, by its conversion of a network."""

    def make(case: Case) -> Calls:
        from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn, get_kl_loss

        parameters = {"prior_mu": 0.0, "prior_sigma": 1.0, "posterior_mu_init": 0.0, "posterior_rho_init": -3.0}
        nets = case.fresh(), case.fresh()
        for net in nets:
            dnn_to_bnn(net, parameters | {"type": kind, "moped_enable": False})
        return looped(case, *nets, get_kl_loss)

    return make


def swapped(net: nn.Module, layers: dict[type[nn.Module], Callable[[Any], nn.Module]]) -> nn.Module:
    """The network with its layers replaced by a library's own."""
    for name, child in net.named_children():
        if type(child) in layers:
            setattr(net, name, layers[type(child)](child))
        elif next(child.children(), None) is not None:
            swapped(child, layers)
        elif isinstance(child, (nn.Linear, nn.Conv2d, nn.LSTM)):
            raise Unsupported(f"no layer for {type(child).__name__}")
    return net


def blitz(case: Case) -> Calls:
    """BLiTZ, with its layers in place of the network's."""
    from blitz.losses import kl_divergence_from_nn
    from blitz.modules import BayesianConv2d, BayesianLinear, BayesianLSTM

    layers: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
        nn.Linear: lambda one: BayesianLinear(one.in_features, one.out_features),
        nn.Conv2d: lambda one: BayesianConv2d(
            one.in_channels, one.out_channels, one.kernel_size, stride=one.stride, padding=one.padding, bias=False
        ),
        nn.LSTM: lambda one: BayesianLSTM(one.input_size, one.hidden_size),
    }
    return looped(case, swapped(case.fresh(), layers), swapped(case.fresh(), layers), kl_divergence_from_nn)


def torch_uncertainty(case: Case) -> Calls:
    """torch-uncertainty, with its layers in place of the network's."""
    # it imports torchvision, whose compiled operators fit builds of torch with CUDA alone; none of them is used
    operators = registry.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torch_uncertainty.layers.bayesian import BayesConv2d, BayesLinear
    from torch_uncertainty.losses import ELBOLoss

    layers: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
        nn.Linear: lambda one: BayesLinear(one.in_features, one.out_features),
        nn.Conv2d: lambda one: BayesConv2d(
            one.in_channels, one.out_channels, one.kernel_size, stride=one.stride, padding=one.padding, bias=False
        ),
    }
    net = swapped(case.fresh(), layers)
    inner = nn.MSELoss() if case.shape[1] == 1 else nn.CrossEntropyLoss()
    objective = ELBOLoss(net, inner, kl_weight=1 / NUM_DATA, num_samples=1)
    (x, y) = case.batch()
    calls = looped(case, net, swapped(case.fresh(), layers), lambda _: 0.0)
    return calls._replace(step=step_of(net.parameters(), lambda: objective(x, y).sum()))


def posteriors(case: Case) -> Calls:
    """posteriors, whose variational inference takes any network as a function of its parameters."""
    import torchopt

    import posteriors as library

    net, (x, y), new = case.fresh(), case.batch(), case.new_rows()
    parameters = dict(net.named_parameters())

    def log_posterior(values: dict[str, Tensor], batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        output = torch.func.functional_call(net, values, (batch[0],))
        log_prior = library.diag_normal_log_prob(values)
        return -case.loss(output, batch[1]) + log_prior / NUM_DATA, output

    transform = library.vi.diag.build(
        log_posterior, torchopt.adam(1e-3), temperature=1 / NUM_DATA, init_log_sds=-3.0, n_samples=1
    )
    state = transform.init(parameters)

    def step() -> None:
        nonlocal state
        state, _ = transform.update(state, (x, y), inplace=False)

    predictor = case.fresh().eval()
    fixed = transform.init(dict(predictor.named_parameters()))

    def predict() -> None:
        with torch.no_grad():
            torch.func.functional_call(predictor, library.vi.diag.sample(fixed), (new,))

    return Calls(step, predict, 1)


PEERS: dict[str, Callable[[Case], Calls]] = {
    "Bayesian-Torch Reparameterization": bayesian_torch("Reparameterization"),
    "Bayesian-Torch Flipout": bayesian_torch("Flipout"),
    "BLiTZ": blitz,
    "torch-uncertainty": torch_uncertainty,
    "posteriors": posteriors,
}
