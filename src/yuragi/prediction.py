"""`predict`, and the `Prediction` in which all methods meet."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Normal

from yuragi import metrics
from yuragi.bayesian import Bayesian, as_arguments
from yuragi.data import check_finite, count_rows, take_rows, to_tensors
from yuragi.stochastic import Drawn

_BATCH_SIZE = 1024
_DRAWN = 2**24  # weights drawn and held at once, over all draws


@dataclass(frozen=True, eq=False)
class Prediction(ABC):
    """What a Bayesian network says of N inputs: an equal-weight mixture of S draws."""

    samples: Tensor
    """Draws of the network's output, [S, N, *out]."""

    @abstractmethod
    def log_prob(self, y: Tensor) -> Tensor:
        """log of the mixture's probability of `y`, [N], nats."""

    @property
    def num_rows(self) -> int:
        """N."""
        return self.samples.shape[1]

    def _target(self, y: Any) -> Tensor:
        target = to_tensors(y, self._exact_device, torch.float64)
        if not isinstance(target, Tensor):
            raise TypeError(f"y must be a tensor or array, got {type(y).__name__}")
        check_finite("y", target)
        return target

    @property
    def _exact_device(self) -> torch.device:
        # Apple's accelerator has no float64, in which everything is scored
        return torch.device("cpu") if self.samples.device.type == "mps" else self.samples.device


