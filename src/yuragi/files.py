"""`save` and `load`: one safetensors file with JSON metadata and a checksum, and never a pickle.

The file holds the state of a `Bayesian` network and how it was made Bayesian; the architecture stays the user's own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from yuragi import likelihoods, posteriors, priors
from yuragi.bayesian import Bayesian, bayesianize

_VERSION = 1
_NO_DIGEST = b"0" * 64
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_KINDS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        priors.Normal,
        priors.FanIn,
        posteriors.MeanField,
        posteriors.Anchored,
        likelihoods.Gaussian,
        likelihoods.Categorical,
    )
}


class FileError(ValueError):
    """A file that is damaged, of another kind, of a newer version, or that does not fit the network."""


@dataclass(frozen=True)
class Contents:
    """What a file holds: how the network was made Bayesian, its state, and what the caller of `save` added."""

    settings: dict[str, Any]
    state: dict[str, Tensor]
    extra: dict[str, Any]


def save(bnn: Bayesian, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None) -> None:
    """Write a Bayesian network to a file, atomically: an interrupted write leaves an existing file as it was.

    Args:
        bnn: the network.
        path: the file, by custom `*.yuragi`.
        extra: anything that JSON can hold, kept beside the network.

    Raises:
        ValueError: a prior, posterior or likelihood that the library does not know.

    Example:
        >>> import tempfile, yuragi as yu
        >>> net = nn.Linear(3, 1)
        >>> path = Path(tempfile.mkdtemp()) / "net.yuragi"
        >>> save(yu.bayesianize(net, likelihood=yu.Gaussian(noise=0.1)), path)
        >>> load(path, nn.Linear(3, 1)).likelihood
        Gaussian(noise=0.1)
    """
    settings = {
        "prior": _describe(bnn.prior),
        "posterior": _describe(bnn.posterior),
        "likelihood": _describe(bnn.likelihood),
        "estimator": bnn.estimator,
        "members": bnn.members,
        "weights": bnn.weight_names,
        "output": None if callable(bnn.output) else bnn.output,
    }
    # cloned: safetensors refuses tensors that share memory, as tied weights do
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in bnn.state_dict().items()}
    contents = json.dumps({"version": _VERSION, "settings": settings, "extra": dict(extra or {})})
    data = safetensors.torch.save(state, {"yuragi": contents, "sha256": _NO_DIGEST.decode()})
    start, end = _digest_span(data)
    data = data[:start] + hashlib.sha256(data).hexdigest().encode() + data[end:]
    write_atomically(Path(path), data)


def load(path: str | os.PathLike[str], net: nn.Module, output: Any = None) -> Bayesian:
    """Read a Bayesian network whose architecture is `net`.

    Args:
        path: a file that `save` wrote.
        net: a network of the same architecture; its weights are overwritten.
        output: as for `bayesianize`; needed again if it was a function.

    Returns:
        The `Bayesian` network, on the device of `net`, in training mode as `net` is; predictions are bit-identical.

    Raises:
        FileError: the file is damaged, of another kind or a newer version, or `net` has another architecture.
        FileNotFoundError: there is no such file.
    """
    contents = read(path)
    settings, state = contents.settings, contents.state
    names = set(settings["weights"])
    own = dict(net.named_parameters())
    missing = sorted(names - own.keys())
    if missing:
        raise FileError(f"{path} holds a network of another architecture: {type(net).__name__} has no '{missing[0]}'")
    for name in names:
        own[name].requires_grad_(True)  # a template of several members is frozen
    bnn = bayesianize(
        net,
        likelihood=_restore(settings["likelihood"]),
        prior=_restore(settings["prior"]),
        posterior=_restore(settings["posterior"]),
        estimator=settings["estimator"],
        members=settings["members"],
        where=lambda name, _: name in names,
        output=settings["output"] if output is None else output,
        seed=0,
    )
    expected = bnn.state_dict()
    for name in sorted(expected.keys() | state.keys()):
        if name not in state or name not in expected:
            where = "the network" if name not in expected else "the file"
            raise FileError(f"{path} holds a network of another architecture: {where} has no '{name}'")
        if expected[name].shape != state[name].shape:
            raise FileError(
                f"{path} holds a network of another architecture: '{name}' has shape {tuple(state[name].shape)} there "
                f"and {tuple(expected[name].shape)} in {type(net).__name__}"
            )
    bnn.load_state_dict(state)
    return bnn


def read(path: str | os.PathLike[str]) -> Contents:
    """Read and check a file that `save` wrote.

    Raises:
        FileError: the file is damaged, of another kind, or of a newer version.
        FileNotFoundError: there is no such file.
    """
    data = Path(path).read_bytes()
    metadata = _metadata(path, data)
    start, end = _digest_span(data)
    if hashlib.sha256(data[:start] + _NO_DIGEST + data[end:]).hexdigest().encode() != data[start:end]:
        raise FileError(f"{path} is damaged: its checksum is wrong; restore it from a copy, or fit again")
    contents = json.loads(metadata["yuragi"])
    if contents["version"] > _VERSION:
        raise FileError(
            f"{path} is of file version {contents['version']}, and this yuragi reads up to {_VERSION}: upgrade yuragi"
        )
    return Contents(contents["settings"], safetensors.torch.load(data), contents["extra"])


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _metadata(path: str | os.PathLike[str], data: bytes) -> dict[str, str]:
    # safetensors: eight bytes with the header's length, the header as JSON, the tensors
    length = int.from_bytes(data[:8], "little")
    header: Any = None
    if len(data) >= 8 + length and data[8:9] == b"{":
        try:
            header = json.loads(data[8 : 8 + length])
        except ValueError:  # neither JSON nor UTF-8
            header = None
    elif data[8:9] == b"{" and b'"yuragi"' in data[:4096]:
        raise FileError(f"{path} is damaged: it ends too early; restore it from a copy, or fit again")
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or "yuragi" not in metadata or not _DIGEST.search(data, 8, 8 + length):
        raise FileError(f"{path} is not a file that yuragi.save wrote, or its header is damaged")
    return metadata


def _digest_span(data: bytes) -> tuple[int, int]:
    found = _DIGEST.search(data, 8, 8 + int.from_bytes(data[:8], "little"))
    assert found is not None
    return found.span(1)


def _describe(part: nn.Module) -> dict[str, Any]:
    kind = type(part).__name__
    if _KINDS.get(kind) is not type(part):
        raise ValueError(f"cannot save {kind}: only {', '.join(_KINDS)} can be written to a file; use state_dict()")
    arguments = part.arguments()  # type: ignore[operator]
    return {
        "kind": kind,
        "arguments": {name: v.tolist() if isinstance(v, Tensor) else v for name, v in arguments.items()},
    }


def _restore(described: dict[str, Any]) -> Any:
    arguments = {
        name: torch.tensor(value, dtype=torch.float64) if isinstance(value, list) else value
        for name, value in described["arguments"].items()
    }
    return _KINDS[described["kind"]](**arguments)
