"""Calibration training: penalties that align uncertainty with accuracy, or with error, added to the ELBO.

Each is a function of the outputs and targets of one pass, for `fit(..., penalty=)`, `Bayesian.loss(..., penalty=)` or a
loop of one's own. Train for a while without one, find its thresholds on held-out data, then go on with it.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from yuragi.prediction import ClassificationPrediction, RegressionPrediction


class AccuracyVersusUncertainty:
    """Penalty on predictions that are right but uncertain, or wrong but certain.

    weight · −log AvU, with AvU = ½ n_AC/(n_AC + n_AU) + ½ n_IU/(n_IC + n_IU); when not `balanced`,
    AvU = (n_AC + n_IU) / (n_AC + n_AU + n_IC + n_IU). In place of counts, with their steps, each datum belongs to the four
    groups by degrees:

    - accurate: the softmax of (log p)/τ at the true label, where p are the class probabilities, averaged over draws;
    - certain: sigmoid((1 − u/threshold)/τ), where u is the uncertainty.

    As the temperature τ falls to 0 these are the counts (and `metrics.accuracy_versus_uncertainty`); above 0 the penalty is
    smooth in the outputs. Its gradient holds the accuracy fixed and moves the uncertainty alone: else right but uncertain
    predictions would be mended by making them wrong. Krishnan & Tickoo, "Improving model calibration with accuracy versus
    uncertainty optimization", 2020, where confidence and tanh(u) weigh the counts, and the group of a datum jumps.

    Args:
        threshold: uncertainty that parts certain from uncertain, nats, > 0; see `from_prediction`.
        weight: of the penalty beside the negative ELBO per datum, ≥ 0.
        temperature: τ > 0, how gradual the groups are.
        measure: "entropy" of the mean probabilities, or "mutual_information", which needs several draws.
        balanced: whether accurate and inaccurate data count half each. Without it a network that is mostly right is
            driven to be certain, and grows overconfident.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import yuragi as yu
        >>> x, y = torch.randn(200, 2), torch.randint(3, (200,))
        >>> bnn = yu.bayesianize(torch.nn.Linear(2, 3), likelihood=yu.Categorical())
        >>> history = yu.fit(bnn, (x[:100], y[:100]), epochs=3)
        >>> held_out = yu.predict(bnn, x[100:])
        >>> penalty = yu.penalties.AccuracyVersusUncertainty.from_prediction(held_out, y[100:], weight=1.0)
        >>> history = yu.fit(bnn, (x[:100], y[:100]), epochs=3, penalty=penalty)
        >>> loss = bnn.loss(x[:8], y[:8], num_data=100) + penalty(bnn(x[:8]), y[:8])  # in a loop of one's own: two passes
        >>> loss = bnn.loss(x[:8], y[:8], num_data=100, penalty=penalty)  # or one
    """

    def __init__(
        self,
        threshold: float,
        *,
        weight: float = 1.0,
        temperature: float = 0.25,
        measure: Literal["entropy", "mutual_information"] = "entropy",
        balanced: bool = True,
    ) -> None:
        _check_positive(threshold=threshold, temperature=temperature)
        _check_weight(weight)
        if measure not in ("entropy", "mutual_information"):
            raise ValueError(f'measure must be "entropy" or "mutual_information", got {measure!r}')
        self.threshold, self.weight, self.temperature = threshold, weight, temperature
        self.measure, self.balanced = measure, balanced

    @classmethod
    def from_prediction(
        cls,
        prediction: ClassificationPrediction,
        y: Tensor,
        *,
        weight: float = 1.0,
        temperature: float = 0.25,
        measure: Literal["entropy", "mutual_information"] = "entropy",
        balanced: bool = True,
    ) -> AccuracyVersusUncertainty:
        """The penalty with the threshold of the paper: halfway between the mean uncertainties of right and wrong labels.

        Args:
            prediction: of held-out data, by the network trained so far.
            y: their labels, [N, *positions].
            weight: as for the class, like the rest.
            temperature: τ.
            measure: of uncertainty, the same for the threshold and the penalty.
            balanced: whether accurate and inaccurate data count half each.

        Raises:
            ValueError: all labels are right, or all wrong: then choose a threshold.
        """
        right = prediction.label == y
        if bool(right.all()) or not bool(right.any()):
            raise ValueError(
                f"all {right.numel()} predictions are {'right' if bool(right.all()) else 'wrong'}, so the data do not say "
                "where the uncertainty of wrong ones begins: predict more held-out data, or give a threshold"
            )
        uncertainty: Tensor = getattr(prediction, measure)
        threshold = float(uncertainty[right].mean() + uncertainty[~right].mean()) / 2
        return cls(threshold, weight=weight, temperature=temperature, measure=measure, balanced=balanced)

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The penalty, scalar, nats.

        Args:
            outputs: logits, of several draws [S, N, C, *positions] or of one pass [N, C, *positions].
            y: labels, int64 [N, *positions].
        """
        outputs = _draws(outputs, y, extra=1)
        if outputs.shape[2] < 2:
            raise ValueError(f"there must be at least two classes, got outputs of shape {tuple(outputs.shape)}")
        if self.measure == "mutual_information" and len(outputs) < 2:
            raise ValueError("the mutual information of one draw is zero: give several, or take the entropy")
        log_probs = outputs.movedim(2, -1).log_softmax(-1)
        mean = log_probs.logsumexp(0) - math.log(len(outputs))  # log p
        uncertainty = _entropy(mean)
        if self.measure == "mutual_information":
            uncertainty = uncertainty - _entropy(log_probs).mean(0)
        scaled = mean.detach() / self.temperature
        label = F.one_hot(y.long(), mean.shape[-1]).bool()
        of_label = scaled.masked_fill(~label, 0).sum(-1)
        right = of_label - scaled.masked_fill(label, -math.inf).logsumexp(-1)
        certain = (1 - uncertainty / self.threshold) / self.temperature
        return self.weight * _misalignment(right.flatten(), certain.flatten(), self.balanced)