@dataclass(frozen=True, eq=False)
class RegressionPrediction(Prediction):
    """A mixture of Gaussians N(f_s(x), noise_s²), s = 1…S, for each of N inputs.

    All results are [N, *out], in the units of the target, and describe the mixture itself: no single Gaussian is fitted
    to it.

    Example:
        >>> p = RegressionPrediction(samples=torch.tensor([[[1.0]], [[3.0]]]), noise=torch.tensor(0.5))
        >>> p.mean.item(), p.epistemic.item(), p.aleatoric.item()
        (2.0, 1.0, 0.5)
        >>> round(p.std.item(), 4)  # std² = epistemic² + aleatoric²
        1.118
    """

    noise: Tensor
    """Standard deviation of the noise, broadcastable to `samples`."""

    @cached_property
    def mean(self) -> Tensor:
        """E[y], [N, *out]."""
        return self.samples.mean(0)

    @cached_property
    def epistemic(self) -> Tensor:
        """Standard deviation of f(x) across draws (divided by S, not S − 1), [N, *out]: shrinks with data."""
        return self.samples.std(0, correction=0)

    @cached_property
    def aleatoric(self) -> Tensor:
        """Standard deviation of the noise, root mean square over draws, [N, *out]: does not shrink with data."""
        return self._noise.square().mean(0).sqrt()

    @cached_property
    def std(self) -> Tensor:
        """Standard deviation of y, [N, *out]: std² = epistemic² + aleatoric² (law of total variance)."""
        return torch.hypot(self.epistemic, self.aleatoric)

    def cdf(self, y: Any) -> Tensor:
        """P(Y ≤ y) of each output, float64 [N, *out]: at the targets, the probability integral transform."""
        return metrics.gaussian_mixture_cdf(self.samples, self._noise, self._target(y))

    def quantile(self, level: float) -> Tensor:
        """The value that y stays below with probability `level`, [N, *out]."""
        return metrics.gaussian_mixture_quantile(self.samples, self._noise, level).to(self.samples)

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Lower and upper end of the central interval that holds y with probability `level`, each [N, *out]."""
        if not 0 < level < 1:
            raise ValueError(f"an interval's level must lie strictly between 0 and 1, got {level}")
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def log_prob(self, y: Any) -> Tensor:
        """log density of the mixture at `y` [N, *out], jointly over outputs: [N], nats."""
        return metrics.gaussian_mixture_log_prob(self.samples, self._noise, self._target(y))

    def crps(self, y: Any) -> Tensor:
        """Continuous ranked probability score of the mixture at `y`, [N, *out], in the units of y; smaller is better."""
        return metrics.gaussian_mixture_crps(self.samples, self._noise, self._target(y))

    def rescaled(self, loc: float | Tensor, scale: float | Tensor) -> RegressionPrediction:
        """The prediction of loc + scale·y, scale > 0, in float64: back to the units that a target was standardised from."""
        if not bool((torch.as_tensor(scale) > 0).all()):
            raise ValueError(f"scale must be positive, got {scale}")
        # in float32 a mean far from zero would swallow the spread
        samples, noise = (part.to(self._exact_device, torch.float64) for part in (self.samples, self._noise))
        return replace(self, samples=samples * scale + loc, noise=noise * scale)

    @property
    def _noise(self) -> Tensor:
        return self.noise.expand_as(self.samples)


@dataclass(frozen=True, eq=False)
class ClassificationPrediction(Prediction):
    """A mixture of class probabilities softmax(f_s(x)), s = 1…S, for each of N inputs; `samples` are logits.

    Example:
        >>> p = ClassificationPrediction(samples=torch.tensor([[[0.0, 2.0]], [[0.0, -2.0]]]))
        >>> p.probs
        tensor([[0.5000, 0.5000]])
        >>> round(p.mutual_information.item(), 3)  # the draws contradict each other
        0.328
        >>> p.std, p.epistemic, p.aleatoric  # of each class's indicator; std² = epistemic² + aleatoric²
        (tensor([[0.5000, 0.5000]]), tensor([[0.3808, 0.3808]]), tensor([[0.3240, 0.3240]]))
    """

    @cached_property
    def draw_probs(self) -> Tensor:
        """Class probabilities of each draw, [S, N, *positions, C]."""
        return self.samples.movedim(2, -1).softmax(-1)

    @cached_property
    def probs(self) -> Tensor:
        """Class probabilities, [N, *positions, C]."""
        return self.draw_probs.mean(0)

    @property
    def label(self) -> Tensor:
        """The most probable class, int64 [N, *positions]."""
        return self.probs.argmax(-1)

    @property
    def entropy(self) -> Tensor:
        """Entropy of `probs`, nats: the total uncertainty of the label."""
        return metrics.entropy(self.probs)

    @property
    def expected_entropy(self) -> Tensor:
        """Mean entropy of the draws, nats: the part of `entropy` that more data would not remove."""
        return self.entropy - self.mutual_information

    @property
    def mutual_information(self) -> Tensor:
        """The part of `entropy` that is due to the weights being unknown, nats."""
        return metrics.mutual_information(self.draw_probs)

    @property
    def variation_ratio(self) -> Tensor:
        """Share of draws that would give another label than the most frequent one, [N, *positions]."""
        return metrics.variation_ratio(self.draw_probs)

    @cached_property
    def epistemic(self) -> Tensor:
        """Standard deviation of each class's probability across draws, [N, *positions, C]: shrinks with data."""
        return self.draw_probs.std(0, correction=0)

    @cached_property
    def aleatoric(self) -> Tensor:
        """√E_s[p_s(1 − p_s)] of each class, [N, *positions, C]: its indicator's spread if the weights were known."""
        return (self.draw_probs * (1 - self.draw_probs)).mean(0).sqrt()

    @cached_property
    def std(self) -> Tensor:
        """Standard deviation of each class's indicator, √(p(1 − p)), [N, *positions, C].

        std² = epistemic² + aleatoric² (law of total variance).
        """
        return torch.hypot(self.epistemic, self.aleatoric)

    def log_prob(self, y: Any) -> Tensor:
        """log probability of the labels `y`, int64 [N, *positions]: [N], nats, summed over positions within a draw."""
        labels = to_tensors(y, self._exact_device, torch.float64)
        if not isinstance(labels, Tensor):
            raise TypeError(f"y must be a tensor or array of labels, got {type(y).__name__}")
        if labels.is_floating_point() or labels.shape != self.probs.shape[:-1]:
            raise ValueError(
                f"labels must be integers of shape {tuple(self.probs.shape[:-1])}, got {labels.dtype} {tuple(labels.shape)}"
            )
        classes = self.probs.shape[-1]
        if labels.numel() and not (0 <= int(labels.min()) and int(labels.max()) < classes):
            raise ValueError(f"labels must lie in 0…{classes - 1}, got {int(labels.min())}…{int(labels.max())}")
        logits = self.samples.to(self._exact_device).double().movedim(2, -1)
        index = labels.long().expand(len(logits), *labels.shape).unsqueeze(-1)
        chosen = logits.log_softmax(-1).gather(-1, index).flatten(2).sum(2)
        return chosen.logsumexp(0) - math.log(len(logits))


