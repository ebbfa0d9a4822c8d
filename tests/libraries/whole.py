"""What a network of any library must do, converted whole and unmodified."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.bayesian import as_arguments
from yuragi.estimators import Estimator
from yuragi.flat import pieces
from yuragi.likelihoods import Likelihood
from yuragi.posteriors.posterior import inverse_softplus

ROWS = 4


def check_whole(
    net: nn.Module,
    x: Any,
    y: Tensor,
    estimator: Estimator,
    *,
    likelihood: Likelihood,
    per_example: Collection[type[nn.Module]],
    output: Callable[[Any], Tensor] | str | None = None,
    unused: Collection[str] = (),
) -> None:
    """Convert, compare with the network itself, train a step, predict, and look at the coverage.

    Args:
        net: the network, untrained.
        x: its input, as `Bayesian.loss` takes it.
        y: targets.
        estimator: the estimator asked for.
        likelihood: of the targets.
        per_example: types of module, not of their subclasses, whose weights must be drawn per example by "flipout".
        output: as for `bayesianize`.
        unused: names of the parameters that this network does not use for this input.
    """
    torch.manual_seed(0)
    net.eval()
    parameters = dict(net.named_parameters())
    before = {name: (id(p), p.detach().clone()) for name, p in parameters.items()}
    bnn = yu.bayesianize(
        net, likelihood=likelihood, posterior=yu.posteriors.MeanField(1e-6), estimator=estimator, output=output
    )
    assert bnn.module is net
    rho: Any = bnn.posterior.rho
    args, kwargs = as_arguments(x)
    with torch.no_grad():
        expected = bnn.select_output(net(*args, **kwargs))
        with bnn.at_mean():
            assert torch.equal(bnn.select_output(bnn(*args, **kwargs)), expected)
        nearly = bnn.select_output(bnn(*args, **kwargs))
    error = (nearly - expected).abs().max()
    assert 0 < error < 1e-3 * expected.abs().max().clamp_min(1)
    # the network is the one that it was
    assert {name: id(p) for name, p in net.named_parameters()} == {name: known for name, (known, _) in before.items()}
    assert all(torch.equal(p, before[name][1]) for name, p in parameters.items())

    check_coverage(bnn, estimator, per_example, unused)

    with torch.no_grad():
        rho.copy_(inverse_softplus(torch.full_like(rho, 0.01)))
    bnn.train()
    losses = []
    optimizer = torch.optim.SGD(bnn.parameters(), lr=1e-3)
    for _ in range(2):
        torch.manual_seed(1)  # the same noise, and the same units dropped
        optimizer.zero_grad()
        loss = bnn.loss(x, y, num_data=len(y), kl_weight=0.0)
        loss.backward()
        losses.append(loss.item())
        check_gradients(bnn, unused)
        torch.nn.utils.clip_grad_norm_(bnn.parameters(), 1.0)
        optimizer.step()
    assert losses[1] < losses[0]

    prediction = yu.predict(bnn, x, samples=3, batch_size=len(y))
    assert prediction.samples.shape == (3, *expected.shape)
    assert torch.isfinite(prediction.samples).all()
    assert not torch.equal(prediction.samples[0], prediction.samples[1])
    assert torch.isfinite(prediction.log_prob(y)).all()


def check_gradients(bnn: yu.Bayesian, unused: Collection[str]) -> None:
    rho: Any = bnn.posterior.rho
    assert torch.isfinite(rho.grad).all()
    for weight, gradient in zip(bnn.weights, pieces(rho.grad, bnn.q().means), strict=True):
        assert bool(gradient.any()) == (weight.name not in unused), f"gradient of the spread of {weight.name}"


def check_coverage(
    bnn: yu.Bayesian, estimator: Estimator, per_example: Collection[type[nn.Module]], unused: Collection[str]
) -> None:
    coverage = bnn.coverage()
    names = [name for name, _ in bnn.module.named_parameters()]
    assert [row.name for row in coverage.rows] == names
    assert all(row.bayesian for row in coverage.rows)
    assert {row.name for row in coverage.rows if row.estimator == "none"} == set(unused)
    for row in coverage.rows:
        assert row.estimator in (estimator, "shared", "none")
        assert row.estimator == estimator or row.reason
    if estimator == "flipout" and per_example:
        in_force = {row.name: row.estimator for row in coverage.rows}
        expected = {
            f"{path}.{name}".removeprefix(".")
            for path, part in bnn.module.named_modules()
            if type(part) in per_example
            for name, _ in part.named_parameters(recurse=False)
        }
        assert expected, "no module of these types"
        assert {in_force[name] for name in expected if name in in_force} == {"flipout"}
    assert len(str(coverage).splitlines()) < 75, "too long to be read"
