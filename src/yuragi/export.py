"""Leaving Python: a Bayesian network with its draws as one program for `torch.export` and ONNX.

The draws are constants of the program, the same that `yuragi.predict` makes with the same `draws` and `seed`, and its
outputs are those of the `Prediction`: the program has no random numbers.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree

from yuragi.bayesian import Bayesian, as_arguments
from yuragi.data import check_finite, count_rows, take_rows, to_tensors
from yuragi.files import write_atomically
from yuragi.predictions import ClassificationPrediction, prediction_of
from yuragi.stochastic import Drawn

if TYPE_CHECKING:
    import os

_ONE_FILE = 2**31 - 2**24  # bytes: an ONNX file, which is one protocol buffer, ends at two gigabytes
_EXAMPLE_ROWS = 3  # neither 1, which would be taken for a constant, nor many


class Predictive(nn.Module):
    """The predictive distribution as a module: takes what the network takes, and returns its moments by name.

    Args:
        bnn: the Bayesian network; a copy of it is kept, in evaluation mode and without gradient.
        draws: S, the number of draws.
        seed: seed of the draws.
        at_once: draws run at once.

    Raises:
        TypeError: not a Bayesian network, or a likelihood without a `Prediction`.
        ValueError: no draws.
    """

    member: Tensor

    def __init__(self, bnn: Bayesian, draws: int, seed: int | None, at_once: int) -> None:
        super().__init__()
        if not isinstance(bnn, Bayesian):
            raise TypeError(f"only a Bayesian network can be exported, got {type(bnn).__name__}: see bayesianize")
        if draws < 1:
            raise ValueError(f"draws must be at least 1, got {draws}")
        if bnn.q().is_points:
            draws = min(draws, bnn.members)
        self.bnn = copy.deepcopy(bnn).requires_grad_(False)
        self.at_once = at_once
        self.count = len(bnn.weights)
        for index, values in enumerate(bnn.draws(draws, seed).values()):
            self.register_buffer(f"draws_{index}", values)
        self.register_buffer("member", torch.arange(draws, device=bnn.reference_tensor.device) % bnn.members)
        self.eval()

    @property
    def forward(self) -> Callable[..., dict[str, Tensor]]:  # type: ignore[override]
        """`outputs` under the signature of the network's `forward`, which `torch.export` reads."""

        def forward(*args: Any, **kwargs: Any) -> dict[str, Tensor]:
            return self.outputs(*args, **kwargs)

        forward.__signature__ = inspect.signature(self.bnn.module.forward)  # type: ignore[attr-defined]
        return forward

    def outputs(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The outputs by name, as in a `yuragi.Prediction`; the arguments are the network's own."""
        draws = [self.get_buffer(f"draws_{index}") for index in range(self.count)]
        total, members = len(draws[0]), self.bnn.members
        parts = []
        for start in range(0, total, self.at_once):
            chunk = range(start, min(start + self.at_once, total))
            drawn = Drawn([values[chunk.start : chunk.stop] for values in draws], [s % members for s in chunk])
            parts.append(self.bnn.run_draws([drawn].__iter__, args, kwargs))
        output = torch.cat(parts)
        values = prediction_of(output, self.bnn.likelihood.distribution(output, self.member))
        if isinstance(values, ClassificationPrediction):
            return {"probs": values.probs, "mutual_information": values.mutual_information}
        # written out: ONNX has no hypot
        std = (values.epistemic.square() + values.aleatoric.square()).sqrt()
        return {"mean": values.mean, "std": std, "epistemic": values.epistemic, "aleatoric": values.aleatoric}


def as_module(bnn: Bayesian, draws: int = 32, seed: int | None = 0) -> nn.Module:
    """The predictive distribution as an ordinary module without randomness, which `torch.export` accepts.

    It holds a copy of the network in evaluation mode, runs it once for each draw, and has a graph of that many copies
    when exported; `as_program` finds a smaller one where there is one.

    Args:
        bnn: the Bayesian network, quantised or not.
        draws: S, the number of draws; with `posteriors.Anchored` at most the number of members.
        seed: seed of the draws.

    Returns:
        A module that takes what the network takes, tensors with N rows, and returns a dict, as `yuragi.predict(bnn, x,
        samples=draws, seed=seed)` would have it: "mean", "std", "epistemic" and "aleatoric", each [N, *out], or "probs"
        [N, *positions, C] and "mutual_information" [N, *positions].

    Raises:
        TypeError: not a Bayesian network, or a likelihood without a `Prediction`.
        ValueError: no draws.

    Example:
        >>> import yuragi as yu
        >>> bnn = yu.bayesianize(nn.Linear(3, 1), likelihood=yu.Gaussian(noise=0.1))
        >>> rows = torch.export.Dim("rows")
        >>> x = torch.randn(5, 3)
        >>> module = as_module(bnn, draws=4)
        >>> program = torch.export.export(module, (x,), dynamic_shapes=({0: rows},))
        >>> sorted(program.module()(torch.randn(8, 3)))
        ['aleatoric', 'epistemic', 'mean', 'std']
    """
    return Predictive(bnn, draws, seed, at_once=1)


def as_program(bnn: Bayesian, x: Any = None, draws: int = 32, seed: int | None = 0) -> ExportedProgram:
    """The predictive distribution as a `torch.export` program with any number of rows.

    All draws run in one batched graph, as large as the network's own, where the network can be vectorised: small networks
    of linear layers on [N, D], mostly. Elsewhere (convolutions, recurrent networks, attention) the graph repeats the
    network for each draw, so that its size and the time to export it grow with the number of draws; the constants are S
    times the weights in both cases.

    Args:
        bnn: the Bayesian network, quantised or not.
        x: an input as for `yuragi.predict`, for its shapes and dtypes; the first axis may have any length afterwards. None:
            zeros shaped as what the network has been trained on or has predicted.
        draws: S, the number of draws; with `posteriors.Anchored` at most the number of members.
        seed: seed of the draws.

    Returns:
        The program; `program.module()` takes what the network takes and returns what that of `as_module` does.

    Raises:
        TypeError: not a Bayesian network, a likelihood without a `Prediction`, or an input that is not
            made of tensors.
        ValueError: no draws, an `x` that `predict` would refuse, or None where the network has not run yet.
        RuntimeError: `torch.export` cannot trace the network, or only for a fixed number of rows.

    Example:
        >>> import yuragi as yu
        >>> bnn = yu.bayesianize(nn.Linear(3, 1), likelihood=yu.Gaussian(noise=0.1))
        >>> program = as_program(bnn, torch.randn(5, 3), draws=4)
        >>> program.module()(torch.randn(8, 3))["std"].shape
        torch.Size([8, 1])
    """
    module = Predictive(bnn, draws, seed, at_once=draws)
    args, kwargs = _example(bnn, x)
    with torch.no_grad():
        outputs = module(*args, **kwargs)  # eagerly first: an error here is the network's own
    for name, output in outputs.items():
        if output.dim() < 1 or len(output) != _EXAMPLE_ROWS:
            raise ValueError(
                f"the network's {name} is {tuple(output.shape)} for {_EXAMPLE_ROWS} rows: the first axis must be the rows"
            )
    program, problem = _traced(module, args, kwargs)
    if program is None:  # what vmap cannot do for an unknown number of rows, a copy for each draw may
        module.at_once = 1
        program, problem = _traced(module, args, kwargs)
    if program is None:
        raise RuntimeError(
            f"cannot export {type(bnn.module).__name__}: torch.export cannot trace it for any number of rows "
            f"(it branches on values, or uses a number of rows as a constant): {problem}"
        ) from problem
    return program


def export_onnx(
    bnn: Bayesian, path: str | os.PathLike[str], x: Any = None, draws: int = 32, seed: int | None = 0
) -> None:
    """Write the predictive distribution as one ONNX graph with the draws in it, for any number of rows.

    Inputs bear the names of the parameters of the network's `forward`. Outputs are "mean", "std", "epistemic" and
    "aleatoric", each [N, *out], or "probs" [N, *positions, C] and "mutual_information" [N, *positions]: those of
    `yuragi.predict(bnn, x, samples=draws, seed=seed)`. The size of the graph is discussed in `as_program`; the file holds S
    times the weights. Needs the packages of `pip install "yuragi[export]"`.

    Args:
        bnn: the Bayesian network, quantised or not.
        path: the file, by custom `*.onnx`; written whole or not at all. Constants of two gigabytes and more, which ONNX
            cannot hold in one file, go to `path` with ".data" appended.
        x: an input as for `yuragi.predict`, for its shapes and dtypes; the first axis may have any length afterwards. None:
            zeros shaped as what the network has been trained on or has predicted.
        draws: S, the number of draws; with `posteriors.Anchored` at most the number of members.
        seed: seed of the draws.

    Raises:
        ImportError: a package is missing.
        TypeError: not a Bayesian network, a likelihood without a `Prediction`, or an input that is not
            made of tensors.
        ValueError: no draws, an `x` that `predict` would refuse, or None where the network has not run yet.
        RuntimeError: the network cannot be traced for any number of rows, or has an operation that ONNX lacks.
        OSError: the file cannot be written there.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'export_onnx needs the package {error.name}: pip install "yuragi[export]"', name=error.name
        ) from error
    program = as_program(bnn, x, draws, seed)
    args, kwargs = _example(bnn, x)
    with _quiet():
        try:
            converted = torch.onnx.export(program, verbose=False, dynamic_shapes=_any_rows(bnn.module, args, kwargs))
        except torch.onnx.errors.OnnxExporterError as error:
            raise RuntimeError(f"cannot export {type(bnn.module).__name__} to ONNX: {error}") from error
    assert converted is not None
    outputs = pytree.tree_unflatten(list(converted.model.graph.outputs), program.call_spec.out_spec)
    _rename(converted.model.graph, _input_names(bnn.module, args, kwargs), outputs)
    if sum(tensor.nbytes for tensor in program.state_dict.values()) < _ONE_FILE:
        write_atomically(Path(path), converted.model_proto.SerializeToString())
    else:
        converted.save(path, external_data=True)


def _example(bnn: Bayesian, x: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A few rows of `x` as the network's arguments."""
    like = bnn.reference_tensor
    if x is None:
        if bnn.seen is None:
            raise ValueError(
                "the network has not run yet, so the shape of its input is not known: give x, an example of it"
            )
        x = pytree.tree_map(lambda leaf: torch.zeros_like(leaf, device=like.device), _one_input(*bnn.seen))
    x = to_tensors(x, like.device, like.dtype)
    rows = count_rows(x)
    check_finite("x", x)
    for leaf in pytree.tree_leaves(x):
        if not isinstance(leaf, Tensor):
            raise TypeError(
                f"cannot export a network with an input that is {leaf!r}: only tensors; leave it out, or wrap the network"
            )
    return as_arguments(take_rows(x, torch.arange(_EXAMPLE_ROWS, device=like.device) % rows))


def _one_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # the reverse of `as_arguments`, as far as it can be: positional and keyword arguments together come from no input
    return kwargs if kwargs else args


def _traced(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[ExportedProgram | None, Exception | None]:
    with _quiet():
        try:
            return torch.export.export(module, args, kwargs, dynamic_shapes=_any_rows(module, args, kwargs)), None
        except Exception as error:  # of many kinds: torch's own and whatever the network does with symbolic shapes
            return None, error


def _any_rows(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    rows = Dim("rows")
    bound = inspect.signature(module.forward).bind(*args, **kwargs).arguments
    return {name: pytree.tree_map(lambda _: {0: rows}, value) for name, value in bound.items()}


def _input_names(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """What the module calls each of its tensors, in the order of the arguments."""
    bound = dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
    names = {}
    for path, leaf in pytree.tree_leaves_with_path(bound):
        names[id(leaf)] = "_".join(str(key).strip("[]'.") for key in path)
    return [names[id(leaf)] for leaf in pytree.tree_leaves((args, kwargs))]


def _rename(graph: Any, inputs: Sequence[str], outputs: Mapping[str, Any]) -> None:
    # torch names inner values after operations, "mean" for one, and no two values may have the same name
    taken = {*inputs, *outputs}
    for value in [
        *graph.inputs,
        *graph.initializers.values(),
        *(one for node in graph.all_nodes() for one in node.outputs),
    ]:
        if value.name in taken:
            value.name = f"inner/{value.name}"
    for value, name in zip(graph.inputs, inputs, strict=True):
        value.name = f"{name}_input" if name in outputs else name
    for name, value in outputs.items():
        value.name = name


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that come from within torch, of which nobody here can do anything."""
    with warnings.catch_warnings():
        # a recurrent layer keeps a list of its weights, and renews it when they are replaced
        warnings.filterwarnings(
            "ignore", "The tensor attributes? .*_flat_weights.* assigned during export", UserWarning
        )
        # several inputs have the same number of rows
        warnings.filterwarnings("ignore", "# The axis name: rows will not be used", UserWarning)
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        yield
