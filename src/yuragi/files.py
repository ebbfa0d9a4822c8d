"""`save` and `load`: one safetensors file with JSON metadata and a checksum, and never a pickle.

The file holds the state of a `Bayesian` network and how it was made Bayesian; the architecture stays the user's own.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from yuragi import likelihoods, posteriors, priors, quantization
from yuragi.bayesian import Bayesian
from yuragi.conversion import bayesianize
from yuragi.weights import as_new

_VERSION = 1
_NO_DIGEST = b"0" * 64
_DIGEST = re.compile(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"')  # JSON within the header's JSON
_KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "prior": (
        priors.Normal,
        priors.FanIn,
        priors.Laplace,
        priors.ScaleMixture,
        priors.Pretrained,
        priors.PerLayer,
        priors.PerWeight,
        priors.Multivariate,
    ),
    "posterior": (
        posteriors.MeanField,
        posteriors.Anchored,
        posteriors.LowRank,
        posteriors.FullCovariance,
        posteriors.PerLayer,
        posteriors.Points,
        quantization.Int8MeanField,
    ),
    "likelihood": (
        likelihoods.Gaussian,
        likelihoods.HeteroscedasticGaussian,
        likelihoods.StudentT,
        likelihoods.HeteroscedasticStudentT,
        likelihoods.Poisson,
        likelihoods.NegativeBinomial,
        likelihoods.Categorical,
        likelihoods.Bernoulli,
    ),
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
        ValueError: a prior, posterior or likelihood that the library does not know or that `fit` has still to choose, or a
            state that is not tensors.
        TypeError: `extra` holds something that JSON cannot.
        OSError: the file cannot be written there.

    Example:
        >>> import tempfile, yuragi as yu
        >>> net = nn.Linear(3, 1)
        >>> path = Path(tempfile.mkdtemp()) / "net.yuragi"
        >>> save(yu.bayesianize(net, likelihood=yu.Gaussian(noise=0.1)), path)
        >>> load(path, nn.Linear(3, 1)).likelihood
        Gaussian(noise=0.1)
    """
    if bnn.recipe is not None and bnn.recipe.open:
        raise ValueError(
            "the alternatives that fit is to choose from cannot be written to a file: fit the network first"
        )
    settings = {
        "prior": _describe(bnn.prior, "prior"),
        "posterior": _describe(bnn.posterior, "posterior"),
        "likelihood": _describe(bnn.likelihood, "likelihood"),
        "estimator": bnn.estimator,
        "members": bnn.members,
        "weights": bnn.weight_names,
        "output": None if callable(bnn.output) else bnn.output,
        "output_is_function": callable(bnn.output),
        "provenance": bnn.provenance,
    }
    if isinstance(bnn, quantization.Quantized):  # its state has no values for these parameters of the network
        settings["int8"] = {name: [str(like.dtype), list(like.shape)] for name, like in bnn.placeholders().items()}
    state = {}
    for name, tensor in bnn.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise ValueError(
                f"cannot save '{name}', which is a {type(tensor).__name__} and not a tensor; use state_dict()"
            )
        # cloned: safetensors refuses tensors that share memory, as tied weights do
        state[name] = tensor.detach().cpu().contiguous().clone()
    contents = json.dumps(
        {"sha256": _NO_DIGEST.decode(), "version": _VERSION, "settings": settings, "extra": dict(extra or {})}
    )
    data = safetensors.torch.save(state, {"yuragi": contents})  # one key: safetensors keeps several in no fixed order
    start, end = _digest_span(data)
    data = data[:start] + hashlib.sha256(data).hexdigest().encode() + data[end:]
    write_atomically(Path(path), data)


