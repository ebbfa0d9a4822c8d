"""What is not a file of ours, or damaged, gives one clear error; a failed write touches nothing."""

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
from torch import nn

import yuragi as yu
from yuragi.files import FileError, read, write_atomically


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def made(name: str = "mean field") -> yu.Bayesian:
    posterior = yu.posteriors.MeanField() if name == "mean field" else yu.posteriors.Anchored()
    return yu.bayesianize(mlp(), posterior=posterior, members=1 if name == "mean field" else 4, seed=0)


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
    with pytest.raises(FileError, match=r"not a file that yuragi\.save wrote"):
        yu.load(tmp_path / "net.pt", mlp())


def test_folders_and_missing_files_are_the_errors_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.yuragi"):
        yu.load(tmp_path / "absent.yuragi", mlp())
    with pytest.raises(OSError, match=tmp_path.name):
        yu.load(tmp_path, mlp())
    with pytest.raises(FileNotFoundError, match=r"no such folder: '.*nowhere'"):
        yu.save(made(), tmp_path / "nowhere" / "net")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="folder"):
        yu.save(made(), folder)
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def rewritten(
    path: Path,
    change: Callable[[dict[str, Any]], None],
    monkeypatch: pytest.MonkeyPatch,
    net: nn.Module | None = None,
) -> None:
    """Save a file whose contents another version of the library could have written, checksum and all."""
    dumps = json.dumps

    def changed(contents: dict[str, Any]) -> str:
        change(contents)
        return dumps(contents)

    with monkeypatch.context() as patch:
        patch.setattr("yuragi.container.json.dumps", changed)
        yu.save(made() if net is None else yu.bayesianize(net, seed=0), path)


def test_a_newer_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewritten(tmp_path / "net", lambda contents: contents.update(version=2, settings={}), monkeypatch)
    with pytest.raises(FileError, match="net is of file version 2, and this yuragi reads up to 1: upgrade yuragi"):
        yu.load(tmp_path / "net", mlp())


def test_a_posterior_of_a_later_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewritten(tmp_path / "net", lambda c: c["settings"]["posterior"].update(kind="Horseshoe"), monkeypatch)
    with pytest.raises(FileError, match="net holds a Horseshoe, which this yuragi does not know: upgrade yuragi"):
        yu.load(tmp_path / "net", mlp())


# -- a file that claims what it does not hold


def large() -> nn.Module:
    return nn.Sequential(nn.Linear(30, 30), nn.Tanh(), nn.Linear(30, 1))


CLAIMS: dict[str, Callable[[dict[str, Any]], None]] = {
    "members": lambda c: c["settings"].update(members=900),
    "more members than there are numbers": lambda c: c["settings"].update(members=10**9),
    "a covariance": lambda c: c["settings"]["posterior"].update(kind="FullCovariance", arguments={}),
    "a rank": lambda c: c["settings"]["posterior"].update(kind="LowRank", arguments={"rank": 900}),
    "a rank beyond all": lambda c: c["settings"]["posterior"].update(kind="LowRank", arguments={"rank": 10**12}),
    "outputs": lambda c: c["settings"]["likelihood"].update(arguments={"outputs": 10**12}),
    "weights that are none": lambda c: c["settings"].update(weights=["7.weight"]),
    "no weights": lambda c: c["settings"].update(weights=[]),
    "another estimator": lambda c: c["settings"].update(estimator="guess"),
    "no posterior": lambda c: c["settings"].pop("posterior"),
    "a list of settings": lambda c: c.update(settings=[]),
    "a version that is no number": lambda c: c.update(version="1"),
    "an argument that there is not": lambda c: c["settings"]["posterior"].update(arguments={"width": 1}),
    "a part in the place of a number": lambda c: c["settings"]["posterior"]["arguments"].update(
        init_scale={"kind": "MeanField", "arguments": {}}
    ),
    "a tensor of text": lambda c: c["settings"]["prior"]["arguments"].update(
        gain={"tensor": ["a"], "dtype": "torch.int64"}
    ),
    "a tensor of a type that there is not": lambda c: c["settings"]["prior"]["arguments"].update(
        gain={"tensor": [1], "dtype": "nn"}
    ),
    "provenance that is no object": lambda c: c["settings"].update(provenance=[1]),
    "int8 that is none": lambda c: c["settings"].update(int8={"0.weight": [["torch.float32"], [2**40]]}),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_refused_before_memory_is_taken(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.yuragi"
    rewritten(path, CLAIMS[name], monkeypatch, large())
    made: list[int] = []
    zeros = torch.Tensor.new_zeros

    def counted(self: torch.Tensor, *sizes: Any, **options: Any) -> torch.Tensor:
        found = zeros(self, *sizes, **options)
        made.append(found.numel())
        return found

    monkeypatch.setattr(torch.Tensor, "new_zeros", counted)
    with pytest.raises(FileError, match=r"net\.yuragi (is no file|holds)"):
        yu.load(path, large())
    assert max(made, default=0) < 10_000


def test_json_that_is_too_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part: dict[str, Any] = {"kind": "MeanField", "arguments": {}}
    for _ in range(150):
        part = {"kind": "PerLayer", "arguments": {"layers": {"mapping": {}}, "default": part}}
    rewritten(tmp_path / "net", lambda c: c["settings"].update(posterior=part), monkeypatch)
    with pytest.raises(FileError, match="net "):
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
