"""`fit_files`: the same model as of the table in memory, but for what is random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.made_up_tables import NOISE, table

from yuragi.large_tables import fit_files, fitting, open_files, text_files
from yuragi.tables import TableError, fit_table, load_table_model

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
QUICK: dict[str, Any] = {"posterior": "anchored", "members": 2, "epochs": 2}


def parts(folder: Path, frame: pd.DataFrame, count: int = 4) -> str:
    for place, rows in enumerate(np.array_split(np.arange(len(frame)), count)):
        frame.iloc[rows].to_csv(folder / f"part-{place}.csv", index=False)
    return str(folder / "part-*.csv")


def test_it_predicts_as_well_as_the_table_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "BLOCK", 4000)
    frame = table(400).drop(columns="kind")
    settings: dict[str, Any] = {"posterior": "anchored", "members": 2, "epochs": 60}
    blocks, memory = fit_files(parts(tmp_path, frame), "price", **settings), fit_table(frame, "price", **settings)
    assert blocks.schema.columns == memory.schema.columns
    assert blocks.about["rows"] == {"learnt from": 320, "held out": 80, "without a target": 0, "in the sample": 400}
    assert blocks.about["data"]["files"] == 4
    new = table(200, seed=1)
    errors = [model.predict(new).mean[:, 0].numpy() - new["price"].to_numpy() for model in (blocks, memory)]  # type: ignore[union-attr]
    rmse = [float(np.sqrt(np.mean(error**2))) for error in errors]
    assert rmse[0] == pytest.approx(rmse[1], rel=0.3)
    assert rmse[0] < 3 * NOISE  # the standard deviation of price is 6
    assert blocks.about["scores"]["rows"] == 80
    scores = [model.evaluate(new)["model"] for model in (blocks, memory)]
    assert scores[0]["coverage_90"] == pytest.approx(scores[1]["coverage_90"], abs=0.15)
    assert scores[0]["log_likelihood"] > scores[1]["log_likelihood"] - 0.4
    blocks.save(tmp_path / "m.yuragi")
    loaded = load_table_model(tmp_path / "m.yuragi")
    pd.testing.assert_frame_equal(loaded.predict_table(new), blocks.predict_table(new))


def test_the_settings_are_chosen_by_the_sample_and_classes_are_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "_FEWEST", 100)
    monkeypatch.setattr(fitting, "_CELLS", 100)
    monkeypatch.setattr("yuragi.loop.DEFAULT_STEPS", 40)
    files = open_files(parts(tmp_path, table(600).drop(columns="price")))
    model = fit_files(files, "kind", members=2, epochs=30)
    assert model.about["rows"] == {"learnt from": 550, "held out": 50, "without a target": 0, "in the sample": 100}
    assert model.schema.classes == ("large", "small")
    assert model.schema.rows == 600
    history = model.tabular.history
    assert history is not None
    assert history.selection is not None
    assert history.selection.held_out == 10  # a fifth of the 50 that are not held out to check
    assert history.settings["num_data"] == 550
    assert model.about["scores"]["model"]["accuracy"] > 0.7


def test_the_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    source = parts(tmp_path, table(200).drop(columns="kind"))
    state = torch.get_rng_state()
    first, second, other = (fit_files(source, "price", seed=seed, **QUICK) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    new = table(20, seed=1)
    assert torch.equal(first.predict(new).samples, second.predict(new).samples)
    assert first.about["scores"] == second.about["scores"]
    assert not torch.equal(first.predict(new).samples, other.predict(new).samples)


def test_rows_without_a_target_and_rows_held_out_are_not_learnt_from(tmp_path: Path) -> None:
    frame = table(300).drop(columns="kind")
    frame.loc[frame.index % 3 == 0, "price"] = np.nan
    model = fit_files(parts(tmp_path, frame), "price", held_out=0.5, **QUICK)
    rows = model.about["rows"]
    assert rows["without a target"] == 100
    assert rows["learnt from"] + rows["held out"] == 200
    assert rows["held out"] == model.about["scores"]["rows"]
    assert fit_files(parts(tmp_path, frame), "price", held_out=0, **QUICK).about["scores"] is None


def test_whoever_watches_sees_all_of_it_and_may_stop_it(tmp_path: Path) -> None:
    source = parts(tmp_path, table(200).drop(columns="kind"))
    told: list[float] = []
    fit_files(source, "price", progress=told.append, **QUICK)
    assert told == sorted(told)
    assert told[0] < 0.1
    assert told[-1] == 1.0
    with pytest.raises(TableError, match="stopped while the table was still being read: nothing had been learnt yet"):
        fit_files(source, "price", progress=lambda done: done > 0.05, **QUICK)
    model = fit_files(source, "price", progress=lambda done: done > 0.3, **QUICK | {"epochs": 50})
    assert model.about["settings"]["stopped"] == "progress"


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    source = parts(tmp_path, table(100))
    with pytest.raises(TableError, match=r"the target column 'rent' is missing; the table has 'size'"):
        fit_files(source, "rent")
    with pytest.raises(ValueError, match="held_out must be a share"):
        fit_files(source, "price", held_out=1.0)
    with pytest.raises(TableError, match="the target 'day' is a date"):
        fit_files(source, "day")
