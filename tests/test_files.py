"""`save` and `load`: bit-identical predictions, and one clear error for another architecture."""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi import files
from yuragi.files import FileError, read

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
Y = torch.randn(6, 1, generator=torch.Generator().manual_seed(1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.second(self.first(x).tanh()).tanh())
        return result


class Answer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"x": x, "y": self.net(x)}


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 1))


CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "mean field": (mlp, {}),
    "mean field, members": (mlp, {"members": 3}),
    "anchored": (mlp, {"members": 4, "posterior": yu.posteriors.Anchored()}),
    "anchored, one": (mlp, {"members": 1, "posterior": yu.posteriors.Anchored(seed=3)}),
    "fixed noise": (mlp, {"likelihood": yu.Gaussian(noise=0.123456789)}),
    "double noise": (mlp, {"likelihood": yu.Gaussian(noise=torch.tensor(0.1, dtype=torch.float64))}),
    "settings per member": (
        mlp,
        {
            "members": 3,
            "likelihood": yu.Gaussian(noise=torch.tensor([0.1, 0.2, 0.3])),
            "prior": yu.priors.Normal(mean=0.1, scale=torch.tensor([0.1, 1.0, 3.0])),
        },
    ),
    "other settings": (
        mlp,
        {"prior": yu.priors.FanIn(gain=0.7), "posterior": yu.posteriors.MeanField(0.01), "estimator": "local"},
    ),
    "tied": (Tied, {}),
    "tied, members": (Tied, {"members": 3}),
    "batch norm": (normed, {}),
    "batch norm, members": (normed, {"members": 3}),
    "where": (mlp, {"where": "2.weight"}),
    "where, members": (mlp, {"where": nn.Linear, "members": 2}),
    "output": (Answer, {"output": "y"}),
    "float64": (lambda: mlp().double(), {}),
    "float64, members": (lambda: mlp().double(), {"members": 3}),
    "bfloat16": (lambda: mlp().bfloat16(), {}),
}


def made(name: str = "mean field") -> yu.Bayesian:
    build, options = CASES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bnn = yu.bayesianize(build(), **({"seed": 0} | options))
    return bnn


def trained(name: str = "mean field") -> yu.Bayesian:
    bnn = made(name)
    dtype = bnn.reference_tensor.dtype
    optimizer = torch.optim.Adam([p for p in bnn.parameters() if p.requires_grad], lr=1e-2)
    bnn.likelihood.initialise(Y.to(dtype))
    for _ in range(3):
        optimizer.zero_grad()
        bnn.loss(X.to(dtype), Y.to(dtype), num_data=6, index=torch.arange(6)).backward()
        optimizer.step()
    return bnn


def same_predictions(one: yu.Bayesian, other: yu.Bayesian) -> None:
    first, second = yu.predict(one, X, samples=6), yu.predict(other, X, samples=6)
    assert isinstance(first, yu.RegressionPrediction)
    assert isinstance(second, yu.RegressionPrediction)
    assert torch.equal(first.samples, second.samples)
    assert torch.equal(first.noise, second.noise)
    assert first.samples.dtype == second.samples.dtype


@pytest.mark.parametrize("name", CASES)
def test_a_round_trip_gives_bit_identical_predictions(name: str, tmp_path: Path) -> None:
    bnn, path = trained(name), tmp_path / "net.yuragi"
    yu.save(bnn, path)
    net = CASES[name][0]()
    before = torch.get_rng_state()
    other = yu.load(path, net)
    assert torch.equal(torch.get_rng_state(), before)
    assert other.weight_names == bnn.weight_names
    same_predictions(bnn, other)
    assert torch.equal(bnn.kl(), other.kl())
    for key, value in bnn.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key
    assert repr(other.prior) == repr(bnn.prior)
    assert repr(other.posterior) == repr(bnn.posterior)
    assert repr(other.likelihood) == repr(bnn.likelihood)
    assert (other.estimator, other.members) == (bnn.estimator, bnn.members)
    assert [p.requires_grad for p in other.parameters()] == [p.requires_grad for p in bnn.parameters()]
    yu.save(other, tmp_path / "again.yuragi")
    same_predictions(bnn, yu.load(tmp_path / "again.yuragi", CASES[name][0]()))


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    yu.save(trained("tied"), tmp_path / "net")
    net = Tied()
    yu.load(tmp_path / "net", net)
    assert net.first.weight is net.second.weight


