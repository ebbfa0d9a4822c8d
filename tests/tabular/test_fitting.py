"""Fitting tables of numbers: units, noise, weights, odd data and updates, against what is known of the data."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from tests.tabular.data import Small, global_state, heaps, line, numeric
from torch import nn

from yuragi.prediction import ClassificationPrediction
from yuragi.tabular import fit_tabular, update_tabular

pytestmark = pytest.mark.filterwarnings("ignore::yuragi.ConvergenceWarning")
FAST: dict[str, Any] = {"posterior": "anchored", "members": 4, "epochs": 30}
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


def test_callbacks_see_every_epoch() -> None:
    x, y = line(rows=30)
    seen: list[int] = []
    fit_tabular(x, y, "regression", callbacks=[lambda epoch: seen.append(epoch.epoch)], **FAST)
    assert seen == list(range(1, 31))


def test_a_job_is_watched_from_its_choice_to_its_end_and_may_be_stopped() -> None:
    x, y = line(rows=60)
    settings: dict[str, Any] = {"module": Small, "members": 4}
    told: list[float] = []
    model = fit_tabular(x, y, "regression", epochs=20, progress=told.append, **settings)
    assert told == sorted(told)
    assert told[-1] == 1
    assert model.history is not None
    assert (model.history.stopped, len(model.history.loss)) == ("epochs", 20)
    stopped = fit_tabular(x, y, "regression", progress=lambda done: done > 0, **settings)  # 2,000 steps else
    assert stopped.history is not None
    assert stopped.history.stopped == "progress"
    assert bool(numeric(stopped, x).std.isfinite().all())


def test_a_time_is_kept() -> None:
    x, y = line(rows=60)
    start = time.perf_counter()
    model = fit_tabular(x, y, "regression", epochs=10**6, time_budget=0.5, module=Small, members=2)
    assert time.perf_counter() - start < 20  # and not hours
    assert model.history is not None
    assert model.history.stopped == "time"
    with pytest.raises(ValueError, match="time budget must be a positive number of seconds, got -1"):
        fit_tabular(x, y, "regression", time_budget=-1.0, **FAST)


def test_the_network_is_put_on_the_device() -> None:
    x, y = line(rows=20)
    with pytest.raises(RuntimeError, match="meta"):  # nothing can be computed there, and no other is everywhere
        fit_tabular(x, y, "regression", device="meta", **FAST)


# -- odd data


def test_a_constant_target_is_predicted_with_a_hundredth_of_it_as_noise() -> None:
    x, _ = line(rows=50)
    p = numeric(fit_tabular(x, np.full(50, -40.0), "regression", epochs=100), x)
    assert (p.mean + 40).abs().max() < 0.4
    torch.testing.assert_close(p.aleatoric, torch.full((50, 1), 0.4).double(), rtol=1e-6, atol=0)


def test_a_constant_output_among_others() -> None:
    x, y = line(rows=100)
    both = np.column_stack([y, np.full(100, 2000.0)])
    p = numeric(fit_tabular(x, both, "regression", posterior="anchored", members=3, epochs=300), x)
    assert (p.mean[:, 1] - 2000).abs().max() < 10
    assert (p.mean[:, 0] - torch.from_numpy(y)).square().mean().sqrt() < 0.7
    with pytest.raises(ValueError, match="output 1 of the targets is constant"):
        fit_tabular(x, both, "regression", noise="learned", **FAST)


def test_classes_that_lie_apart_are_told_apart() -> None:
    x, y = heaps(4)
    label = np.unique(y, return_inverse=True)[1]
    model = fit_tabular(x, label, "classification", members=3, epochs=150)
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


# -- updates


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


@pytest.mark.parametrize("noise", ["auto", "learned", "heteroscedastic", 0.5])
def test_an_update_may_be_of_a_row_and_of_another_scale_and_leaves_a_learned_noise(noise: Any) -> None:
    x, y = line(rows=30)
    one: dict[str, Any] = {"posterior": "meanfield", "members": 1, "module": nn.Linear, "epochs": 30}
    model = fit_tabular(x, y, "regression", noise=noise, **one)
    for rows, factor in ((slice(0, 1), 1.0), (slice(None), 100.0)):
        after = update_tabular(model, x[rows], factor * y[rows], epochs=30)
        before = dict(model.bnn.likelihood.named_parameters()) | dict(model.bnn.likelihood.named_buffers())
        now = dict(after.bnn.likelihood.named_parameters()) | dict(after.bnn.likelihood.named_buffers())
        assert all(torch.equal(now[name], value) for name, value in before.items())
        assert not torch.equal(numeric(after, x).mean, numeric(model, x).mean)
