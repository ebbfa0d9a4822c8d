"""How to build and call every class of `torch.nn` that has parameters, and networks that use them in other ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Entries = Any  # what indexes the entries of a weight


@dataclass(frozen=True)
class Recipe:
    """A small network and an input for it.

    Attributes:
        make: builds the network, anew at each call.
        x: its input, as `Bayesian.loss` takes it.
        output: which part of what it returns is the prediction.
        without_gradient: parameter name -> the entries that cannot matter, whatever the loss, and why.
        rows: whether the output has a row for each row of the input, which `predict` asks for.
    """

    make: Callable[[], nn.Module]
    x: Any
    output: str | int | None = None
    without_gradient: Mapping[str, tuple[Entries, str]] = field(default_factory=dict)
    rows: bool = True


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def initialised(lazy: nn.Module, x: Tensor) -> nn.Module:
    lazy(x)
    return lazy


TOKENS = torch.tensor([[0, 2, 5, 3], [1, 4, 6, 1], [5, 5, 0, 2]])
SEQUENCE, TIME_FIRST = normal(4, 5, 3), normal(5, 4, 3)
PLANES = normal(4, 2, 6, 7)
QUERY = normal(3, 5, 4)
KEY_BIAS = "softmax does not change when all scores of a query move together"


def key_bias(*layers: str, width: int = 4) -> dict[str, tuple[Entries, str]]:
    return {f"{layer}.in_proj_bias".removeprefix("."): (slice(width, 2 * width), KEY_BIAS) for layer in layers or ("",)}


class Holder(nn.Module):
    """A linear map whose parameters are held by a ParameterList or a ParameterDict."""

    def __init__(self, parameters: nn.ParameterList | nn.ParameterDict) -> None:
        super().__init__()
        self.held = parameters

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.held if isinstance(self.held, nn.ParameterList) else (self.held["W"], self.held["b"])
        return x @ weight + bias  # type: ignore[no-any-return]


class Called(nn.Module):
    """A module that is given its input as the function says."""

    def __init__(self, inner: nn.Module, call: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.call = inner, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.inner, x)


def pair() -> list[nn.Parameter]:
    return [nn.Parameter(normal(3, 2)), nn.Parameter(normal(2))]


def encoder_layer(**options: Any) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(4, 2, 8, 0.0, F.gelu, batch_first=True, **options)


def decoder_layer() -> nn.TransformerDecoderLayer:
    return nn.TransformerDecoderLayer(4, 2, 8, 0.0, F.gelu, batch_first=True)


LABELS = torch.tensor([0, 1, 3, 5, 6, 2, 4, 5])

# "class" or "class, how it differs": the class is one of torch.nn
RECIPES: dict[str, Recipe] = {
    "Linear": Recipe(lambda: nn.Linear(3, 2), normal(4, 3)),
    "Linear, a sequence": Recipe(lambda: nn.Linear(3, 2), SEQUENCE),
    "Linear, one example": Recipe(lambda: nn.Linear(3, 2), normal(3), rows=False),
    "LazyLinear": Recipe(lambda: initialised(nn.LazyLinear(2), normal(4, 3)), normal(4, 3)),
    "Bilinear": Recipe(lambda: nn.Bilinear(3, 4, 2), (normal(4, 3), normal(4, 4))),
    "LinearCrossEntropyLoss": Recipe(
        lambda: nn.LinearCrossEntropyLoss(3, 7, bias=True, reduction="none"), (normal(8, 3), LABELS)
    ),
    "Conv1d": Recipe(lambda: nn.Conv1d(2, 4, 3, padding="same", groups=2), normal(4, 2, 6)),
    "Conv1d, circular": Recipe(lambda: nn.Conv1d(2, 4, 3, padding=1, padding_mode="circular"), normal(4, 2, 6)),
    "Conv1d, one example": Recipe(lambda: nn.Conv1d(2, 4, 3), normal(2, 6), rows=False),
    "Conv2d": Recipe(lambda: nn.Conv2d(2, 4, (1, 3), stride=2, dilation=2), PLANES),
    "Conv2d, depthwise": Recipe(lambda: nn.Conv2d(2, 2, 3, groups=2, padding=1), PLANES),
    "Conv2d, reflect": Recipe(lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), PLANES),
    "Conv2d, channels last": Recipe(lambda: nn.Conv2d(2, 2, 3), PLANES.to(memory_format=torch.channels_last)),
    "Conv3d": Recipe(lambda: nn.Conv3d(2, 2, 2, bias=False), normal(3, 2, 3, 3, 3)),
    "LazyConv1d": Recipe(lambda: initialised(nn.LazyConv1d(3, 2), normal(4, 2, 6)), normal(4, 2, 6)),
    "LazyConv2d": Recipe(lambda: initialised(nn.LazyConv2d(3, 2), PLANES), PLANES),
    "LazyConv3d": Recipe(lambda: initialised(nn.LazyConv3d(3, 2), normal(3, 2, 3, 3, 3)), normal(3, 2, 3, 3, 3)),
    "ConvTranspose1d": Recipe(lambda: nn.ConvTranspose1d(2, 4, 3, stride=2, output_padding=1), normal(4, 2, 5)),
    "ConvTranspose2d": Recipe(lambda: nn.ConvTranspose2d(4, 4, 3, groups=2), normal(3, 4, 3, 3)),
    "ConvTranspose3d": Recipe(lambda: nn.ConvTranspose3d(2, 2, 2, dilation=2), normal(3, 2, 2, 2, 2)),
    "ConvTranspose2d, output size": Recipe(
        lambda: Called(nn.ConvTranspose2d(2, 2, 3, stride=2), lambda inner, x: inner(x, output_size=(14, 15))), PLANES
    ),
    "LazyConvTranspose1d": Recipe(lambda: initialised(nn.LazyConvTranspose1d(3, 2), normal(4, 2, 6)), normal(4, 2, 6)),
    "LazyConvTranspose2d": Recipe(lambda: initialised(nn.LazyConvTranspose2d(3, 2), PLANES), PLANES),
    "LazyConvTranspose3d": Recipe(
        lambda: initialised(nn.LazyConvTranspose3d(3, 2), normal(3, 2, 3, 3, 3)), normal(3, 2, 3, 3, 3)
    ),
    "Embedding": Recipe(lambda: nn.Embedding(7, 3), TOKENS),
    "Embedding, rows left over": Recipe(
        lambda: nn.Embedding(9, 3, padding_idx=1),
        TOKENS,
        without_gradient={"weight": ([1, 7, 8], "padding is not learned; the others are never looked up")},
    ),
    "Embedding, largest norm": Recipe(lambda: nn.Embedding(7, 3, max_norm=2.0), TOKENS),
    "Embedding, sparse gradients": Recipe(lambda: nn.Embedding(7, 3, sparse=True), TOKENS),
    "EmbeddingBag": Recipe(lambda: nn.EmbeddingBag(7, 3), TOKENS),
    "EmbeddingBag, sum": Recipe(lambda: nn.EmbeddingBag(7, 3, mode="sum", sparse=True), TOKENS),
    "EmbeddingBag, offsets": Recipe(
        lambda: nn.EmbeddingBag(7, 3), (TOKENS.flatten(), torch.tensor([0, 3, 7])), rows=False
    ),
    "BatchNorm1d": Recipe(lambda: nn.BatchNorm1d(3), normal(4, 3)),
    "BatchNorm2d": Recipe(lambda: nn.BatchNorm2d(2), PLANES),
    "BatchNorm3d": Recipe(lambda: nn.BatchNorm3d(2), normal(3, 2, 3, 3, 3)),
    "BatchNorm1d, no running statistics": Recipe(lambda: nn.BatchNorm1d(3, track_running_stats=False), normal(4, 3)),
    "LazyBatchNorm1d": Recipe(lambda: initialised(nn.LazyBatchNorm1d(), normal(4, 3)), normal(4, 3)),
    "LazyBatchNorm2d": Recipe(lambda: initialised(nn.LazyBatchNorm2d(), PLANES), PLANES),
    "LazyBatchNorm3d": Recipe(lambda: initialised(nn.LazyBatchNorm3d(), normal(3, 2, 3, 3, 3)), normal(3, 2, 3, 3, 3)),
    "SyncBatchNorm": Recipe(lambda: nn.SyncBatchNorm(2), PLANES),
    "InstanceNorm1d": Recipe(lambda: nn.InstanceNorm1d(2, affine=True), normal(4, 2, 6)),
    "InstanceNorm2d": Recipe(lambda: nn.InstanceNorm2d(2, affine=True, track_running_stats=True), PLANES),
    "InstanceNorm3d": Recipe(lambda: nn.InstanceNorm3d(2, affine=True), normal(3, 2, 3, 3, 3)),
    "LazyInstanceNorm1d": Recipe(
        lambda: initialised(nn.LazyInstanceNorm1d(affine=True), normal(4, 2, 6)), normal(4, 2, 6)
    ),
    "LazyInstanceNorm2d": Recipe(lambda: initialised(nn.LazyInstanceNorm2d(affine=True), PLANES), PLANES),
    "LazyInstanceNorm3d": Recipe(
        lambda: initialised(nn.LazyInstanceNorm3d(affine=True), normal(3, 2, 3, 3, 3)), normal(3, 2, 3, 3, 3)
    ),
    "LayerNorm": Recipe(lambda: nn.LayerNorm((5, 3)), SEQUENCE),
    "GroupNorm": Recipe(lambda: nn.GroupNorm(2, 4), normal(3, 4, 5)),
    "RMSNorm": Recipe(lambda: nn.RMSNorm(3), SEQUENCE),
    "PReLU": Recipe(lambda: nn.PReLU(3), normal(8, 3)),
    "RNN": Recipe(lambda: nn.RNN(3, 4, batch_first=True), SEQUENCE, 0),
    "LSTM": Recipe(lambda: nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True), SEQUENCE, 0),
    "LSTM, time first": Recipe(lambda: nn.LSTM(3, 4), TIME_FIRST, 0),
    "LSTM, projected": Recipe(lambda: nn.LSTM(3, 4, proj_size=2, bias=False), TIME_FIRST, 0),
    "LSTM, one example": Recipe(lambda: nn.LSTM(3, 4), normal(5, 3), 0),
    "LSTM, packed": Recipe(
        lambda: Called(
            nn.LSTM(3, 4, batch_first=True),
            lambda inner, x: pad_packed_sequence(
                inner(pack_padded_sequence(x, torch.tensor([5, 5, 3, 1]), batch_first=True))[0], batch_first=True
            )[0],
        ),
        SEQUENCE,
    ),
    "GRU": Recipe(lambda: nn.GRU(3, 4, 2, bidirectional=True), TIME_FIRST, 0),
    "RNNCell": Recipe(lambda: nn.RNNCell(3, 4), (normal(4, 3), normal(4, 4))),
    "LSTMCell": Recipe(lambda: nn.LSTMCell(3, 4), (normal(4, 3), (normal(4, 4), normal(4, 4).flip(0))), 0),
    "GRUCell": Recipe(lambda: nn.GRUCell(3, 4), (normal(4, 3), normal(4, 4))),
    "MultiheadAttention": Recipe(
        lambda: nn.MultiheadAttention(4, 2, batch_first=True), (QUERY, QUERY, QUERY), 0, key_bias()
    ),
    "MultiheadAttention, cross": Recipe(
        lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=2, add_bias_kv=True, batch_first=True),
        (QUERY, normal(3, 6, 3), normal(3, 6, 2)),
        0,
    ),
    "TransformerEncoderLayer": Recipe(encoder_layer, QUERY, without_gradient=key_bias("self_attn")),
    "TransformerEncoderLayer, norm first": Recipe(
        lambda: encoder_layer(norm_first=True), QUERY, without_gradient=key_bias("self_attn")
    ),
    "TransformerEncoder": Recipe(
        lambda: nn.TransformerEncoder(encoder_layer(), 2),
        QUERY,
        without_gradient=key_bias("layers.0.self_attn", "layers.1.self_attn"),
    ),
    "TransformerDecoderLayer": Recipe(
        decoder_layer, (QUERY, normal(3, 6, 4)), without_gradient=key_bias("self_attn", "multihead_attn")
    ),
    "TransformerDecoder": Recipe(
        lambda: nn.TransformerDecoder(decoder_layer(), 1),
        (QUERY, normal(3, 6, 4)),
        without_gradient=key_bias("layers.0.self_attn", "layers.0.multihead_attn"),
    ),
    "Transformer": Recipe(
        lambda: nn.Transformer(4, 2, 1, 1, 8, 0.0, F.gelu, batch_first=True),
        (normal(3, 6, 4), QUERY),
        without_gradient=key_bias(
            "encoder.layers.0.self_attn", "decoder.layers.0.self_attn", "decoder.layers.0.multihead_attn"
        ),
    ),
    "AdaptiveLogSoftmaxWithLoss": Recipe(
        lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 7, [2, 4], div_value=2.0), (normal(8, 8), LABELS), "output"
    ),
    "ParameterList": Recipe(lambda: Holder(nn.ParameterList(pair())), normal(4, 3)),
    "ParameterDict": Recipe(lambda: Holder(nn.ParameterDict(dict(zip(("W", "b"), pair(), strict=True)))), normal(4, 3)),
    "Sequential": Recipe(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), normal(4, 3)),
    "ModuleList": Recipe(
        lambda: Called(
            nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2)]), lambda inner, x: inner[0](x) * inner[1](x).sigmoid()
        ),
        normal(4, 3),
    ),
    "ModuleDict": Recipe(
        lambda: Called(nn.ModuleDict({"one": nn.Linear(3, 2)}), lambda inner, x: inner["one"](x)), normal(4, 3)
    ),
    "DataParallel": Recipe(lambda: nn.DataParallel(nn.Linear(3, 2)), normal(4, 3)),
}

# classes with parameters that cannot be run, and why
NOT_RUN = {
    "RNNBase": "what RNN, LSTM and GRU have in common; it has no forward pass for some modes",
    "RNNCellBase": "what RNNCell, LSTMCell and GRUCell have in common; it has no forward pass",
}


class Raw(nn.Module):
    """Parameters used in expressions, one of them through its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(normal(3, 4))
        self.scales = nn.Parameter(normal(4).exp())

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.stack(list(self.W))
        result: Tensor = x @ rows * self.scales / torch.linalg.vector_norm(self.scales)
        return result


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embedding(tokens).tanh())  # type: ignore[no-any-return]


