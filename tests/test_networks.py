"""The network for tables: its encoding against NumPy, its behaviour beyond the data, and what runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi import export
from yuragi.networks import PiecewiseLinear, TabularNetwork

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(200, 3, generator=GENERATOR, dtype=torch.float64)


def by_numpy(train: np.ndarray[Any, Any], x: np.ndarray[Any, Any], bins: int) -> np.ndarray[Any, Any]:
    """The encoding of one column, bin by bin; beyond the data each outer bin goes on with the slope of the average width."""
    edges = np.unique(np.quantile(train, np.linspace(0, 1, bins + 1)))
    average = (edges[-1] - edges[0]) / (len(edges) - 1)
    coded = np.stack([np.interp(x, edges[b : b + 2], [0, 1]) for b in range(len(edges) - 1)], 1)
    coded[:, 0] -= np.maximum(edges[0] - x, 0) / average
    coded[:, -1] += np.maximum(x - edges[-1], 0) / average
    return coded


@pytest.mark.parametrize("bins", [1, 2, 7, 16])
def test_the_encoding_is_that_of_numpy_column_by_column(bins: int) -> None:
    x = torch.linspace(-9, 9, 501, dtype=torch.float64).reshape(-1, 1).repeat(1, 3)
    expected = np.concatenate([by_numpy(X[:, d].numpy(), x[:, d].numpy(), bins) for d in range(3)], 1)
    np.testing.assert_allclose(PiecewiseLinear(X, bins)(x).numpy(), expected, atol=1e-9)


def test_bins_hold_equally_many_data() -> None:
    coded = PiecewiseLinear(X[:, :1], bins=8)(X[:, :1])
    full = (coded >= 1).sum(1)  # how many bins lie wholly below a datum
    inside = full[(coded[:, -1] < 1)].bincount(minlength=8)
    assert inside.tolist() == pytest.approx([25] * 8, abs=1)


def test_a_column_of_few_values_has_few_bins_and_a_constant_one_has_one() -> None:
    x = torch.stack([torch.arange(60) % 3, torch.full((60,), 7), torch.arange(60)], 1).float()
    encode = PiecewiseLinear(x, bins=4)
    assert encode.column.tolist() == [0, 0, 1, 2, 2, 2, 2]
    torch.testing.assert_close(encode(x[:3])[:, :2], torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
    torch.testing.assert_close(
        encode(torch.tensor([[0.0, 6.5, 0.0], [0.0, 9.0, 0.0]]))[:, 2], torch.tensor([-0.5, 2.0])
    )


def test_the_encoding_is_continuous_at_every_edge() -> None:
    encode = PiecewiseLinear(X[:, :1], bins=8)
    edges = torch.cat([encode.low, encode.low[-1:] + encode.width[-1:]]).reshape(-1, 1)
    jump = encode(edges + 1e-9) - encode(edges - 1e-9)
    steepest = max(float((1 / encode.width).max()), float(encode.below.max()))
    assert float(jump.abs().max()) <= 2.1e-9 * steepest


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_beyond_the_data_the_encoding_goes_on_in_straight_lines(direction: float) -> None:
    encode = PiecewiseLinear(X, bins=16)
    steps = direction * torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64).reshape(-1, 1).expand(-1, 3)
    first, second, third = encode(steps)
    torch.testing.assert_close(third - second, second - first)
    assert int((second - first).count_nonzero()) == 3  # one bin a column moves
    assert bool((second - first).abs().max() > 1)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(3), r"\[N, D\]"),
        (torch.zeros(0, 2), "at least one row"),
        (torch.zeros(3, 2, dtype=torch.int64), "floating point"),
        (torch.full((3, 2), torch.nan), "NaN"),
    ],
)
@pytest.mark.parametrize("kind", [PiecewiseLinear, TabularNetwork])
def test_inputs_that_are_no_table_are_refused(kind: type[nn.Module], x: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(x)


def test_sizes_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="bins must be at least 1"):
        TabularNetwork(X, bins=0)
    with pytest.raises(ValueError, match="width must be at least 1"):
        TabularNetwork(X, width=0)


def network(**options: Any) -> TabularNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TabularNetwork(X, **{"width": 8, "bins": 4} | options)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(("outputs", "heteroscedastic"), [(1, False), (2, False), (2, True)])
def test_the_network_written_out(outputs: int, heteroscedastic: bool, depth: int) -> None:
    net = network(outputs=outputs, heteroscedastic=heteroscedastic, depth=depth)
    x = X.float()
    standard = (x - x.mean(0)) / x.std(0, correction=0)
    coded = np.concatenate([by_numpy(column.double().numpy(), column.double().numpy(), 4) for column in standard.T], 1)
    first = torch.cat([net.linear.weight, net.bins.weight], 1)
    h = torch.cat([standard, torch.as_tensor(coded).float()], 1) @ first.T + net.linear.bias
    heads = [net.mean, net.scale] if heteroscedastic else [net.mean]
    for layer in net.hidden:
        h = layer(nn.functional.gelu(h))
    h = nn.functional.gelu(h)
    expected = torch.cat([head(h) for head in heads if head is not None], 1)
    torch.testing.assert_close(net(x), expected, atol=1e-5, rtol=1e-4)
    assert len(net.hidden) == depth - 1


def test_inputs_are_rescaled_by_the_network_itself() -> None:
    shifted = X * torch.tensor([1e-3, 1.0, 1e4]) + torch.tensor([0.0, -50.0, 1e4])
    torch.manual_seed(0)
    other = TabularNetwork(shifted, width=8, bins=4)
    torch.testing.assert_close(other(shifted.float()), network()(X.float()), atol=1e-4, rtol=1e-4)


def test_a_constant_column_does_nothing_and_float64_inputs_make_a_float32_network() -> None:
    x = torch.cat([X, torch.full((200, 1), 0.1)], 1)
    net = TabularNetwork(x, width=8)
    assert float(net.spread[3]) == 1
    assert {tensor.dtype for tensor in net.state_dict().values()} == {torch.float32, torch.int64}
    assert bool(torch.isfinite(net(x.float())).all())


def test_priors_reach_the_bins_and_the_scale_alone() -> None:
    net = network(heteroscedastic=True)
    for prior in net.priors():
        bnn = yu.bayesianize(
            network(heteroscedastic=True), prior=prior, posterior=yu.posteriors.Anchored(), members=300
        )
        anchors = dict(zip(bnn.weight_names, bnn.posterior.anchors, strict=True))  # type: ignore[arg-type]
        layers = prior.arguments()["layers"]
        for name, anchor in anchors.items():
            layer, _, attribute = name.rpartition(".")
            gain = layers[layer].gain if layer in layers else 1.0
            scale = gain / anchor.shape[-1] ** 0.5 if attribute == "weight" else 1.0
            error = scale / (2 * anchor.numel()) ** 0.5
            assert float(anchor.std()) == pytest.approx(scale, abs=4 * error)


def test_export_and_compile_say_the_same() -> None:
    x = X[:7].float()
    bnn = yu.bayesianize(network(heteroscedastic=True), likelihood=yu.likelihoods.HeteroscedasticGaussian(), seed=0)
    expected = yu.predict(bnn, x, samples=4)
    assert isinstance(expected, yu.RegressionPrediction)
    with torch.no_grad():
        found = export.as_module(bnn, draws=4)(x)
    torch.testing.assert_close(found["mean"], expected.mean, atol=1e-5, rtol=1e-4)
    net = network()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), net(x))


def test_onnx_says_the_same(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    x = X[:7].float()
    bnn = yu.bayesianize(network(), likelihood=yu.Gaussian(0.1), seed=0)
    yu.predict(bnn, x)
    yu.export_onnx(bnn, tmp_path / "net.onnx", draws=4)
    session = runtime.InferenceSession(tmp_path / "net.onnx")
    found = dict(
        zip(
            [o.name for o in session.get_outputs()],
            session.run(None, {session.get_inputs()[0].name: x.numpy()}),
            strict=True,
        )
    )
    np.testing.assert_allclose(found["mean"], yu.predict(bnn, x, samples=4).mean.numpy(), atol=1e-5)  # type: ignore[union-attr]