class ErrorVersusUncertainty:
    """Penalty on predictions that are close but uncertain, or far off but certain: for regression.

    weight · −log((n_LC + n_HU)/n), where a datum (each output counts as one) is of low error and certain by degrees:

    - low error: sigmoid((1 − (y − m)²/error²)/τ), where m is the mean over draws;
    - certain: sigmoid((1 − s²/std²)/τ), where s² is the variance over draws, divided by S.

    The regression form of `AccuracyVersusUncertainty`: smooth in the outputs, at zero variance too, with a gradient that
    holds the errors fixed. Kose et al., "Reliable multimodal trajectory prediction via error aligned uncertainty
    optimization", 2022.

    Args:
        error: absolute error that parts low from high, > 0, in the units of y; see `from_prediction`.
        std: epistemic standard deviation that parts certain from uncertain, > 0, in the units of y.
        weight: of the penalty beside the negative ELBO per datum, ≥ 0.
        temperature: τ > 0, how gradual the groups are.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> outputs = torch.tensor([[[0.0], [1.0]], [[0.2], [5.0]]])  # two draws, of two data
        >>> penalty = ErrorVersusUncertainty(error=1.0, std=1.0, temperature=0.01)
        >>> bool(penalty(outputs, torch.tensor([[0.0], [6.0]])) < 1e-6)  # low and certain, high and uncertain
        True
        >>> round(float(penalty(outputs, torch.tensor([[9.0], [6.0]]))), 4)  # the first is wrong, and certain: −log ½
        0.6931
    """

    def __init__(self, error: float, std: float, *, weight: float = 1.0, temperature: float = 0.25) -> None:
        _check_positive(error=error, std=std, temperature=temperature)
        _check_weight(weight)
        self.error, self.std, self.weight, self.temperature = error, std, weight, temperature

    @classmethod
    def from_prediction(
        cls,
        prediction: RegressionPrediction,
        y: Tensor,
        *,
        level: float = 0.5,
        weight: float = 1.0,
        temperature: float = 0.25,
    ) -> ErrorVersusUncertainty:
        """The penalty with thresholds at one quantile of both the absolute errors and the epistemic deviations.

        Args:
            prediction: of held-out data, by the network trained so far, from several draws.
            y: their targets, [N, *out].
            level: of the quantiles, strictly between 0 and 1; 0.5 are the medians.
            weight: as for the class, like the rest.
            temperature: τ.

        Raises:
            ValueError: the level is out of range, the shapes do not agree, or a quantile is zero.
        """
        if not 0 < level < 1:
            raise ValueError(f"a quantile's level must lie strictly between 0 and 1, got {level}")
        if prediction.mean.shape != y.shape:
            raise ValueError(
                f"predictions have shape {tuple(prediction.mean.shape)}, but the targets have shape {tuple(y.shape)}"
            )
        error = float((prediction.mean - y).abs().flatten().quantile(level))
        std = float(prediction.epistemic.flatten().quantile(level))
        return cls(error, std, weight=weight, temperature=temperature)

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The penalty, scalar, nats.

        Args:
            outputs: of at least two draws or members, [S, N, *out].
            y: targets, [N, *out].
        """
        outputs = _draws(outputs, y, extra=0)
        if len(outputs) < 2:
            raise ValueError(
                "one draw has no spread: give the outputs of several passes, [S, N, *out], or train several members"
            )
        variance, mean = torch.var_mean(outputs, 0, correction=0)
        low = (1 - (mean.detach() - y).square() / self.error**2) / self.temperature
        certain = (1 - variance / self.std**2) / self.temperature
        return self.weight * _misalignment(low.flatten(), certain.flatten(), balanced=False)


def _misalignment(good: Tensor, certain: Tensor, balanced: bool) -> Tensor:
    """−log of the share of data that are good and certain or neither, from log-odds [N]: nothing saturates."""
    is_good, is_bad = F.logsigmoid(good), F.logsigmoid(-good)
    aligned_good, aligned_bad = is_good + F.logsigmoid(certain), is_bad + F.logsigmoid(-certain)
    if not balanced:
        return math.log(len(good)) - torch.logaddexp(aligned_good, aligned_bad).logsumexp(0)
    of_good = aligned_good.logsumexp(0) - is_good.logsumexp(0)
    of_bad = aligned_bad.logsumexp(0) - is_bad.logsumexp(0)
    return math.log(2) - torch.logaddexp(of_good, of_bad)


def _entropy(log_probs: Tensor) -> Tensor:
    # from logarithms: where a probability underflows to zero, the gradient of p log p in p is infinite
    return -(log_probs.exp() * log_probs).sum(-1)


def _draws(outputs: Tensor, y: Tensor, extra: int) -> Tensor:
    # [S, N, ...], S = 1 for one pass; `extra` axes of the output (the classes) are not in the targets
    if outputs.dim() == y.dim() + extra:
        outputs = outputs.unsqueeze(0)
    expected = outputs.shape[1:2] + outputs.shape[2 + extra :]
    if outputs.dim() != y.dim() + extra + 1 or expected != y.shape or not y.numel():
        raise ValueError(
            f"outputs of shape {tuple(outputs.shape)} and targets of shape {tuple(y.shape)} do not fit: the outputs must be "
            f"[draws, N, {'classes, ' * extra}...] and the targets [N, ...]"
        )
    return outputs


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive and finite, got {value}")


def _check_weight(weight: float) -> None:
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"weight must be finite and not negative, got {weight}")
