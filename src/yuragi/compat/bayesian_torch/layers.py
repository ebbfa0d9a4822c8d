"""Bayesian-Torch's layers, for networks built by hand from them.

Each name is a function with the arguments that the class of that name has there, in the same order. What it returns is
the ordinary torch layer, made Bayesian as by `dnn_to_bnn`:

    layer(x)                      (output, KL); an LSTM's (output, (h, c), KL)
    layer(x, return_kl=False)     output
    layer.kl_loss()               KL: averaged within each tensor and summed over tensors
    layer.dnn_to_bnn_flag = True  from now on layer(x) is the output alone

`prior_variance` is the prior's standard deviation: the name is theirs, and so is the use. An LSTM reads [B, T, D], has
the states of `torch.nn.LSTM`, and counts its KL once, not once a time step.

    >>> import torch
    >>> layer = Conv2dFlipout(3, 8, kernel_size=5, padding=2, prior_variance=0.5)
    >>> isinstance(layer, nn.Conv2d)
    True
    >>> output, kl = layer(torch.randn(4, 3, 7, 7))
    >>> output.shape, kl.shape
    (torch.Size([4, 8, 7, 7]), torch.Size([]))
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from yuragi.compat.bayesian_torch.conversion import RETURNS_KL, dnn_to_bnn, get_kl_loss

_Layer = TypeVar("_Layer", bound=nn.Module)

_DEFAULTS: dict[str, Any] = {
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "output_padding": 0,
    "prior_mean": 0,
    "prior_variance": 1,
    "posterior_mu_init": 0,
    "posterior_rho_init": -3.0,
    "bias": True,
}
_DISTRIBUTION = ("prior_mean", "prior_variance", "posterior_mu_init", "posterior_rho_init")
_WINDOW = ("stride", "padding", "dilation", "groups")
_SIZES = ("in_channels", "out_channels", "kernel_size")
# their orders of arguments, of which convolutions have four
_LINEAR = ("in_features", "out_features", *_DISTRIBUTION, "bias")
_CONV = (*_SIZES, *_WINDOW, *_DISTRIBUTION, "bias")
_CONV_PRIOR_FIRST = (*_SIZES, *_DISTRIBUTION, *_WINDOW, "bias")
_TRANSPOSED = (*_SIZES, *_WINDOW, "output_padding", *_DISTRIBUTION, "bias")
_TRANSPOSED_OTHER = (*_SIZES, "stride", "padding", "output_padding", "dilation", "groups", *_DISTRIBUTION, "bias")


def _constructor(layer: type[_Layer], kind: str, arguments: tuple[str, ...], **fixed: Any) -> Callable[..., _Layer]:
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=_DEFAULTS.get(name, inspect.Parameter.empty),
        )
        for name in arguments
    ]
    signature = inspect.Signature(parameters)

    def construct(*args: Any, **kwargs: Any) -> _Layer:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        prior_mean, prior_scale, mu, rho = (given.pop(name) for name in _DISTRIBUTION)
        inputs, outputs = given.pop(arguments[0]), given.pop(arguments[1])  # torch has other names for them in an LSTM
        built = layer(inputs, outputs, **given, **fixed)
        dnn_to_bnn(
            built,
            {
                "prior_mu": prior_mean,
                "prior_sigma": prior_scale,
                "posterior_mu_init": mu,
                "posterior_rho_init": rho,
                "type": kind,
                "moped_enable": False,
            },
        )
        # unlike a bound method, a partial can be pickled and copied with the layer
        vars(built).update({RETURNS_KL: False, "kl_loss": functools.partial(get_kl_loss, built)})
        return built

    construct.__name__ = construct.__qualname__ = layer.__name__ + kind
    construct.__doc__ = f"A Bayesian `torch.nn.{layer.__name__}`; see the description of the module."
    construct.__signature__ = signature  # type: ignore[attr-defined]
    return construct


LinearFlipout = _constructor(nn.Linear, "Flipout", _LINEAR)
LinearReparameterization = _constructor(nn.Linear, "Reparameterization", _LINEAR)
Conv1dFlipout = _constructor(nn.Conv1d, "Flipout", _CONV)
Conv2dFlipout = _constructor(nn.Conv2d, "Flipout", _CONV)
Conv3dFlipout = _constructor(nn.Conv3d, "Flipout", _CONV)
Conv1dReparameterization = _constructor(nn.Conv1d, "Reparameterization", _CONV)
Conv2dReparameterization = _constructor(nn.Conv2d, "Reparameterization", _CONV)
Conv3dReparameterization = _constructor(nn.Conv3d, "Reparameterization", _CONV_PRIOR_FIRST)
ConvTranspose1dFlipout = _constructor(nn.ConvTranspose1d, "Flipout", _TRANSPOSED)
ConvTranspose2dFlipout = _constructor(nn.ConvTranspose2d, "Flipout", _TRANSPOSED_OTHER)
ConvTranspose3dFlipout = _constructor(nn.ConvTranspose3d, "Flipout", _TRANSPOSED_OTHER)
ConvTranspose1dReparameterization = _constructor(nn.ConvTranspose1d, "Reparameterization", _TRANSPOSED)
ConvTranspose2dReparameterization = _constructor(nn.ConvTranspose2d, "Reparameterization", _TRANSPOSED)
ConvTranspose3dReparameterization = _constructor(nn.ConvTranspose3d, "Reparameterization", _TRANSPOSED)
LSTMFlipout = _constructor(nn.LSTM, "Flipout", _LINEAR, batch_first=True)
LSTMReparameterization = _constructor(nn.LSTM, "Reparameterization", _LINEAR, batch_first=True)
