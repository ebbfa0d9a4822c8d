"""A fitted network for a table of numbers, with the units of its columns; its predictions, and its file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor, nn

from yuragi import files
from yuragi.bayesian import Bayesian
from yuragi.history import History
from yuragi.likelihoods import Categorical
from yuragi.likelihoods.location_scale import LocationScale
from yuragi.networks import TabularNetwork
from yuragi.prediction import ClassificationPrediction, NumericPrediction, RegressionPrediction, predict
from yuragi.tabular.rows import Array, as_inputs, standardised
from yuragi.tabular.settings import BINS, MakeModule, Task, network_outputs

Predicted = TypeVar("Predicted", bound="NumericPrediction | ClassificationPrediction")
_TOGETHER = 256  # rows of a prediction
_UNITS = ("loc", "scale", "x_loc", "x_scale")


@dataclass(frozen=True)
class TabularModel:
    """A fitted network, the standardisation of its inputs, and the units of its target.

    Attributes:
        bnn: the network; it sees (x − x_loc) / x_scale, and its outputs are in units of `scale` around `loc`.
        task: "regression" or "classification".
        loc, scale: of the target, float64 [outputs]; 0 and 1 for classes.
        x_loc, x_scale: of the inputs, float64 [D].
        history: of the fit; None where the model was read from a file.
    """

    bnn: Bayesian
    task: Task
    loc: Tensor
    scale: Tensor
    x_loc: Tensor
    x_scale: Tensor
    history: History | None = None

    def predict(self, x: Any, samples: int = 100, seed: int | None = 0) -> NumericPrediction | ClassificationPrediction:
        """Predict in the target's units; the draws for a row do not depend on the other rows, to the last bit.

        Args:
            x: inputs [N, D], as those that the model was fitted to.
            samples: draws, as for `yuragi.predict`.
            seed: of the draws.

        Returns:
            A float64 prediction on the CPU: for regression of [N, outputs], for classification of the labels 0, 1, … [N].

        Raises:
            ValueError: `x` is not [N, D] with the D of the fit, or holds values that are NaN or infinite.
        """
        rows = standardised(self.inputs(x), self.x_loc, self.x_scale)
        # always as many rows at once: the arithmetic of a row alone would round otherwise than that of a row among many
        padding = rows[:1].expand(-len(rows) % _TOGETHER, -1)
        prediction = predict(self.bnn, torch.cat([rows, padding]), samples, seed, batch_size=_TOGETHER)
        if isinstance(prediction, RegressionPrediction):
            return _of_first(prediction, len(rows)).rescaled(self.loc, self.scale)
        return _of_first(prediction, len(rows))

    def inputs(self, x: Any) -> Array:
        """Inputs as float64 [N, D], not yet standardised.

        Raises:
            ValueError: as `predict` says.
        """
        inputs = as_inputs(x)
        if inputs.shape[1] != len(self.x_loc):
            raise ValueError(f"x has {inputs.shape[1]} columns, but the model was fitted to {len(self.x_loc)}")
        return inputs

    def save(self, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None) -> None:
        """Write a file that `load_tabular` reads; `extra` is anything that JSON can hold, kept beside it.

        Raises:
            ValueError: a posterior or likelihood that the library does not know.
            OSError: the file cannot be written there.
        """
        net = self.bnn.module
        shape = None
        if isinstance(net, TabularNetwork):
            bins = torch.bincount(net.encode.column).tolist()
            shape = {"bins": bins, "width": net.linear.out_features, "depth": 1 + len(net.hidden)}
        described = {
            "task": self.task,
            "outputs": network_outputs(self.bnn.likelihood, len(self.loc)),
            "network": shape,  # None for one of the user's own
            **{name: getattr(self, name).tolist() for name in _UNITS},
        }
        files.save(self.bnn, path, extra={**(extra or {}), "tabular": described})


def load_tabular(path: str | os.PathLike[str], module: MakeModule | None = None) -> TabularModel:
    """Read a model that `TabularModel.save` wrote.

    Args:
        path: the file.
        module: needed again where the fit had one, for no file can hold its code.

    Raises:
        FileError: the file is damaged, of another kind, or does not fit the network.
        ValueError: `module` is needed, or is not.
        OSError: the file cannot be read, or there is none.
    """
    return restored(files.read(path), module)


def restored(
    contents: files.Contents, module: MakeModule | None = None, device: torch.device | str | None = None
) -> TabularModel:
    """The model that a file holds; as `load_tabular`, for a file that has been read already, and on a device."""
    path = contents.path
    if "tabular" not in contents.extra:
        raise files.FileError(f"{path} holds a network without its standardisation: load it with yuragi.load")
    described = contents.extra["tabular"]
    if not _is_known(described, sum(tensor.numel() for tensor in contents.state.values())):
        raise files.FileError(
            f"{path} describes its network for tables in a way that this yuragi does not know: upgrade yuragi"
        )
    network = described["network"]
    if module is None and network is None:
        raise ValueError(
            f"{path} holds a network of your own, whose code no file can hold: give module=, as to the fit"
        )
    if module is not None and network is not None:
        raise ValueError(f"{path} holds yuragi's own network for tables: leave module= out")
    loc, scale, x_loc, x_scale = (torch.tensor(described[name], dtype=torch.float64) for name in _UNITS)
    with torch.random.fork_rng():
        if module is not None:
            net = module(len(x_loc), described["outputs"])
        else:
            net = _blank(outputs=len(loc), heteroscedastic=described["outputs"] > len(loc), **network)
    indices = {name: buffer.clone() for name, buffer in net.named_buffers() if not buffer.is_floating_point()}
    bnn = files.restored(contents, net.to(device))
    if module is None and not all(torch.equal(net.get_buffer(name).cpu(), known) for name, known in indices.items()):
        raise files.FileError(
            f"{path} is no file that this yuragi can use: its network's columns are not those of its table"
        )
    family = Categorical if described["task"] == "classification" else LocationScale
    if not isinstance(bnn.likelihood, family) or network_outputs(bnn.likelihood, len(loc)) != described["outputs"]:
        raise files.FileError(f"{path} is no file that this yuragi can use: its likelihood is not of its task")
    return TabularModel(bnn, described["task"], loc, scale, x_loc, x_scale)


def _is_known(described: Any, held: int) -> bool:
    """Whether this is what `save` writes of a network with so many numbers: whoever made the file is not trusted."""
    if not isinstance(described, dict) or described.keys() != {"task", "outputs", "network", *_UNITS}:
        return False
    if described["task"] not in get_args(Task) or not all(map(_are_numbers, (described[name] for name in _UNITS))):
        return False
    outputs, inputs = len(described["loc"]), len(described["x_loc"])
    if len(described["scale"]) != outputs or len(described["x_scale"]) != inputs:
        return False
    if min(*described["scale"], *described["x_scale"]) <= 0:
        return False
    if described["outputs"] not in (outputs, 2 * outputs):
        return False
    network = described["network"]
    if network is None:
        return True
    if not isinstance(network, dict) or network.keys() != {"bins", "width", "depth"}:
        return False
    bins, width, depth = network["bins"], network["width"], network["depth"]
    return (
        isinstance(bins, list)
        and len(bins) == inputs
        and all(_is_count(count, BINS) for count in bins)
        and _is_count(width, held)
        and _is_count(depth, held)
        and width * (inputs + outputs + (depth - 1) * width) <= held
    )


def _are_numbers(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) > 0
        and all(isinstance(value, float) and math.isfinite(value) for value in values)
    )


def _is_count(value: Any, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _of_first(prediction: Predicted, rows: int) -> Predicted:
    """The prediction of the first rows, in float64 on the CPU."""
    held = {part.name: getattr(prediction, part.name) for part in fields(prediction)}
    samples = prediction.samples
    kept: dict[str, Any] = {
        name: value.expand_as(samples)[:, :rows].cpu().double()
        for name, value in held.items()
        if isinstance(value, Tensor)
    }
    return replace(prediction, **kept)


def _blank(bins: Sequence[int], width: int, depth: int, outputs: int, heteroscedastic: bool) -> nn.Module:
    """A network with so many bins in each column, for the state of a file to be put into."""
    # quantiles of BINS + 1 values are these values: a column with n + 1 different ones has n bins
    columns = torch.stack([torch.arange(BINS + 1) * (count + 1) // (BINS + 1) for count in bins], 1).float()
    return TabularNetwork(columns, outputs, heteroscedastic=heteroscedastic, width=width, depth=depth, bins=BINS)
