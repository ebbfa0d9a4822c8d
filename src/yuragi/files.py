"""`save` and `load`: one safetensors file with JSON metadata and a checksum, and never a pickle.

The file holds the state of a `Bayesian` network and how it was made Bayesian; the architecture stays the user's own. Loading
a file from anywhere can at worst fail: nothing in it is run, all of it is checked, and memory is bounded by its size.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yuragi import likelihoods, posteriors, priors, quantization
from yuragi.bayesian import Bayesian
from yuragi.container import Contents, check_writable, packed, read, replacing, write_atomically
from yuragi.conversion import bayesianize
from yuragi.described import Described, FileError
from yuragi.estimators import ESTIMATORS, Estimator
from yuragi.weights import as_new, select_weights

__all__ = [
    "Contents",
    "Described",
    "FileError",
    "check_writable",
    "load",
    "read",
    "replacing",
    "restored",
    "save",
    "write_atomically",
]

_SIZES = ("members", "outputs", "rank")  # arguments that say how much memory a part takes
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
_DIMENSIONS = 16
_DTYPES = {str(dtype): dtype for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64)}


def save(bnn: Bayesian, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None) -> None:
    """Write a Bayesian network to a file, atomically: an interrupted write leaves an existing file as it was.

    Args:
        bnn: the network.
        path: the file, by custom `*.yuragi`.
        extra: anything that JSON can hold, kept beside the network.

    Raises:
        ValueError: a prior, posterior or likelihood that the library does not know or that `fit` has still to choose, or a
            state that is not tensors.
        TypeError: not such a network, or `extra` holds something that JSON cannot.
        OSError: the file cannot be written there.

    Example:
        >>> import tempfile, yuragi as yu
        >>> net = nn.Linear(3, 1)
        >>> path = Path(tempfile.mkdtemp()) / "net.yuragi"
        >>> save(yu.bayesianize(net, likelihood=yu.Gaussian(noise=0.1)), path)
        >>> load(path, nn.Linear(3, 1)).likelihood
        Gaussian(noise=0.1)
    """
    if not isinstance(bnn, Bayesian):
        raise TypeError(
            f"save takes a network made by bayesianize, got {type(bnn).__name__}: of what a method found, give the network"
        )
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
    write_atomically(Path(path), packed(settings, state, extra or {}))


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
        FileError: the file is damaged, of another kind or a newer version; or `net` has another architecture, and is left
            as it was.
        ValueError: `output` is needed.
        OSError: the file cannot be read, or there is none.
    """
    if isinstance(net, Bayesian):
        raise TypeError("load takes the deterministic network, got a Bayesian one: give it bnn.module")
    return restored(read(path), net, output)


def restored(contents: Contents, net: nn.Module, output: Any = None) -> Bayesian:
    """The network that a file holds; as `load`, for a file that has been read already."""
    path, state = contents.path, contents.state
    settings = Described(path, contents.settings)
    if "provenance" in settings:
        settings.part("provenance")  # a JSON object
    if output is None and settings.flag("output_is_function"):
        raise ValueError(
            f"{path} holds a network whose output a function picks, and no file can hold that: give load(..., output=)"
        )
    prefix = "module."
    quantised = {f"{prefix}{name}": like for name, like in _int8(settings).items()}
    known = state | quantised
    held = {name.removeprefix(prefix): tensor for name, tensor in known.items() if name.startswith(prefix)}
    _check_same(path, net, net.state_dict(), held)
    bnn = _built(settings, net, sum(tensor.numel() for tensor in state.values()), output)
    bnn.member_buffers.follow(state, "member_buffers.")
    for name, tensor in [*bnn.named_parameters(), *bnn.named_buffers()]:
        if name in known:  # a buffer may be one that is not kept
            tensor.data = tensor.data.to(known[name].dtype)
    if quantised:
        bnn = quantization.Quantized(bnn, bnn.posterior)
    _check_same(path, bnn, bnn.state_dict(), state)
    bnn.load_state_dict(state)
    bnn.recipe = None  # it may be trained
    bnn.provenance = contents.settings["provenance"] if "provenance" in settings else {}
    return bnn