def load(path: str | os.PathLike[str], net: nn.Module, output: Any = None) -> Bayesian:
    """Read a Bayesian network whose architecture is `net`.

    Args:
        path: a file that `save` wrote.
        net: a network of the same architecture; its weights are overwritten, and take the precision of the file.
        output: as for `bayesianize`; needed again if it was a function.

    Returns:
        The `Bayesian` network, on the device of `net`; predictions are bit-identical on the same kind of device. It is a
        `yuragi.quantization.Quantized` one if that was saved.

    Raises:
        FileError: the file is damaged, of another kind or a newer version, or `net` has another architecture; `net` is
            left as it was.
        ValueError: `output` is needed.
        OSError: the file cannot be read, or there is none.
    """
    if isinstance(net, Bayesian):
        raise TypeError("load takes the deterministic network, got a Bayesian one: give it bnn.module")
    contents = read(path)
    settings, state = contents.settings, contents.state
    if output is None and settings["output_is_function"]:
        raise ValueError(
            f"{path} holds a network whose output a function picks, and no file can hold that: give load(..., output=)"
        )
    prefix = "module."
    quantised = {
        f"{prefix}{name}": torch.empty(shape, dtype=_dtype(dtype), device="meta")
        for name, (dtype, shape) in settings.get("int8", {}).items()
    }
    known = state | quantised
    held = {name.removeprefix(prefix): tensor for name, tensor in known.items() if name.startswith(prefix)}
    _check_same(path, net, net.state_dict(), held)
    parts = {part: _restore(path, settings[part], part) for part in _KINDS}
    names = set(settings["weights"])
    for name in names:
        as_new(net.get_parameter(name))
    bnn = bayesianize(
        net,
        **parts,
        estimator=settings["estimator"],
        members=settings["members"],
        where=lambda name, _: name in names,
        output=settings["output"] if output is None else output,
        seed=0,
    )
    bnn.member_buffers.follow(state, "member_buffers.")
    for name, tensor in [*bnn.named_parameters(), *bnn.named_buffers()]:
        if name in known:  # a buffer may be one that is not kept
            tensor.data = tensor.data.to(known[name].dtype)
    if quantised:
        bnn = quantization.Quantized(bnn, bnn.posterior)
    _check_same(path, bnn, bnn.state_dict(), state)
    bnn.load_state_dict(state)
    bnn.recipe = None  # it may be trained
    bnn.provenance = settings.get("provenance", {})
    return bnn


def read(path: str | os.PathLike[str]) -> Contents:
    """Read and check a file that `save` wrote.

    Raises:
        FileError: the file is damaged, of another kind, or of a newer version.
        OSError: the file cannot be read, or there is none.
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
    path = path.resolve()  # what a link points to is replaced, not the link
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "is not a regular file", str(path))
    temporary = path.with_name(f".yuragi-{os.getpid()}-{threading.get_ident()}.tmp")
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


def _check_same(
    path: str | os.PathLike[str], net: nn.Module, own: Mapping[str, Tensor], held: Mapping[str, Tensor]
) -> None:
    another, kind = f"{path} holds a network of another architecture", type(net).__name__
    for name in [*(name for name in own if name not in held), *sorted(held.keys() - own.keys())]:
        raise FileError(f"{another}: {'the file' if name in own else kind} has no '{name}'")
    for name, tensor in own.items():
        if tensor.shape != held[name].shape:
            raise FileError(
                f"{another}: '{name}' has shape {tuple(held[name].shape)} there and {tuple(tensor.shape)} in {kind}"
            )


def _describe(part: nn.Module, what: str) -> dict[str, Any]:
    if type(part) not in _KINDS[what]:
        known = ", ".join(kind.__name__ for kind in _KINDS[what])
        raise ValueError(f"cannot save {type(part).__name__}: only {known} can be written to a file; use state_dict()")

    def encode(value: Any) -> Any:
        if isinstance(value, Tensor):
            return {"tensor": value.tolist(), "dtype": str(value.dtype)}
        if isinstance(value, nn.Module):
            return _describe(value, what)
        if isinstance(value, dict):
            return {"mapping": {name: encode(one) for name, one in value.items()}}
        return value

    arguments: dict[str, Any] = part.arguments()  # type: ignore[operator]
    return {"kind": type(part).__name__, "arguments": {name: encode(value) for name, value in arguments.items()}}


def _restore(path: str | os.PathLike[str], described: dict[str, Any], what: str) -> Any:
    kinds = {kind.__name__: kind for kind in _KINDS[what]}
    if described["kind"] not in kinds:
        raise FileError(f"{path} holds a {described['kind']}, which this yuragi does not know: upgrade yuragi")

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if "tensor" in value:
            return torch.tensor(value["tensor"], dtype=_dtype(value["dtype"]))
        if "mapping" in value:
            return {name: decode(one) for name, one in value["mapping"].items()}
        return _restore(path, value, what)

    return kinds[described["kind"]](**{name: decode(value) for name, value in described["arguments"].items()})


def _dtype(name: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, name.removeprefix("torch."))
    return dtype
