"""SWAG: a Normal fitted to the weights that stochastic gradient descent passes through."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian, as_arguments
from yuragi.conversion import bayesianize
from yuragi.data import Batch, batches
from yuragi.flat import pieces
from yuragi.history import Epoch, History
from yuragi.likelihoods import Likelihood
from yuragi.loop import DEFAULT_LR, constant, train
from yuragi.methods.point_members import fit_points, flat_points, largest_curvature, point_members
from yuragi.pace import Job, Part, Progress
from yuragi.posteriors import LowRank
from yuragi.posteriors.posterior import inverse_softplus
from yuragi.prediction import ClassificationPrediction, NumericPrediction, predict
from yuragi.priors import Prior

_SHARES = (2, 1)  # of the time, of the way to the mode and of the walk
_BATCHES = 4  # whose curvature is looked at: a small one's may be several times that of all data
_LEAST_VARIANCE = 1e-16  # of a weight that does not move


@dataclass(frozen=True, eq=False)
class Result:
    """The Normal around the averaged weights, and how the fit before it went.

    Attributes:
        network: a `Bayesian` network whose posterior is `LowRank`.
        history: of the fit by Adam that found a mode.
        walk: of the stochastic gradient descent from there.
        draws: S, draws of a prediction.
    """

    network: Bayesian
    history: History
    walk: History
    draws: int

    def predict(self, x: Any) -> NumericPrediction | ClassificationPrediction:
        """Prediction from S draws; `x` as for `yuragi.predict`."""
        return predict(self.network, x, samples=self.draws)

    def __str__(self) -> str:
        """How long the walk was, and what it did to the fit."""
        rank = self.network.posterior.rank
        at_mode, along = self.history.log_likelihood[-1], self.walk.log_likelihood
        return (
            f"SWAG: Normal of rank {rank} from {len(along)} snapshots; log-likelihood of the training data {at_mode:.4f} "
            f"nats per datum at the mode ({self.history.trained()}), {sum(along) / len(along):.4f} on average along the walk"
        )


def run(
    net: nn.Module,
    data: Any,
    *,
    likelihood: Likelihood | None = None,
    prior: Prior | None = None,
    seed: int = 0,
    seconds: float | None = None,
    progress: Progress | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float = DEFAULT_LR,
    snapshots: int = 60,
    rank: int = 20,
    walk_lr: float = 0.2,
    walk_batch_size: int | None = None,
    draws: int = 100,
    sample_weight: Any = None,
) -> Result:
    """Find a mode of the posterior, walk on by stochastic gradient descent, and fit a Normal to the end of each epoch.

        q(w) = N(w̄, ½ diag(v) + ½ D Dᵀ/(R − 1)),    v = mean of w² − w̄²

    over all snapshots, with the deviations of the last R of them from the mean so far as the columns of D. How wide it is
    depends on the step size and the minibatches of the walk and not on the number of data alone: it is no posterior, not even
    of a linear model, but wide in directions in which the loss is flat. Normalisation layers get the running statistics of
    the averaged weights. Maddox, Garipov, Izmailov, Vetrov & Wilson, "A simple baseline for Bayesian uncertainty in deep
    learning", 2019.

    Args:
        net: any `nn.Module`; left as it is, and its weights are where the fit begins.
        data: (x, y) tensors or arrays, a Dataset of such pairs, or a DataLoader.
        likelihood: p(y∣f(x)); `Gaussian(noise="learned")` when None. The walk leaves what it has learned as it is.
        prior: p(w), which is weight decay; `priors.FanIn()` when None.
        seed: of everything that is random.
        seconds: that it may take, as long as it takes when None; as the page at the top of `yuragi.methods` says.
        progress: called with the fraction done, as for `fit`; a true return value ends it.
        epochs: of Adam on the way to the mode; None: as many as make 2,000 steps, 20 at least.
        batch_size: rows a step on the way to the mode, as for `fit` when None.
        lr: Adam's learning rate; falls along half a cosine.
        snapshots: epochs of the walk, at least 2.
        rank: R, at least 2 and at most `snapshots`; less where the time allows fewer.
        walk_lr: learning rate of the walk, in units of the inverse of the largest curvature at the mode: below 2, or it
            does not stay there.
        walk_batch_size: rows a step of the walk; None: an eighth of the rows, 128 at most. A DataLoader keeps its own.
        draws: S, draws of a prediction.
        sample_weight: [N], for data in memory; 2 counts a row twice.

    Returns:
        A `Result`.

    Raises:
        ValueError: an argument is out of range, the data are empty, NaN, infinite or of a wrong shape, or the prior has a
            scale to be learned.
        FloatingPointError: the loss became NaN or infinite.

    Warns:
        ConvergenceWarning: the loss was still falling at the mode.

    Example:
        >>> import yuragi as yu
        >>> x = torch.linspace(-1, 1, 20).reshape(-1, 1)
        >>> found = run(nn.Linear(1, 1), (x, 2 * x), likelihood=yu.Gaussian(0.5), epochs=600, lr=0.05)
        >>> found.predict(x).epistemic.shape
        torch.Size([20, 1])
    """
    for name, value, least in (("snapshots", snapshots, 2), ("rank", rank, 2), ("draws", draws, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if rank > snapshots:
        raise ValueError(f"rank must be at most the number of snapshots, {snapshots}, got {rank}")
    if not (math.isfinite(walk_lr) and 0 < walk_lr < 2):
        raise ValueError(f"walk_lr must lie strictly between 0 and 2, got {walk_lr}")
    bnn = point_members(net, likelihood, prior, 1, seed)
    to_mode, walking = Part(Job(seconds, progress)).split(_SHARES)
    history = fit_points(
        bnn,
        data,
        what="the way to the mode",
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        sample_weight=sample_weight,
        part=to_mode,
        seed=seed,
    )
    if walk_batch_size is None:
        walk_batch_size = max(1, min(128, history.settings["num_data"] // 8))
    steepest = _curvature(bnn, data, walk_batch_size, sample_weight, seed)
    moments = _Moments(rank)
    learned = [parameter for parameter in bnn.likelihood.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)

    def snapshot(epoch: Epoch) -> bool:
        # whether the time is up; of fewer than two there is no spread
        moments.add(flat_points(bnn)[0])
        walking.after(moments.count, snapshots)
        return moments.count >= 2 and walking.stopped is not None

    walking.after(0, snapshots)
    try:
        walk = train(
            bnn,
            data,
            epochs=snapshots,
            batch_size=walk_batch_size,
            lr=walk_lr / steepest,
            schedule=constant,
            optimizer=lambda groups: torch.optim.SGD(groups, lr=walk_lr / steepest),
            sample_weight=sample_weight,
            callbacks=[snapshot],
            seed=seed,
        )
    except FloatingPointError as error:
        raise FloatingPointError(
            f"the walk left the mode and went to infinity: lower walk_lr, which is {walk_lr}, or train longer before it"
        ) from error
    walking.after(1, 1)
    for parameter in learned:
        parameter.requires_grad_(True)
    network = _normal_network(bnn, moments)
    _renormalise(network, data, walk_batch_size, seed)
    network.provenance = {
        **history.provenance(network),
        "method": "swag",
        "snapshots": moments.count,
        "walk_lr": walk_lr,
    }
    return Result(network.eval(), history, walk, draws)


class _Moments:
    """Mean and variance of the snapshots, [P] each, and the last deviations from the mean so far; in float64."""

    def __init__(self, rank: int) -> None:
        self.most, self.count = rank, 0
        self.deviations: list[Tensor] = []

    def add(self, w: Tensor) -> None:
        """Take a snapshot [P] into account, by Welford's recursion."""
        w = w.double()
        if self.count == 0:
            self.mean, self.squares = torch.zeros_like(w), torch.zeros_like(w)
        self.count += 1
        change = w - self.mean
        self.mean = self.mean + change / self.count
        self.squares = self.squares + change * (w - self.mean)
        self.deviations = [*self.deviations, w - self.mean][-self.most :]

    @property
    def rank(self) -> int:
        """R, as many deviations as there are."""
        return len(self.deviations)

    def diagonal(self) -> Tensor:
        """The variance of half the covariance, [P]."""
        return (0.5 * self.squares / self.count).clamp_min(_LEAST_VARIANCE)

    def factor(self) -> Tensor:
        """V [P, R] with V Vᵀ the other half."""
        return torch.stack(self.deviations, 1) / math.sqrt(2 * (self.rank - 1))


