"""Class labels: one of several, or yes or no."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from yuragi.likelihoods.likelihood import Likelihood, check_shapes, summed


class Categorical(Likelihood):
    """y ∈ {0, …, C−1} with probabilities softmax(f(x)).

    The network returns logits [N, C, *positions], the targets are integers [N, *positions], as for
    `torch.nn.functional.cross_entropy`.

    Example:
        >>> Categorical().log_prob(torch.zeros(1, 2, 4), torch.tensor([0, 3]))
        tensor([[-1.3863, -1.3863]])
    """

    def log_prob(self, output: Tensor, y: Tensor) -> Tensor:
        """log p(y∣output), nats, summed over positions: [R, N, C, *positions] and [N, *positions] give [R, N]."""
        if output.dim() < 3 or output.shape[1:2] + output.shape[3:] != y.shape:
            raise ValueError(
                f"the network returned {tuple(output.shape[1:])}, which must be [N, classes], but the labels have shape "
                f"{tuple(y.shape)}, which must be [N]"
            )
        self.check_targets(y)
        # on an accelerator the comparison would make the host wait for it at every step
        if y.device.type == "cpu" and y.numel() and int(y.max()) >= output.shape[2]:
            raise ValueError(
                f"the labels go up to {int(y.max())}, but the network has {output.shape[2]} classes, from 0 on"
            )
        labels = y.long().unsqueeze(1).expand(len(output), -1, -1, *output.shape[3:])
        chosen = output.log_softmax(2).gather(2, labels).squeeze(2)
        return summed(chosen)

    def distribution(self, output: Tensor, member: Tensor) -> torch.distributions.Categorical:
        """Categorical with logits `output`, batch shape [R, N, *positions]."""
        return torch.distributions.Categorical(logits=output.movedim(2, -1), validate_args=False)

    def check_targets(self, y: Tensor) -> None:
        """Refuse labels that are not integers from 0 on."""
        if y.is_floating_point() or y.is_complex():
            raise ValueError(f"class labels must be integers, got dtype {y.dtype}: convert them with y.long()")
        if y.device.type == "cpu" and y.numel() and int(y.min()) < 0:
            raise ValueError(f"class labels must be 0 or more, got {int(y.min())}")


class Bernoulli(Likelihood):
    """y ∈ {0, 1}, with P(y = 1) = sigmoid(f(x)), independent for each output.

    The network returns one logit for each target: [N, *out] for targets [N, *out], which may be of any dtype.

    Example:
        >>> Bernoulli().log_prob(torch.zeros(1, 2), torch.tensor([0, 1]))
        tensor([[-0.6931, -0.6931]])
    """

    def log_prob(self, output: Tensor, y: Tensor) -> Tensor:
        """log p(y∣output), nats, summed over outputs: [R, N, *out] and [N, *out] give [R, N]."""
        check_shapes(output, y)
        return summed(F.logsigmoid((2 * y.to(output.dtype) - 1) * output))

    def distribution(self, output: Tensor, member: Tensor) -> torch.distributions.Bernoulli:
        """Bernoulli with logits `output`, batch shape [R, N, *out]."""
        return torch.distributions.Bernoulli(logits=output, validate_args=False)

    def check_targets(self, y: Tensor) -> None:
        """Refuse targets that are neither 0 nor 1."""
        wrong = (y != 0) & (y != 1)
        if bool(wrong.any()):
            raise ValueError(f"Bernoulli targets must be 0 or 1, got {y[wrong][0].item():g}")
