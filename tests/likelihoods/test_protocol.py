"""Every likelihood through bayesianize, fit, predict, save and load, with and without spreads and members."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import yuragi as yu
from yuragi import likelihoods

ROWS = 12
pytestmark = pytest.mark.filterwarnings("ignore::yuragi.training.ConvergenceWarning")  # the fits are short

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, 3, generator=GENERATOR)
NUMBERS = torch.randn(ROWS, 2, generator=GENERATOR)
COUNTS = torch.randint(6, (ROWS, 2), generator=GENERATOR)
YES = torch.randint(2, (ROWS, 2), generator=GENERATOR)
LABELS = torch.randint(4, (ROWS,), generator=GENERATOR)

CASES: dict[str, tuple[likelihoods.Likelihood, int, Tensor]] = {
    "gaussian": (likelihoods.Gaussian(0.3), 2, NUMBERS),
    "gaussian, learned": (likelihoods.Gaussian(outputs=2), 2, NUMBERS),
    "heteroscedastic gaussian": (likelihoods.HeteroscedasticGaussian(), 4, NUMBERS),
    "heteroscedastic gaussian, each": (likelihoods.HeteroscedasticGaussian(outputs=2), 4, NUMBERS),
    "student-t": (likelihoods.StudentT(), 2, NUMBERS),
    "student-t, fixed": (likelihoods.StudentT(df=4.0, noise=0.5), 2, NUMBERS),
    "heteroscedastic student-t": (likelihoods.HeteroscedasticStudentT(), 4, NUMBERS),
    "poisson": (likelihoods.Poisson(), 2, COUNTS),
    "poisson, floats": (likelihoods.Poisson(), 2, COUNTS.float()),
    "negative binomial": (likelihoods.NegativeBinomial(), 2, COUNTS),
    "negative binomial, fixed": (likelihoods.NegativeBinomial(0.5), 2, COUNTS),
    "bernoulli": (likelihoods.Bernoulli(), 2, YES),
    "bernoulli, floats": (likelihoods.Bernoulli(), 2, YES.float()),
    "categorical": (likelihoods.Categorical(), 4, LABELS),
}
LEARN_EACH: dict[str, tuple[likelihoods.Likelihood, int, Tensor]] = {
    "gaussian": (likelihoods.Gaussian(members=3), 2, NUMBERS),
    "student-t": (likelihoods.StudentT(members=3), 2, NUMBERS),
    "heteroscedastic student-t": (likelihoods.HeteroscedasticStudentT(members=3), 4, NUMBERS),
    "negative binomial": (likelihoods.NegativeBinomial(members=3), 2, COUNTS),
}
POSTERIORS = {"mean field": yu.posteriors.MeanField(0.05), "anchored": yu.posteriors.Anchored(seed=0)}


def network(outputs: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, outputs))


def through(
    likelihood: likelihoods.Likelihood, outputs: int, y: Tensor, posterior: str, members: int, path: Path
) -> yu.Bayesian:
    bnn = yu.bayesianize(
        network(outputs),
        likelihood=likelihood,
        posterior=copy.deepcopy(POSTERIORS[posterior]),
        members=members,
        seed=0,
    )
    before = bnn.loss(X, y, num_data=ROWS, index=torch.arange(ROWS)).item()
    history = yu.fit(bnn, (X, y), epochs=30, validation=(X, y), seed=0)
    assert history.validation
    assert history.loss[-1] < max(before, history.loss[0])
    p = yu.predict(bnn, X, samples=6)
    assert p.log_prob(y).shape == (ROWS,)
    assert bool(torch.isfinite(p.log_prob(y)).all())
    torch.testing.assert_close(p.std.square(), p.epistemic.square() + p.aleatoric.square())
    torch.testing.assert_close(p.log_prob(y), mixture(bnn, y, p.samples), rtol=1e-4, atol=1e-4)
    yu.save(bnn, path)
    other = yu.load(path, network(outputs))
    assert repr(other.likelihood) == repr(bnn.likelihood)
    again = yu.predict(other, X, samples=6)
    assert type(again) is type(p)
    assert torch.equal(again.samples, p.samples)
    assert torch.equal(again.log_prob(y), p.log_prob(y))
    return bnn


def mixture(bnn: yu.Bayesian, y: Tensor, samples: Tensor) -> Tensor:
    """The mean of p(y∣w) over draws, from the outputs and the likelihood alone: it knows no `Prediction`."""
    draws = bnn.draws(len(samples), seed=0)
    outputs = [
        torch.func.functional_call(bnn.module, {name: w[s] for name, w in draws.items()}, (X,))
        for s in range(len(samples))
    ]
    member = torch.arange(len(samples)) % bnn.members
    distribution: Distribution = bnn.likelihood.distribution(torch.stack(outputs), member)
    each = distribution.log_prob(y.to(torch.float32) if y.dim() > 1 else y).detach()
    joint = each.sum(-1) if each.dim() > 2 else each
    return joint.double().exp().mean(0).log()


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("name", CASES)
def test_every_likelihood_goes_all_the_way(name: str, posterior: str, members: int, tmp_path: Path) -> None:
    through(*CASES[name], posterior, members, tmp_path / "net")


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("name", LEARN_EACH)
def test_every_member_may_learn_its_own(name: str, posterior: str, tmp_path: Path) -> None:
    bnn = through(*LEARN_EACH[name], posterior, 3, tmp_path / "net")
    for parameter in bnn.likelihood.parameters():
        assert len(parameter) == 3
        assert len(parameter.unique()) == 3  # they went different ways


@pytest.mark.parametrize("name", CASES)
def test_log_prob_and_distribution_agree(name: str) -> None:
    likelihood, outputs, y = CASES[name]
    output = torch.randn(3, ROWS, outputs, generator=torch.Generator().manual_seed(1))
    terms = likelihood.distribution(output, torch.arange(3)).log_prob(y.float() if y.dim() > 1 else y)
    got = likelihood.log_prob(output, y)
    torch.testing.assert_close(got, terms.sum(-1) if terms.dim() > 2 else terms, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_a_likelihood_is_printed_as_it_is_made(name: str) -> None:
    likelihood = CASES[name][0]
    again = type(likelihood)(**likelihood.arguments())
    assert repr(again) == repr(likelihood)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in likelihood.state_dict().items()
    }


@pytest.mark.parametrize("name", CASES)
def test_only_those_with_randomised_targets_need_an_index(name: str) -> None:
    likelihood, outputs, y = CASES[name]
    bnn = yu.bayesianize(
        network(outputs), likelihood=likelihood, posterior=yu.posteriors.Anchored(seed=0), members=2, seed=0
    )
    if likelihood.randomises_targets:
        with pytest.raises(ValueError, match="index="):
            bnn.loss(X, y, num_data=ROWS)
    else:
        assert torch.isfinite(bnn.loss(X, y, num_data=ROWS))
