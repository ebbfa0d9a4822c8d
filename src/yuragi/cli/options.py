"""What several commands take."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

_DURATION = re.compile(r"([0-9]+(?:[.][0-9]+)?)(s|m|h)?")
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600}


class TaskName(StrEnum):
    """The choices of `--task`."""

    regression = "regression"
    classification = "classification"


class PosteriorName(StrEnum):
    """The choices of `--posterior`."""

    auto = "auto"
    anchored = "anchored"
    meanfield = "meanfield"


class EngineName(StrEnum):
    """The choices of `--engine`."""

    local = "local"
    ray = "ray"


class Language(StrEnum):
    """The choices of `--lang`."""

    en = "en"
    ja = "ja"


def seconds(text: str) -> float:
    """A duration as seconds: 90, 60s, 5m, 1.5h.

    Example:
        >>> seconds("90"), seconds("5m"), seconds("1.5h")
        (90.0, 300.0, 5400.0)
    """
    found = _DURATION.fullmatch(text.strip())
    value = 0.0 if found is None else float(found[1]) * _SECONDS[found[2]]
    if not 0 < value < math.inf:
        raise typer.BadParameter(f"{text!r} is no duration: give seconds, minutes or hours, as 60s, 5m or 1h")
    return value


def share(value: float) -> float:
    """A share of rows, from 0 to below 1."""
    if not 0 <= value < 1:
        raise typer.BadParameter(f"{value} is no share of the rows: give a number from 0 to below 1")
    return value


def part(value: float) -> float:
    """A share of rows that is some and not all of them."""
    if not 0 < value < 1:
        raise typer.BadParameter(f"{value} is no part of the rows: give a number between 0 and 1, as 0.2")
    return value


def level(value: float) -> float:
    """A probability above 0, and so far below 1 that its interval has ends."""
    if not 0 < value <= 0.999999:
        raise typer.BadParameter(f"{value} is no level of an interval: give a number between 0 and 0.999999, as 0.9")
    return value


def device(name: str) -> torch.device:
    """A device of this machine by its name; "auto" is a GPU where there is one."""
    import torch

    from yuragi import demo

    if name == "auto":
        return demo.device()
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "it is not here"
        raise typer.BadParameter(f"--device {name!r} cannot be used ({reason}): give cpu, cuda or auto") from error
    if found.type == "meta":
        raise typer.BadParameter("--device meta holds no numbers: give cpu, cuda or auto")
    return found


def a_file(path: Path, option: str) -> Path:
    """A path that is not standard output, and can be written."""
    from yuragi.files import check_writable

    if str(path) == "-":
        raise typer.BadParameter(f"{option} must be a file: only tables go to standard output")
    check_writable(path)
    return path


def _argument(help: str) -> Any:
    return typer.Argument(help=help, show_default=False, readable=False)  # whether it is, reading it tells


Model = Annotated[Path, _argument("A file that `yuragi fit` wrote.")]
Table = Annotated[Path, _argument("CSV (also .gz), Parquet or Excel; - for standard input.")]
Tables = Annotated[
    list[Path],
    _argument("CSV (also .gz), Parquet or Excel; - for standard input. Several files or a pattern are one table."),
]
Stream = Annotated[
    bool | None,
    typer.Option(
        "--stream/--in-memory",
        help="Read CSV or Parquet in blocks, in bounded memory; as its size says when left out.",
        show_default=False,
    ),
]
Samples = Annotated[int, typer.Option(min=1, max=100_000, help="Draws from the posterior.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, metavar="<int>", help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps, or auto: a GPU where there is one.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
Encoding = Annotated[
    str | None, typer.Option(help="Of text, as utf-8 or cp932; found when left out.", show_default=False)
]
Delimiter = Annotated[str | None, typer.Option(help="Of text, as ';'; found when left out.", show_default=False)]
Sheet = Annotated[str | None, typer.Option(help="Of a workbook; the first when left out.", show_default=False)]
