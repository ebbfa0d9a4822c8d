"""A deep Gaussian process against one whose posterior is known, and against numerical integrals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.methods.test_collapsed import problem

import yuragi as yu
from yuragi.methods import deep_gp
from yuragi.methods.deep_gp import _Layers
from yuragi.torch_warnings import without_script_warnings

with without_script_warnings():
    pytest.importorskip("gpytorch")


def test_the_kl_is_that_of_the_inducing_values() -> None:
    found = deep_gp.run(None, problem(), likelihood=yu.Gaussian(0.2), inducing=8, epochs=20)
    module = found.module
    assert isinstance(module, _Layers)
    total = 0.0
    with torch.no_grad():
        for layer in (module.first, module.second):
            # the strategy is whitened: q is of values whose prior is a standard normal
            q = layer.variational_strategy.variational_distribution
            mean, covariance = q.mean, q.covariance_matrix
            terms = covariance.diagonal(dim1=-2, dim2=-1).sum(-1) + mean.square().sum(-1) - 8 - covariance.logdet()
            total += float(0.5 * terms.sum())
    assert found.kl == pytest.approx(total, rel=1e-6)


def test_a_prediction_has_the_moments_of_both_layers() -> None:
    found = deep_gp.run(None, problem(), likelihood=yu.Gaussian(0.2), hidden=1, inducing=10, epochs=200, draws=4000)
    x = torch.tensor([[-1.5], [0.3], [2.5]])
    module = found.module
    assert isinstance(module, _Layers)
    unit = torch.linspace(-6, 6, 1001, dtype=torch.float64)
    weight = torch.exp(-0.5 * unit.square())
    weight /= weight.sum()
    with torch.no_grad():
        inner = module.first(x.double())
        h = inner.mean[0] + unit.unsqueeze(1) * inner.variance[0].sqrt()  # [1001, 3]
        outer = module.second(h.reshape(1001, 1, 3, 1))
        mean = weight @ outer.mean[:, 0]
        variance = weight @ (outer.variance[:, 0] + outer.mean[:, 0].square()) - mean.square()
    p = found.predict(x)
    assert isinstance(p, yu.RegressionPrediction)
    assert ((p.mean[:, 0] - mean) / variance.sqrt()).abs().max() < 4 / 4000**0.5
    assert (p.epistemic[:, 0] / variance.sqrt() - 1).abs().max() < 4 / (2 * 4000) ** 0.5
    torch.testing.assert_close(found.predict(x[:2]).samples, p.samples[:, :2])


def test_it_learns_a_curve_and_is_less_sure_away_from_it() -> None:
    x, y = problem()
    found = deep_gp.run(None, (x, y), likelihood=yu.Gaussian(0.2), inducing=20, epochs=250, lr=0.03)
    p = found.predict(torch.cat([x, torch.tensor([[5.0]])]))
    assert isinstance(p, yu.RegressionPrediction)
    assert ((p.mean[:30, 0] - (2 * x[:, 0]).sin()).square().mean()) < 0.15**2  # the noise is 0.2
    assert p.epistemic[30, 0] > 3 * p.epistemic[:30, 0].mean()
    assert "the network was not used" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("likelihood", "make"),
    [
        (yu.Categorical(), lambda x: (x[:, 0] > 0).long() + (x[:, 0] > 1).long()),
        (yu.likelihoods.Bernoulli(), lambda x: (x > 0).float()),
        (yu.likelihoods.Poisson(), lambda x: x.exp().round()),
        (yu.likelihoods.StudentT(), lambda x: 100 + 10 * x[:, 0].sin()),
        (yu.likelihoods.HeteroscedasticGaussian(), lambda x: torch.cat([x.sin(), 10 * x.cos()], 1)),
        (yu.likelihoods.HeteroscedasticGaussian(), lambda x: x.sin()),
    ],
)
def test_every_likelihood_learns(likelihood: Any, make: Any) -> None:
    x, _ = problem()
    y = make(x)
    first = deep_gp.run(None, (x, y), likelihood=likelihood, inducing=10, epochs=1)
    found = deep_gp.run(None, (x, y), likelihood=likelihood, inducing=10, epochs=150)
    assert found.elbo > first.elbo
    assert found.predict(x).log_prob(y).mean() > first.predict(x).log_prob(y).mean()


def test_a_row_that_counts_twice_is_two_rows() -> None:
    x, y = problem()
    settings: dict[str, Any] = {"likelihood": yu.Gaussian(0.2), "inducing": 10, "draws_per_step": 2000, "epochs": 1}
    # one step, before which both have the same places and hardly any noise of draws
    once = deep_gp.run(None, (x, y), sample_weight=torch.full((30,), 2.0), lr=1e-9, **settings)
    plain = deep_gp.run(None, (x, y), lr=1e-9, **settings)
    assert (once.elbo + once.kl / 30) == pytest.approx(2 * (plain.elbo + plain.kl / 30), rel=1e-4)


@pytest.mark.parametrize(
    ("data", "settings", "error", "message"),
    [
        (problem(), {"hidden": 0}, ValueError, "hidden must be at least 1, got 0"),
        (problem(), {"likelihood": yu.Categorical()}, ValueError, "class labels must be integers"),
        ((torch.zeros(3, 1), torch.zeros(3, 1, 1)), {}, ValueError, r"targets must be \[N\] or \[N, d\]"),
        (((torch.zeros(3), torch.zeros(3)), torch.ones(3)), {}, ValueError, "takes one tensor"),
    ],
)
def test_what_cannot_be_is_refused(data: Any, settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        deep_gp.run(None, data, epochs=1, **settings)
