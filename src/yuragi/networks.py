"""A network for tables: smooth in the standardised inputs, and free to bend where the data are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yuragi.data import check_finite
from yuragi.priors import FanIn, PerLayer, Prior


class PiecewiseLinear(nn.Module):
    """Each input column as its position within bins that hold equally many training data.

    Bin b of a column, from e_b to e_{b+1}, gives clamp((x − e_b)/(e_{b+1} − e_b), 0, 1). Beyond the data the outermost bins
    go on in straight lines, with the slope of a bin of average width. Gorishniy et al., "On embeddings for numerical
    features in tabular deep learning", 2022.

    Args:
        x: training inputs, [N, D].
        bins: at most so many bins a column; one with fewer distinct values has fewer.

    Raises:
        ValueError: `x` is not [N, D] of finite floating-point numbers, or `bins` is less than 1.

    Example:
        >>> PiecewiseLinear(torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]]), bins=2)(torch.tensor([[3.0], [5.0]]))
        tensor([[1.0000, 0.5000],
                [1.0000, 1.5000]])
    """

    column: Tensor
    low: Tensor
    width: Tensor
    below: Tensor
    above: Tensor

    def __init__(self, x: Tensor, bins: int = 16) -> None:
        super().__init__()
        _check_inputs(x)
        if bins < 1:
            raise ValueError(f"bins must be at least 1, got {bins}")
        levels = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
        edges = [torch.quantile(column, levels).unique() for column in x.detach().cpu().double().T]
        # a constant column has a single edge: it gets one bin, of width 1
        edges = [e if len(e) > 1 else torch.stack([e[0], e[0] + 1]) for e in edges]
        counts = torch.tensor([len(e) - 1 for e in edges])
        ends = counts.cumsum(0)
        total = int(ends[-1])
        slope = counts / torch.stack([e[-1] - e[0] for e in edges])
        below, above = torch.zeros(2, total, dtype=torch.float64)
        below[ends - counts], above[ends - 1] = slope, slope
        parts = {
            "low": torch.cat([e[:-1] for e in edges]),
            "width": torch.cat([e.diff() for e in edges]),
            "below": below,  # slope under the first edge, for the first bin of each column
            "above": above,  # slope over the last edge, for the last bin
        }
        self.register_buffer("column", torch.arange(len(edges)).repeat_interleave(counts).to(x.device))
        for name, values in parts.items():
            self.register_buffer(name, values.to(x))

    def forward(self, x: Tensor) -> Tensor:
        """Encode [B, D] as [B, bins of all columns]."""
        beyond = x[:, self.column] - self.low
        inside = (beyond / self.width).clamp(0, 1)
        return inside + self.below * beyond.clamp_max(0) + self.above * (beyond - self.width).clamp_min(0)


class TabularNetwork(nn.Module):
    """A perceptron for tables, whose first layer sees the standardised inputs and their `PiecewiseLinear` encoding.

    The two paths of the first layer are tensors of their own, so that a prior can say how much the network may bend: with
    a narrow one on `bins` it is smooth, with a wide one it follows steps in the data. `priors()` are such settings, to be
    chosen from by held-out data: ``yu.bayesianize(net, prior=net.priors(), ...)``.

    Args:
        x: training inputs [N, D], for the standardisation and the bins; constant columns are left unscaled.
        outputs: d, numbers in a target.
        heteroscedastic: whether the network also gives a scale for each output, as `likelihoods.HeteroscedasticGaussian`
            and `likelihoods.HeteroscedasticStudentT` need it.
        width: units in each hidden layer.
        depth: hidden layers.
        bins: at most so many bins an input column.

    Raises:
        ValueError: `x` is not [N, D] of finite floating-point numbers, or a size is less than 1.

    Example:
        >>> import yuragi as yu
        >>> x = torch.randn(50, 3)
        >>> net = TabularNetwork(x, heteroscedastic=True)
        >>> net(x).shape
        torch.Size([50, 2])
    """

    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        x: Tensor,
        outputs: int = 1,
        *,
        heteroscedastic: bool = False,
        width: int = 100,
        depth: int = 2,
        bins: int = 16,
    ) -> None:
        super().__init__()
        _check_inputs(x)
        for name, size in (("outputs", outputs), ("width", width), ("depth", depth)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        x = x.detach().to("cpu", torch.get_default_dtype())  # where the layers are made, and as precise as they are
        exact = x.double()
        spread = exact.std(0, correction=0)
        self.register_buffer("centre", exact.mean(0).to(x.dtype))
        # a constant column may differ from its mean by rounding alone
        constant = spread <= 1e-7 * exact.abs().amax(0)
        self.register_buffer("spread", torch.where(constant, 1.0, spread).to(x.dtype))
        self.encode = PiecewiseLinear(self._standardised(x), bins)
        self.linear = nn.Linear(x.shape[1], width)
        self.bins = nn.Linear(len(self.encode.low), width, bias=False)
        self.hidden = nn.ModuleList([nn.Linear(width, width) for _ in range(depth - 1)])
        self.mean = nn.Linear(width, outputs)
        self.scale = nn.Linear(width, outputs) if heteroscedastic else None

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, D] to [B, outputs], or to [B, 2·outputs] where the network gives scales too."""
        standardised = self._standardised(x)
        h = F.gelu(self.linear(standardised) + self.bins(self.encode(standardised)))
        for layer in self.hidden:
            h = F.gelu(layer(h))
        mean: Tensor = self.mean(h)
        return mean if self.scale is None else torch.cat([mean, self.scale(h)], -1)

    def priors(self) -> list[Prior]:
        """Priors to choose from: `FanIn`, but for how much the network may bend and how much its scale may vary."""
        bends = (0.1, 1.5)
        if self.scale is None:
            return [PerLayer({"bins": FanIn(gain=bend)}) for bend in bends]
        return [
            PerLayer({"bins": FanIn(gain=bend), "scale": FanIn(gain=varies)})
            for bend in bends
            for varies in (0.03, 1.0)
        ]

    def _standardised(self, x: Tensor) -> Tensor:
        return (x - self.centre) / self.spread


def _check_inputs(x: Tensor) -> None:
    if x.dim() != 2 or not len(x) or not x.shape[1]:
        raise ValueError(f"x must be training inputs [N, D] with at least one row and column, got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"x must be floating point, got dtype {x.dtype}: convert it with x.float()")
    check_finite("x", x)
