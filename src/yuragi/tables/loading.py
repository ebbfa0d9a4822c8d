"""`load_table_model`: from a file to a `TableModel`, with nothing in the file trusted."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import Any

import torch

from yuragi import files, tabular
from yuragi.described import Described, FileError
from yuragi.tables.baselines import Baselines
from yuragi.tables.calendar import PARTS
from yuragi.tables.cells import TRUTH
from yuragi.tables.columns import LARGEST, Column
from yuragi.tables.dates import EARLIEST, LATEST
from yuragi.tables.encoder import FARTHEST, TableEncoder
from yuragi.tables.errors import TableError
from yuragi.tables.model import TableModel
from yuragi.tables.numerals import UNITS, plain
from yuragi.tables.schema import CLASSES, Schema
from yuragi.tables.transformer import ONE_HOT

_KINDS = ("number", "category", "boolean", "date")
_MOST = 2**53  # rows, values: whole numbers that a float64 holds
_LEAST_SCALE = 1e-25
_DIRECTIVES = re.compile(r"%[A-Za-z]")
_DATE_FORM = re.compile(r"(?:%[YymdbBHMSfIp]|[-/. ,:年月日時分秒])+")


def load_table_model(path: str | os.PathLike[str], device: torch.device | str | None = None) -> TableModel:
    """Read a file that `TableModel.save` wrote; the predictions are the same to the last bit.

    Args:
        path: the file.
        device: where to predict; the CPU when left out.

    Raises:
        FileError: the file is damaged, of another kind or of a newer version, or holds a network without its table.
        OSError: the file cannot be read, or there is none.
    """
    contents = files.read(path)
    extra = Described(path, contents.extra)
    if "table" not in extra or "tabular" not in extra:
        if "table" in extra:
            raise FileError(f"{path} is the model of a table as a development version wrote it: fit it again")
        raise FileError(f"{path} holds a network without the table it was fitted on: load it with yuragi.load")
    table = extra.part("table")
    _check_network(path, contents)
    _check_precision(path, contents.state)
    schema = _schema(table.part("schema"))
    encoder = _encoder(table.part("encoder"), schema)
    outputs, features = len(schema.classes), len(encoder.get_feature_names_out())
    baselines = Baselines.restore(table.part("baselines"), features, outputs)
    model = tabular.restored(contents, device=device)
    if model.task != schema.task or len(model.x_loc) != features or len(model.loc) != max(1, outputs):
        raise FileError(f"{path} is no file that this yuragi can use: its network is not of its table")
    return TableModel(schema, encoder, model, baselines, _about(table))


def _about(table: Described) -> dict[str, Any]:
    about = table.part("about")
    if "training_curve" in about:
        curve = about.part("training_curve")
        curve.numbers("loss")
        for pair in curve.listed("validation"):
            if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_finite, pair)):
                raise curve.error("validation", pair, "no epoch and score")
    if about.entry("scores") is not None:
        scores = about.part("scores")
        scores.whole("rows", 1, _MOST)
        for part in [scores.part(name) for name in scores if name not in ("rows", "gain")]:
            for name in part:
                if part.entry(name) is not None:
                    part.number(name)
    found: dict[str, Any] = table.entry("about")
    return found


def _check_network(path: str | os.PathLike[str], contents: files.Contents) -> None:
    # one of the user's own, or whose output is picked, is no model of a table; and what is not finite predicts nothing
    settings, described = Described(path, contents.settings), Described(path, contents.extra["tabular"])
    if (
        described.entry("network") is None
        or settings.entry("output") is not None
        or settings.flag("output_is_function")
    ):
        raise FileError(f"{path} is no file that this yuragi can use: its network is not of a table")
    # what the encoder gives is within ±FARTHEST; beyond these bounds a float32 could not hold it standardised
    far = max(map(abs, described.numbers("x_loc")), default=0.0) > 10 * FARTHEST
    if far or min(described.numbers("x_scale", positive=True), default=1.0) < _LEAST_SCALE:
        raise described.error("x_scale", described.entry("x_scale"), "not the units of an encoded table")
    if max(map(abs, [*described.numbers("loc"), *described.numbers("scale")]), default=0.0) > 10 * LARGEST:
        raise described.error("scale", described.entry("scale"), "not the units of a target")
    for name, tensor in contents.state.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise FileError(
                f"{path} is no file that this yuragi can use: '{name}' holds values that are NaN or infinite"
            )


def _check_precision(path: str | os.PathLike[str], state: Mapping[str, torch.Tensor]) -> None:
    weights = [tensor for name, tensor in state.items() if name.startswith(("module.", "means."))]
    if len({tensor.dtype for tensor in weights if tensor.is_floating_point()}) > 1:
        raise FileError(f"{path} is no file that this yuragi can use: its weights are of several precisions")


def _schema(described: Described) -> Schema:
    for column in described.parts("columns"):
        _check_column(column)
    for one in described.parts("left_out"):
        one.text("name")
        one.text("reason")
    target = described.part("target")
    _check_column(target)
    described.text("task", ("regression", "classification"))
    described.whole("rows", 1, _MOST)
    classes = described.texts("classes")
    try:
        schema = Schema.restore({name: described.entry(name) for name in described})
    except TableError as error:
        raise described.error("schema", {}, str(error)) from error
    names = [column.name for column in schema.columns]
    if not names or len(set(names)) != len(names) or schema.target.name in names:
        raise described.error("columns", names, "not distinct names, or the target is among them")
    if schema.task == "classification":
        if (
            not 2 <= len(classes) <= CLASSES
            or set(schema.target.levels) != set(classes)
            or len(set(classes)) != len(classes)
        ):
            raise described.error("classes", classes, "not the distinct levels of the target")
    elif classes or schema.target.kind != "number":
        raise described.error("classes", classes, "those of a regression")
    return schema


def _check_column(described: Described) -> None:
    described.text("name")
    kind = described.text("kind", _KINDS)
    described.whole("missing", 0, _MOST)
    described.texts("words")
    quantiles, levels = described.numbers("quantiles"), described.part("levels")
    low, high = (EARLIEST, LATEST) if kind == "date" else (-LARGEST, LARGEST)
    if kind in ("number", "date"):
        if len(quantiles) != 101 or quantiles != sorted(quantiles) or quantiles[0] < low or quantiles[-1] > high:
            raise described.error("quantiles", quantiles, "not the 101 percentiles of its values")
    elif not list(levels) or quantiles:
        raise described.error("levels", {}, "not the levels of a column without numbers")
    for level in levels:
        levels.whole(level, 0, _MOST)
        if kind == "boolean" and plain(level).lower() not in TRUTH:
            raise levels.error(level, level, "neither yes nor no")
    notation = described.text("notation")
    if kind == "date":
        directives = _DIRECTIVES.findall(notation)
        fits = notation in ("", "ISO8601") or (
            _DATE_FORM.fullmatch(notation) is not None and len(set(directives)) == len(directives)
        )
    else:
        fits = not notation or (notation[0] in ".," and notation[1:] in ("", *UNITS))
    if not fits:
        raise described.error("notation", notation, f"no way to write a {kind}")


def _encoder(described: Described, schema: Schema) -> TableEncoder:
    for column in described.parts("columns"):
        _check_column(column)
    learned = described.part("learned")
    kinds = {column.name: column.kind for column in schema.columns}
    numbers, dates = learned.part("numbers"), learned.part("dates")
    _check_names(numbers, [name for name, kind in kinds.items() if kind in ("number", "boolean")])
    _check_names(dates, [name for name, kind in kinds.items() if kind == "date"])
    for name in numbers:
        values = numbers.numbers(name)
        if len(values) != 3 or not values[2] > 0 or max(map(abs, values)) > 10 * LARGEST:
            raise numbers.error(name, values, "not a value, a location and a scale")
    for name in dates:
        date = dates.part(name)
        if not EARLIEST <= date.number("fill") <= LATEST:
            raise date.error("fill", date.entry("fill"), "no date in the years 1 to 9999")
        parts = date.texts("parts")
        if not parts or len(set(parts)) != len(parts) or not set(parts) <= set(PARTS):
            raise date.error("parts", parts, "not parts of the calendar")
        if not len(date.numbers("loc")) == len(date.numbers("scale", positive=True)) == len(parts):
            raise date.error("loc", parts, "not as many as the parts of the calendar")
    _check_encodings(learned, schema.columns)
    try:
        encoder = TableEncoder.restore({name: described.entry(name) for name in described}, schema)
    except TableError as error:
        raise described.error("encoder", {}, str(error)) from error
    if encoder.columns_ != schema.columns:
        raise described.error("columns", [], "not the columns of the schema")
    return encoder


def _check_encodings(learned: Described, columns: tuple[Column, ...]) -> None:
    sizes = [len(column.levels) + 2 for column in columns if column.kind == "category" and len(column.levels) > ONE_HOT]
    outputs = learned.listed("encodings")
    if outputs and (not sizes or len(outputs) > CLASSES):
        raise learned.error("encodings", outputs, "not those of its categories")
    for output in outputs:
        if not isinstance(output, list) or [len(one) if isinstance(one, list) else -1 for one in output] != sizes:
            raise learned.error("encodings", output, "not one list for each category of many levels")
        if not all(_is_finite(value) for one in output for value in one):
            raise learned.error("encodings", output, "not finite numbers")


def _check_names(described: Described, expected: list[str]) -> None:
    if list(described) != expected:
        raise described.error(described.place, list(described), "not the names of its columns, in their order")


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