@pytest.mark.parametrize("name", ["mean field", "mean field, members"])
def test_training_goes_on_as_if_nothing_had_happened(name: str, tmp_path: Path) -> None:
    bnn = trained(name)
    yu.save(bnn, tmp_path / "net")
    losses = []
    for one in (bnn, yu.load(tmp_path / "net", mlp())):
        torch.manual_seed(0)
        losses.append(yu.fit(one, (X, Y), epochs=5, seed=0).loss)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("convert", [nn.Module.double, nn.Module.bfloat16])
def test_a_network_converted_later_comes_back_in_its_precision(
    convert: Callable[[nn.Module], nn.Module], tmp_path: Path
) -> None:
    for name in ("mean field", "mean field, members", "anchored", "tied", "batch norm"):
        bnn = trained(name)
        convert(bnn)
        yu.save(bnn, tmp_path / "net")
        same_predictions(bnn, yu.load(tmp_path / "net", CASES[name][0]()))


def test_categorical(tmp_path: Path) -> None:
    bnn = yu.bayesianize(nn.Linear(3, 4), likelihood=yu.Categorical(), seed=0)
    yu.save(bnn, tmp_path / "net")
    prediction = yu.predict(yu.load(tmp_path / "net", nn.Linear(3, 4)), X)
    assert torch.equal(prediction.samples, yu.predict(bnn, X).samples)


@pytest.mark.parametrize(
    ("name", "other"), [("mean field", "anchored"), ("anchored", "mean field"), ("anchored", "anchored")]
)
def test_a_network_that_is_bayesian_already_may_be_loaded_into_anew(name: str, other: str, tmp_path: Path) -> None:
    bnn = trained(name)
    yu.save(bnn, tmp_path / "net")
    template = made(other).module  # frozen, if it has several members
    loaded = yu.load(tmp_path / "net", template)
    same_predictions(bnn, loaded)
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in bnn.parameters()]
    with pytest.raises(TypeError, match=r"give it bnn\.module"):
        yu.load(tmp_path / "net", loaded)


def test_extra_comes_back(tmp_path: Path) -> None:
    extra = {"columns": ["größe", "x"], "scale": [1.5, 2.0], "nested": {"none": None, "true": True}, "sha256": "0" * 64}
    yu.save(made(), tmp_path / "net", extra=extra)
    assert read(tmp_path / "net").extra == extra
    yu.save(made(), tmp_path / "net")
    assert read(tmp_path / "net").extra == {}


def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    class Own(yu.priors.Normal):
        pass

    path = tmp_path / "net"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="cannot save Own"):
        yu.save(yu.bayesianize(mlp(), prior=Own()), path)
    with pytest.raises(TypeError, match="not JSON serializable"):
        yu.save(made(), path, extra={"net": mlp()})
    assert path.read_bytes() == b"old"


def test_an_output_function_must_be_given_again(tmp_path: Path) -> None:
    def pick(result: dict[str, Tensor]) -> Tensor:
        return result["y"]

    bnn = yu.bayesianize(Answer(), output=pick, seed=0)
    yu.save(bnn, tmp_path / "net")
    with pytest.raises(ValueError, match=r"give load\(..., output=\)"):
        yu.load(tmp_path / "net", Answer())
    same_predictions(bnn, yu.load(tmp_path / "net", Answer(), output=pick))


# -- another architecture


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Linear(3, 1), "the file has no 'weight'"),
        (nn.Sequential(nn.Linear(3, 4)), "Sequential has no '2.bias'"),
        (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1, bias=False)), "Sequential has no '2.bias'"),
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), "the file has no '1.weight'"),
        (
            nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)),
            r"'0.weight' has shape \(4, 3\) there and \(5, 3\)",
        ),
    ],
)
@pytest.mark.parametrize("name", ["mean field", "mean field, members", "anchored, one"])
def test_another_architecture_is_refused_and_left_as_it_was(
    name: str, net: nn.Module, message: str, tmp_path: Path
) -> None:
    yu.save(made(name), tmp_path / "net.yuragi")
    net = copy.deepcopy(net).requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(FileError, match=rf"net\.yuragi holds a network of another architecture: .*{message}"):
        yu.load(tmp_path / "net.yuragi", net)
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key])
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_a_link_is_followed_and_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    real, link, pipe = tmp_path / "real", tmp_path / "link", tmp_path / "pipe"
    real.write_bytes(b"old")
    link.symlink_to(real)
    files.write_atomically(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="not a regular file"):
        files.write_atomically(pipe, b"new")
    files.write_atomically(tmp_path / ("n" * 250), b"new")