class Functional(nn.Module):
    """A layer called through `torch.func.functional_call` with its own parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.func.functional_call(self.inner, dict(self.inner.named_parameters()), (x,))  # type: ignore[no-any-return]


class ByOperator(nn.Module):
    """A layer that calls operators directly, below the functions of `torch`."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(normal(2, 3)), nn.Parameter(normal(2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.aten.addmm(self.bias, x, torch.ops.aten.t.default(self.weight))  # type: ignore[no-any-return]


class MaxNorm(nn.Linear):
    """A layer that limits the norm of its weight at every pass, as constrained EEG networks do."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = torch.renorm(self.weight.data, 2, 0, maxnorm=1.0)
        return super().forward(x)


def masked(layer: nn.Module) -> nn.Module:
    prune.custom_from_mask(layer, "weight", torch.tensor([[1, 0, 1], [0, 1, 1]]))
    return layer


# networks that use their parameters in other ways than the classes above
OTHERS: dict[str, Recipe] = {
    "raw parameters": Recipe(Raw, normal(4, 3)),
    "tied": Recipe(Tied, TOKENS),
    "functional call": Recipe(Functional, normal(4, 3)),
    "operators": Recipe(ByOperator, normal(4, 3)),
    "norm limited in place": Recipe(lambda: MaxNorm(3, 2), normal(4, 3)),
    "a layer used twice": Recipe(
        lambda: Called(nn.Linear(3, 3), lambda inner, x: inner(inner(x).tanh())), normal(4, 3)
    ),
    "weight norm": Recipe(lambda: parametrizations.weight_norm(nn.Conv1d(2, 3, 3)), normal(4, 2, 6)),
    "spectral norm": Recipe(lambda: parametrizations.spectral_norm(nn.Linear(3, 2)), normal(4, 3)),
    "orthogonal": Recipe(
        lambda: parametrizations.orthogonal(nn.Linear(3, 3)),
        normal(4, 3),
        without_gradient={
            "parametrizations.weight.original": (
                torch.ones(3, 3).triu() == 1,
                "only what is below the diagonal is read",
            )
        },
    ),
    "recurrent weight norm": Recipe(
        lambda: parametrizations.weight_norm(nn.LSTM(3, 4, batch_first=True), "weight_hh_l0"), SEQUENCE, 0
    ),
    "pruned": Recipe(
        lambda: masked(nn.Linear(3, 2)),
        normal(4, 3),
        without_gradient={"weight_orig": (([0, 1], [1, 0]), "masked out")},
    ),
}
