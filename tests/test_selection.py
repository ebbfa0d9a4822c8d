"""Settings chosen by held-out data: the scores, the winner, and what is refused before anything is trained."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader, Dataset, TensorDataset

import yuragi as yu
from yuragi import likelihoods, selection
from yuragi.held_out import of_all_rows
from yuragi.likelihoods import Poisson, StudentT
from yuragi.posteriors import Anchored, MeanField
from yuragi.priors import FanIn, Laplace

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.training.ConvergenceWarning")  # the fits are short

GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(100, 1, generator=GENERATOR) * 6 - 3
Y = X.sin() + 0.1 * torch.randn(100, 1, generator=GENERATOR)
HELD = torch.rand(60, 1, generator=GENERATOR) * 6 - 3
HELD_Y = HELD.sin() + 0.1 * torch.randn(60, 1, generator=GENERATOR)


def network(outputs: int = 1, inputs: int = 1, width: int = 16) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, outputs))


def bayesian(net: nn.Module | None = None, **options: Any) -> yu.Bayesian:
    defaults: dict[str, Any] = {"likelihood": yu.Gaussian(0.1), "seed": 0}
    return yu.bayesianize(network() if net is None else net, **defaults | options)


def choose(bnn: yu.Bayesian, data: Any = (X, Y), **options: Any) -> selection.Selection:
    chosen = yu.fit(bnn, data, **{"epochs": 3, "lr": 0.02, "seed": 0} | options).selection
    assert chosen is not None
    return chosen


def only_choose(bnn: yu.Bayesian, data: Any, kl_weights: Any = (1.0,), **options: Any) -> selection.Selection:
    chosen, _ = selection.select(bnn, data, kl_weights=kl_weights, lr=0.02, seed=0, **options)
    return chosen


# -- the scores


@pytest.mark.parametrize("likelihood", [yu.Gaussian(0.1), yu.Gaussian(), StudentT()], ids=repr)
@pytest.mark.parametrize("posterior", [Anchored(seed=0), MeanField(0.02)], ids=["anchored", "mean field"])
def test_a_score_is_the_log_likelihood_of_the_mixture_of_a_network_trained_alone(
    posterior: yu.posteriors.Posterior, likelihood: yu.likelihoods.Likelihood
) -> None:
    learned = copy.deepcopy(likelihood).inflation is not None
    options: dict[str, Any] = {"posterior": posterior, "estimator": "shared"}
    bnn = bayesian(**options, likelihood=likelihood, members=3)
    found = only_choose(bnn, (X, Y), [0.3], validation=(HELD, HELD_Y), epochs=150).chosen
    # each member of a candidate learns its own
    own = type(likelihood)(members=3) if learned else likelihood  # type: ignore[call-arg]
    alone = bayesian(**options, likelihood=own, members=3)
    yu.fit(alone, (X, Y), kl_weight=0.3, epochs=150, lr=0.02, seed=0)
    anchored = isinstance(posterior, Anchored)
    if alone.likelihood.inflation is not None:
        alone.likelihood.inflation.fill_(found.inflation)
    p = yu.predict(alone, HELD, samples=3 if anchored else 12)
    # a mean-field network will predict with 100 draws: these 12 are scored as if their variance were theirs
    stretch = 1.0 if anchored else math.sqrt((1 - 1 / 100) / (1 - 1 / 12))
    p = dataclasses.replace(p, samples=p.samples.mean(0) + stretch * (p.samples - p.samples.mean(0)))
    assert found.log_likelihood == pytest.approx(float(p.log_prob(HELD_Y).mean()), abs=1e-4)
    if learned:  # the held-out data lie as far from the middle as those of a uniform probability
        assert isinstance(p, yu.NumericPrediction)
        assert float((p.cdf(HELD_Y) - 0.5).abs().mean()) == pytest.approx(0.25, abs=1e-3)
    else:
        assert found.inflation == 1


def test_candidates_side_by_side_are_what_they_are_alone() -> None:
    # members draw their anchors one after another from one stream: whoever comes first has those that it has alone
    weights = [1.0, 0.1, 0.01]
    for first in weights:
        order = [first, *(weight for weight in weights if weight != first)]
        options: dict[str, Any] = {"posterior": Anchored(seed=0), "members": 3}
        settings: dict[str, Any] = {"validation": (HELD, HELD_Y), "epochs": 30}
        # of sixteen weights: torch draws normals in blocks of so many
        many, one = (bayesian(network(width=5), prior=p, **options) for p in ([FanIn(0.5), FanIn(2.0)], FanIn(0.5)))
        together, alone = only_choose(many, (X, Y), order, **settings), only_choose(one, (X, Y), [first], **settings)
        (found,) = [c for c in together.candidates if c.kl_weight == first and repr(c.prior) == "FanIn(gain=0.5)"]
        assert found.log_likelihood == pytest.approx(alone.chosen.log_likelihood, abs=1e-4)
    assert len({round(candidate.log_likelihood, 3) for candidate in together.candidates}) == 6


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_score_is_joint_over_outputs_and_weighted_by_row(outputs: int) -> None:
    y = torch.cat([Y, -2 * Y], 1)[:, :outputs]
    v = torch.arange(100.0)
    found = choose(
        bayesian(network(outputs), posterior=Anchored(seed=0), members=2), (X, y), kl_weight=[1], sample_weight=v
    )
    # the same split, by hand: a fifth of the rows, in the order of the fit's seed
    torch.manual_seed(0)
    order = torch.randperm(100)
    kept, out = order[20:], order[:20]
    alone = bayesian(network(outputs), posterior=Anchored(seed=0), members=2)
    yu.fit(alone, (X[kept], y[kept]), epochs=3, lr=0.02, sample_weight=v[kept], seed=0)
    terms = yu.predict(alone, X[out]).log_prob(y[out])
    assert found.held_out == 20
    assert found.chosen.log_likelihood == pytest.approx(float((v[out] * terms).sum() / v[out].sum()), abs=1e-4)


CLASSES = (X[:, 0] > 0).long() + (X[:, 0] > 1).long()
FAMILIES: dict[str, tuple[likelihoods.Likelihood, int, Tensor]] = {
    "categorical": (likelihoods.Categorical(), 3, CLASSES),
    "bernoulli": (likelihoods.Bernoulli(), 1, X > 0),
    "poisson": (Poisson(), 1, CLASSES.reshape(-1, 1)),
    "negative binomial": (likelihoods.NegativeBinomial(0.5), 1, CLASSES.reshape(-1, 1)),
    "heteroscedastic": (likelihoods.HeteroscedasticGaussian(), 2, Y),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_of_every_family(name: str) -> None:
    likelihood, outputs, y = FAMILIES[name]
    bnn = bayesian(network(outputs), likelihood=likelihood, posterior=Anchored(seed=0), members=2)
    found = choose(copy.deepcopy(bnn), (X, y), kl_weight=[1.0], validation=(X, y)).chosen
    yu.fit(bnn, (X, y), epochs=3, lr=0.02, seed=0)
    if bnn.likelihood.inflation is not None:
        bnn.likelihood.inflation.fill_(found.inflation)
    assert found.log_likelihood == pytest.approx(float(yu.predict(bnn, X).log_prob(y).mean()), abs=1e-4)


# -- the winner


def test_the_noise_that_made_the_data_wins() -> None:
    noises = [yu.Gaussian(noise) for noise in (0.02, 0.1, 0.5)]
    bnn = bayesian(likelihood=noises, posterior=Anchored(), members=3)
    found = only_choose(bnn, (X, Y), epochs=300)
    assert found.chosen.likelihood is noises[1]
    assert repr(bnn.likelihood) == "Gaussian(noise=0.1)"
    assert [c.log_likelihood for c in found.candidates] == sorted(
        (c.log_likelihood for c in found.candidates), reverse=True
    )


def test_student_t_wins_where_there_are_outliers_and_only_there() -> None:
    outlying = Y.clone()
    outlying[::10] += 3 * (-1.0) ** torch.arange(10).reshape(-1, 1)
    for y, kind in ((outlying, "StudentT"), (Y, "Gaussian")):
        bnn = bayesian(likelihood="auto", posterior=Anchored(), members=2)
        found = only_choose(bnn, (X, y), epochs=250)
        scores = {type(c.likelihood).__name__: c.log_likelihood for c in found.candidates}
        other = {"StudentT": "Gaussian", "Gaussian": "StudentT"}[kind]
        assert scores[kind] > scores[other] + (0.2 if kind == "StudentT" else -0.05)


def test_a_small_kl_weight_wins_for_one_mean_field_network() -> None:
    # at 1 the independent spreads of two wide layers are too wide to fit
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(1, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 1))
    found = only_choose(bayesian(net, posterior=MeanField(0.02)), (X, Y), [1, 0.01], epochs=300)
    assert [c.kl_weight for c in found.candidates] == [0.01, 1]
    assert found.chosen.log_likelihood > found.candidates[1].log_likelihood + 0.1


def test_counts_that_vary_more_than_poisson_are_negative_binomial() -> None:
    generator = np.random.default_rng(0)
    x = torch.linspace(-1, 1, 300).reshape(-1, 1)
    mean = (1.5 + x.numpy()) ** 2 + 1
    varied = torch.as_tensor(generator.poisson(mean * generator.gamma(1.0, 1.0, mean.shape)))
    plain = torch.as_tensor(generator.poisson(mean))
    for y, kind in ((varied, "NegativeBinomial"), (plain, "Poisson")):
        bnn = bayesian(likelihood="auto", posterior=Anchored(), members=2)
        found = only_choose(bnn, (x, y), epochs=150)
        scores = {type(c.likelihood).__name__: c.log_likelihood for c in found.candidates}
        assert scores.keys() == {"Poisson", "NegativeBinomial"}
        other = {"Poisson": "NegativeBinomial", "NegativeBinomial": "Poisson"}[kind]
        assert scores[kind] > scores[other] + (0.1 if kind == "NegativeBinomial" else -0.02)


def test_the_inflation_finds_a_factor_that_is_known() -> None:
    # the model cannot be wrong and the noise is learned from 1,000 rows; those held out have 1.5 times as much of it
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1000, 2, generator=generator)
    y = x.sum(1, keepdim=True)
    noise, other = torch.randn(2, 1000, 1, generator=generator)
    bnn = bayesian(nn.Linear(2, 1), likelihood=yu.Gaussian(), posterior=Anchored(), members=2)
    found = only_choose(bnn, (x, y + 0.2 * noise), validation=(x, y + 0.3 * other), epochs=100, batch_size=200)
    # a step of the factors tried is 5 %, and the standard error of the ratio of two standard deviations of 1,000 is 3 %
    assert found.chosen.inflation == pytest.approx(1.5, rel=0.1)
    assert bnn.likelihood.inflation is not None
    assert float(bnn.likelihood.inflation) == pytest.approx(found.chosen.inflation)


def test_weights_say_how_much_of_the_data_candidates_see() -> None:
    # ten rows count as much as the other 90 together, so the share of the candidates depends on which are held out
    weight = torch.ones(100)
    weight[:10] = 9.0
    bnn = bayesian(nn.Linear(1, 1), likelihood=yu.Gaussian(), posterior=Anchored(), members=2)
    found = only_choose(bnn, (X, Y), sample_weight=weight, epochs=20)
    assert bnn.likelihood.inflation is not None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        held = torch.randperm(100)[:20]
    trained = 1 - float(weight[held].sum() / weight.sum())
    assert trained != pytest.approx(0.8, abs=0.01)
    expected = of_all_rows(found.chosen.inflation, trained)
    assert float(bnn.likelihood.inflation) == pytest.approx(expected)


# -- what fit does with it


def test_the_winner_is_what_it_would_be_without_a_choice() -> None:
    bnn = bayesian(posterior="auto", prior=[FanIn(0.5), FanIn(2.0)], members=3)
    history = yu.fit(bnn, (X, Y), kl_weight=[1, 0.1], epochs=30, lr=0.02, seed=0)
    assert history.selection is not None
    chosen = history.selection.chosen
    plain = bayesian(posterior=copy.deepcopy(chosen.posterior), prior=copy.deepcopy(chosen.prior), members=3)
    again = yu.fit(plain, (X, Y), kl_weight=chosen.kl_weight, epochs=30, lr=0.02, seed=0)
    assert again.loss == history.loss
    assert len(history.selection.candidates) == 8
    assert history.selection.seconds > 0


def test_with_validation_data_all_data_are_trained_on_and_the_best_state_is_kept() -> None:
    history = yu.fit(bayesian(), (X, Y), kl_weight=[1, 0.1], validation=(HELD, HELD_Y), epochs=5, seed=0)
    assert history.selection is not None
    assert history.selection.held_out == 60
    assert len(history.validation) == 5


def test_the_seed_decides_everything_and_leaves_the_global_state_alone() -> None:
    results = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        bnn = bayesian(network(), posterior=[MeanField(), Anchored()], members=2, seed=None)
        torch.set_rng_state(state)
        found = choose(bnn, kl_weight=[1, 0.1], seed=3)
        assert torch.equal(torch.get_rng_state(), state)
        results.append([(c.log_likelihood, c.kl_weight, type(c.posterior)) for c in found.candidates])
    assert results[0] == results[1]
    torch.manual_seed(5)
    held = []
    for _ in range(2):  # without a seed, the global state does, and goes on
        found = choose(bayesian(posterior=Anchored(), members=2), kl_weight=[1], seed=None)
        held.append(found.chosen.log_likelihood)
    assert held[0] != held[1]


def test_a_choice_is_made_once() -> None:
    bnn = bayesian(posterior="auto", members=2)
    first = yu.fit(bnn, (X, Y), kl_weight="auto", epochs=3, seed=0)
    assert first.selection is not None
    second = yu.fit(bnn, (X, Y), epochs=3, seed=0)
    assert second.selection is None
    assert "chosen" not in bnn.provenance
    with pytest.raises(ValueError, match="trained already"):
        yu.fit(bnn, (X, Y), kl_weight="auto", epochs=3)


def test_the_object_and_its_module_stay_and_train() -> None:
    net = network()
    bnn = yu.bayesianize(net, posterior=[Anchored(), MeanField(0.01)], likelihood=yu.Gaussian(0.1), members=1, seed=0)
    bnn.eval()
    weight = net.get_parameter("0.weight")
    before = weight.detach().clone()
    choose(bnn, kl_weight=[0.1])
    assert bnn.module is net
    assert not bnn.training
    assert not torch.equal(weight, before)
    bnn.train()
    bnn.loss(X, Y, 100, index=torch.arange(100)).backward()
    assert weight.grad is not None


def test_weights_left_out_and_running_statistics_begin_where_they_were() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    plain = copy.deepcopy(net)
    bnn = bayesian(net, where="3", posterior=[MeanField(), MeanField(0.01)], members=2)
    history = yu.fit(bnn, (X, Y), kl_weight=[1, 0.1], epochs=3, seed=0)
    assert history.selection is not None
    chosen = history.selection.chosen
    other = bayesian(plain, where="3", posterior=copy.deepcopy(chosen.posterior), members=2)
    yu.fit(other, (X, Y), kl_weight=chosen.kl_weight, epochs=3, seed=0)
    assert bnn.state_dict().keys() == other.state_dict().keys()
    for name, value in bnn.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_network_with_a_pruned_layer_can_be_chosen() -> None:
    net = network()
    prune.l1_unstructured(net[0], "weight", 0.3)
    net(X)  # leaves a computed tensor on the layer
    choose(bayesian(net), kl_weight=[1, 0.1])


def test_a_candidate_that_fails_loses_and_the_others_do_not() -> None:
    # the third noise is so small that its loss is infinite in float32
    noises = [yu.Gaussian(noise) for noise in (0.1, 0.5, 1e-30)]
    bnn = bayesian(likelihood=noises, posterior=Anchored(seed=0), members=3)
    history = yu.fit(bnn, (X, Y), epochs=3, lr=0.02, validation=(HELD, HELD_Y), seed=0)
    assert history.selection is not None
    last = history.selection.candidates[-1]
    assert last.likelihood is noises[2]
    assert last.log_likelihood == -math.inf
    without = choose(bayesian(likelihood=noises[:2], posterior=Anchored(seed=0), members=3), validation=(HELD, HELD_Y))
    assert history.selection.chosen.log_likelihood > -math.inf
    assert history.selection.chosen.likelihood is without.chosen.likelihood
    assert json.loads(json.dumps(bnn.provenance, allow_nan=False))["candidates"][-1]["log_likelihood"] is None


def test_where_all_fail_it_says_so() -> None:
    with pytest.raises(FloatingPointError, match=r"none of 2 candidates.*lower lr"):
        choose(bayesian(), kl_weight=[1, 0.1], optimizer=lambda groups: torch.optim.SGD(groups, lr=1e30), epochs=20)


# -- likelihood="auto"


@pytest.mark.parametrize(
    ("outputs", "y", "kinds"),
    [
        (
            2,
            torch.cat([Y, Y], 1),
            ["Gaussian(noise='learned', outputs=2)", "StudentT(df='learned', noise='learned', outputs=2)"],
        ),
        (2, Y, ["HeteroscedasticGaussian()", "HeteroscedasticStudentT(df='learned')"]),
        (1, CLASSES.reshape(-1, 1), ["NegativeBinomial(dispersion='learned')", "Poisson()"]),
        (1, X > 0, ["Bernoulli()"]),
        (3, CLASSES, ["Categorical()"]),
    ],
)  # fmt: skip
def test_which_likelihoods_go_with_outputs_and_targets(outputs: int, y: Tensor, kinds: list[str]) -> None:
    found = choose(bayesian(network(outputs), likelihood="auto", posterior=Anchored(), members=2), (X, y))
    assert sorted(repr(c.likelihood) for c in found.candidates) == kinds


@pytest.mark.parametrize(
    ("outputs", "y"), [(3, Y), (1, CLASSES), (2, CLASSES.reshape(-1, 1))], ids=["floats", "one class", "columns"]
)
def test_where_no_likelihood_goes_the_shapes_are_named(outputs: int, y: Tensor) -> None:
    with pytest.raises(ValueError, match=rf"outputs of shape \('N', {outputs}\) and torch.* targets of shape \('N'"):
        choose(bayesian(network(outputs), likelihood="auto"), (X, y))


# -- data


class Pairs(Dataset[Any]):
    """Rows whose inputs are a dictionary, and whose targets are what they are told to be."""

    def __init__(self, y: Any) -> None:
        self.y = y

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        return {"input": X[index]}, self.y[index]


@pytest.mark.parametrize(
    ("y", "likelihood", "outputs"),
    [
        (Y, yu.Gaussian(), 1),
        (Y.numpy(), yu.Gaussian(), 1),
        (CLASSES.tolist(), yu.Categorical(), 3),
        (torch.cat([Y, Y], 1).reshape(-1, 2), yu.Gaussian(), 2),
    ],
    ids=["tensors", "arrays", "numbers", "two outputs"],
)
@pytest.mark.parametrize("posterior", [MeanField(), Anchored()], ids=["mean field", "anchored"])
def test_datasets_of_every_kind(
    y: Any, likelihood: likelihoods.Likelihood, outputs: int, posterior: yu.posteriors.Posterior
) -> None:
    bnn = bayesian(network(outputs), likelihood=likelihood, posterior=posterior, members=2)
    assert choose(bnn, Pairs(y), kl_weight=[1, 0.1]).held_out == 8


def test_a_loader_needs_validation_data() -> None:
    loader: DataLoader[Any] = DataLoader(TensorDataset(X, Y), batch_size=50)
    with pytest.raises(TypeError, match=r"validation=, got DataLoader"):
        choose(bayesian(), loader, kl_weight=[1, 0.1])
    assert choose(bayesian(), loader, kl_weight=[1, 0.1], validation=(HELD, HELD_Y)).held_out == 60


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        ((X[:2], Y[:2]), {}, ValueError, "2 rows are too few"),
        ((X, Y[:5]), {}, ValueError, "x has 100 rows, but y has shape"),
        ((X, Y), {"sample_weight": torch.ones(3)}, ValueError, r"sample_weight has shape \(3,\)"),
        (TensorDataset(X, Y), {"sample_weight": torch.ones(100)}, ValueError, "needs data in memory"),
        ((X, Y), {"validation": X}, TypeError, r"validation must be a pair \(x, y\)"),
        ((X, Y), {"validation": (HELD, HELD_Y[:, 0])}, ValueError, "reshape the targets"),
        ((X, Y), {"parameter_groups": [{"params": []}]}, ValueError, "decide everything first"),
        ((X, Y), {"kl_weight": []}, ValueError, "kl_weight is an empty list"),
        ((X, Y), {"kl_weight": "best"}, ValueError, "got 'best'"),
        ((X, Y), {"kl_weight": [1, -1]}, ValueError, "not negative"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(data: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        choose(bayesian(), data, **{"kl_weight": [1, 0.1]} | options)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"prior": [FanIn(), Laplace()], "posterior": "auto"}, "Anchored posterior needs a Normal prior, got Laplace"),
        ({"prior": FanIn(torch.tensor([1.0, 2.0, 3.0])), "members": 3}, "gives each member its own settings"),
        ({"likelihood": [yu.Gaussian(0.1), likelihoods.HeteroscedasticGaussian()]}, "needs a mean and a scale"),
    ],
)
def test_parts_that_do_not_go_together_are_refused_before_anything_is_trained(parts: Any, message: str) -> None:
    epochs: list[Tensor] = []

    def penalty(output: Tensor, y: Tensor) -> Tensor:
        epochs.append(y)
        return output.new_zeros(())

    with pytest.raises(ValueError, match=message):
        choose(bayesian(**parts), kl_weight=[1, 0.1], penalty=penalty)
    assert not epochs


def test_a_weight_a_member_is_no_alternative() -> None:
    with pytest.raises(ValueError, match="members are still to be chosen"):
        choose(bayesian(posterior="auto"), kl_weight=torch.tensor([1.0, 0.1]))


# -- files and provenance


def test_what_was_chosen_is_in_the_prediction_and_in_the_file(tmp_path: Path) -> None:
    bnn = bayesian(likelihood=[yu.Gaussian(), StudentT()], posterior=Anchored(), members=2)
    with pytest.raises(ValueError, match="fit the network first"):
        yu.save(bnn, tmp_path / "net.yuragi")
    found = choose(bnn, kl_weight="auto", epochs=20)
    yu.save(bnn, tmp_path / "net.yuragi")
    loaded = yu.load(tmp_path / "net.yuragi", network())
    assert bnn.likelihood.inflation is not None
    assert loaded.likelihood.inflation is not None
    expected = of_all_rows(found.chosen.inflation, 0.8)  # of a refit on five fours as many rows
    assert float(loaded.likelihood.inflation) == float(bnn.likelihood.inflation) == pytest.approx(expected)
    for each in (bnn, loaded, yu.quantization.quantize(bnn)):
        p = yu.predict(each, HELD, samples=2, seed=4)
        assert p.provenance["chosen"] == found.chosen.described()
        assert p.provenance["kl_weight"] == found.chosen.kl_weight
        assert len(p.provenance["candidates"]) == 10
        assert (p.provenance["samples"], p.provenance["samples_seed"], p.provenance["seed"]) == (2, 4, 0)
    with pytest.raises(ValueError, match="was loaded"):
        yu.fit(loaded, (X, Y), kl_weight="auto")
    assert yu.fit(loaded, (X, Y), epochs=1).selection is None