def _built(settings: Described, net: nn.Module, numbers: int, output: Any) -> Bayesian:
    # before anything is made: the sizes that the file declares go with the numbers that it holds
    names, members = set(settings.texts("weights")), settings.whole("members", 1, max(1, numbers))
    parameters = dict(net.named_parameters(remove_duplicate=False))
    for name in names:
        if name not in parameters or not parameters[name].is_floating_point():
            raise settings.error("weights", name, f"no parameter of {type(net).__name__} that can be Bayesian")
    try:
        parts = {part: _restore(settings.part(part), part, numbers // members) for part in _KINDS}
    except RecursionError as error:
        raise FileError(f"{settings.path} is no file that this yuragi can use: its parts lie in each other") from error
    estimator: Estimator = settings.text("estimator", ESTIMATORS)  # type: ignore[assignment]
    picked = settings.entry("output")
    if not (picked is None or isinstance(picked, (str, int))):
        raise settings.error("output", picked, "neither a name nor a number")
    for name in names:
        as_new(parameters[name])
    try:
        weights, _ = select_weights(net, lambda name, _: name in names)
        room = parts["posterior"].size(weights, members)
        if members * sum(weight.numel for weight in weights) > numbers or room > numbers:
            raise settings.error("members", members, f"more than the {numbers:,} numbers of the file are for")
        return bayesianize(
            net,
            **parts,
            estimator=estimator,
            members=members,
            where=lambda name, _: name in names,
            output=picked if output is None else output,
            seed=0,
        )
    except FileError:
        raise
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:  # parts that do not go together
        raise FileError(f"{settings.path} is no file that this yuragi can use: {error}") from error


def _int8(settings: Described) -> dict[str, Tensor]:
    """What stands for the parameters whose values are in int8, without memory."""
    if "int8" not in settings:
        return {}
    described = settings.part("int8")
    found = {}
    for name in described:
        dtype, shape = [*described.listed(name), None, None][:2]
        sizes = shape if isinstance(shape, list) and len(shape) <= _DIMENSIONS else [-1]
        if not (isinstance(dtype, str) and dtype in _DTYPES and all(type(n) is int and 0 <= n < 2**31 for n in sizes)):
            raise described.error(name, dtype, "no element type and shape")
        if math.prod(sizes) >= 2**62:
            raise described.error(name, shape, "too large")
        found[name] = torch.empty((), dtype=_DTYPES[dtype], device="meta").expand(sizes)
    return found


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
        there = held[name].dtype  # a precision may be another, but not what the numbers are
        if there != tensor.dtype and not (
            tensor.is_floating_point() and str(there) in _DTYPES and there.is_floating_point
        ):
            raise FileError(f"{another}: '{name}' has {there} there and {tensor.dtype} in {kind}")


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


def _restore(described: Described, what: str, most: int) -> Any:
    kinds = {kind.__name__: kind for kind in _KINDS[what]}
    kind = described.text("kind")
    if kind not in kinds:
        raise FileError(f"{described.path} holds a {kind[:40]}, which this yuragi does not know: upgrade yuragi")
    given = described.part("arguments")
    arguments = {name: _decoded(given, name, what, most) for name in given}
    for name in _SIZES:
        if name in arguments:
            given.whole(name, 1, max(1, most))
    try:
        return kinds[kind](**arguments)
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:  # a number where a part is due, and the like
        raise FileError(f"{described.path} is no file that this yuragi can use: {kind}: {error}") from error


def _decoded(given: Described, name: str, what: str, most: int) -> Any:
    value = given.entry(name)
    if not isinstance(value, dict):
        if isinstance(value, list) or (isinstance(value, int) and abs(value) >= 2**63):
            raise given.error(name, value, "no argument")
        return value
    part = given.part(name)
    if "tensor" in part:
        values, dtype = part.entry("tensor"), _DTYPES[part.text("dtype", _DTYPES)]
        if not _is_numbers(values):
            raise part.error("tensor", values, "no numbers")
        try:
            return torch.tensor(values, dtype=dtype)
        except (ValueError, RuntimeError, OverflowError, TypeError) as error:  # ragged, or out of the type's range
            raise part.error("tensor", values, str(error)) from error
    if "mapping" in part:
        mapping = part.part("mapping")
        return {one: _restore(mapping.part(one), what, most) for one in mapping}
    return _restore(part, what, most)


def _is_numbers(values: Any) -> bool:
    if isinstance(values, list):
        return all(map(_is_numbers, values))
    return isinstance(values, (int, float)) and not isinstance(values, bool)
