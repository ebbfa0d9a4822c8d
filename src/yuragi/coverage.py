"""What became Bayesian, by which estimator, and what did not and why."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from torch import nn

from yuragi.weights import LeftOut, Weight, parameter_names

_LONG = 40  # rows; a longer table prints alike rows once
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")  # a part of a dotted name that is a number
_HEADER = ("module", "class", "parameter", "shape", "Bayesian", "estimator", "why")


@dataclass(frozen=True)
class Row:
    """One parameter of the network.

    Attributes:
        name: its name in `named_parameters()`: the module's path and the parameter's own name.
        module: class of the module that owns it.
        shape: its shape.
        bayesian: whether it has a spread.
        estimator: the estimator in force; "none" where no operation has used the weight, empty for a deterministic one.
        reason: why not the estimator that was asked for, or why not Bayesian; empty where there is nothing to say.
        tied: the other names of the same parameter.
    """

    name: str
    module: str
    shape: tuple[int, ...]
    bayesian: bool
    estimator: str
    reason: str
    tied: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Name of the module that owns the parameter; empty for the network itself."""
        return self.name.rpartition(".")[0]

    @property
    def size(self) -> int:
        """Number of scalars."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Coverage:
    """A printable table of every parameter of a Bayesian network, in the network's own order.

    A table of more than 40 rows prints parameters that differ only in numbers of their names, as those of equal blocks
    do, as one row with their count; `rows` has each of them.

    Example:
        >>> import torch, yuragi as yu
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
        >>> bnn = yu.bayesianize(net, where="*.weight")
        >>> _ = bnn(torch.randn(4, 3))
        >>> print(bnn.coverage())
        module  class   parameter  shape  Bayesian  estimator  why
        0       Linear  weight     2x3    yes       flipout
        0       Linear  bias       2      no                   not matched by `where`
        2       Linear  weight     1x2    yes       flipout
        2       Linear  bias       1      no                   not matched by `where`
        8 of 11 weights are Bayesian, in 2 of 4 tensors: flipout for 8
    """

    rows: tuple[Row, ...]

    @classmethod
    def of(
        cls,
        module: nn.Module,
        weights: Sequence[Weight],
        left_out: Sequence[LeftOut],
        estimator: str,
        shared: Mapping[int, str],
        reached: Set[int] | None,
    ) -> Coverage:
        """Build the table from what `bayesianize` selected and what the passes so far found out.

        Args:
            module: the network.
            weights: its Bayesian weights.
            left_out: its other parameters.
            estimator: the one that was asked for.
            shared: number of a weight -> why it has one draw a pass in place of that.
            reached: numbers of the weights that some operation has used; None before the first pass.
        """
        names = {tied[0]: tuple(tied[1:]) for tied in parameter_names(module)}
        order = {name: place for place, name in enumerate(names)}
        rows = []
        for index, weight in enumerate(weights):
            reason = shared.get(index, "")
            in_force = "shared" if estimator == "shared" or reason else estimator
            if reached is None:
                reason = reason or ("" if estimator == "shared" else "before the first pass")
            elif index not in reached:
                in_force, reason = "none", "no operation has used it so far"
            owner = type(weight.owner).__name__
            rows.append(
                Row(weight.name, owner, tuple(weight.shape), True, in_force, reason, names.get(weight.name, ()))
            )
        for out in left_out:
            owner = type(out.owner).__name__
            rows.append(Row(out.name, owner, tuple(out.shape), False, "", out.reason, names.get(out.name, ())))
        return cls(tuple(sorted(rows, key=lambda row: order.get(row.name, len(order)))))

    def __str__(self) -> str:
        """The table, one line a parameter, and totals."""
        rows = [_cells(row) for row in self.rows]
        lines = [_HEADER, *(rows if len(rows) <= _LONG else _alike_once(rows))]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([*table, self._totals()])

    def _totals(self) -> str:
        by_estimator: Counter[str] = Counter()
        for row in self.rows:
            if row.bayesian:
                by_estimator[row.estimator] += row.size
        shares = ", ".join(f"{estimator} for {size:,}" for estimator, size in by_estimator.items())
        return (
            f"{by_estimator.total():,} of {sum(row.size for row in self.rows):,} weights are Bayesian, "
            f"in {sum(row.bayesian for row in self.rows)} of {len(self.rows)} tensors: {shares}"
        )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.path or "(itself)",
        row.module,
        row.name.rpartition(".")[2],
        "x".join(map(str, row.shape)) or "scalar",
        "yes" if row.bayesian else "no",
        row.estimator,
        "; ".join([*filter(None, [row.reason]), *(f"tied to {name}" for name in row.tied)]),
    )


def _alike_once(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    # rows that are equal but for the numbers in the path and in the parameter's name stand where the first of them stood
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for row in rows:
        path, kind, parameter, *rest = row
        groups.setdefault((_NUMBER.sub("*", path), kind, _NUMBER.sub("*", parameter), *rest), []).append(row)
    return [_joined(members) for members in groups.values()]


def _joined(rows: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    first = rows[0]
    if len(rows) == 1:
        return first
    path, parameter = (_pattern([row[column] for row in rows]) for column in (0, 2))
    return (f"{path} ({len(rows)} of them)", first[1], parameter, *first[3:])


def _pattern(names: Sequence[str]) -> str:
    # dotted names of equally many parts, with a star where they differ
    columns = zip(*(name.split(".") for name in names), strict=True)
    return ".".join(parts[0] if len(set(parts)) == 1 else "*" for parts in columns)
