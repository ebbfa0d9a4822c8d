"""`quantize`: a fitted network with its means and spreads in int8, for prediction.

Every channel (a slice along a tensor's first axis) has a grid of 256 values of its own, v ≈ offset + step·code, for the
means and for ρ, where σ = softplus(ρ). The error of a mean is at most half a step, and the relative error of a spread at
most half a step of ρ, however small the spread: for σ below 1, ρ is its logarithm in all but name. (A grid on σ itself
would give the smallest spreads of a channel no digits at all.) Tensors with few weights a channel (biases, gains) stay
as they are.

This saves storage and bandwidth: file and resting memory are a quarter of float32's, or a little more. It does not save
arithmetic. A pass or a prediction dequantises the weights, once, and then works in floating point exactly as before; it
takes as long as the float network's and one pass over the weights more, and needs room for float weights while it runs.
It is faster only where the reading of weights takes the time: files from a slow disk or network, or many networks held in
memory, of which few run at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from yuragi.bayesian import Bayesian
from yuragi.flat import joined
from yuragi.posteriors import MeanField, Points, Posterior
from yuragi.posteriors.posterior import inverse_softplus
from yuragi.priors import Prior
from yuragi.priors.prior import spread_dtype
from yuragi.weights import Weight

_MIN_CHANNEL = 16  # weights; below that offset and step take as much room as the codes save


class Quantized(Bayesian):
    """A Bayesian network whose weights are kept in int8: made by `quantize` or `yuragi.load`.

    It predicts, draws and runs like the network that it was made from, and cannot be trained: what only training needs,
    the state of the prior and the anchors, is not kept. The parameters of `module` that are Bayesian hold NaN and no memory:
    the weights are in `mean_codes` and `posterior`.

    Args:
        bnn: the network whose parts to take over; the values of its means are given up.
        posterior: its spreads in int8.
    """

    def __init__(self, bnn: Bayesian, posterior: Posterior) -> None:
        super().__init__(
            bnn.module,
            bnn.weights,
            bnn.left_out,
            bnn.prior,
            posterior,
            bnn.likelihood,
            bnn.estimator,
            bnn.members,
            bnn.output,
        )
        self.provenance = bnn.provenance
        self.member_buffers = bnn.member_buffers
        self.mean_codes = Codes(bnn.weights, bnn.members)
        for part in self.prior.modules():
            part._parameters.clear()
            part._buffers.clear()
        self._release_means()
        self.register_state_dict_post_hook(_leave_out_means)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_do_not_miss_means)  # type: ignore[no-untyped-call]

    def elbo(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: codes have no gradient.

        Raises:
            TypeError: always.
        """
        raise TypeError("a quantised network cannot be trained: fit the float network, and quantise it again")

    def kl(self) -> NoReturn:
        """Refuse: the state of the prior is not kept.

        Raises:
            TypeError: always.
        """
        raise TypeError("a quantised network does not keep its prior's state: ask the float network for its KL")

    def placeholders(self) -> dict[str, nn.Parameter]:
        """The parameters of `module` whose values are not there, under every name that they have."""
        bayesian = {id(weight.parameter) for weight in self.weights}
        named = self.module.named_parameters(remove_duplicate=False)
        return {name: parameter for name, parameter in named if id(parameter) in bayesian}

    def _mean_parameters(self) -> list[Tensor]:
        parts = self.mean_codes.values().split([weight.numel for weight in self.weights], 1)
        lead = () if self.members == 1 else (self.members,)
        return [
            part.reshape(*lead, *weight.shape).to(weight.parameter.dtype)
            for part, weight in zip(parts, self.weights, strict=True)
        ]

    def _run_at_mean(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return self._tried_at_mean(args, kwargs)

    def _release_means(self) -> None:
        # what is left keeps shape, dtype and device, which a network may ask for, in the room of a single value;
        # NaN, so that whoever runs `module` by itself does not take the result for a prediction
        for weight in self.weights:
            parameter = weight.parameter
            parameter.requires_grad_(False)
            parameter.data = parameter.new_full((), torch.nan).expand(parameter.shape)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Quantized:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._release_means()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Copying and unpickling give every parameter memory again: release it."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._release_means()


class Codes(nn.Module):
    """One value for every weight, [K, P], in int8 with offset and step for each channel; small tensors in full.

    Args:
        weights: the weights that the values belong to.
        members: K.
    """

    codes: Tensor
    offset: Tensor
    step: Tensor
    kept: Tensor

    def __init__(self, weights: Sequence[Weight], members: int) -> None:
        super().__init__()
        self.shapes = [_channels(weight.shape) for weight in weights]
        coded = [(channels, size) for channels, size in self.shapes if size >= _MIN_CHANNEL]
        total = sum(channels for channels, _ in coded)
        numel = sum(channels * size for channels, size in coded)
        like = torch.empty(0, dtype=spread_dtype(weights), device=weights[0].parameter.device)
        self.register_buffer("codes", like.new_zeros(members, numel, dtype=torch.int8))
        self.register_buffer("offset", like.new_zeros(members, total))
        self.register_buffer("step", like.new_zeros(members, total))
        self.register_buffer("kept", like.new_zeros(members, sum(weight.numel for weight in weights) - numel))

    def store(self, values: Tensor) -> None:
        """Put values [K, P] on the grid: the nearest of 256 equally spaced ones from each channel's least to its greatest."""
        codes, offsets, steps, kept = [], [], [], []
        parts = values.split([channels * size for channels, size in self.shapes], 1)
        for part, (channels, size) in zip(parts, self.shapes, strict=True):
            if size < _MIN_CHANNEL:
                kept.append(part)
                continue
            rows = part.reshape(len(part), channels, size)
            low, high = rows.amin(-1), rows.amax(-1)
            step = (high - low) / 255
            # from the middle of the range, so that a channel of equal values is exact
            offset = (low + high) / 2
            unit = (rows - offset.unsqueeze(-1)) / step.clamp_min(torch.finfo(step.dtype).tiny).unsqueeze(-1)
            codes.append((unit - 0.5).round_().clamp_(-128, 127).to(torch.int8).flatten(1))
            offsets.append(offset + step / 2)
            steps.append(step)
        for buffer, filled in ((self.codes, codes), (self.offset, offsets), (self.step, steps), (self.kept, kept)):
            if filled:
                buffer.copy_(torch.cat(filled, 1))

    def values(self) -> Tensor:
        """The values, dequantised: [K, P]."""
        parts = []
        code = channel = plain = 0
        for channels, size in self.shapes:
            numel = channels * size
            if size < _MIN_CHANNEL:
                parts.append(self.kept[:, plain : plain + numel])
                plain += numel
                continue
            rows = self.codes[:, code : code + numel].reshape(-1, channels, size)
            offset, step = (grid[:, channel : channel + channels, None] for grid in (self.offset, self.step))
            parts.append(torch.addcmul(offset, rows, step).flatten(1))
            code, channel = code + numel, channel + channels
        return torch.cat(parts, 1)


class Int8MeanField(MeanField):
    """Independent Normals whose ρ is kept in int8."""

    def __init__(self) -> None:
        super().__init__()

    @property
    def rho(self) -> Tensor:  # type: ignore[override]
        """ρ with σ = softplus(ρ), dequantised: [K, P]."""
        return self.rho_codes.values()

    def setup(self, weights: Sequence[Weight], prior: Prior, members: int) -> None:
        """Make room for the spreads."""
        self.rho_codes = Codes(weights, members)

    def arguments(self) -> dict[str, Any]:
        """What to construct an equal posterior with, before `setup`: nothing."""
        return {}


@torch.no_grad()
def quantize(bnn: Bayesian) -> Quantized:
    """A copy of a fitted network with means and spreads in int8, which `yuragi.predict` and `yuragi.save` take.

    With the same seed a mean-field network makes the same draws as before, up to the rounding of the weights. Parameters
    that are not Bayesian, and buffers, stay in full.

    Args:
        bnn: the network, its posterior mean-field (with any number of members) or anchored; it is left as it is.

    Returns:
        The network in int8, on the device of `bnn`; for prediction only.

    Raises:
        TypeError: not a Bayesian network, one that is quantised already, or one with correlated weights.
        ValueError: a weight that is NaN or infinite.

    Example:
        >>> import yuragi as yu
        >>> net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
        >>> small = quantize(yu.bayesianize(net, likelihood=yu.Gaussian(noise=0.1)))
        >>> yu.predict(small, torch.randn(5, 3)).std.shape
        torch.Size([5, 1])
    """
    if not isinstance(bnn, Bayesian):
        raise TypeError(f"quantize takes a Bayesian network, got {type(bnn).__name__}: make it one with bayesianize")
    if isinstance(bnn, Quantized):
        raise TypeError("the network is quantised already")
    q = bnn.q()
    if not q.independent:
        raise TypeError(
            f"cannot quantise a {type(bnn.posterior).__name__} posterior, whose weights are correlated: only MeanField and "
            "Anchored can be"
        )
    for weight, mean in zip(bnn.weights, q.mean, strict=True):
        if not bool(mean.isfinite().all()):
            raise ValueError(f"cannot quantise weight '{weight.name}': it has values that are NaN or infinite")
    posterior = Points() if q.sigma is None else Int8MeanField()
    posterior.setup(bnn.weights, bnn.prior, bnn.members)
    if isinstance(posterior, Int8MeanField):
        assert q.sigma is not None
        posterior.rho_codes.store(inverse_softplus(q.sigma.clamp_min(torch.finfo(q.sigma.dtype).tiny)))
    quantised = Quantized(copy.deepcopy(bnn), posterior)
    quantised.mean_codes.store(joined(q.mean, bnn.members, spread_dtype(bnn.weights)))
    return quantised.train(bnn.training)


def _channels(shape: torch.Size) -> tuple[int, int]:
    # number of channels, weights in each; a scalar is a channel of one
    channels = shape[0] if shape else 1
    return channels, shape.numel() // channels if channels else 0


def _leave_out_means(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    assert isinstance(module, Quantized)
    for name in module.placeholders():
        state.pop(f"{prefix}module.{name}", None)


def _do_not_miss_means(module: nn.Module, keys: Any) -> None:
    assert isinstance(module, Quantized)
    absent = tuple(f"module.{name}" for name in module.placeholders())
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.endswith(absent)]
