"""What became Bayesian, by which estimator, and what did not and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from yuragi.weights import LeftOut, Weight


@dataclass(frozen=True)
class Row:
    """One parameter: `estimator` is the one in force, empty for a deterministic parameter; `reason` says why."""

    name: str
    module: str
    shape: tuple[int, ...]
    bayesian: bool
    estimator: str
    reason: str


@dataclass(frozen=True)
class Coverage:
    """A printable table of every parameter of a Bayesian network.

    Example:
        >>> import torch, yuragi as yu
        >>> bnn = yu.bayesianize(torch.nn.Linear(3, 1), where="weight")
        >>> print(bnn.coverage())
        parameter  module  shape  Bayesian  estimator  why
        weight     Linear  1x3    yes       flipout    before the first pass
        bias       Linear  1      no                   not matched by `where`
        3 of 4 weights are Bayesian, in 1 of 2 tensors
    """

    rows: tuple[Row, ...]

    @classmethod
    def of(
        cls,
        weights: Sequence[Weight],
        left_out: Sequence[LeftOut],
        estimator: str,
        shared: Mapping[int, str],
        passed: bool,
    ) -> Coverage:
        """Build the table from what `bayesianize` selected and what the passes so far found out."""
        rows = []
        for index, weight in enumerate(weights):
            one_draw = estimator == "shared" or index in shared
            reason = shared.get(index, "") if passed or one_draw else "before the first pass"
            rows.append(
                Row(
                    weight.name,
                    type(weight.owner).__name__,
                    tuple(weight.shape),
                    True,
                    "shared" if one_draw else estimator,
                    reason,
                )
            )
        rows += [Row(out.name, type(out.owner).__name__, tuple(out.shape), False, "", out.reason) for out in left_out]
        return cls(tuple(rows))

    def __str__(self) -> str:
        """The table, one line a parameter, and totals."""
        header = ("parameter", "module", "shape", "Bayesian", "estimator", "why")
        lines = [header] + [
            (
                row.name,
                row.module,
                "x".join(map(str, row.shape)) or "scalar",
                "yes" if row.bayesian else "no",
                row.estimator,
                row.reason,
            )
            for row in self.rows
        ]
        widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        sizes = [(_numel(row.shape), row.bayesian) for row in self.rows]
        bayesian = sum(size for size, chosen in sizes if chosen)
        table.append(
            f"{bayesian} of {sum(size for size, _ in sizes)} weights are Bayesian, "
            f"in {sum(chosen for _, chosen in sizes)} of {len(sizes)} tensors"
        )
        return "\n".join(table)


def _numel(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