def _curvature(bnn: Bayesian, data: Any, batch_size: int, sample_weight: Any, seed: int) -> float:
    like = bnn.reference_tensor
    generator = torch.Generator(like.device).manual_seed(seed)
    source = batches(data, like, batch_size=batch_size, sample_weight=sample_weight, generator=generator)
    mode = bnn.training
    bnn.eval()  # the same function whenever it is called
    found = 0.0
    for batch in islice(source, _BATCHES):

        def loss(batch: Batch = batch) -> Tensor:
            return bnn.loss(batch.x, batch.y, source.num_data, sample_weight=batch.weight)

        found = max(found, largest_curvature(bnn, loss, generator))
    bnn.train(mode)
    return found


@torch.no_grad()
def _normal_network(bnn: Bayesian, moments: _Moments) -> Bayesian:
    names = set(bnn.weight_names)
    network = bayesianize(
        bnn.module,
        likelihood=bnn.likelihood,
        prior=bnn.prior,
        posterior=LowRank(moments.rank),
        where=lambda name, _: name in names,
        output=bnn.output,
        seed=0,
    )
    network.recipe = None  # the weights know the data
    network.prior.load_state_dict(bnn.prior.state_dict())
    for mean, part in zip(network.q().means, pieces(moments.mean.unsqueeze(0), network.q().means), strict=True):
        mean.copy_(part)
    posterior = network.posterior
    assert isinstance(posterior, LowRank)
    posterior.rho.copy_(inverse_softplus(moments.diagonal().sqrt().unsqueeze(0)))
    posterior.factor.copy_(moments.factor().unsqueeze(0))
    return network


@torch.no_grad()
def _renormalise(network: Bayesian, data: Any, batch_size: int, seed: int) -> None:
    # running statistics of the averaged weights: those that the walk left are of others
    norms = [
        part
        for part in network.module.modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats
    ]
    if not norms:
        return
    like = network.reference_tensor
    source = batches(data, like, batch_size=batch_size, generator=torch.Generator(like.device).manual_seed(seed))
    network.eval()
    momenta = [part.momentum for part in norms]
    for part in norms:
        part.reset_running_stats()
        part.momentum = None  # the average over all batches
        part.train()
    for batch in source:
        args, kwargs = as_arguments(batch.x)
        network.module(*args, **kwargs)
    for part, momentum in zip(norms, momenta, strict=True):
        part.momentum = momentum
