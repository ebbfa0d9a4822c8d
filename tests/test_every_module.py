"""Every class of `torch.nn` that has parameters, found by introspection, and every way of using a parameter."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest
import torch
from tests.module_recipes import NOT_RUN, OTHERS, RECIPES, Recipe
from torch import Tensor, nn

import yuragi as yu
from yuragi.bayesian import as_arguments
from yuragi.estimators import ESTIMATORS, Estimator
from yuragi.flat import pieces
from yuragi.prediction import RegressionPrediction

ALL = RECIPES | OTHERS
for_every_module = pytest.mark.parametrize("name", ALL)
for_every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
for_members = pytest.mark.parametrize("members", [1, 3])
pytestmark = [
    pytest.mark.filterwarnings("ignore:An output with one or more elements was resized"),  # torch's vmapped prelu
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]


def bayesian(recipe: Recipe, scale: float, estimator: Estimator, members: int) -> yu.Bayesian:
    return yu.bayesianize(
        recipe.make(),
        posterior=yu.posteriors.MeanField(scale),
        likelihood=yu.Gaussian(0.1),
        estimator=estimator,
        members=members,
        output=recipe.output,
    )


def run(bnn: yu.Bayesian, recipe: Recipe) -> Tensor:
    """One stochastic pass, [members, *output]."""
    args, kwargs = as_arguments(recipe.x)
    return bnn.step(bnn.prior, args, kwargs, None)[1]


def deterministic(net: nn.Module, recipe: Recipe) -> Tensor:
    args, kwargs = as_arguments(recipe.x)
    out = net(*args, **kwargs)
    if isinstance(recipe.output, str):
        out = getattr(out, recipe.output)
    elif recipe.output is not None:
        out = out[recipe.output]
    assert isinstance(out, Tensor)
    return out


# -- the table holds every class


def parameters_of(kind: type[nn.Module]) -> bool | None:
    """Whether some way of building `kind` from small numbers, with one option switched on, has parameters.

    None where no such way builds it.
    """
    options = [one.name for one in inspect.signature(kind).parameters.values() if one.default is False]
    built = None
    for args in ([2] * count for count in range(5)):
        for keywords in ({}, *({option: True} for option in options)):
            try:
                module = kind(*args, **keywords)
            except (TypeError, ValueError, RuntimeError, AttributeError, AssertionError):
                continue
            built = False
            if next(module.parameters(), None) is not None:
                return True
    return built


def test_every_class_of_torch_nn_with_parameters_has_a_recipe_or_a_reason() -> None:
    kinds = {name: kind for name, kind in vars(nn).items() if inspect.isclass(kind) and issubclass(kind, nn.Module)}
    listed = {name.partition(",")[0] for name in RECIPES} | set(NOT_RUN)
    assert listed <= set(kinds), "a recipe for something that torch.nn does not have"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        missing = [name for name, kind in kinds.items() if name not in listed and parameters_of(kind) is not False]
    # a module to flatten into has no parameters, but cannot be built from numbers
    assert missing == ["Unflatten"]


def test_the_introspection_sees_parameters_wherever_they_are() -> None:
    assert parameters_of(nn.Linear)
    assert parameters_of(nn.InstanceNorm1d)  # only where affine is switched on
    assert parameters_of(nn.LazyConv1d)
    assert parameters_of(nn.TransformerEncoder) is None  # needs a layer
    assert parameters_of(nn.ReLU) is False


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_builds_its_class(name: str) -> None:
    kind = getattr(nn, name.partition(",")[0])
    made = getattr(kind, "cls_to_become", None) or kind
    assert any(isinstance(part, made) for part in RECIPES[name].make().modules())


# -- what every class must do


@for_members
@for_every_estimator
@for_every_module
def test_small_spreads_give_the_deterministic_module(name: str, estimator: Estimator, members: int) -> None:
    torch.manual_seed(0)
    recipe = ALL[name]
    bnn = bayesian(recipe, 1e-6, estimator, members)
    # each member alone, as a deterministic network with that member's weights
    rows = []
    for member in range(members):
        net = recipe.make()
        with torch.no_grad():
            for weight, mean in zip(bnn.weights, bnn.q().mean, strict=True):
                net.get_parameter(weight.name).copy_(mean[member])
            for own, buffer in zip(net.buffers(), bnn.module.buffers(), strict=True):
                own.copy_(buffer)
        rows.append(deterministic(net, recipe).detach())
    expected = torch.stack(rows)
    out = run(bnn, recipe).detach()
    torch.testing.assert_close(out, expected, rtol=1e-3, atol=1e-4)
    assert not torch.equal(out, expected)  # there is noise, however small


@for_members
@for_every_estimator
@for_every_module
def test_a_training_step_reaches_every_spread_and_the_network_predicts(
    name: str, estimator: Estimator, members: int
) -> None:
    torch.manual_seed(0)
    recipe = ALL[name]
    bnn = bayesian(recipe, 0.1, estimator, members)
    y = torch.randn_like(run(bnn, recipe)[0])
    optimizer = torch.optim.SGD((p for p in bnn.parameters() if p.requires_grad), lr=1e-3)
    # without the KL, which has a gradient wherever the weights lead
    loss = bnn.loss(recipe.x, y, num_data=len(y), kl_weight=0.0)
    loss.backward()
    for parameter in bnn.parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None
            assert torch.isfinite(parameter.grad.to_dense()).all()
    gradients = pieces(bnn.posterior.rho.grad, bnn.q().means)  # type: ignore[arg-type]
    for weight, gradient in zip(bnn.weights, gradients, strict=True):
        cannot = torch.zeros(weight.shape, dtype=torch.bool)
        if weight.name in recipe.without_gradient:
            cannot[recipe.without_gradient[weight.name][0]] = True
        gradient = gradient.reshape(members, *weight.shape)
        assert (gradient[:, ~cannot] != 0).all(), f"some spreads of {weight.name} have no gradient"
        assert (gradient[:, cannot].abs() < 1e-4 * gradient.abs().max()).all(), f"{weight.name}: listed in vain"
    optimizer.step()
    assert torch.isfinite(bnn.loss(recipe.x, y, num_data=len(y)))
    if recipe.rows:
        prediction = yu.predict(bnn, recipe.x, samples=3)
        assert prediction.samples.shape == (3, *y.shape)
        assert isinstance(prediction, RegressionPrediction)
        assert torch.isfinite(prediction.std).all()
        assert not torch.equal(prediction.samples[0], prediction.samples[1])


@for_members
@for_every_estimator
@for_every_module
def test_noise_on_each_weight_alone_changes_the_output(name: str, estimator: Estimator, members: int) -> None:
    torch.manual_seed(0)
    recipe = ALL[name]
    # in evaluation mode and without gradient, where torch has fused operations, and no layer changes its statistics
    bnn = bayesian(recipe, 0.1, estimator, members).eval()
    with torch.no_grad():
        rho: Any = bnn.posterior.rho
        noisy, silent = rho.clone(), torch.full_like(rho, -200.0)  # softplus(-200) is zero
        rho.copy_(silent)
        still = run(bnn, recipe)
        torch.testing.assert_close(run(bnn, recipe), still, rtol=0, atol=0)
        start = 0
        for weight in bnn.weights:
            rho.copy_(silent)[:, start : start + weight.numel] = noisy[:, start : start + weight.numel]
            start += weight.numel
            out = run(bnn, recipe)
            changed = (out - still).flatten(1).abs().amax(1)
            assert (changed > 1e-4).all(), f"noise on {weight.name} does not reach the output"
