"""Models of tables of numbers: units, noise, posteriors, weights, updates and files, against what is known of the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.sklearn.data import Small, global_state, heaps, line
from torch import nn

import yuragi as yu
from yuragi import likelihoods
from yuragi.networks import TabularNetwork
from yuragi.posteriors import Anchored, FullCovariance, MeanField
from yuragi.prediction import ClassificationPrediction, NumericPrediction, StudentTPrediction
from yuragi.priors import FanIn, PerLayer
from yuragi.tabular import TabularModel, fit_tabular, load_tabular, update_tabular

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
FAST: dict[str, Any] = {"posterior": "anchored", "members": 4, "epochs": 30}


def numeric(model: TabularModel, x: Any, **settings: Any) -> NumericPrediction:
    prediction = model.predict(x, **settings)
    assert isinstance(prediction, NumericPrediction)
    return prediction


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param("auto", marks=SLOW),
        "learned",
        pytest.param("heteroscedastic", marks=SLOW),
        pytest.param(0.5, marks=SLOW),
    ],
)
def test_a_known_noise_is_recovered(noise: Any) -> None:
    x, y = line(rows=250)
    # a linear network: the known answer is then the posterior's, whatever a wider network would make of the data
    module = None if noise == "heteroscedastic" else nn.Linear  # there, a linear scale can be stuck in a poor optimum
    model = fit_tabular(x, y, "regression", posterior="anchored", module=module, noise=noise, members=4, epochs=900)
    p = numeric(model, x)
    # the line is known to ±0.5·√(3/250), and a standard deviation to ± 0.5/√500; a scale that depends on x has more to learn
    assert (p.mean[:, 0].numpy() - (3 * x[:, 0] - 2 * x[:, 1] + 7)).std() < (0.3 if module is None else 0.12)
    assert (p.aleatoric.mean() / 0.5 - 1).abs() < (0.15 if noise in ("auto", "heteroscedastic") else 0.08)
    assert (p.std - 0.5).abs().median() < 0.1
    assert p.epistemic.mean() < (0.3 if module is None else 0.12)


@SLOW
def test_noise_that_depends_on_x_is_seen() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(250, 1))
    y = (0.1 + 0.9 * (x[:, 0] > 0)) * rng.normal(size=250)
    model = fit_tabular(x, y, "regression", posterior="anchored", members=4, epochs=600)
    quiet, loud = numeric(model, [[-0.5], [0.5]]).aleatoric[:, 0]
    assert 0.05 < quiet < 0.3
    assert 0.7 < loud < 1.4


@pytest.mark.parametrize("noise", ["auto", 0.5])
def test_another_unit_gives_the_same_prediction_in_that_unit(noise: Any) -> None:
    x, y = line(rows=60)
    settings = {**FAST, "posterior": "auto"}
    one = numeric(fit_tabular(x, y, "regression", noise=noise, **settings), x)
    other_noise = noise if noise == "auto" else 1000 * noise
    other = numeric(
        fit_tabular(2.54 * x - 100, 1000 * y + 5, "regression", noise=other_noise, **settings), 2.54 * x - 100
    )
    torch.testing.assert_close(other.mean, 1000 * one.mean + 5, rtol=1e-3, atol=1.0)  # its x is rounded otherwise
    same_x = numeric(fit_tabular(x, 1000 * y + 5, "regression", noise=other_noise, **settings), x)
    for got, expected in (
        (same_x.mean, 1000 * one.mean + 5),
        (same_x.std, 1000 * one.std),
        (same_x.quantile(0.9), 1000 * one.quantile(0.9) + 5),
    ):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-6)


def test_a_float_noise_is_in_the_units_of_every_output() -> None:
    x, y = line(rows=50, outputs=3)
    p = numeric(fit_tabular(x, y * [1, 10, 0.1], "regression", noise=0.7, **FAST), x)
    torch.testing.assert_close(p.aleatoric, torch.full((50, 3), 0.7).double(), rtol=1e-6, atol=0)


@SLOW
@pytest.mark.parametrize("noise", ["auto", "learned"])
def test_each_output_has_its_own_units_and_noise(noise: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(250, 1))
    y = np.column_stack([x[:, 0] + 0.1 * rng.normal(size=250), 1e4 + 100 * x[:, 0] + 50 * rng.normal(size=250)])
    settings: dict[str, Any] = {"module": nn.Linear, "posterior": "anchored", "members": 4, "epochs": 1000}
    p = numeric(fit_tabular(x, y, "regression", noise=noise, **settings), x)
    assert p.mean.shape == (250, 2)
    for output, std in enumerate((0.1, 50.0)):
        assert (p.aleatoric[:, output].mean() / std - 1).abs() < 0.2


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_row_twice_is_a_row_of_weight_two(task: Any) -> None:
    x, y = line(rows=30) if task == "regression" else heaps(2, 15)
    y = y if task == "regression" else (y == "heap 1").astype(int)
    weight = np.arange(30) % 3
    repeated = fit_tabular(x.repeat(weight, 0), y.repeat(weight, 0), task, **FAST).predict(x)
    weighted = fit_tabular(x[::-1], y[::-1], task, sample_weight=weight[::-1], **FAST).predict(x)
    assert torch.equal(repeated.samples, weighted.samples)


def test_weights_that_are_not_whole_weigh() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1))
    half = np.arange(200) % 2 == 0
    y = np.where(half, 1.0, 3.0) + 0.1 * rng.normal(size=200)
    weight = np.where(half, 0.1, 0.3)
    settings: dict[str, Any] = {"module": nn.Linear, "posterior": "anchored", "epochs": 600}
    model = fit_tabular(x, y, "regression", noise=1.0, sample_weight=weight, **settings)
    assert (numeric(model, [[0.0]]).mean - 2.5).abs() < 0.35  # (0.1·1 + 0.3·3)/0.4; 40 data of noise 1: ± 0.16
    epistemic = numeric(model, [[0.0]]).epistemic
    assert 0.05 < epistemic < 0.4


def test_what_is_said_of_a_row_does_not_depend_on_the_others() -> None:
    x, y = line(rows=300)
    for settings in (FAST, {**FAST, "posterior": "meanfield", "members": 1, "epochs": 5}):
        model = fit_tabular(x, y, "regression", **settings)
        whole, one = numeric(model, x), numeric(model, x[273:274])
        assert torch.equal(one.samples[:, 0], whole.samples[:, 273])
        for name in ("mean", "std", "epistemic", "aleatoric"):
            torch.testing.assert_close(getattr(one, name)[0], getattr(whole, name)[273], rtol=1e-12, atol=0)


def test_inputs_far_from_zero_keep_their_differences() -> None:
    x, y = line(rows=60)
    near = numeric(fit_tabular(x, y, "regression", **FAST), x)
    far = numeric(fit_tabular(x + 2**30, y, "regression", **FAST), x + 2**30)  # float32 would see steps of 64
    torch.testing.assert_close(far.mean, near.mean, rtol=0, atol=0.01)


def test_seeds_decide_and_the_global_states_are_left_alone() -> None:
    x, y = line(rows=60)
    before = global_state()
    first, again = (numeric(fit_tabular(x, y, "regression", seed=3, **FAST), x) for _ in range(2))
    other = numeric(fit_tabular(x, y, "regression", seed=4, **FAST), x)
    assert global_state() == before
    assert torch.equal(first.samples, again.samples)
    assert not torch.equal(first.samples, other.samples)


# -- what the settings mean


def test_auto_chooses_among_the_priors_of_the_network() -> None:
    x, y = line(rows=60)
    model = fit_tabular(x, y, "regression", epochs=10)
    assert isinstance(model.bnn.posterior, Anchored)
    assert isinstance(model.bnn.likelihood, likelihoods.HeteroscedasticStudentT)
    assert model.bnn.members == 10
    assert model.history is not None
    assert model.history.selection is not None
    assert len(model.history.selection.candidates) == 4
    assert isinstance(numeric(model, x), StudentTPrediction)
    own = fit_tabular(x, y, "regression", module=Small, epochs=10)
    assert own.history is not None
    assert own.history.selection is not None
    gains = {candidate.prior.arguments()["gain"] for candidate in own.history.selection.candidates}
    assert gains == {0.5, 1.0, 2.0}


@pytest.mark.parametrize(
    ("x", "y"),
    [
        line(rows=39),
        (line(rows=400)[0], (np.arange(400) == 7).astype(float)),  # the one that differs might be held out
    ],
    ids=["few rows", "few that differ"],
)
def test_with_little_to_choose_by_nothing_is_chosen(x: Any, y: Any) -> None:
    for posterior in ("auto", "meanfield"):
        model = fit_tabular(x, y, "regression", posterior=posterior, epochs=3)
        assert model.history is not None
        assert model.history.selection is None
        assert model.history.settings["kl_weight"] == (1.0 if posterior == "auto" else 0.1)
        prior = model.bnn.prior
        assert isinstance(prior, PerLayer)
        bins = prior.arguments()["layers"]["bins"]
        assert isinstance(bins, FanIn)
        assert bins.gain == 0.1


def test_mean_field_is_one_posterior_or_a_mixture_with_a_chosen_weight() -> None:
    x, y = line(rows=60)
    mixture = fit_tabular(x, y, "regression", posterior="meanfield", epochs=3)
    assert mixture.bnn.members == 5
    assert mixture.history is not None
    assert mixture.history.selection is not None
    assert {c.kl_weight for c in mixture.history.selection.candidates} == {1.0, 0.3, 0.1, 0.03, 0.01}
    one = fit_tabular(x, y, "regression", posterior="meanfield", members=1, epochs=3)
    assert one.history is not None
    assert one.history.selection is None
    assert one.history.settings["kl_weight"] == 1.0
    assert isinstance(one.bnn.posterior, MeanField)


def test_a_posterior_itself_is_taken_as_it_is() -> None:
    x, y = line(rows=60)
    full = fit_tabular(x, y, "regression", posterior=FullCovariance(0.02), module=nn.Linear, epochs=3)
    assert (type(full.bnn.posterior), full.bnn.members, full.bnn.estimator) == (FullCovariance, 1, "shared")
    assert fit_tabular(x, y, "regression", posterior=Anchored(seed=1), epochs=3).bnn.members == 10


def test_a_network_of_ones_own_has_the_outputs_that_its_noise_needs() -> None:
    seen = []

    def make(inputs: int, outputs: int) -> nn.Module:
        seen.append((inputs, outputs))
        return nn.Linear(inputs, outputs)

    x, y = line(rows=20, outputs=2)
    for noise in ("auto", "heteroscedastic", "learned", 1.0):
        fit_tabular(x, y, "regression", module=make, noise=noise, epochs=1)
    fit_tabular(x, np.arange(20) % 5, "classification", module=make, epochs=1)
    assert seen == [(2, 4), (2, 4), (2, 2), (2, 2), (2, 5)]


def test_callbacks_see_every_epoch() -> None:
    x, y = line(rows=30)
    seen: list[int] = []
    fit_tabular(x, y, "regression", callbacks=[lambda epoch: seen.append(epoch.epoch)], **FAST)
    assert seen == list(range(1, 31))


# -- odd data


def test_a_constant_target_is_predicted_with_a_hundredth_of_it_as_noise() -> None:
    x, _ = line(rows=50)
    p = numeric(fit_tabular(x, np.full(50, -40.0), "regression", epochs=100), x)
    assert (p.mean + 40).abs().max() < 0.4
    torch.testing.assert_close(p.aleatoric, torch.full((50, 1), 0.4).double(), rtol=1e-6, atol=0)


def test_a_constant_output_among_others() -> None:
    x, y = line(rows=100)
    p = numeric(
        fit_tabular(x, np.column_stack([y, np.full(100, 2000.0)]), "regression", posterior="anchored", epochs=300), x
    )
    assert (p.mean[:, 1] - 2000).abs().max() < 10
    assert (p.mean[:, 0] - torch.from_numpy(y)).square().mean().sqrt() < 0.7
    with pytest.raises(ValueError, match="output 1 of the targets is constant"):
        fit_tabular(x, np.column_stack([y, np.full(100, 2000.0)]), "regression", noise="learned", **FAST)


def test_classes_that_lie_apart_are_told_apart() -> None:
    x, y = heaps(4)
    label = np.unique(y, return_inverse=True)[1]
    model = fit_tabular(x, label, "classification", members=5, epochs=150)
    p = model.predict(np.vstack([x, [[0.0, 0.0]]]))
    assert isinstance(p, ClassificationPrediction)
    assert p.probs.shape == (161, 4)
    assert (p.label[:-1].numpy() == label).all()
    assert p.probs[:-1].max(1).values.min() > 0.8
    assert p.entropy[-1] > 3 * p.entropy[:-1].max()  # between all heaps
    assert (model.loc.tolist(), model.scale.tolist()) == ([0.0] * 4, [1.0] * 4)


def test_classes_may_be_known_before_they_are_seen() -> None:
    x, _ = line(rows=30)
    p = fit_tabular(x, np.arange(30) % 2, "classification", classes=3, **FAST).predict(x)
    assert isinstance(p, ClassificationPrediction)
    assert p.probs.shape == (30, 3)


# -- updates and files


def test_an_update_leaves_the_model_and_its_units_as_they_were() -> None:
    x, y = line(rows=100)
    model = fit_tabular(x, y, "regression", posterior="meanfield", members=1, module=nn.Linear, epochs=300)
    before, df = numeric(model, x), model.bnn.likelihood.df.detach().clone()  # type: ignore[operator]
    after = update_tabular(model, x + 3, y + 3, epochs=300)
    assert torch.equal(numeric(model, x).samples, before.samples)
    assert torch.equal(after.bnn.likelihood.df, df)  # type: ignore[arg-type]
    for name in ("loc", "scale", "x_loc", "x_scale"):
        assert torch.equal(getattr(after, name), getattr(model, name))
    assert numeric(after, x).epistemic.mean() < before.epistemic.mean()


def test_an_update_is_refused_where_it_does_not_fit() -> None:
    x, y = line(rows=30)
    one: dict[str, Any] = {"posterior": "meanfield", "members": 1, "epochs": 3}
    model = fit_tabular(x, y, "regression", **one)
    with pytest.raises(ValueError, match="x has 1 columns, but the model was fitted to 2"):
        update_tabular(model, x[:, :1], y)
    with pytest.raises(ValueError, match="y has 2 outputs, but the model was fitted to 1"):
        update_tabular(model, x, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="labels go up to 2, but there are 2 classes"):
        update_tabular(fit_tabular(x, np.arange(30) % 2, "classification", **one), x, np.arange(30) % 3)
    with pytest.raises(ValueError, match="members are points"):
        update_tabular(fit_tabular(x, y, "regression", **FAST), x, y)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"posterior": "auto"},
        {"posterior": "meanfield"},
        {"noise": "learned"},
        {"noise": 0.3},
        {"module": Small},
        {"posterior": FullCovariance(), "members": 1, "module": Small},
    ],
    ids=str,
)
def test_a_file_is_complete(settings: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=60), np.full(60, 3.0), np.arange(60) % 2, np.arange(60) % 5])
    model = fit_tabular(x, rng.normal(size=(60, 2)), "regression", **{**FAST, **settings})
    model.save(tmp_path / "m.yuragi", {"note": 1})
    assert yu.files.read(tmp_path / "m.yuragi").extra["note"] == 1
    loaded = load_tabular(tmp_path / "m.yuragi", settings.get("module"))
    assert loaded.history is None
    assert isinstance(loaded.bnn.module, TabularNetwork) == ("module" not in settings)
    one, other = numeric(model, x), numeric(loaded, x)
    assert torch.equal(one.samples, other.samples)
    assert torch.equal(one.std, other.std)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    x, y = line(rows=20)
    path = tmp_path / "m.yuragi"
    fit_tabular(x, y, "regression", module=Small, **FAST).save(path)
    with pytest.raises(ValueError, match="network of your own, whose code no file can hold: give module="):
        load_tabular(path)
    with pytest.raises(yu.FileError, match="another architecture"):
        load_tabular(path, nn.Linear)
    fit_tabular(x, y, "regression", **FAST).save(path)
    with pytest.raises(ValueError, match="leave module= out"):
        load_tabular(path, Small)
    yu.save(yu.bayesianize(nn.Linear(2, 1)), path)
    with pytest.raises(yu.FileError, match="without its standardisation"):
        load_tabular(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "ranking"}, 'task must be "regression" or "classification"'),
        ({"task": "classification", "noise": "learned"}, "noise='learned' is for regression"),
        ({"noise": "loud"}, "noise must be \"auto\", .* got 'loud'"),
        ({"noise": -1.0}, "a positive number in the units of y, got -1.0"),
        ({"noise": True}, "got True"),
        ({"posterior": "laplace"}, "posterior must be \"auto\", .* got 'laplace'"),
        ({"members": 0}, "members must be at least 1"),
        ({"estimator": "magic"}, "estimator must be one of"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    x, y = line(rows=20)
    task = settings.get("task", "regression")
    target = np.arange(20) % 2 if task == "classification" else y
    with pytest.raises(ValueError, match=message):
        fit_tabular(x, target, **{"task": "regression", **FAST, **settings})


def test_predictions_refuse_other_columns() -> None:
    x, y = line(rows=20)
    model = fit_tabular(x, y, "regression", **FAST)
    with pytest.raises(ValueError, match="x has 3 columns, but the model was fitted to 2"):
        model.predict(np.zeros((5, 3)))
    with pytest.raises(TypeError, match=r"module must make an nn.Module, got int"):
        fit_tabular(x, y, "regression", module=lambda a, b: a * b)  # type: ignore[arg-type,return-value]
