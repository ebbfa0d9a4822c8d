"""`bayesianize`: what it refuses, the recipe that it leaves behind, and networks built by that again."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.conversion import ANCHORED_MEMBERS, MIXTURE_MEMBERS
from yuragi.posteriors import Anchored, FullCovariance, MeanField
from yuragi.priors import FanIn, Laplace


def mlp() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))


def first_weight(net: nn.Sequential) -> Tensor:
    return net.get_parameter("0.weight")


def test_bad_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="deterministic"):
        yu.bayesianize(yu.bayesianize(mlp()))
    with pytest.raises(ValueError, match="estimator must be one of"):
        yu.bayesianize(mlp(), estimator="best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="members must be at least 1"):
        yu.bayesianize(mlp(), members=0)
    with pytest.raises(ValueError, match="no parameters"):
        yu.bayesianize(nn.ReLU())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"likelihood": 0.1}, r"likelihood must be a Likelihood such as yuragi.Gaussian\(noise=0.1\), got 0.1"),
        ({"prior": 1.0}, "prior must be a Prior"),
        ({"posterior": "anchored"}, "posterior must be a Posterior .* got 'anchored'"),
        ({"posterior": MeanField}, "got MeanField itself"),
        ({"posterior": [MeanField(), "anchored"]}, "posterior must be a Posterior .* got 'anchored'"),
        ({"likelihood": [yu.Gaussian(), 0.1]}, "likelihood must be a Likelihood .* got 0.1"),
    ],
)
def test_parts_of_another_type_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        yu.bayesianize(mlp(), **options)


@pytest.mark.parametrize("part", ["likelihood", "prior", "posterior"])
def test_an_empty_list_of_alternatives_is_refused(part: str) -> None:
    options: dict[str, Any] = {part: []}
    with pytest.raises(ValueError, match=f"{part} is an empty list"):
        yu.bayesianize(mlp(), **options)


def test_an_estimator_that_one_alternative_cannot_have_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match='under FullCovariance they are correlated: use "shared"'):
        yu.bayesianize(mlp(), posterior=[MeanField(), FullCovariance()], estimator="flipout")


def test_a_template_cannot_be_converted_again() -> None:
    net = mlp()
    yu.bayesianize(net, members=2)
    with pytest.raises(ValueError, match="template of another Bayesian network: build the network anew"):
        yu.bayesianize(net)


def test_alternatives_leave_something_open_and_the_network_has_the_first() -> None:
    bnn = yu.bayesianize(mlp(), likelihood="auto", prior=[FanIn(0.5), FanIn(2.0)], posterior="auto")
    assert bnn.recipe.open
    assert repr(bnn.prior) == "FanIn(gain=0.5)"
    assert isinstance(bnn.posterior, Anchored)
    assert bnn.members == ANCHORED_MEMBERS
    for options in ({}, {"prior": [FanIn(0.5)]}, {"posterior": Anchored(), "members": 2}):
        assert not yu.bayesianize(mlp(), **options).recipe.open


def test_how_many_members_each_alternative_has() -> None:
    both = yu.bayesianize(mlp(), posterior="auto").recipe
    assert [both.members_of(p) for p in both.posteriors] == [ANCHORED_MEMBERS, MIXTURE_MEMBERS]
    given = yu.bayesianize(mlp(), posterior="auto", members=2).recipe
    assert [given.members_of(p) for p in given.posteriors] == [2, 2]
    alone = yu.bayesianize(mlp()).recipe
    assert alone.members_of(MeanField()) == 1


@pytest.mark.parametrize("posterior", [MeanField(), Anchored()], ids=["mean field", "anchored"])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("seed", [0, None])
def test_a_network_built_again_is_the_same(posterior: yu.posteriors.Posterior, members: int, seed: int | None) -> None:
    torch.manual_seed(7)
    bnn = yu.bayesianize(mlp(), prior=FanIn(0.7), posterior=posterior, members=members, seed=seed)
    torch.manual_seed(7)
    again = bnn.recipe.rebuild(bnn, copy.deepcopy(bnn.module))
    assert again.state_dict().keys() == bnn.state_dict().keys()
    for name, value in bnn.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_network_built_again_has_the_same_weights_left_out_and_ties() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
            self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(self.second(self.first(x).relu()))
            return out

    bnn = yu.bayesianize(Tied(), where=["second", "last.weight"], members=3)
    recipe = bnn.recipe.of(FanIn(), MeanField(), yu.Gaussian(0.1), members=1)
    again = recipe.rebuild(bnn, bnn.module)
    assert again.weight_names == bnn.weight_names == ["first.weight", "second.bias", "last.weight"]
    assert [one.name for one in again.left_out] == ["first.bias", "last.bias"]
    assert again.module.second.weight is again.module.first.weight
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_a_pretrained_prior_stays_around_the_trained_weights() -> None:
    net = mlp()
    trained = first_weight(net).detach().clone()
    bnn = yu.bayesianize(net, prior=[yu.priors.Pretrained(0.1), yu.priors.Pretrained(1.0)], members=3, seed=0)
    again = bnn.recipe.of(yu.priors.Pretrained(0.5), MeanField(), yu.Gaussian(0.1), members=1).rebuild(bnn, net)
    assert torch.equal(again.prior.loc[0, : trained.numel()], trained.flatten())
    assert torch.equal(first_weight(net), trained)


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_network_with_a_recipe_can_be_copied(how: str) -> None:
    bnn = yu.bayesianize(mlp(), likelihood="auto", prior=[FanIn(), Laplace()], posterior=MeanField(), seed=0)
    other = copy.deepcopy(bnn) if how == "deepcopy" else pickle.loads(pickle.dumps(bnn))
    assert other.recipe.open
    assert [repr(prior) for prior in other.recipe.priors] == ["FanIn(gain=1.0)", repr(Laplace())]
    x = torch.randn(4, 3)
    assert torch.equal(yu.predict(other, x).samples, yu.predict(bnn, x).samples)


def test_becoming_another_network_keeps_the_object_its_module_and_its_mode() -> None:
    net = mlp()
    bnn = yu.bayesianize(net, posterior="auto").eval()
    identity = id(bnn)
    bnn.become(bnn.recipe.of(FanIn(), MeanField(), yu.Gaussian(0.1), members=2).rebuild(bnn, net))
    assert id(bnn) == identity
    assert bnn.module is net
    assert not bnn.training
    assert bnn.members == 2
    assert bnn(torch.randn(4, 3)).shape == (2, 4, 1)
