"""Write the files of the present format into a folder of its version: `python -m tests.released.make`, once a version.

They stay as they are from then on: `test_released.py` loads those of every version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.container import VERSION
from yuragi.networks import TabularNetwork
from yuragi.tables import Schema, TableEncoder, TableModel
from yuragi.tables.baselines import Baselines
from yuragi.tabular import TabularModel

HERE = Path(__file__).parent
X = torch.linspace(-2, 2, 12).reshape(4, 3)


def network() -> nn.Module:
    """The architecture of network.yuragi, and of int8.yuragi."""
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def table() -> pd.DataFrame:
    """A table with every kind of column, and two targets."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": [None, *rng.normal(10, 2, 39).round(2)],
            "色": rng.choice(["赤", "青"], 40),
            "shop": [f"shop {number % 23}" for number in range(40)],
            "open": rng.choice(["yes", "no"], 40),
            "day": pd.date_range("2024-01-28", periods=40).strftime("%Y/%m/%d"),
        }
    )
    return frame.assign(price=rng.normal(100, 10, 40).round(1), kind=rng.choice(["a", "b", "c"], 40))


def small_model(target: str) -> TableModel:
    """A model of the table with a small network, untrained: it is the file that counts."""
    frame = table().drop(columns="kind" if target == "price" else "price")
    schema = Schema.of(frame, target)
    y = schema.targets(frame)
    encoder = TableEncoder(schema)
    x = encoder.fit_transform(frame, y)
    outputs = len(schema.classes) or 1
    torch.manual_seed(0)
    net = TabularNetwork(torch.as_tensor(x), outputs, heteroscedastic=not schema.classes, width=4, depth=2)
    likelihood = yu.Categorical() if schema.classes else yu.likelihoods.HeteroscedasticStudentT()
    bnn = yu.bayesianize(net, likelihood=likelihood, posterior=yu.posteriors.Anchored(0), members=2, seed=0)
    loc, scale = torch.zeros(outputs).double(), torch.ones(outputs).double()
    if not schema.classes:
        loc, scale = loc + float(y.mean()), scale * float(y.std())
    size = x.shape[1]
    tabular = TabularModel(bnn, schema.task, loc, scale, torch.zeros(size).double(), torch.ones(size).double())
    about = {"versions": {"yuragi": yu.__version__}, "seed": 0, "scores": None}
    return TableModel(schema, encoder, tabular, Baselines.fit(x, y, len(schema.classes)), about)


def said(prediction: Any) -> list[Any]:
    """What is compared of a prediction."""
    found: Tensor = prediction.probs if isinstance(prediction, yu.ClassificationPrediction) else prediction.samples
    numbers: list[Any] = found.tolist()
    return numbers


def main() -> None:
    """Write them, with what they predict."""
    folder = HERE / f"version_{VERSION}"
    folder.mkdir()
    torch.manual_seed(0)
    expected = {}
    bnn = yu.bayesianize(network(), likelihood=yu.likelihoods.StudentT(5.0, noise=0.3), members=2, seed=0)
    for name, one in {"network": bnn, "int8": yu.quantization.quantize(bnn)}.items():
        yu.save(one, folder / f"{name}.yuragi", extra={"note": "揺らぎ"})
        expected[name] = said(yu.predict(one, X, samples=4))
    for target in ("price", "kind"):
        model = small_model(target)
        model.save(folder / f"{target}.yuragi")
        expected[target] = said(model.predict(table()))
    (folder / "expected.json").write_text(json.dumps(expected), encoding="utf-8")


if __name__ == "__main__":
    main()
