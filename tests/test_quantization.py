"""Means and spreads in int8: error bounds, predictions beside the float network's, files, and what is refused."""

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import yuragi as yu
from yuragi.files import FileError, read
from yuragi.quantization import Codes, Quantized, quantize
from yuragi.weights import Weight, select_weights


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 16, batch_first=True), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.lstm(x)[0][:, -1])
        return result


class Tied(nn.Module):
    """Two layers with one weight, and code that asks a weight for its dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(20, 20), nn.Linear(20, 20), nn.Linear(20, 1)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.first.weight.dtype)
        result: Tensor = self.head(self.second(self.first(x).tanh()).tanh())
        return result


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 40), nn.Tanh(), nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 2))


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3), nn.Flatten(), nn.Linear(144, 2)
    )


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], dict[str, Any]]] = {
    "mlp": (mlp, (4,), {}),
    "members": (mlp, (4,), {"members": 3}),
    "anchored": (mlp, (4,), {"posterior": yu.posteriors.Anchored(), "members": 4}),
    "one anchored": (mlp, (4,), {"posterior": yu.posteriors.Anchored(), "members": 1}),
    "conv": (conv, (2, 6, 6), {"likelihood": yu.Categorical()}),
    "conv, members": (conv, (2, 6, 6), {"members": 2, "estimator": "local"}),
    "lstm": (Recurrent, (5, 3), {}),
    "tied": (Tied, (20,), {}),
    "tied, members": (Tied, (20,), {"members": 2}),
    "partial": (mlp, (4,), {"where": "2"}),
    "pretrained": (mlp, (4,), {"prior": yu.priors.Pretrained()}),
    "double": (lambda: mlp().double(), (4,), {}),
    "half": (lambda: mlp().bfloat16(), (4,), {}),
    "output": (lambda: nn.Sequential(mlp(), nn.Identity()), (4,), {"output": lambda result: result[..., :1]}),
}


def made(name: str = "mlp") -> tuple[yu.Bayesian, Tensor]:
    """A network with spreads over two orders of magnitude, and an input."""
    build, shape, options = CASES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bnn = yu.bayesianize(build(), seed=0, **options)
        if isinstance(bnn.posterior, yu.posteriors.MeanField):
            with torch.no_grad():
                bnn.posterior.rho.add_(randn(*bnn.posterior.rho.shape, seed=1).to(bnn.posterior.rho.dtype))
        x = randn(7, *shape).to(bnn.reference_tensor.dtype)
        bnn(x)  # running statistics
    return bnn, x


# -- the grid


def weights_of(*shapes: tuple[int, ...]) -> list[Weight]:
    net = nn.ParameterList([nn.Parameter(torch.zeros(shape)) for shape in shapes])
    return select_weights(net)[0]


def test_every_value_is_within_half_a_step_of_its_channel() -> None:
    weights = weights_of((5, 30), (5,), (3, 4, 5), (), (2, 15))
    values = torch.cat([randn(2, 150) * torch.logspace(-3, 3, 5).repeat_interleave(30), randn(2, 5 + 60 + 1 + 30)], 1)
    codes = Codes(weights, 2)
    codes.store(values)
    parts = zip(codes.values().split([150, 5, 60, 1, 30], 1), values.split([150, 5, 60, 1, 30], 1), strict=True)
    for (found, true), channels in zip(parts, (5, None, 3, None, None), strict=True):
        if channels is None:  # fewer than 16 weights a channel
            assert torch.equal(found, true)
            continue
        rows = true.reshape(2, channels, -1)
        step = (rows.amax(-1, keepdim=True) - rows.amin(-1, keepdim=True)) / 255
        error = (found.reshape(rows.shape) - rows).abs()
        assert bool((error <= step / 2 + 1e-6 * rows.abs().amax(-1, keepdim=True)).all())
        assert bool((error > step / 10).any())
        assert codes.codes.amin() == -128
        assert codes.codes.amax() == 127


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-30, 1e30])
def test_a_channel_of_equal_values_is_exact(value: float) -> None:
    codes = Codes(weights_of((2, 16)), 1)
    values = torch.full((1, 32), value)
    codes.store(values)
    assert torch.equal(codes.values(), values)


def test_values_on_a_grid_come_back() -> None:
    codes = Codes(weights_of((1, 256)), 1)
    values = torch.arange(-100.0, 156.0).flip(0).unsqueeze(0)
    codes.store(values)
    assert torch.equal(codes.values(), values)
    again = Codes(weights_of((1, 256)), 1)
    again.store(codes.values())
    assert torch.equal(again.codes, codes.codes)


@pytest.mark.parametrize("name", CASES)
def test_means_and_spreads_are_within_half_a_step(name: str) -> None:
    bnn, _ = made(name)
    small = quantize(bnn)
    with torch.no_grad():
        q, true = small.q(), bnn.q()
    for weight, found, exact in zip(bnn.weights, q.mean, true.mean, strict=True):
        assert found.shape == (bnn.members, *weight.shape)
        assert found.dtype == exact.dtype
        if exact[0].numel() // exact.shape[1] < 16:
            assert torch.equal(found, exact)
            continue
        rows, error = exact.double().flatten(2), (found.double() - exact.double()).abs().flatten(2)
        step = (rows.amax(-1, keepdim=True) - rows.amin(-1, keepdim=True)) / 255
        rounding = 2.0**-8 if exact.dtype == torch.bfloat16 else 1e-6
        assert bool((error <= step / 2 + rounding * rows.abs().amax(-1, keepdim=True)).all())
    if true.sigma is None:
        assert q.sigma is None
        return
    assert q.sigma is not None
    # |d log σ| ≤ |dρ|, and ρ spans less than 10 in a channel
    assert float((q.sigma / true.sigma).log().abs().max()) <= 10 / 510


# -- predictions


@pytest.mark.parametrize("name", CASES)
def test_predictions_are_close_to_those_of_the_float_network(name: str) -> None:
    bnn, x = made(name)
    bnn.train()
    before = copy.deepcopy(bnn.state_dict())
    small = quantize(bnn)
    assert small.training
    a, b = (yu.predict(one, x, samples=20, seed=3).samples.double() for one in (bnn, small))
    noise = a.std() if len(a) > 1 else a.abs().max()
    assert 0 < float((a - b).abs().max()) < 0.1 * float(noise)
    for key, value in bnn.state_dict().items():
        assert torch.equal(value, before[key])


def test_draws_are_the_means_and_the_same_noise_dequantised() -> None:
    bnn, _ = made("members")
    small = quantize(bnn)
    q = small.q()
    assert q.scales is not None
    exact = bnn.q()
    assert exact.scales is not None
    float_draws, draws = bnn.draws(6, seed=2), small.draws(6, seed=2)
    for index, name in enumerate(bnn.weight_names):
        k = torch.arange(6) % 3
        unit = (float_draws[name] - exact.mean[index][k]) / exact.scales[index][k]
        torch.testing.assert_close(draws[name], q.mean[index][k] + q.scales[index][k] * unit, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "members", "anchored", "one anchored", "conv, members", "tied"])
def test_passes_and_the_mean(name: str) -> None:
    bnn, x = made(name)
    bnn.eval()
    small = quantize(bnn)
    with bnn.at_mean(), small.at_mean():
        torch.testing.assert_close(small(x), bnn(x), rtol=0.02, atol=0.02)
    bnn.explore((x,), {})
    small.explore((x,), {})
    with bnn.seeded(1), small.seeded(1):
        torch.testing.assert_close(small(x), bnn(x), rtol=0.1, atol=0.1)
    assert str(small.coverage()) == str(bnn.coverage())


def test_accuracy_and_entropy_of_a_fitted_classifier() -> None:
    x = randn(300, 2)
    y = (x[:, 0] > x[:, 1].sin()).long()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 2))
    bnn = yu.bayesianize(net, likelihood=yu.Categorical(), seed=0)
    yu.fit(bnn, (x, y), epochs=100, kl_weight=0.1, seed=0)
    grid = 2 * randn(1000, 2, seed=1)
    a, b = yu.predict(bnn, grid), yu.predict(quantize(bnn), grid)
    assert isinstance(a, yu.ClassificationPrediction)
    assert isinstance(b, yu.ClassificationPrediction)
    assert float((a.label == (grid[:, 0] > grid[:, 1].sin())).double().mean()) > 0.85
    assert float((a.label == b.label).double().mean()) > 0.99
    assert float(b.entropy.mean() / a.entropy.mean()) == pytest.approx(1, abs=0.01)


# -- memory, copies, state


def test_resting_memory_is_a_quarter() -> None:
    bnn = yu.bayesianize(nn.Linear(1000, 100), members=2, seed=0)
    stored = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in quantize(bnn).state_dict().values()}
    assert sum(stored.values()) < 0.27 * (4 * 2 * 2 * 1001 * 100)
    for weight in quantize(bnn).weights:
        assert weight.parameter.untyped_storage().nbytes() == 4
        assert not weight.parameter.requires_grad


@pytest.mark.parametrize("name", ["mlp", "members", "anchored", "tied", "lstm"])
def test_copies_states_and_conversions(name: str) -> None:
    bnn, x = made(name)
    small = quantize(bnn)
    expected = yu.predict(small, x, samples=5).samples
    twin = copy.deepcopy(small)
    assert torch.equal(yu.predict(twin, x, samples=5).samples, expected)
    for parameter in (weight.parameter for weight in twin.weights):
        assert parameter.untyped_storage().nbytes() == parameter.element_size()
    buffer = io.BytesIO()
    torch.save(small.state_dict(), buffer)
    buffer.seek(0)
    other = quantize(yu.bayesianize(CASES[name][0](), seed=9, **CASES[name][2]))
    other.load_state_dict(torch.load(buffer))
    assert torch.equal(yu.predict(other, x, samples=5).samples, expected)
    with pytest.raises(RuntimeError, match=r"Missing key.*mean_codes\.codes"):
        other.load_state_dict({})
    double = twin.double()
    assert yu.predict(double, x.double(), samples=5).samples.dtype == torch.float64


def test_the_bare_module_says_that_its_weights_are_elsewhere() -> None:
    bnn, x = made()
    assert bool(quantize(bnn).module(x).isnan().all())
    assert bool(bnn.module(x).isfinite().all())


# -- files


@pytest.mark.parametrize("name", CASES)
def test_a_file_gives_the_same_predictions_and_the_same_bytes(name: str, tmp_path: Path) -> None:
    bnn, x = made(name)
    small = quantize(bnn)
    yu.save(small, tmp_path / "net", extra={"unit": "m"})
    output = bnn.output if callable(bnn.output) else None
    loaded = yu.load(tmp_path / "net", CASES[name][0]().float(), output=output)
    assert isinstance(loaded, Quantized)
    p, q = (yu.predict(one, x, samples=5).samples for one in (small, loaded))
    assert p.dtype == q.dtype
    assert torch.equal(p, q)
    yu.save(loaded, tmp_path / "again", extra={"unit": "m"})
    assert (tmp_path / "net").read_bytes() == (tmp_path / "again").read_bytes()
    assert read(tmp_path / "net").extra == {"unit": "m"}


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )  # 44,426 parameters


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"members": 3},
        {"posterior": yu.posteriors.Anchored(), "members": 2},
        {"prior": yu.priors.Pretrained()},
    ],
)
def test_the_file_of_a_lenet_is_at_most_three_tenths_of_the_float_one(options: dict[str, Any], tmp_path: Path) -> None:
    bnn = yu.bayesianize(lenet(), likelihood=yu.Categorical(), seed=0, **options)
    yu.save(bnn, tmp_path / "float")
    yu.save(quantize(bnn), tmp_path / "int8")
    assert (tmp_path / "int8").stat().st_size <= 0.3 * (tmp_path / "float").stat().st_size


def test_damage_and_other_architectures_are_refused_and_the_network_left_as_it_was(tmp_path: Path) -> None:
    bnn, _ = made()
    path = tmp_path / "net.yuragi"
    yu.save(quantize(bnn), path)
    data = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(data[:8], "little")
    for position in range(header, len(data), 97):
        data[position] ^= 1
        path.write_bytes(data)
        with pytest.raises(FileError, match=r"net\.yuragi is damaged"):
            yu.load(path, mlp())
        data[position] ^= 1
    path.write_bytes(data[:-1])
    with pytest.raises(FileError, match=r"net\.yuragi is damaged"):
        yu.load(path, mlp())
    path.write_bytes(data)
    wider = nn.Sequential(nn.Linear(4, 50), nn.Tanh(), nn.Linear(50, 30), nn.Tanh(), nn.Linear(30, 2))
    for net, message in (
        (wider, r"'0.weight' has shape \(40, 4\) there and \(50, 4\)"),
        (nn.Linear(4, 2), "the file has no 'weight'"),
    ):
        before = copy.deepcopy(net.state_dict())
        with pytest.raises(FileError, match=f"another architecture: {message}"):
            yu.load(path, net)
        for key, value in net.state_dict().items():
            assert torch.equal(value, before[key])


# -- what is refused


def test_what_cannot_be_quantised() -> None:
    with pytest.raises(TypeError, match="quantize takes a Bayesian network, got Sequential"):
        quantize(mlp())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="quantised already"):
        quantize(quantize(made()[0]))
    correlated = yu.bayesianize(mlp(), posterior=yu.posteriors.LowRank())
    with pytest.raises(TypeError, match="cannot quantise a LowRank posterior, whose weights are correlated"):
        quantize(correlated)
    bnn, _ = made()
    with torch.no_grad():
        bnn.weights[2].parameter[3, 4] = torch.inf
    with pytest.raises(ValueError, match=r"cannot quantise weight '2\.weight': it has values that are NaN or infinite"):
        quantize(bnn)


@pytest.mark.parametrize("name", ["mlp", "anchored"])
def test_a_quantised_network_is_not_trained(name: str) -> None:
    bnn, x = made(name)
    small = quantize(bnn)
    y = randn(7, 2)
    with pytest.raises(TypeError, match="cannot be trained: fit the float network, and quantise it again"):
        small.loss(x, y, num_data=7)
    with pytest.raises(TypeError, match="cannot be trained: fit the float network, and quantise it again"):
        yu.fit(small, (x, y), epochs=1)
    with pytest.raises(TypeError, match="ask the float network for its KL"):
        small.kl()


def test_an_unfitted_network_whose_spreads_have_vanished_stays_finite() -> None:
    bnn, x = made()
    assert isinstance(bnn.posterior, yu.posteriors.MeanField)
    with torch.no_grad():
        bnn.posterior.rho.fill_(-200)  # softplus gives zero
    assert float(F.softplus(bnn.posterior.rho.detach()).max()) == 0
    small = quantize(bnn)
    q = small.q()
    assert q.sigma is not None
    assert not q.sigma.requires_grad
    assert float(q.sigma.max()) < 1e-37
    assert bool(yu.predict(small, x).samples.isfinite().all())
