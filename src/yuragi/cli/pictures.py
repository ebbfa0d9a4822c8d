"""Pictures that commands write."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture_kind(out: Path) -> str:
    """The format that the suffix of `--out` asks for, png where it has none."""
    from matplotlib.backend_bases import FigureCanvasBase

    kind = out.suffix.removeprefix(".").lower() or "png"
    known = FigureCanvasBase.get_supported_filetypes()
    if kind not in known:
        raise typer.BadParameter(f"--out {out}: a picture can be {', '.join(sorted(known))}")
    return kind


def picture_bytes(figure: Figure, kind: str, dpi: int = 130) -> bytes:
    """The picture as a file of that format; `dpi` is of those made of pixels."""
    data = io.BytesIO()
    figure.savefig(data, format=kind, dpi=dpi)
    return data.getvalue()
