"""Members trained one by one are those that `fit` trains at once, where they have no noise; and what cannot be done so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.member_fits import fit_members

pytestmark = pytest.mark.filterwarnings("ignore:the fit stopped after")


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(30, 3, generator=generator)
    return x, x[:, :1].sin() + 0.1 * torch.randn(30, 1, generator=generator)


def mixture(likelihood: yu.likelihoods.Likelihood, posterior: Any = None, **options: Any) -> yu.Bayesian:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    posterior = yu.posteriors.Anchored(0) if posterior is None else posterior
    return yu.bayesianize(net, likelihood=likelihood, posterior=posterior, **{"members": 3, "seed": 0} | options)


@pytest.mark.parametrize(
    "likelihood",
    [
        yu.Gaussian(0.1),
        yu.Gaussian(torch.tensor([0.1, 0.3, 1.0])),
        yu.Gaussian(members=3),
        yu.likelihoods.StudentT(members=3),
    ],
    ids=repr,
)
def test_members_without_noise_are_those_that_train_together(likelihood: yu.likelihoods.Likelihood) -> None:
    apart, together = mixture(likelihood), mixture(likelihood)
    histories = fit_members(apart, data(), seed=1, epochs=60)
    history = yu.fit(together, data(), epochs=60, seed=1)
    for name, value in together.state_dict().items():
        torch.testing.assert_close(apart.state_dict()[name], value, rtol=1e-4, atol=1e-4)
    mean = torch.tensor([one.loss for one in histories]).mean(0)  # the loss of a mixture is the mean of its members'
    torch.testing.assert_close(mean, torch.tensor(history.loss), rtol=1e-3, atol=1e-3)
    x, _ = data()
    torch.testing.assert_close(yu.predict(apart, x).std, yu.predict(together, x).std, rtol=1e-3, atol=1e-4)


def test_a_member_depends_on_the_seed_and_its_number_alone() -> None:
    weights = torch.tensor([1.0, 0.1, 0.01])
    each = mixture(yu.Gaussian(0.1), yu.posteriors.MeanField())
    histories = fit_members(each, data(), seed=1, epochs=3, batch_size=10, kl_weight=weights)
    for number, weight in enumerate(weights.tolist()):
        same = mixture(yu.Gaussian(0.1), yu.posteriors.MeanField())
        fit_members(same, data(), seed=1, epochs=3, batch_size=10, kl_weight=weight)
        for one, other in zip(each.q().means, same.q().means, strict=True):
            assert torch.equal(one[number], other[number])
    assert len({history.settings["seed"] for history in histories}) == 3
    assert each.provenance["seeds"] == [history.settings["seed"] for history in histories]


def test_running_statistics_become_the_members_own() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    bnn = yu.bayesianize(net, likelihood=yu.Gaussian(0.1), members=2, seed=0)
    fit_members(bnn, data(), seed=0, epochs=3)
    own = bnn.member_buffers.own()
    assert own["1.running_mean"].shape == (2, 4)
    assert not torch.equal(own["1.running_mean"][0], own["1.running_mean"][1])
    assert int(net.get_buffer("1.num_batches_tracked")) == 3
    assert yu.predict(bnn, data()[0]).samples.shape[1:] == (30, 1)


def test_each_member_has_checkpoints_of_its_own(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"seed": 0, "epochs": 3, "checkpoint": tmp_path, "every": 0.0}
    bnn, again = mixture(yu.Gaussian(0.1)), mixture(yu.Gaussian(0.1))
    fit_members(bnn, data(), **settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["member-0", "member-1", "member-2"]
    fit_members(again, data(), resume=True, **settings)  # all are complete, and are taken as they are
    for one, other in zip(bnn.q().means, again.q().means, strict=True):
        assert torch.equal(one, other)


def test_the_global_random_state_is_left_alone() -> None:
    bnn = mixture(yu.Gaussian(0.1), seed=None)
    before = torch.get_rng_state()
    fit_members(bnn, data(), seed=0, epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_members_share_must_not_train() -> None:
    with pytest.raises(ValueError, match=r"the learned noise of .* is one for all members.*members=3"):
        fit_members(mixture(yu.Gaussian()), data(), seed=0)
    with pytest.raises(ValueError, match=r"the deterministic 0\.weight, 0\.bias is shared by all members"):
        fit_members(mixture(yu.Gaussian(0.1), where="2"), data(), seed=0)
    learned = mixture(yu.Gaussian(0.1), yu.posteriors.MeanField(), prior=yu.priors.Normal(learn=True))
    with pytest.raises(ValueError, match="learned from all members"):
        fit_members(learned, data(), seed=0)
    each = mixture(yu.Gaussian(0.1), prior=yu.priors.Normal(scale=torch.tensor([1.0, 2.0, 3.0])))
    with pytest.raises(ValueError, match="gives each member a scale of its own"):
        fit_members(each, data(), seed=0)


def test_what_is_for_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="this network has one"):
        fit_members(mixture(yu.Gaussian(0.1), members=1), data(), seed=0)
    with pytest.raises(ValueError, match="does not choose among alternatives"):
        fit_members(mixture(yu.Gaussian(0.1)), data(), seed=0, kl_weight="auto")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"kl_weight has shape \(2,\)"):
        fit_members(mixture(yu.Gaussian(0.1)), data(), seed=0, kl_weight=torch.ones(2))
    bnn = mixture(yu.Gaussian(0.1))
    fit_members(bnn, data(), seed=0, epochs=1)
    with pytest.raises(ValueError, match="trained already"):
        fit_members(bnn, data(), seed=0)
