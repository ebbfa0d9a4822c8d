"""One pass over a table in blocks finds what is found in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.made_up_tables import table

from yuragi.large_tables import open_files, text_files
from yuragi.large_tables.drawn_rows import DrawnRows
from yuragi.large_tables.one_pass import LearntColumns, folds, learn_columns
from yuragi.large_tables.sources import TableFiles
from yuragi.tables import Schema, TableEncoder, TableError, read_table


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, frame: pd.DataFrame) -> TableFiles:
    monkeypatch.setattr(text_files, "BLOCK", 2000)
    frame.to_csv(folder / "t.csv", index=False)
    files = open_files(folder / "t.csv")
    assert len(files.blocks) > 3
    return files


def learnt(files: TableFiles, target: str, held: int = 0, sample: pd.DataFrame | None = None) -> LearntColumns:
    rows = files.read() if sample is None else sample
    schema = Schema.of(rows, target)
    known = schema.with_target(rows)
    return learn_columns(files, known, schema, DrawnRows.of(len(files), held, seed=0), seed=0)


def everything(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [one for key in value for one in (key, *everything(value[key]))]
    if isinstance(value, (list, tuple)):
        return [one for part in value for one in everything(part)]
    return [value]


@pytest.mark.parametrize("target", ["price", "kind"])
def test_where_the_sample_is_all_the_schema_and_the_encoder_are_those_in_memory(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table(400).drop(columns="kind" if target == "price" else "price")
    frame.loc[[7, 40], target] = None
    files = made(tmp_path, monkeypatch, frame)
    found = learnt(files, target)
    whole = read_table(tmp_path / "t.csv")
    schema = Schema.of(whole, target)
    assert found.schema == schema
    assert (found.learnt, found.checked) == (398, 0)
    known = schema.with_target(whole)
    encoder = TableEncoder(schema).fit(known)
    for one, other in zip(everything(found.encoder.described()), everything(encoder.described()), strict=True):
        assert one == (pytest.approx(other, rel=1e-9, abs=1e-9) if isinstance(other, float) else other)
    np.testing.assert_allclose(found.encoder.transform(known), encoder.transform(known), rtol=1e-8, atol=1e-8)
    if target == "price":
        assert found.loc == pytest.approx(known["price"].mean(), rel=1e-12)
        assert found.scale == pytest.approx(known["price"].std(ddof=0), rel=1e-12)


def test_scales_and_mean_targets_are_of_the_rows_learnt_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table(400).drop(columns="kind")
    files = made(tmp_path, monkeypatch, frame)
    found = learnt(files, "price", held=100)
    held = DrawnRows.of(400, 100, seed=0).holds(np.arange(400))
    assert (found.learnt, found.checked) == (300, 100)
    kept = read_table(tmp_path / "t.csv")[~held].reset_index(drop=True)
    encoder = TableEncoder(found.schema).fit(kept)
    np.testing.assert_allclose(found.encoder.transform(kept), encoder.transform(kept), rtol=1e-8, atol=1e-8)
    assert found.loc == pytest.approx(kept["price"].mean())


def test_no_row_is_told_its_own_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table(400).drop(columns="kind")
    numbers = np.arange(400)

    def encoded(prices: pd.Series[float], name: str) -> np.ndarray[Any, Any]:
        (tmp_path / name).mkdir()
        files = made(tmp_path / name, monkeypatch, frame.assign(price=prices))
        found = learnt(files, "price")
        inputs = found.training_inputs(files.read(), numbers)
        assert list(found.encoder.sources_).count("shop") > 1
        return inputs[:, -1] * found.scale + found.loc  # in the units of the target

    changed = frame["price"].copy()
    changed[11] += 5.0
    before, after = encoded(frame["price"], "before"), encoded(changed, "after")
    fold = folds(numbers, 0)
    own, other = fold == fold[11], frame["shop"] == frame["shop"][11]
    np.testing.assert_allclose(after[own], before[own], rtol=1e-9)
    assert (np.abs(after - before)[other & ~own] > 1e-3).all()


def test_what_the_sample_has_not_seen_is_learnt_from_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": random.normal(size=1000).round(3).astype(str),
            "colour": random.choice(["red", "blue"], 1000),
            "open": random.choice(["yes", "no"], 1000),
            "price": random.normal(size=1000).round(3),
        }
    )
    frame.loc[700:709, "size"] = "?"
    frame.loc[800, "size"] = "1000.5"
    frame.loc[600:603, "colour"] = "mauve"
    frame.loc[900, "open"] = ""
    files = made(tmp_path, monkeypatch, frame)
    sample = files.read().iloc[:500]
    schema = learnt(files, "price", sample=sample).schema
    columns = {column.name: column for column in schema.columns}
    assert (columns["size"].words, columns["size"].missing) == (("?",), 10)
    assert columns["size"].quantiles[-1] == 1000.5
    assert columns["size"].quantiles[50] == Schema.of(sample, "price").columns[0].quantiles[50]
    assert columns["colour"].levels["mauve"] == 4
    assert columns["open"].missing == 1
    assert schema.rows == 1000
    frame.loc[900:905, "size"] = [f"word {place}" for place in range(6)]
    files = made(tmp_path, monkeypatch, frame)
    with pytest.raises(
        TableError, match=r"'size' holds numbers.*here 'word 0'.*rows are counted from row [0-9,]+ of the"
    ):
        learnt(files, "price", sample=files.read().iloc[:500])


def test_classes_that_the_sample_has_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"x": np.arange(1000) % 97 + 0.5, "kind": ["a", "b"] * 500})
    frame.loc[[900, 950], "kind"] = "c"
    files = made(tmp_path, monkeypatch, frame)
    found = learnt(files, "kind", sample=frame.iloc[:500])
    assert found.schema.classes == ("a", "b", "c")
    assert found.schema.target.levels == {"b": 500, "a": 498, "c": 2}
    frame.loc[950, "kind"] = "d"
    with pytest.raises(TableError, match="has the class 'c' in one row only"):
        learnt(made(tmp_path, monkeypatch, frame), "kind", sample=frame.iloc[:500])
    frame["kind"] = [*np.tile([1, 2], 250), *np.tile(np.arange(20), 25)]
    with pytest.raises(TableError, match='20 different whole numbers in all rows: say whether it is a "regression"'):
        learnt(made(tmp_path, monkeypatch, frame), "kind", sample=frame.iloc[:500])
