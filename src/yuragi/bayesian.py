"""The Bayesian network, and its training objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from yuragi.coverage import Coverage
from yuragi.estimators import Estimator
from yuragi.likelihoods import Likelihood
from yuragi.posteriors import Anchored, Posterior
from yuragi.priors import Prior
from yuragi.stochastic import StochasticNetwork
from yuragi.weights import LeftOut, Weight

Penalty = Callable[[Tensor, Tensor], Tensor]  # (outputs [K, B, *out], targets) -> scalar


class ELBO(NamedTuple):
    """The evidence lower bound of a minibatch and its parts, averaged over members.

    Attributes:
        loss: negative ELBO per datum, nats, scalar with gradient; the penalty is in it where there is one.
        log_likelihood: mean of log p(y∣x,w) over the batch, nats per datum, detached.
        kl: KL(q‖p), nats, summed over all weights, detached.
    """

    loss: Tensor
    log_likelihood: Tensor
    kl: Tensor


class Bayesian(StochasticNetwork):
    """A network whose weights have a posterior: made by `bayesianize`.

    `bnn(x)` is one stochastic pass, in training and in evaluation mode, and returns what `net(x)` would; with K > 1
    members every tensor of the output has a leading axis K.

    Attributes:
        module: the user's network. With one member its parameters are the posterior means; with more it is the
            template, and `means` holds the stacked means [K, *shape].
        prior, posterior, likelihood: copies of what was passed, holding the state.
        estimator: "shared", "flipout" or "local".
        members: K.
        weights, left_out: which parameters are Bayesian, and which are not.
        explored: whether a pass has found out where a per-example estimator gives way to one draw.
        provenance: how the network was fitted, by name: what `fit` was told or found; a `Prediction` has it too.
    """

    provenance: dict[str, Any]
    # a `yuragi.conversion.Recipe`, by which `bayesianize` made this network; None once `fit` has trained it
    recipe: Any = None

    def __init__(
        self,
        module: nn.Module,
        weights: list[Weight],
        left_out: list[LeftOut],
        prior: Prior,
        posterior: Posterior,
        likelihood: Likelihood,
        estimator: Estimator,
        members: int,
        output: Callable[[Any], Tensor] | str | int | None,
    ) -> None:
        super().__init__(module, weights, left_out, posterior, estimator, members, output)
        self.prior = prior
        self.likelihood = likelihood
        self.provenance = {}

    # -- the distribution over weights

    def kl(self) -> Tensor:
        """KL(q‖p) in nats, summed over all weights, averaged over members; scalar.

        For `posteriors.Anchored` it is the regulariser Σ (w − a)²/(2s²).
        """
        return self.q().kl(self.prior).mean()

    def draws(self, samples: int, seed: int | None = None) -> dict[str, Tensor]:
        """Draws of all Bayesian weights, stratified over members.

        Args:
            samples: S, number of draws.
            seed: seed of the draws; the global random state is used when None, and left alone otherwise.

        Returns:
            Parameter name -> [S, *shape], detached; draw s comes from member s mod K.
        """
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        with torch.no_grad():
            drawn = self.q().sample([s % self.members for s in range(samples)], self._generator(seed))
        return {weight.name: value for weight, value in zip(self.weights, drawn, strict=True)}

    def coverage(self) -> Coverage:
        """Which parameters are Bayesian, by which estimator, which are not and why; printable.

        Where a per-example estimator gives way to one draw a pass is known after the first forward pass, and so is
        which weights nothing has used: where code that is not Python reads a weight, noise cannot reach it.
        """
        reached = self._reached if self.explored else None
        return Coverage.of(self.module, self.weights, self.left_out, self.estimator, self._shared, reached)

    def keeping_noise(self, rows: int | None = None) -> AbstractContextManager[None]:
        """In this context training steps keep noise and use it again, where that changes nothing they estimate.

        `fit` does this by itself; it is for training loops of your own. On a processor a normal takes longer to draw than
        all else that a step does with a weight, so a mean-field posterior reads them from a table that is drawn now and
        then; and an anchored one makes the noise of its targets once.

        Args:
            rows: N, if the indices given to `loss` are 0 to N − 1.

        Example:
            >>> import yuragi as yu
            >>> bnn = yu.bayesianize(nn.Linear(3, 1), likelihood=yu.Gaussian(0.1))
            >>> with bnn.keeping_noise():
            ...     for _ in range(3):
            ...         bnn.loss(torch.randn(8, 3), torch.randn(8, 1), num_data=800).backward()
        """
        return self.posterior.keeping_noise(rows)

    def become(self, other: Bayesian) -> None:
        """Take over everything but the mode from another network, which is not to be used any more."""
        training = self.training
        self.__dict__ = other.__dict__
        self.training = training

    # -- the objective

    def elbo(
        self,
        x: Any,
        y: Tensor,
        num_data: int,
        *,
        kl_weight: float | Tensor = 1.0,
        index: Tensor | None = None,
        sample_weight: Tensor | None = None,
        generator: torch.Generator | None = None,
        penalty: Penalty | None = None,
        autocast: torch.dtype | None = None,
    ) -> ELBO:
        """The negative ELBO per datum of a minibatch, and its parts.

        loss = −(1/B) Σ_i v_i log p(y_i∣x_i,w) + kl_weight · KL / N, averaged over members.

        Args:
            x: the network's input: a tensor, a tuple (positional arguments) or a dict (keyword arguments).
            y: targets, as the likelihood says: [B, *out] for `Gaussian`, [B] class labels for `Categorical`.
            num_data: N, number of data in the whole training set.
            kl_weight: 1 is the true ELBO; below 1 a tempered posterior. A tensor [K] gives each member its own.
            index: [B] int64, which data of the training set these are; needed by `posteriors.Anchored`.
            sample_weight: v, [B]; a weight of 2 counts a datum twice.
            generator: source of the noise; the global one when None.
            penalty: a scalar added to the loss, from the outputs [K, B, *out] of this same pass and `y`; `sample_weight`
                does not reach it. See `yuragi.penalties`.
            autocast: what `torch.autocast` is to make of the network's pass, as torch.bfloat16. Spreads, KL and likelihood
                are computed without it.

        Returns:
            `ELBO(loss, log_likelihood, kl)`.

        Raises:
            ValueError: a shape does not agree, `num_data` is less than 1, or `index` is needed.
        """
        if num_data < 1:
            raise ValueError(f"num_data must be at least 1, got {num_data}: it is the size of the whole training set")
        if isinstance(kl_weight, Tensor) and kl_weight.shape not in ((), (self.members,)):
            raise ValueError(
                f"kl_weight has shape {tuple(kl_weight.shape)}: give a number, or one for each of "
                f"{self.members} members"
            )
        args, kwargs = as_arguments(x)
        kl, output = self.step(self.prior, args, kwargs, generator, autocast)  # [K], [K, B, *out]
        if sample_weight is not None and sample_weight.shape != output.shape[1:2]:
            raise ValueError(
                f"sample_weight has shape {tuple(sample_weight.shape)}, but there are {output.shape[1]} data"
            )
        log_prob = self._log_prob(output, y, index, kl_weight, sample_weight)  # [K, B]
        if sample_weight is not None:
            log_prob = log_prob * sample_weight
        log_likelihood = log_prob.mean(-1)
        loss = (kl_weight * kl / num_data - log_likelihood).mean()
        if penalty is not None:
            extra = penalty(output, y)
            if extra.dim():
                raise ValueError(f"penalty must return a scalar, got a tensor of shape {tuple(extra.shape)}")
            loss = loss + extra
        return ELBO(loss, log_likelihood.detach().mean(), kl.detach().mean())

    def loss(
        self,
        x: Any,
        y: Tensor,
        num_data: int,
        *,
        kl_weight: float | Tensor = 1.0,
        index: Tensor | None = None,
        sample_weight: Tensor | None = None,
        generator: torch.Generator | None = None,
        penalty: Penalty | None = None,
        autocast: torch.dtype | None = None,
    ) -> Tensor:
        """The negative ELBO per datum, nats, scalar with gradient; arguments as for `elbo`.

        Example:
            >>> import yuragi as yu
            >>> bnn = yu.bayesianize(nn.Linear(3, 1), likelihood=yu.Gaussian(0.1))
            >>> bnn.loss(torch.randn(8, 3), torch.randn(8, 1), num_data=800).backward()
        """
        return self.elbo(
            x,
            y,
            num_data,
            kl_weight=kl_weight,
            index=index,
            sample_weight=sample_weight,
            generator=generator,
            penalty=penalty,
            autocast=autocast,
        ).loss

    def _log_prob(
        self,
        output: Tensor,
        y: Tensor,
        index: Tensor | None,
        kl_weight: float | Tensor,
        sample_weight: Tensor | None,
    ) -> Tensor:
        if not isinstance(self.posterior, Anchored) or not self.likelihood.randomises_targets:
            return self.likelihood.log_prob(output, y)
        if index is None:
            raise ValueError(
                "the Anchored posterior needs index=, which data these are: its target noise belongs to them"
            )
        unit = self.posterior.target_noise(index, output.shape).to(output.dtype)
        # the noise of a datum that counts v times is that of the mean of v; a tempered posterior is that of more noise
        strength = torch.as_tensor(kl_weight).to(unit).sqrt().reshape(-1, 1)
        if sample_weight is not None:
            strength = strength * torch.where(sample_weight > 0, sample_weight, 1.0).rsqrt().to(unit.dtype)
        return self.likelihood.randomised_log_prob(output, y, unit, strength)


class NegativeELBO(nn.Module):
    """The training objective as a module, so that wrappers which act in `forward` see the whole of it.

    `DistributedDataParallel` synchronises gradients of what its `forward` computed: wrap this, not the network.

    Args:
        bnn: the Bayesian network.
        num_data: N, number of data in the whole training set, over all processes.

    Example:
        >>> import yuragi as yu
        >>> bnn = yu.bayesianize(nn.Linear(3, 1), likelihood=yu.Gaussian(0.1))
        >>> objective = NegativeELBO(bnn, num_data=800)  # DistributedDataParallel(objective) in each process
        >>> objective(torch.randn(8, 3), torch.randn(8, 1)).backward()
    """

    def __init__(self, bnn: Bayesian, num_data: int) -> None:
        super().__init__()
        self.bnn = bnn
        self.num_data = num_data

    def forward(self, x: Any, y: Tensor, **options: Any) -> Tensor:
        """The loss of a minibatch, scalar; keyword arguments as for `Bayesian.elbo`."""
        return self.bnn.loss(x, y, self.num_data, **options)


def as_arguments(x: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A batch as the network's arguments: a tuple or list is positional, a dict is by keyword, else one argument."""
    if isinstance(x, Mapping):
        return (), dict(x)
    if isinstance(x, (tuple, list)):
        return tuple(x), {}
    return (x,), {}
