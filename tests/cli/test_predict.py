"""`yuragi predict`: columns kept and added, notes on rows unlike the training table, standard input and output."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.cli.running import run, started
from tests.made_up_tables import model


def test_columns_are_kept_as_they_are_and_predictions_added(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = pd.read_csv("new.csv").assign(code=[f"00{n}" for n in range(12)], whole=range(12))
    new["gap"] = pd.array([None, *range(1, 12)], dtype="Int64")
    new.to_csv("new.csv", index=False)
    ended = run(capsys, "predict", "price.yuragi", "new.csv", "-o", "out.csv")
    assert ended.code == 0
    assert ended.out == "predicted price for 12 rows; wrote out.csv\n"
    assert "3 columns that the model does not use: 'code', 'whole', 'gap'" in ended.err
    before, after = Path("new.csv").read_text().splitlines(), Path("out.csv").read_text().splitlines()
    assert [line[: len(old)] for line, old in zip(after, before, strict=True)] == before  # whole numbers stay whole
    predicted = pd.read_csv("out.csv")
    expected = model().predict_table(new)
    for name in ("mean", "std", "epistemic", "aleatoric", "lower", "upper"):
        np.testing.assert_allclose(predicted[f"price_{name}"], expected[f"price_{name}"], rtol=1e-12)


@pytest.mark.parametrize("suffix", [".csv.gz", ".parquet", ".xlsx"])
def test_other_kinds_of_files(suffix: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "predict", "kind.yuragi", "new.csv", "-o", f"out{suffix}").code == 0
    ended = run(capsys, "predict", "price.yuragi", f"out{suffix}", "-o", "both.csv", "--level", "0.5")
    assert ended.code == 0
    both = pd.read_csv("both.csv")
    assert {"kind_label", "kind_probability_large", "price_lower"} <= set(both.columns)
    assert len(both) == 12


def test_rows_unlike_the_training_table_are_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = pd.read_csv("new.csv")
    new.loc[4, "size"] = 1e6
    new.loc[2, "colour"] = "mauve"
    new.to_csv("new.csv", index=False)
    ended = run(capsys, "predict", "price.yuragi", "new.csv", "-o", "out.csv", "--json")
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert found["rows"] == 12
    assert found["added"][0] == "price_mean"
    assert any("'size': 1 value outside the training range" in note and "row 5" in note for note in found["notes"])
    assert any("'colour': 1 value that the training table had not" in note for note in found["notes"])


def test_standard_input_and_output(folder: Path) -> None:
    process = started(folder, "predict", "price.yuragi", "-")
    out, err = process.communicate(Path("new.csv").read_bytes(), timeout=120)
    assert process.returncode == 0, err.decode()
    predicted = pd.read_csv(io.BytesIO(out))
    assert len(predicted) == 12
    assert "price_mean" in predicted.columns


def test_japanese_text_for_excel(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = pd.read_csv("new.csv").assign(備考="良い")
    Path("new.csv").write_bytes(new.to_csv(index=False).encode("cp932"))
    command = ("predict", "price.yuragi", "new.csv", "-o", "out.csv", "--output-encoding", "utf-8-sig")
    assert run(capsys, *command).code == 0
    assert Path("out.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert pd.read_csv("out.csv", encoding="utf-8-sig")["備考"].tolist() == ["良い"] * 12
