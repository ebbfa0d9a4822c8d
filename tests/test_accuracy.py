"""How many draws a prediction takes, what it keeps of them, and moments without any."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.likelihoods import HeteroscedasticGaussian, Likelihood, StudentT
from yuragi.predictions import MomentPrediction, NumericPrediction
from yuragi.propagation import CannotPropagateError
from yuragi.streaming import RunningMoments


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(net: nn.Module, likelihood: Likelihood | None = None, members: int = 1, scale: float = 0.2) -> yu.Bayesian:
    return yu.bayesianize(
        net,
        likelihood=likelihood or yu.Gaussian(0.1),
        posterior=yu.posteriors.MeanField(init_scale=scale),
        members=members,
        seed=0,
    )


def small(activation: nn.Module | None = None, outputs: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 20), activation or nn.Tanh(), nn.Linear(20, outputs))


def numeric(prediction: object) -> NumericPrediction:
    assert isinstance(prediction, NumericPrediction)
    return prediction


# -- as many draws as it takes


def test_the_error_of_a_normal_spread_is_the_one_of_the_textbook() -> None:
    moments = RunningMoments()
    for part in randn(4000, 5, 2).split(700):  # a far mean loses no digits
        moments.add(1e4 + 3 * part.double(), torch.zeros(()).double().expand_as(part))
    assert moments.draws == 4000
    assert (moments.error * math.sqrt(2 * 4000) - 1).abs().max() < 0.1  # σ/√(2S)
    prediction = moments.prediction()
    torch.testing.assert_close(prediction.std, 3 * randn(4000, 5, 2).double().std(0, correction=0), rtol=1e-6, atol=0)


def test_the_error_is_the_spread_of_std_over_repetitions() -> None:
    # with a noise that varies from draw to draw together with the mean
    f = randn(300, 200, 1).double()
    v = 0.3 + 0.2 * (f + 0.5).square()
    moments = RunningMoments()
    moments.add(f, v)
    expected = (f.var(0, correction=0) + v.mean(0)).sqrt()
    torch.testing.assert_close(moments.prediction().std, expected)
    relative = moments.prediction().std.std() / moments.prediction().std.mean()
    assert abs(float(moments.error.mean() / relative) - 1) < 0.2  # 200 repetitions; the error itself is known to 5 %


@pytest.mark.parametrize("members", [1, 3])
def test_auto_takes_what_the_tolerance_needs_and_no_other_draws(members: int) -> None:
    bnn, x = made(small(), members=members), randn(4, 3)
    p = numeric(yu.predict(bnn, x, samples="auto", tol=0.05))
    taken = p.provenance["samples"]
    assert taken % members == 0
    assert p.provenance["monte_carlo_error"] <= 0.05
    assert 100 < taken < 1000  # about 1/(2·0.05²) = 200, and more for the widest row of the four
    assert torch.equal(p.samples, numeric(yu.predict(bnn, x, samples=taken)).samples)
    exact = numeric(yu.predict(bnn, x, samples=30_000)).std
    assert float((p.std / exact - 1).abs().max()) < 4 * 0.05
    finer = yu.predict(bnn, x, samples="auto", tol=0.02)
    assert finer.provenance["samples"] > 3 * taken


def test_auto_stops_at_ten_thousand_and_says_how_far_it_is() -> None:
    p = yu.predict(made(nn.Linear(1, 1)), randn(3, 1), samples="auto", tol=1e-4)
    assert p.provenance["samples"] == 10_000
    assert p.provenance["monte_carlo_error"] == pytest.approx(1 / math.sqrt(20_000), rel=0.2)


def test_auto_uses_each_point_once() -> None:
    bnn = yu.bayesianize(small(), posterior=yu.posteriors.Anchored(), likelihood=yu.Gaussian(0.1), members=4, seed=0)
    for method in ("draws", "streaming"):
        p = yu.predict(bnn, randn(5, 3), samples="auto", method=method)
        assert (p.provenance["samples"], p.provenance["monte_carlo_error"]) == (4, 0.0)


def test_auto_for_classes_is_the_error_of_a_probability() -> None:
    bnn = made(small(outputs=3), yu.Categorical(), scale=0.5)
    p = yu.predict(bnn, randn(6, 3), samples="auto", tol=0.01)
    assert isinstance(p, yu.ClassificationPrediction)
    error = p.draw_probs.std(0, correction=0) / len(p.samples) ** 0.5
    assert p.provenance["monte_carlo_error"] == pytest.approx(float(error.max()))
    assert float(error.max()) <= 0.01
    assert len(p.samples) > 100


@pytest.mark.parametrize("samples", [0, -1, "many"])
def test_a_number_of_draws_that_is_none_is_refused(samples: object) -> None:
    with pytest.raises(ValueError, match=r"samples must be at least 1, got .*; 'auto' finds their number"):
        yu.predict(made(small()), randn(2, 3), samples=samples)  # type: ignore[arg-type]


@pytest.mark.parametrize("tol", [0.0, -0.1, math.nan, math.inf])
def test_a_tolerance_must_be_positive(tol: float) -> None:
    with pytest.raises(ValueError, match="tol must be positive and finite"):
        yu.predict(made(small()), randn(2, 3), samples="auto", tol=tol)


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match='method must be "draws", "streaming" or "moments", got \'magic\''):
        yu.predict(made(small()), randn(2, 3), method="magic")  # type: ignore[arg-type]


# -- draws that are not kept


@pytest.mark.parametrize("likelihood", [yu.Gaussian(0.3), StudentT(df=5.0, noise=0.2), HeteroscedasticGaussian()])
@pytest.mark.parametrize("members", [1, 3])
def test_streaming_has_the_moments_of_the_same_draws(
    likelihood: Likelihood, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yuragi.streaming._HELD", 7 * 5 * 2)  # seven draws at a time
    bnn = made(small(outputs=2), likelihood, members)
    x = randn(5, 3)
    kept = numeric(yu.predict(bnn, x, samples=101))
    p = yu.predict(bnn, x, samples=101, method="streaming")
    assert isinstance(p, MomentPrediction)
    assert p.provenance["samples"] == 101
    for name in ("mean", "std", "epistemic", "aleatoric"):
        torch.testing.assert_close(getattr(p, name).to(kept.mean), getattr(kept, name), rtol=1e-4, atol=1e-5)
    normal = torch.distributions.Normal(p.mean.double(), p.std.double())
    y = randn(*p.mean.shape, seed=1)
    torch.testing.assert_close(p.log_prob(y), normal.log_prob(y.double()).sum(1))
    torch.testing.assert_close(p.quantile(0.9).double(), normal.icdf(torch.tensor(0.9).double()), rtol=1e-5, atol=1e-6)


def test_streaming_holds_a_bounded_number_of_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    take = yu.draws.Draws.take

    def noted(self: yu.draws.Draws, samples: int) -> tuple[Tensor, Tensor]:
        nonlocal largest
        output, member = take(self, samples)
        largest = max(largest, output.numel())
        return output, member

    monkeypatch.setattr("yuragi.draws.Draws.take", noted)
    monkeypatch.setattr("yuragi.streaming._HELD", 1000)
    yu.predict(made(small()), randn(50, 3), samples=500, method="streaming")
    assert largest == 1000
    auto = yu.predict(made(small()), randn(50, 3), samples="auto", tol=0.1, method="streaming")
    assert largest <= 100 * 50  # the first hundred draws, by which their size is known
    assert auto.provenance["monte_carlo_error"] <= 0.1


def test_streaming_refuses_what_is_more_than_two_moments() -> None:
    with pytest.raises(ValueError, match="a ClassificationPrediction is more than a mean and a standard deviation"):
        yu.predict(made(small(outputs=3), yu.Categorical()), randn(2, 3), method="streaming")


def test_moments_rescale() -> None:
    p = yu.predict(made(small()), randn(4, 3), method="streaming")
    assert isinstance(p, MomentPrediction)
    other = p.rescaled(5.0, 2.0)
    torch.testing.assert_close(other.epistemic, 2 * p.epistemic.double())
    torch.testing.assert_close(other.aleatoric, 2 * p.aleatoric.double())
    torch.testing.assert_close(other.mean, 2 * p.mean.double() + 5)


# -- moments without draws


def trained(hidden: int, activation: type[nn.Module], members: int = 1) -> yu.Bayesian:
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.rand(100, 1, generator=generator) * 3 + sign for sign in (1, -4)])
    layers: list[nn.Module] = []
    for inputs in [1, *[50] * (hidden - 1)]:
        layers += [nn.Linear(inputs, 50), activation()]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(*layers, nn.Linear(50, 1))
    bnn = yu.bayesianize(net, likelihood=yu.Gaussian(0.1), members=members, seed=0)
    yu.fit(bnn, (x, x.sin()), epochs=300, kl_weight=0.3, seed=0)
    return bnn


@pytest.mark.filterwarnings("ignore:the fit stopped")
@pytest.mark.parametrize(
    ("hidden", "activation", "members"),
    [
        (1, nn.ReLU, 1),
        (2, nn.ReLU, 1),
        (2, nn.ReLU, 3),
        (3, nn.ReLU, 1),
        (2, nn.Tanh, 1),
        (2, nn.GELU, 1),
        (2, nn.LeakyReLU, 1),
    ],
)
def test_moments_agree_with_ten_thousand_draws(hidden: int, activation: type[nn.Module], members: int) -> None:
    bnn, x = trained(hidden, activation, members), torch.linspace(-6, 6, 25).reshape(-1, 1)
    drawn = numeric(yu.predict(bnn, x, samples=9_999 + members % 2))
    p = yu.predict(bnn, x, method="moments")
    assert isinstance(p, MomentPrediction)
    assert float((p.mean - drawn.mean).norm() / drawn.mean.norm()) < 0.02
    assert float((p.epistemic / drawn.epistemic - 1).abs().max()) < 0.05
    assert float((p.std / drawn.std - 1).abs().max()) < 0.05
    torch.testing.assert_close(p.aleatoric, drawn.aleatoric)


def test_moments_are_exact_for_a_linear_network_and_for_weights_without_spread() -> None:
    bnn, x = made(nn.Linear(3, 2), scale=0.5), randn(4, 3)
    p = numeric(yu.predict(bnn, x, method="moments"))
    torch.testing.assert_close(p.mean, bnn.module(x).detach())
    torch.testing.assert_close(p.epistemic, (0.25 * x.square().sum(1, keepdim=True) + 0.25).sqrt().expand(4, 2))
    still = made(small(nn.ReLU()), scale=1e-6)
    q = numeric(yu.predict(still, x, method="moments"))
    torch.testing.assert_close(q.mean, still.module(x).detach())
    assert float(q.epistemic.max()) < 1e-4
    only_last = yu.bayesianize(small(nn.ReLU()), likelihood=yu.Gaussian(0.1), where="2", seed=0)
    h = only_last.module[:2](x).detach()  # type: ignore[index]
    expected = (0.05**2 * (h.square().sum(1, keepdim=True) + 1)).sqrt()
    torch.testing.assert_close(
        numeric(yu.predict(only_last, x, method="moments")).epistemic, expected, rtol=1e-4, atol=0
    )


def test_moments_are_taken_row_group_by_row_group(monkeypatch: pytest.MonkeyPatch) -> None:
    bnn, x = made(small()), randn(11, 3)
    whole = numeric(yu.predict(bnn, x, method="moments"))
    monkeypatch.setattr("yuragi.propagation._HELD", 3 * 20**2)
    torch.testing.assert_close(numeric(yu.predict(bnn, x, method="moments")).std, whole.std)


def test_moments_refuse_what_they_are_not_known_for() -> None:
    x = randn(4, 3)
    for bnn, words in (
        (made(nn.Sequential(nn.Linear(3, 4), nn.Softmax(1), nn.Linear(4, 1))), "has a Softmax"),
        (made(small(), HeteroscedasticGaussian()), "the likelihood is HeteroscedasticGaussian"),
        (made(small(), yu.Categorical()), "the likelihood is Categorical"),
        (
            yu.bayesianize(small(), posterior=yu.posteriors.LowRank(), likelihood=yu.Gaussian(0.1)),
            "the posterior is LowRank",
        ),
    ):
        with pytest.raises(CannotPropagateError, match=words):
            yu.predict(bnn, x, method="moments")
    with pytest.raises(CannotPropagateError, match=r"inputs \[N, D\] alone.*\(4, 2, 3\)"):
        yu.predict(made(small()), randn(4, 2, 3), method="moments")