def predict(
    bnn: Bayesian, x: Any, samples: int = 100, seed: int | None = 0, batch_size: int | None = None
) -> RegressionPrediction | ClassificationPrediction:
    """Predict with uncertainty, from draws that each use the same weights for every row: a draw is a smooth function.

    Runs in evaluation mode and restores the mode of every submodule; with a seed, the global random state is left alone.
    The result does not depend on how the rows are batched, and several threads may predict at once.

    Args:
        bnn: the Bayesian network.
        x: its input: a tensor or array [N, ...], a tuple of them (positional arguments) or a dict (keyword arguments).
        samples: S, the number of draws, stratified over members: a multiple of their number weighs them equally.
            `posteriors.Anchored` has one draw a member and uses each once, so there S is at most the number of members.
        seed: seed of the draws; None takes the global random state.
        batch_size: rows run at once; None: 1,024.

    Returns:
        A `RegressionPrediction` for a Gaussian likelihood, a `ClassificationPrediction` for a categorical one.

    Raises:
        ValueError: no samples, no rows, an input that is NaN or infinite, or a network whose output has other rows.
        TypeError: the input holds no tensor, or the likelihood has no `Prediction`.

    Example:
        >>> import yuragi as yu
        >>> bnn = yu.bayesianize(nn.Linear(3, 1), likelihood=yu.Gaussian(noise=0.1))
        >>> yu.predict(bnn, torch.randn(5, 3)).std.shape
        torch.Size([5, 1])
    """
    if not isinstance(bnn, Bayesian):
        raise TypeError(f"predict takes a network made by bayesianize, got {type(bnn).__name__}")
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    like = bnn.reference_tensor
    x = to_tensors(x, like.device, like.dtype)
    rows = count_rows(x)
    check_finite("x", x)
    with torch.no_grad(), _evaluating(bnn):
        q = bnn.q()
        if q.is_points:
            samples = min(samples, bnn.members)
        member = [s % bnn.members for s in range(samples)]
        # with no seed, one from the global random state: the generator may have to yield the same draws several times
        seed = int(torch.randint(2**62, ())) if seed is None else seed
        generator = torch.Generator(like.device)
        chunks = torch.arange(samples).split(max(1, _DRAWN // sum(mean[0].numel() for mean in q.mean)))

        def draw() -> Iterator[Drawn]:
            generator.manual_seed(seed)
            for chunk in chunks:
                members = [member[s] for s in chunk.tolist()]
                yield Drawn(q.sample(members, generator), members)

        held = list(draw()) if len(chunks) == 1 else None
        parts = []
        for index in torch.arange(rows, device=like.device).split(batch_size or _BATCH_SIZE):
            args, kwargs = as_arguments(x if len(index) == rows else take_rows(x, index))
            part = bnn.run_draws(draw if held is None else held.__iter__, args, kwargs)
            if part.dim() < 2 or part.shape[1] != len(index):
                raise ValueError(
                    f"the network returned {tuple(part.shape[1:])} for {len(index)} rows: the first axis must be the rows"
                )
            parts.append(part)
        output = torch.cat(parts, 1)
        return _prediction(output, bnn.likelihood.distribution(output, torch.tensor(member, device=like.device)))


def _prediction(output: Tensor, distribution: Distribution) -> RegressionPrediction | ClassificationPrediction:
    if isinstance(distribution, Normal):
        return RegressionPrediction(output, distribution.scale)
    if isinstance(distribution, Categorical):
        return ClassificationPrediction(output)
    raise TypeError(f"there is no Prediction for a likelihood whose distribution is {type(distribution).__name__}")


_evaluation_lock = threading.Lock()
_evaluations: WeakKeyDictionary[nn.Module, _Evaluation] = WeakKeyDictionary()


@dataclass
class _Evaluation:
    modes: list[tuple[nn.Module, bool]]
    users: int = 0


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    # the first thread in notes the modes and the last one out restores them
    with _evaluation_lock:
        if module not in _evaluations:
            _evaluations[module] = _Evaluation([(part, part.training) for part in module.modules()])
            module.eval()
        _evaluations[module].users += 1
    try:
        yield
    finally:
        with _evaluation_lock:
            evaluation = _evaluations[module]
            evaluation.users -= 1
            if evaluation.users == 0:
                for part, training in evaluation.modes:
                    part.training = training
                del _evaluations[module]
