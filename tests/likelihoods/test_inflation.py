"""The factor that held-out data multiply a learned scale by: what it changes, and what it leaves alone."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi import likelihoods

GENERATOR = torch.Generator().manual_seed(0)
OUTPUT = torch.randn(3, 5, 2, generator=GENERATOR)
LEARNED: list[likelihoods.Likelihood] = [
    likelihoods.Gaussian(),
    likelihoods.Gaussian(outputs=2, members=3),
    likelihoods.StudentT(df=4.0),
    likelihoods.HeteroscedasticGaussian(),
    likelihoods.HeteroscedasticStudentT(df=4.0),
]
KNOWN: list[likelihoods.Likelihood] = [
    likelihoods.Gaussian(0.3),
    likelihoods.StudentT(df=4.0, noise=0.3),
    likelihoods.Poisson(),
    likelihoods.NegativeBinomial(),
    likelihoods.Bernoulli(),
    likelihoods.Categorical(),
]


def inflated(likelihood: likelihoods.Likelihood, factor: float) -> likelihoods.Likelihood:
    other = copy.deepcopy(likelihood)
    assert other.inflation is not None
    other.inflation.fill_(factor)
    return other


@pytest.mark.parametrize("likelihood", LEARNED, ids=repr)
def test_standard_deviations_are_multiplied_and_means_and_the_objective_are_not(
    likelihood: likelihoods.Likelihood,
) -> None:
    member = torch.arange(3)
    plain, wide = (one.distribution(OUTPUT, member) for one in (likelihood, inflated(likelihood, 1.7)))
    torch.testing.assert_close(wide.stddev, 1.7 * plain.stddev)
    torch.testing.assert_close(wide.mean, plain.mean)
    y = torch.zeros(wide.batch_shape[1:])
    assert torch.equal(inflated(likelihood, 1.7).log_prob(OUTPUT, y), likelihood.log_prob(OUTPUT, y))


@pytest.mark.parametrize("likelihood", KNOWN, ids=repr)
def test_what_is_known_is_not_inflated_and_has_no_state_for_it(likelihood: likelihoods.Likelihood) -> None:
    assert likelihood.inflation is None
    assert "inflation" not in likelihood.state_dict()


@pytest.mark.parametrize("likelihood", LEARNED, ids=repr)
def test_predictions_and_files_have_it(likelihood: likelihoods.Likelihood, tmp_path: Path) -> None:
    def network() -> nn.Module:
        return nn.Linear(3, 2 if "Hetero" not in repr(likelihood) else 4)

    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    bnn = yu.bayesianize(network(), likelihood=likelihood, members=3)
    before = aleatoric(bnn, x)
    assert bnn.likelihood.inflation is not None
    bnn.likelihood.inflation.fill_(1.7)
    torch.testing.assert_close(aleatoric(bnn, x), 1.7 * before)
    yu.save(bnn, tmp_path / "net.yuragi")
    assert torch.equal(aleatoric(yu.load(tmp_path / "net.yuragi", network()), x), aleatoric(bnn, x))


def aleatoric(bnn: yu.Bayesian, x: Tensor) -> Tensor:
    prediction = yu.predict(bnn, x, samples=6)
    assert isinstance(prediction, yu.NumericPrediction)
    return prediction.aleatoric
