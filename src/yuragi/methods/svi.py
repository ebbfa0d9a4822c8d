"""Stochastic variational inference: what `yuragi.bayesianize` and `yuragi.fit` do, as one of the methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from yuragi.bayesian import Bayesian
from yuragi.conversion import bayesianize
from yuragi.estimators import Estimator
from yuragi.likelihoods import Likelihood
from yuragi.pace import Progress
from yuragi.posteriors import Posterior
from yuragi.prediction import ClassificationPrediction, NumericPrediction, predict
from yuragi.priors import Prior
from yuragi.starts import copied
from yuragi.training import History, fit


@dataclass(frozen=True, eq=False)
class Result:
    """The fitted network, and how the fit went.

    Attributes:
        network: the `Bayesian` network.
        history: of the fit.
        draws: S, draws of a prediction.
    """

    network: Bayesian
    history: History
    draws: int

    def predict(self, x: Any) -> NumericPrediction | ClassificationPrediction:
        """Prediction from S draws, or from all members where they are points; `x` as for `yuragi.predict`."""
        return predict(self.network, x, samples=self.draws)

    def __str__(self) -> str:
        """The bound and its parts, and whether it was still improving."""
        history = self.history
        if not history.loss:
            return f"stochastic variational inference: stopped by {history.stopped} before the first epoch"
        return (
            f"stochastic variational inference: {self.network.posterior}, {self.network.members} members; ELBO "
            f"{-history.loss[-1]:.4f} nats per datum ({history.trained()}), log-likelihood "
            f"{history.log_likelihood[-1]:.4f} nats per datum, KL {history.kl[-1]:.1f} nats"
        )


def run(
    net: nn.Module,
    data: Any,
    *,
    likelihood: Likelihood | Sequence[Likelihood] | Literal["auto"] | None = None,
    prior: Prior | Sequence[Prior] | Literal["auto"] | None = None,
    seed: int = 0,
    seconds: float | None = None,
    progress: Progress | None = None,
    posterior: Posterior | Sequence[Posterior] | Literal["auto"] | None = None,
    estimator: Estimator | None = None,
    members: int | None = None,
    kl_weight: float | Tensor | Sequence[float] | Literal["auto"] = 1.0,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    sample_weight: Any = None,
    validation: Any = None,
    draws: int = 100,
) -> Result:
    """Maximise the evidence lower bound of an approximate posterior q(w) on minibatches.

        ELBO = Σ_i E_q[log p(y_i∣x_i, w)] − kl_weight · KL(q‖p)

    Blundell et al., "Weight uncertainty in neural networks", 2015. A full-covariance q reaches the exact posterior of a
    linear model with known noise; independent Normals reach its means, and variances that are too small.

    Args:
        net: any `nn.Module`; left as it is.
        data: (x, y) tensors or arrays, a Dataset of such pairs, or a DataLoader.
        likelihood: p(y∣f(x)), alternatives or "auto", as for `bayesianize`; `Gaussian(noise="learned")` when None.
        prior: p(w), alternatives or "auto"; `priors.FanIn()` when None.
        seed: of everything that is random.
        seconds: that it may take, as long as it takes when None; as the page at the top of `yuragi.methods` says.
        progress: called with the fraction done, as for `fit`; a true return value ends it.
        posterior: q(w), alternatives or "auto"; `posteriors.MeanField()` when None.
        estimator: how noise meets an activation, as for `bayesianize`.
        members: K, components of the mixture posterior, as for `bayesianize`.
        kl_weight: 1 is the true bound, below it a tempered posterior; alternatives or "auto", as for `fit`.
        epochs: passes over the data; None: as many as make 2,000 steps, 20 at least.
        batch_size: rows a step, as for `fit` when None.
        lr: Adam's learning rate, 1e-2 when None; falls along half a cosine.
        sample_weight: [N], for data in memory; 2 counts a row twice.
        validation: held-out (x, y); the best state by their log-likelihood is kept, and training stops early.
        draws: S, draws of a prediction.

    Returns:
        A `Result`.

    Raises:
        ValueError: an argument is out of range, or the data are empty, NaN, infinite or of a wrong shape.
        FloatingPointError: the loss became NaN or infinite.

    Warns:
        ConvergenceWarning: the loss was still falling.

    Example:
        >>> import torch, yuragi as yu
        >>> x = torch.linspace(-1, 1, 20).reshape(-1, 1)
        >>> run(nn.Linear(1, 1), (x, 2 * x), likelihood=yu.Gaussian(0.5), epochs=800, lr=0.05).predict(x).epistemic.shape
        torch.Size([20, 1])
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    network = bayesianize(
        copied(net),
        likelihood=likelihood,
        prior=prior,
        posterior=posterior,
        estimator=estimator,
        members=members,
        seed=seed,
    )
    history = fit(
        network,
        data,
        kl_weight=kl_weight,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        sample_weight=sample_weight,
        validation=validation,
        time_budget=seconds,
        progress=progress,
        seed=seed,
    )
    return Result(network.eval(), history, draws)
