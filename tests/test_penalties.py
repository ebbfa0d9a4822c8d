"""Calibration penalties: their definition by loops, their limits, their gradients, and their way through training."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import yuragi as yu
from yuragi.penalties import AccuracyVersusUncertainty, ErrorVersusUncertainty


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(*shape: int, classes: int = 4, seed: int = 1) -> Tensor:
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def misalignment(pairs: list[tuple[float, float]], balanced: bool) -> float:
    """From the degrees to which each datum is good, and certain."""
    ac = sum(good * certain for good, certain in pairs)
    au = sum(good * (1 - certain) for good, certain in pairs)
    ic = sum((1 - good) * certain for good, certain in pairs)
    iu = sum((1 - good) * (1 - certain) for good, certain in pairs)
    return -math.log(0.5 * ac / (ac + au) + 0.5 * iu / (ic + iu) if balanced else (ac + iu) / (ac + au + ic + iu))


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("measure", ["entropy", "mutual_information"])
@pytest.mark.parametrize("positions", [(), (2,)])
def test_accuracy_versus_uncertainty_by_its_definition(
    positions: tuple[int, ...], measure: Any, balanced: bool
) -> None:
    outputs, y = 2 * randn(3, 6, 4, *positions), labels(6, *positions)
    penalty = AccuracyVersusUncertainty(0.8, weight=1.5, temperature=0.4, measure=measure, balanced=balanced)
    pairs = []
    for draws, label in zip(
        outputs.movedim(2, -1).reshape(3, -1, 4).transpose(0, 1), y.flatten().tolist(), strict=True
    ):
        probs = [[math.exp(v) / sum(math.exp(w) for w in draw) for v in draw] for draw in draws.tolist()]
        mean = [sum(column) / 3 for column in zip(*probs, strict=True)]
        uncertainty = -sum(p * math.log(p) for p in mean)
        if measure == "mutual_information":
            uncertainty += sum(p * math.log(p) for draw in probs for p in draw) / 3
        sharpened = [p ** (1 / 0.4) for p in mean]
        pairs.append((sharpened[label] / sum(sharpened), sigmoid((1 - uncertainty / 0.8) / 0.4)))
    assert float(penalty(outputs, y)) == pytest.approx(1.5 * misalignment(pairs, balanced), rel=1e-10)


@pytest.mark.parametrize("out", [(), (1,), (2, 3)])
def test_error_versus_uncertainty_by_its_definition(out: tuple[int, ...]) -> None:
    outputs, y = randn(4, 7, *out), randn(7, *out, seed=1)
    pairs = []
    for draws, target in zip(outputs.reshape(4, -1).T.tolist(), y.flatten().tolist(), strict=True):
        mean = sum(draws) / 4
        variance = sum((draw - mean) ** 2 for draw in draws) / 4
        low = sigmoid((1 - (target - mean) ** 2 / 0.7**2) / 0.3)
        pairs.append((low, sigmoid((1 - variance / 0.9**2) / 0.3)))
    penalty = ErrorVersusUncertainty(0.7, 0.9, weight=2.0, temperature=0.3)
    assert float(penalty(outputs, y)) == pytest.approx(2 * misalignment(pairs, False), rel=1e-10)


@pytest.mark.parametrize("measure", ["entropy", "mutual_information"])
def test_the_sharp_limit_is_the_counted_share(measure: Any) -> None:
    outputs, y = 3 * randn(5, 400, 4), labels(400)
    p = yu.ClassificationPrediction(samples=outputs)
    uncertainty = getattr(p, measure)
    threshold = float(uncertainty.median()) + 1e-3
    counted = yu.metrics.accuracy_versus_uncertainty(p.label == y, uncertainty, threshold)
    soft = AccuracyVersusUncertainty(threshold, temperature=1e-9, measure=measure, balanced=False)(outputs, y)
    torch.testing.assert_close(torch.exp(-soft), counted)
    right = p.label == y
    recalls = (uncertainty[right] <= threshold).double().mean(), (uncertainty[~right] > threshold).double().mean()
    balanced = AccuracyVersusUncertainty(threshold, temperature=1e-9, measure=measure)(outputs, y)
    torch.testing.assert_close(torch.exp(-balanced), sum(recalls) / torch.tensor(2.0, dtype=torch.float64))


def test_the_sharp_limit_of_regression_is_the_counted_share() -> None:
    outputs, y = randn(5, 400, 1), randn(400, 1, seed=1)
    penalty = ErrorVersusUncertainty(0.8, 0.9, temperature=1e-9)
    low, certain = (y - outputs.mean(0)).abs() <= 0.8, outputs.std(0, correction=0) <= 0.9
    torch.testing.assert_close(torch.exp(-penalty(outputs, y)), (low == certain).double().mean())


def held(outputs: Tensor, y: Tensor, penalty: AccuracyVersusUncertainty, accurate: Tensor) -> Tensor:
    """The penalty with given degrees of accuracy [N], written plainly."""
    probs = outputs.softmax(-1)
    uncertainty = -(probs.mean(0) * probs.mean(0).log()).sum(-1)
    if penalty.measure == "mutual_information":
        uncertainty = uncertainty + (probs * probs.log()).sum(-1).mean(0)
    certain = torch.sigmoid((1 - uncertainty / penalty.threshold) / penalty.temperature)
    ac, iu = accurate * certain, (1 - accurate) * (1 - certain)
    if penalty.balanced:
        return -(0.5 * ac.sum() / accurate.sum() + 0.5 * iu.sum() / (1 - accurate).sum()).log()
    return -(ac + iu).mean().log()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("measure", ["entropy", "mutual_information"])
def test_the_gradient_is_that_of_the_uncertainty_with_the_accuracy_held(
    measure: Any, balanced: bool, tied: bool
) -> None:
    y = labels(5)
    penalty = AccuracyVersusUncertainty(0.6, measure=measure, balanced=balanced)
    outputs = (0 if tied else 1) * randn(3, 5, 4)
    accurate = (outputs.softmax(-1).mean(0).log() / penalty.temperature).softmax(-1)[torch.arange(5), y]
    assert torch.autograd.gradcheck(lambda z: held(z, y, penalty, accurate), outputs.requires_grad_())
    expected, value = held(outputs, y, penalty, accurate), penalty(outputs, y)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, outputs)[0] for loss in (value, expected)))


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_the_gradient_of_regression_is_that_of_the_variance_with_the_error_held(spread: float) -> None:
    y = randn(5, 2, seed=1)
    outputs = spread * randn(3, 5, 2)
    low = torch.sigmoid((1 - (y - outputs.mean(0)).square() / 0.6**2) / 0.25)

    def plain(z: Tensor) -> Tensor:
        certain = torch.sigmoid((1 - z.var(0, correction=0) / 0.7**2) / 0.25)
        return -(low * certain + (1 - low) * (1 - certain)).mean().log()

    assert torch.autograd.gradcheck(plain, outputs.requires_grad_())
    value, expected = ErrorVersusUncertainty(0.6, 0.7)(outputs, y), plain(outputs)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, outputs)[0] for loss in (value, expected)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e2, 1e4])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_gradient_is_finite_where_probabilities_are_zero_and_one(
    size: float, dtype: torch.dtype, balanced: bool
) -> None:
    y = torch.tensor([0, 1, 0, 1])
    sure = size * torch.tensor([[1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=dtype)
    for outputs in (sure, torch.stack([sure, sure]), torch.stack([sure, -sure])):
        outputs = outputs.clone().requires_grad_()
        value = AccuracyVersusUncertainty(0.5, balanced=balanced)(outputs, y)
        value.backward()
        assert outputs.grad is not None
        assert bool(value.isfinite())
        assert bool(outputs.grad.isfinite().all())


def test_one_pass_is_one_draw_and_equal_draws_count_once() -> None:
    outputs, y = randn(6, 4), labels(6)
    penalty = AccuracyVersusUncertainty(0.5)
    torch.testing.assert_close(penalty(outputs, y), penalty(outputs.expand(3, 6, 4), y))


def test_invariances() -> None:
    outputs, y = randn(3, 8, 4), labels(8)
    penalty = AccuracyVersusUncertainty(0.7)
    value = penalty(outputs, y)
    order, classes = torch.tensor([3, 0, 7, 5, 1, 2, 6, 4]), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(penalty(outputs[:, order], y[order]), value)  # of data
    torch.testing.assert_close(penalty(outputs[..., classes], classes.argsort()[y]), value)  # of classes
    torch.testing.assert_close(penalty(outputs[[2, 0, 1]], y), value)  # of draws
    torch.testing.assert_close(penalty(outputs + randn(3, 8, 1), y), value)  # of the logits' zero
    torch.testing.assert_close(penalty(torch.cat([outputs] * 2, 1), torch.cat([y] * 2)), value)  # of the number of data
    target = randn(8, 4, seed=1)
    metres = ErrorVersusUncertainty(0.5, 0.8)(outputs, target)
    torch.testing.assert_close(
        ErrorVersusUncertainty(500, 800)(1000 * outputs + 7, 1000 * target + 7), metres
    )  # of units


def test_descent_makes_right_ones_certain_and_wrong_ones_uncertain() -> None:
    outputs = torch.tensor([[1.0, 0.0, 0.0], [4.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 1])  # right but uncertain; wrong but certain
    optimiser = torch.optim.Adam([outputs], lr=0.05)
    threshold = 0.6
    penalty = AccuracyVersusUncertainty(threshold)
    before = yu.metrics.entropy(outputs.detach().softmax(-1))
    assert before[0] > threshold > before[1]
    for _ in range(100):
        optimiser.zero_grad()
        penalty(outputs, y).backward()
        optimiser.step()
    after = yu.metrics.entropy(outputs.detach().softmax(-1))
    assert after[0] < threshold < after[1]
    assert outputs.detach().argmax(-1).tolist() == [0, 0]  # by their uncertainty alone


def test_the_threshold_lies_halfway_between_right_and_wrong() -> None:
    outputs, y = 3 * randn(5, 100, 4), labels(100)
    p = yu.ClassificationPrediction(samples=outputs)
    for measure in ("entropy", "mutual_information"):
        values: list[list[float]] = [[], []]
        for value, label, truth in zip(getattr(p, measure).tolist(), p.label.tolist(), y.tolist(), strict=True):
            values[label == truth].append(value)
        expected = sum(sum(part) / len(part) for part in values) / 2
        penalty = AccuracyVersusUncertainty.from_prediction(p, y, measure=measure, weight=2.0, balanced=False)
        assert penalty.threshold == pytest.approx(expected)
        assert (penalty.weight, penalty.measure, penalty.balanced) == (2.0, measure, False)
    for truth, word in ((p.label, "right"), ((p.label + 1) % 4, "wrong")):
        with pytest.raises(ValueError, match=f"all 100 predictions are {word}"):
            AccuracyVersusUncertainty.from_prediction(p, truth)


def test_the_thresholds_of_regression_are_quantiles() -> None:
    outputs, y = randn(5, 101, 1), randn(101, 1, seed=1)
    p = yu.RegressionPrediction(samples=outputs, noise=torch.tensor(0.1))
    penalty = ErrorVersusUncertainty.from_prediction(p, y, weight=2.0)
    assert penalty.error == sorted((y - outputs.mean(0)).abs().flatten().tolist())[50]
    assert penalty.std == sorted(outputs.std(0, correction=0).flatten().tolist())[50]
    assert ErrorVersusUncertainty.from_prediction(p, y, level=0.9).error > penalty.error
    with pytest.raises(ValueError, match="level must lie strictly between"):
        ErrorVersusUncertainty.from_prediction(p, y, level=1.0)
    with pytest.raises(ValueError, match=r"predictions have shape \(101, 1\)"):
        ErrorVersusUncertainty.from_prediction(p, y[:, 0])
    with pytest.raises(ValueError, match=r"std must be positive and finite, got 0\.0"):
        ErrorVersusUncertainty.from_prediction(yu.RegressionPrediction(outputs[:1], torch.tensor(0.1)), y)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_arguments_out_of_range(value: float) -> None:
    with pytest.raises(ValueError, match="threshold must be positive"):
        AccuracyVersusUncertainty(value)
    with pytest.raises(ValueError, match="temperature must be positive"):
        AccuracyVersusUncertainty(0.5, temperature=value)
    with pytest.raises(ValueError, match="error must be positive"):
        ErrorVersusUncertainty(value, 1.0)
    if value:
        with pytest.raises(ValueError, match="weight must be finite and not negative"):
            ErrorVersusUncertainty(1.0, 1.0, weight=value)


def test_outputs_that_do_not_fit() -> None:
    penalty = AccuracyVersusUncertainty(0.5)
    for shape in ((5, 3), (3, 6), (2, 2, 6, 3), (6,)):
        with pytest.raises(ValueError, match="do not fit"):
            penalty(torch.zeros(shape), labels(6, classes=3))
    with pytest.raises(ValueError, match="at least two classes"):
        penalty(torch.zeros(6, 1), torch.zeros(6, dtype=torch.long))
    with pytest.raises(ValueError, match="mutual information of one draw is zero"):
        AccuracyVersusUncertainty(0.5, measure="mutual_information")(torch.zeros(6, 3), labels(6, classes=3))
    with pytest.raises(ValueError, match='measure must be "entropy"'):
        AccuracyVersusUncertainty(0.5, measure="variance")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one draw has no spread"):
        ErrorVersusUncertainty(1.0, 1.0)(torch.zeros(6, 1), torch.zeros(6, 1))
    with pytest.raises(ValueError, match="do not fit"):
        ErrorVersusUncertainty(1.0, 1.0)(torch.zeros(3, 6, 1), torch.zeros(6))


# -- on the way through training


def classifier(members: int = 1) -> yu.Bayesian:
    torch.manual_seed(0)
    return yu.bayesianize(nn.Linear(2, 3).double(), likelihood=yu.Categorical(), members=members, seed=0)


def gradient(bnn: yu.Bayesian, loss: Tensor) -> Tensor:
    parameters = [parameter for parameter in bnn.parameters() if parameter.requires_grad]
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)])


@pytest.mark.parametrize("members", [1, 3])
def test_the_gradient_of_the_sum_is_the_sum_of_gradients(members: int) -> None:
    bnn, x, y = classifier(members), randn(12, 2), labels(12, classes=3)
    penalty = AccuracyVersusUncertainty(0.8, weight=2.0)

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    plain = bnn.loss(x, y, 50, generator=generator())
    output = bnn.run(bnn.q(), (x,), {}, generator())  # the same pass
    extra = penalty(output, y)
    both = bnn.loss(x, y, 50, generator=generator(), penalty=penalty)
    torch.testing.assert_close(both, plain + extra)
    torch.testing.assert_close(gradient(bnn, both), gradient(bnn, plain) + gradient(bnn, extra))
    objective = yu.NegativeELBO(bnn, num_data=50)
    torch.testing.assert_close(objective(x, y, generator=generator(), penalty=penalty), both)


def test_a_penalty_gets_the_outputs_of_the_one_pass() -> None:
    seen: list[tuple[torch.Size, torch.Size]] = []
    passes = []

    class Net(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            passes.append(len(x))
            return super().forward(x)

    def penalty(outputs: Tensor, y: Tensor) -> Tensor:
        seen.append((outputs.shape, y.shape))
        return outputs.square().mean()

    bnn = yu.bayesianize(Net(2, 3), likelihood=yu.Categorical(), estimator="shared")
    yu.fit(bnn, (randn(20, 2).float(), labels(20, classes=3)), epochs=1, batch_size=8, penalty=penalty, seed=0)
    assert seen == [((1, n, 3), (n,)) for n in (8, 8, 4)]
    assert passes == [8, 8, 4]


def scaled_square(outputs: Tensor, y: Tensor, weight: float) -> Tensor:
    return weight * outputs.square().mean()


def test_fit_minimises_the_penalty_too() -> None:
    x, y = randn(60, 2), labels(60, classes=3)
    values = []
    for weight in (0.0, 50.0):
        bnn = classifier()
        history = yu.fit(
            bnn, (x, y), epochs=3, batch_size=4, lr=0.03, penalty=partial(scaled_square, weight=weight), seed=0
        )
        values.append((float(yu.predict(bnn, x).samples.square().mean()), history.loss[0]))
    assert values[1][0] < 0.2 * values[0][0]
    assert values[1][1] > values[0][1]  # the history has it


def test_a_penalty_that_is_no_scalar_is_refused() -> None:
    with pytest.raises(ValueError, match=r"penalty must return a scalar, got a tensor of shape \(1, 12\)"):
        classifier().loss(randn(12, 2), labels(12, classes=3), 12, penalty=lambda f, y: f.sum(-1))


def test_members_learn_to_disagree_where_they_are_wrong() -> None:
    # targets that no line can follow on the right half: the error there is high, the spread should be
    x = torch.linspace(-1, 1, 80, dtype=torch.float64).reshape(-1, 1)
    y = torch.where(x > 0, 2 * torch.sign(randn(80, 1)), torch.zeros(80, 1, dtype=torch.float64))
    shares = []
    penalty = ErrorVersusUncertainty(0.5, 0.3, weight=5.0)
    for used in (None, penalty):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)).double()
        bnn = yu.bayesianize(net, likelihood=yu.Gaussian(1.0), members=4, seed=0)
        yu.fit(bnn, (x, y), epochs=80, batch_size=80, lr=0.03, penalty=used, seed=0)
        p = yu.predict(bnn, x, samples=40)
        assert isinstance(p, yu.RegressionPrediction)
        low, certain = (p.mean - y).abs() <= 0.5, p.epistemic <= 0.3
        shares.append(float((low == certain).double().mean()))
    assert shares[1] > shares[0] + 0.1
