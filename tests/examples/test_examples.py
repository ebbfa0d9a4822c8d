"""The examples run, draw their figures, and show what they claim to show, on quick settings too."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

# a quick fit stops long before its end
pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")


class Output(str):
    """What an example printed."""

    def row(self, start: str) -> list[float]:
        """The numbers in the only line that starts with these words."""
        (line,) = (line for line in self.splitlines() if line.startswith(start))
        return [float(number) for number in re.findall(r"-?\d+\.?\d*", line.removeprefix(start))]


def run(name: str, folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> Output:
    figure = folder / "figure.png"
    runpy.run_path(str(EXAMPLES / name))["main"](["--quick", "--out", str(figure), *arguments])
    assert figure.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert figure.stat().st_size > 20_000  # more than empty axes
    return Output(capsys.readouterr().out)


def test_sine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = run("sine.py", tmp_path, capsys)
    for posterior in ("anchored members", "mean field"):
        for region in ("in the data", "in the gap", "at the edges"):
            std, epistemic, _ = output.row(f"{posterior:18}{region}")
            assert std**2 == pytest.approx(epistemic**2 + 0.1**2, abs=0.01)
    ratio = {
        posterior: output.row(f"{posterior:18}in the gap")[1] / output.row(f"{posterior:18}in the data")[1]
        for posterior in ("anchored members", "mean field")
    }
    assert ratio["anchored members"] > 2 > ratio["mean field"]


def test_moped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = run("moped.py", tmp_path, capsys)
    score = {name: output.row(f"{name:18}")[1] for name in ("fresh", "fine-tuned", "MOPED", "MOPED, anchored")}
    assert min(score["MOPED"], score["MOPED, anchored"]) > max(score["fresh"], score["fine-tuned"])
    assert output.row(f"{'fine-tuned':18}")[3] == 0


def test_transformer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = run("transformer.py", tmp_path, capsys)
    (line,) = (line for line in output.splitlines() if "weights are Bayesian" in line)
    numbers = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", line)]
    bayesian, total, tensors, all_tensors = numbers[:4]
    assert bayesian == total
    assert tensors == all_tensors
    assert output.row("16 symbols")[0] > 2 * output.row("5 symbols")[0]


@pytest.fixture
def bike_file(tmp_path: Path) -> Path:
    """Half a made-up year with the columns of the real file: commuters, rain that keeps them at home, holes at night."""
    random = np.random.default_rng(0)
    hours = pd.date_range("2011-01-01", periods=24 * 180, freq="h")
    rain = np.repeat(random.random(180) < 0.3, 24)
    daytime = np.exp(-0.5 * ((hours.hour.to_numpy() - 14) / 4) ** 2)
    table = pd.DataFrame(
        {
            "dteday": hours.strftime("%m/%d/%y"),
            "hr": hours.hour,
            "holiday": np.repeat(random.random(180) < 0.05, 24).astype(int),
            "workingday": (hours.day_of_week < 5).astype(int),
            "weathersit": np.where(rain, 3, 1),
            "temp": 0.5 + 0.1 * random.standard_normal(len(hours)),
            "hum": np.where(rain, 0.9, 0.5),
            "windspeed": 0.2 * random.random(len(hours)),
            "cnt": random.poisson(300 * daytime * np.where(rain, 0.25, 1.0)),
        }
    )
    path = tmp_path / "hour.csv"
    table[table["cnt"] > 0].to_csv(path, index=False)
    return path


def test_lstm_bike(tmp_path: Path, capsys: pytest.CaptureFixture[str], bike_file: Path) -> None:
    output = run("lstm_bike.py", tmp_path, capsys, "--data", str(bike_file))
    error, score, coverage = output.row("LSTM")
    naive_error, naive_score, _ = output.row("same hour a week before")
    assert error < naive_error  # the weather tells it what last week does not
    assert score > naive_score
    assert 50 < coverage <= 100
    assert sum(output.row(kind)[0] for kind in ("ordinary", "rain or storm for 6 hours", "holiday")) == 70
