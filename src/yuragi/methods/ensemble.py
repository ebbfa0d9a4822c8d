"""Deep ensemble: networks trained from different random starts, all at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from yuragi.bayesian import Bayesian
from yuragi.history import History
from yuragi.likelihoods import Gaussian, Likelihood
from yuragi.loop import DEFAULT_LR
from yuragi.methods.point_members import fit_points, point_members
from yuragi.pace import Job, Part, Progress
from yuragi.posteriors import Points
from yuragi.prediction import ClassificationPrediction, NumericPrediction, predict
from yuragi.priors import Prior

_ADAM_EPS = 1e-8


@dataclass(frozen=True, eq=False)
class Result:
    """The trained members.

    Attributes:
        network: the members as a `Bayesian` network of K points.
        history: of the fit; its loss is the mean over members.
    """

    network: Bayesian
    history: History

    def predict(self, x: Any) -> NumericPrediction | ClassificationPrediction:
        """Prediction from all members; `x` as for `yuragi.predict`."""
        return predict(self.network, x, samples=self.network.members)

    def __str__(self) -> str:
        """How well the members fit, and whether they were still improving."""
        history = self.history
        return (
            f"deep ensemble: {self.network.members} members; log-likelihood of the training data "
            f"{history.log_likelihood[-1]:.4f} nats per datum on average ({history.trained()})"
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
    members: int = 5,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float = DEFAULT_LR,
    sample_weight: Any = None,
    validation: Any = None,
) -> Result:
    """Train K networks by maximum likelihood, each from its own random start, and predict with their mixture.

    Each member minimises −Σ log p(y_i∣x_i, w), or with a prior −Σ log p(y_i∣x_i, w) − log p(w), which is weight decay:
    Normal(scale=s) is a decay of 1/(s²N) of the loss per datum. All members are trained in one vectorised pass, on the same
    minibatches, and each becomes what it would have become alone. The members differ where the data leave room for it, but
    that is no posterior: of a linear model they are all the same. Lakshminarayanan, Pritzel & Blundell, "Simple and scalable
    predictive uncertainty estimation using deep ensembles", 2017 (without the adversarial examples).

    Args:
        net: any `nn.Module`; left as it is. The first member begins at its weights, the others as if it had been built anew.
        data: (x, y) tensors or arrays, a Dataset of such pairs, or a DataLoader.
        likelihood: p(y∣f(x)); Gaussian noise that each member learns for itself when None.
        prior: p(w), for weight decay; maximum likelihood when None.
        seed: of everything that is random.
        seconds: that it may take, as long as it takes when None; as the page at the top of `yuragi.methods` says.
        progress: called with the fraction done, as for `fit`; a true return value ends it.
        members: K.
        epochs: passes over the data; None: as many as make 2,000 steps, 20 at least.
        batch_size: rows a step, as for `fit` when None.
        lr: Adam's learning rate; falls along half a cosine.
        sample_weight: [N], for data in memory; 2 counts a row twice.
        validation: held-out (x, y); the best state by their log-likelihood is kept, and training stops early.

    Returns:
        A `Result`.

    Raises:
        ValueError: an argument is out of range, the data are empty, NaN, infinite or of a wrong shape, or the prior has a
            scale to be learned.
        FloatingPointError: the loss became NaN or infinite.

    Warns:
        ConvergenceWarning: the loss was still falling.

    Example:
        >>> import yuragi as yu
        >>> x = torch.linspace(-1, 1, 20).reshape(-1, 1)
        >>> net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
        >>> run(net, (x, x.sin()), likelihood=yu.Gaussian(0.1), epochs=300).predict(x).samples.shape
        torch.Size([5, 20, 1])
    """
    if members < 1:
        raise ValueError(f"members must be at least 1, got {members}")
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be positive and finite, got {lr}")
    network = point_members(net, Gaussian(members=members) if likelihood is None else likelihood, prior, members, seed)
    history = fit_points(
        network,
        data,
        what="the ensemble",
        kl_weight=0.0 if prior is None else 1.0,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        sample_weight=sample_weight,
        validation=validation,
        # the loss is a mean over members, so their gradients are K times smaller, and Adam's ε has to be as well
        optimizer=lambda groups: torch.optim.Adam(groups, lr=lr, eps=_ADAM_EPS / members),
        part=Part(Job(seconds, progress)),
        seed=seed,
    )
    network.posterior = Points()
    network.provenance = {**history.provenance(network), "prior": repr(prior), "method": "ensemble"}
    return Result(network.eval(), history)
