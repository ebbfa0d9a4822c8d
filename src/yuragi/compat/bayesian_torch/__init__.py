"""Bayesian-Torch's names on top of yuragi: import them from here, and its scripts run."""

from yuragi.compat.bayesian_torch.checkpoints import load_state_dict
from yuragi.compat.bayesian_torch.conversion import dnn_to_bnn, get_kl_loss
from yuragi.compat.bayesian_torch.layers import (
    Conv1dFlipout,
    Conv1dReparameterization,
    Conv2dFlipout,
    Conv2dReparameterization,
    Conv3dFlipout,
    Conv3dReparameterization,
    ConvTranspose1dFlipout,
    ConvTranspose1dReparameterization,
    ConvTranspose2dFlipout,
    ConvTranspose2dReparameterization,
    ConvTranspose3dFlipout,
    ConvTranspose3dReparameterization,
    LinearFlipout,
    LinearReparameterization,
    LSTMFlipout,
    LSTMReparameterization,
)

__all__ = [
    "Conv1dFlipout",
    "Conv1dReparameterization",
    "Conv2dFlipout",
    "Conv2dReparameterization",
    "Conv3dFlipout",
    "Conv3dReparameterization",
    "ConvTranspose1dFlipout",
    "ConvTranspose1dReparameterization",
    "ConvTranspose2dFlipout",
    "ConvTranspose2dReparameterization",
    "ConvTranspose3dFlipout",
    "ConvTranspose3dReparameterization",
    "LSTMFlipout",
    "LSTMReparameterization",
    "LinearFlipout",
    "LinearReparameterization",
    "dnn_to_bnn",
    "get_kl_loss",
    "load_state_dict",
]
