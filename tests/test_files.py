"""`save` and `load`: bit-identical predictions, and one clear error for everything that is not such a file."""

import copy
import json
import os
import pickle
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.files import FileError, read, write_atomically

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


def double(bnn: yu.Bayesian) -> None:
    bnn.double()


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
    before = torch.get_rng_state()
    other = yu.load(path, CASES[name][0]())
    # the fresh network above draws its weights; loading draws nothing that is seen outside
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
    assert before.shape == torch.get_rng_state().shape
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


@pytest.mark.parametrize(("name", "other"), [("mean field", "anchored"), ("anchored", "mean field"), ("anchored", "anchored")])
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
        (nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)), r"'0.weight' has shape \(4, 3\) there and \(5, 3\)"),
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


# -- damage


@pytest.mark.parametrize("name", ["mean field", "anchored"])
def test_every_truncation_is_noticed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yuragi"
    yu.save(made(name), path, extra={"note": "x" * 50})
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    for length in {0, 1, 7, 8, 9, 20, header - 1, header, header + 1, len(data) - 1, *range(0, len(data), 97)}:
        path.write_bytes(data[:length])
        with pytest.raises(FileError, match=r"net\.yuragi is"):
            read(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(FileError, match="damaged"):
        read(path)


@pytest.mark.parametrize("bit", [0, 5, 7])
def test_every_flipped_bit_is_noticed(bit: int, tmp_path: Path) -> None:
    path = tmp_path / "net.yuragi"
    yu.save(made(), path)
    data = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(data[:8], "little")
    for position in [*range(header), *range(header, len(data), 3)]:
        data[position] ^= 1 << bit
        path.write_bytes(data)
        with pytest.raises(FileError, match=r"net\.yuragi is"):
            read(path)
        data[position] ^= 1 << bit
    path.write_bytes(data)
    read(path)


OTHER_KINDS = {
    "empty": b"",
    "text": b"x,y\n1,2\n" * 100,
    "JSON": b'{"yuragi": "no"}' * 10,
    "pickle": pickle.dumps({"weight": [1.0] * 100}),
    "safetensors": safetensors.torch.save({"weight": torch.zeros(3)}),
    "safetensors with metadata": safetensors.torch.save({"weight": torch.zeros(3)}, {"format": "pt"}),
    "safetensors that claims to be one": safetensors.torch.save({"weight": torch.zeros(3)}, {"yuragi": "{}"}),
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "zeros": bytes(1000),
    "a header that is a list": struct.pack("<Q", 2) + b"[]",
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_files_of_another_kind(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "other.bin"
    path.write_bytes(OTHER_KINDS[kind])
    with pytest.raises(FileError, match=r"other\.bin is (not a file that yuragi\.save wrote|damaged)"):
        yu.load(path, mlp())


def test_a_torch_checkpoint(tmp_path: Path) -> None:
    torch.save(mlp().state_dict(), tmp_path / "net.pt")
    with pytest.raises(FileError, match="not a file that yuragi.save wrote"):
        yu.load(tmp_path / "net.pt", mlp())


def test_folders_and_missing_files_are_the_errors_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.yuragi"):
        yu.load(tmp_path / "absent.yuragi", mlp())
    with pytest.raises(OSError, match=tmp_path.name):
        yu.load(tmp_path, mlp())
    with pytest.raises(FileNotFoundError, match="no such folder: '.*nowhere'"):
        yu.save(made(), tmp_path / "nowhere" / "net")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="folder"):
        yu.save(made(), folder)
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def rewritten(path: Path, change: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Save a file whose contents another version of the library could have written, checksum and all."""
    dumps = json.dumps

    def changed(contents: dict[str, Any]) -> str:
        change(contents)
        return dumps(contents)

    with monkeypatch.context() as patch:
        patch.setattr("yuragi.files.json.dumps", changed)
        yu.save(made(), path)


def test_a_newer_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewritten(tmp_path / "net", lambda contents: contents.update(version=2, settings={}), monkeypatch)
    with pytest.raises(FileError, match="net is of file version 2, and this yuragi reads up to 1: upgrade yuragi"):
        yu.load(tmp_path / "net", mlp())


def test_a_posterior_of_a_later_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewritten(tmp_path / "net", lambda c: c["settings"]["posterior"].update(kind="LowRank"), monkeypatch)
    with pytest.raises(FileError, match="net holds a LowRank, which this yuragi does not know: upgrade yuragi"):
        yu.load(tmp_path / "net", mlp())


# -- writing


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.yuragi"
    yu.save(made(), path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="no space left"):
            yu.save(made("anchored"), path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["net.yuragi"]


def test_threads_that_write_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    payloads = [bytes([i]) * 200_000 for i in range(6)]
    threads = [threading.Thread(target=write_atomically, args=(path, payload)) for payload in payloads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in payloads
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
