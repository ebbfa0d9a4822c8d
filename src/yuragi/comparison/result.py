"""`Comparison`: the scores of several methods on the same splits, as text, as rows, as a picture and for JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from yuragi.comparison.paired import Standing, standings
from yuragi.comparison.scores import SCORES, Score
from yuragi.comparison.text import written
from yuragi.described import Described, FileError
from yuragi.prediction import ClassificationPrediction, NumericPrediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KIND = "yuragi comparison"
_MOST = 10**12  # rows
_LARGEST = 2**26  # bytes of a file


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found.

    `print` shows it, `table()` and `described()` give it as data, and `figure()` as a picture.

    Attributes:
        values: by method and name of a score, its value in each split; NaN or infinite where there is none.
        skipped: by method, why it was not run.
        warned: by method, a warning of each of its fits that had not converged.
        sizes: of each split, how many rows were trained on, and how many scored.
        settings: what was compared: "likelihood", "network", "budget", "gap", "seed" and so on, as JSON can hold it.
        predictions: by method, of the scored rows of each split; empty unless they were asked for.
    """

    values: Mapping[str, Mapping[str, tuple[float, ...]]]
    skipped: Mapping[str, str]
    warned: Mapping[str, tuple[str, ...]]
    sizes: tuple[tuple[int, int], ...]
    settings: Mapping[str, Any]
    predictions: Mapping[str, tuple[NumericPrediction | ClassificationPrediction, ...]] = field(
        default_factory=dict, repr=False
    )

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """What was scored, in the order of a table."""
        first = next(iter(self.values.values()))
        return tuple(score for score in SCORES if score.name in first)

    @cached_property
    def standings(self) -> dict[str, dict[str, Standing]]:
        """By name of a score and method: mean over splits, and the difference to the best with its standard error."""
        return {
            score.name: standings(
                {method: found[score.name] for method, found in self.values.items()}, self.sizes, score.better
            )
            for score in self.scores
        }

    def winner(self, score: str = "log_likelihood") -> str | None:
        """The method that is better than each other one by more than two standard errors of the difference, or None.

        Raises:
            ValueError: there is no such score.
        """
        if score not in self.standings:
            raise ValueError(f"score {score!r} is none of {', '.join(self.standings)}")
        return next((method for method, found in self.standings[score].items() if found.clear), None)

    @property
    def order(self) -> list[str]:
        """The methods, the one with the largest log-likelihood first, and those with none that is finite last."""
        found = self.standings["log_likelihood"]
        return sorted(found, key=lambda method: -found[method].mean if math.isfinite(found[method].mean) else math.inf)

    def table(self) -> list[dict[str, Any]]:
        """A row for each method that was run, in `order`; `pandas.DataFrame` takes it.

        Each has "method", the mean of each score, and of each that has a best value, as "rmse", the "rmse_difference" to the
        best mean and the "rmse_error", which is the standard error of the difference.
        """
        rows = []
        for method in self.order:
            row: dict[str, Any] = {"method": method}
            for score in self.scores:
                found = self.standings[score.name][method]
                row[score.name] = found.mean
                if score.better is not None:
                    row |= {f"{score.name}_difference": found.difference, f"{score.name}_error": found.error}
            rows.append(row)
        return rows

    def figure(self) -> Figure:
        """A picture of it, see `yuragi.comparison.picture`. Needs `pip install "yuragi[plot]"`."""
        from yuragi.comparison.picture import figure

        return figure(self)

    def __str__(self) -> str:
        """The tables, and what was skipped and warned of."""
        return written(self)

    def described(self) -> dict[str, Any]:
        """Everything but the predictions, for JSON: values that are not finite are None."""
        return {
            "kind": _KIND,
            "settings": dict(self.settings),
            "sizes": [list(pair) for pair in self.sizes],
            "values": {
                method: {
                    name: [value if math.isfinite(value) else None for value in one] for name, one in found.items()
                }
                for method, found in self.values.items()
            },
            "skipped": dict(self.skipped),
            "warned": {method: list(found) for method, found in self.warned.items()},
        }

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """The comparison in a JSON file, as `yuragi compare --json` writes it.

        Raises:
            FileError: the file is none such.
            OSError: the file cannot be read, or there is none.
        """
        with open(path, "rb") as file:
            raw = file.read(_LARGEST + 1)
        try:
            if len(raw) > _LARGEST:
                raise ValueError(f"larger than {_LARGEST:,} bytes")
            described = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise FileError(f"{path} is not what yuragi compare --json writes ({error})") from error
        return cls.restore(described, path)

    @classmethod
    def restore(cls, described: Any, path: str | os.PathLike[str] = "the comparison") -> Self:
        """The comparison that `described` described; what was not finite is NaN. Other entries are passed over.

        Args:
            described: from JSON.
            path: its file, for messages.

        Raises:
            FileError: it is no such description.
        """
        given = Described(path, described)
        given.text("kind", [_KIND])
        sizes = [Described(path, {"rows": pair}, "sizes").wholes("rows", 1, _MOST) for pair in given.listed("sizes")]
        known = {score.name for score in SCORES}
        values = {}
        for method in given.part("values"):
            of = given.part("values").part(method)
            values[method] = {name: _numbers(of, name, len(sizes)) for name in of if name in known}
        names = [tuple(found) for found in values.values()]
        if not names or any(set(one) != set(names[0]) for one in names) or "log_likelihood" not in names[0]:
            raise given.error("values", given.entry("values"), "not the same scores of every method")
        if not sizes or any(len(pair) != 2 for pair in sizes):
            raise given.error("sizes", given.entry("sizes"), "no pairs of numbers of rows")
        settings, skipped, warned = (given.part(name) for name in ("settings", "skipped", "warned"))
        if settings.entry("budget") is not None:
            settings.number("budget", positive=True)
        settings.text("likelihood")
        return cls(
            values,
            {method: skipped.text(method) for method in skipped},
            {method: tuple(warned.texts(method)) for method in warned if warned.listed(method)},
            tuple((trained, scored) for trained, scored in sizes),
            {name: settings.entry(name) for name in settings},
        )


def _numbers(of: Described, name: str, splits: int) -> tuple[float, ...]:
    listed = of.listed(name)
    finite = Described(of.path, {name: [0.0 if value is None else value for value in listed]}, of.place).numbers(name)
    if len(listed) != splits:
        raise of.error(name, listed, f"not one value for each of {splits} splits")
    return tuple(math.nan if value is None else number for value, number in zip(listed, finite, strict=True))
