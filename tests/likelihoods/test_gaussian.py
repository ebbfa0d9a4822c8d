"""Gaussian noise against `torch.distributions`, the shapes that it refuses, and the anchored objective."""

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from yuragi.likelihoods import Gaussian, HeteroscedasticGaussian

ONE = torch.ones(1, 1, dtype=torch.float64)  # the strength of the noise of an anchored member


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def learned(values: list[float]) -> Gaussian:
    likelihood = Gaussian("learned", outputs=len(values)).double()
    with torch.no_grad():
        likelihood.scale.raw.copy_(torch.tensor([values], dtype=torch.float64).expm1().log())
    return likelihood


@pytest.mark.parametrize("out", [(), (1,), (2,), (4, 2)])
@pytest.mark.parametrize(
    ("likelihood", "scale"),
    [
        (Gaussian(noise=0.3).double(), torch.tensor([0.3])),
        (Gaussian(noise=torch.tensor([0.1, 0.5, 2.0])).double(), torch.tensor([0.1, 0.5, 2.0])),
        (Gaussian(noise=torch.tensor([1, 2, 3])).double(), torch.tensor([1.0, 2.0, 3.0])),
        (learned([0.7]), torch.tensor([0.7])),
    ],
    ids=["fixed", "per member", "integers", "learned"],
)
def test_gaussian_log_prob_is_that_of_torch(likelihood: Gaussian, scale: Tensor, out: tuple[int, ...]) -> None:
    output, y = randn(3, 5, *out), randn(5, *out, seed=1)
    expected = Normal(output, scale.reshape(-1, *[1] * (1 + len(out)))).log_prob(y)
    log_prob = likelihood.log_prob(output, y)
    assert log_prob.shape == (3, 5)
    torch.testing.assert_close(log_prob, expected.flatten(2).sum(2) if out else expected, rtol=1e-6, atol=1e-6)


def test_each_output_may_learn_its_own_noise() -> None:
    likelihood = learned([0.2, 3.0])
    output, y = randn(3, 5, 2), randn(5, 2, seed=1)
    expected = Normal(output, torch.tensor([0.2, 3.0], dtype=torch.float64)).log_prob(y).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(output, y), expected)
    with pytest.raises(ValueError, match=r"2 outputs, but the network returned \(5, 3\)"):
        likelihood.log_prob(randn(3, 5, 3), randn(5, 3))
    with pytest.raises(ValueError, match="2 outputs"):
        likelihood.log_prob(randn(3, 2), randn(2))


def test_tiny_noise_at_a_large_mean() -> None:
    far = Gaussian(noise=1e-6).log_prob(torch.full((1, 1, 1), 1e4), torch.full((1, 1), 1e4))
    torch.testing.assert_close(far, torch.tensor([[-math.log(1e-6) - 0.5 * math.log(2 * math.pi)]]))


@pytest.mark.parametrize(
    ("output", "y"),
    [
        ((1, 5, 1), (5,)),
        ((1, 5), (5, 1)),
        ((3, 5, 1), (3, 5, 1)),
        ((3, 3, 1), (3, 3, 1)),
        ((1, 5, 2), (5, 1)),
        ((1, 1, 1), (5, 1)),
    ],
)
def test_shapes_are_never_broadcast(output: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"the network returned .* but the targets have shape"):
        Gaussian(0.1).log_prob(randn(*output), randn(*y))
    with pytest.raises(ValueError, match=r"the network returned .* but the targets have shape"):
        Gaussian(0.1).randomised_log_prob(randn(*output), randn(*y), randn(*output), ONE)


def test_a_shape_that_only_needs_a_reshape_says_so() -> None:
    with pytest.raises(ValueError, match=r"reshape the targets to \(5, 1\)"):
        Gaussian(0.1).log_prob(randn(1, 5, 1), randn(5))


def test_noise_per_member_must_match_the_members() -> None:
    likelihood = Gaussian(torch.tensor([0.1, 0.2]))
    with pytest.raises(ValueError, match="noise has 2 values, but there are 3 members"):
        likelihood.log_prob(randn(3, 5, 1), randn(5, 1))


@pytest.mark.parametrize(
    "noise", [0.0, -1.0, math.nan, math.inf, torch.tensor([0.1, -0.1]), torch.tensor([0.1, math.nan]), torch.ones(2, 2)]
)
def test_noise_must_be_positive_and_finite(noise: float | Tensor) -> None:
    with pytest.raises(ValueError, match="noise must be positive and finite"):
        Gaussian(noise=noise)


def test_other_arguments_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="'learn'"):
        Gaussian(noise="learn")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="outputs must be at least 1"):
        Gaussian(outputs=0)
    with pytest.raises(ValueError, match="members must be at least 1"):
        Gaussian(members=0)
    for options in ({"outputs": 2}, {"members": 2}):
        with pytest.raises(ValueError, match='outputs= and members= go with noise="learned"'):
            Gaussian(noise=0.1, **options)


@pytest.mark.parametrize("outputs", [1, 3])
def test_learned_noise_starts_at_half_the_spread_of_the_targets_once(outputs: int) -> None:
    likelihood = Gaussian(outputs=outputs)
    y = torch.tensor([1.0, 10.0, 1e-3]) * randn(1000, 3).float() + 1e4
    likelihood.initialise(y)
    columns = y.reshape(-1, outputs).double()
    torch.testing.assert_close(likelihood.noise.double(), 0.5 * columns.std(0, correction=0)[None], rtol=1e-3, atol=0)
    before = likelihood.noise.detach().clone()
    copy.deepcopy(likelihood).initialise(100 * y)
    likelihood.initialise(100 * y)
    torch.testing.assert_close(likelihood.noise, before, rtol=0, atol=0)


def test_fixed_noise_is_not_initialised() -> None:
    likelihood = Gaussian(noise=0.1)
    likelihood.initialise(randn(10, 1))
    torch.testing.assert_close(likelihood.noise, torch.tensor([[0.1]]))


def test_targets_of_another_width_do_not_initialise() -> None:
    with pytest.raises(ValueError, match="2 outputs"):
        Gaussian(outputs=2).initialise(randn(10, 1).float())


@pytest.mark.parametrize("y", [torch.ones(5, 1), torch.ones(1, 1), torch.tensor([[1.0, 2.0]] * 5)])
def test_constant_targets_are_refused_where_the_noise_is_learned(y: Tensor) -> None:
    with pytest.raises(ValueError, match="constant"):
        Gaussian().check_targets(y)
    Gaussian(noise=0.1).check_targets(y)


def test_a_constant_output_is_refused_where_it_learns_its_own_noise() -> None:
    y = torch.stack([torch.arange(5.0), torch.ones(5)], 1)
    with pytest.raises(ValueError, match=r"output 1 .* constant"):
        Gaussian(outputs=2).check_targets(y)
    Gaussian().check_targets(y)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_class_labels_are_no_gaussian_targets(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="must be floating point"):
        Gaussian(0.1).check_targets(torch.ones(3, 1, dtype=dtype))


@pytest.mark.parametrize("noise", [0.12345678, 1e-7, 0.1, 3])
def test_arguments_make_an_equal_likelihood(noise: float) -> None:
    likelihood = Gaussian(noise)
    torch.testing.assert_close(Gaussian(**likelihood.arguments()).noise, likelihood.noise, rtol=0, atol=0)
    assert Gaussian(**Gaussian(outputs=3).arguments()).noise.shape == (1, 3)
    assert Gaussian(**Gaussian(members=4, outputs=2).arguments()).noise.shape == (4, 2)
    assert repr(Gaussian(0.1)) == "Gaussian(noise=0.1)"


# -- the objective of an anchored member


@pytest.mark.parametrize("values", [[0.6], [0.3, 1.2]])
def test_anchored_outputs_follow_the_noised_targets_and_the_noise_the_clean_residuals(values: list[float]) -> None:
    likelihood = learned(values)
    output, y, unit = randn(4, 6, 2).requires_grad_(), randn(6, 2, seed=1), randn(4, 6, 2, seed=2)
    scale = likelihood.noise.detach()
    value = likelihood.randomised_log_prob(output, y, unit, ONE)
    noised = Normal(output, scale).log_prob(y + scale * unit).sum(-1)
    torch.testing.assert_close(value, noised)  # the value too is that of the noised targets
    weights = randn(4, 6, seed=3)  # a gradient of each entry at once
    by_output, by_noise = torch.autograd.grad((weights * value).sum(), (output, likelihood.scale.raw))
    (expected,) = torch.autograd.grad((weights * noised).sum(), output)
    torch.testing.assert_close(by_output, expected)
    clean = (weights * likelihood.log_prob(output.detach(), y)).sum()
    torch.testing.assert_close(by_noise, torch.autograd.grad(clean, likelihood.scale.raw)[0])


def test_anchored_with_a_noise_for_each_member() -> None:
    noise = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    output, y, unit = randn(3, 6, 1), randn(6, 1, seed=1), randn(3, 6, 1, seed=2)
    expected = Normal(output, noise[:, None, None]).log_prob(y + noise[:, None, None] * unit).squeeze(-1)
    torch.testing.assert_close(Gaussian(noise).randomised_log_prob(output, y, unit, ONE), expected)


@pytest.mark.parametrize("out", [(), (1,), (2,)])
def test_distribution_gives_each_draw_the_noise_of_its_member(out: tuple[int, ...]) -> None:
    output, member = randn(4, 5, *out), torch.tensor([1, 0, 1, 2])
    noise = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    distribution = Gaussian(noise).distribution(output, member)
    torch.testing.assert_close(distribution.mean, output)
    torch.testing.assert_close(distribution.stddev, noise[member].reshape(4, 1, *[1] * len(out)).expand_as(output))
    assert Gaussian(0.2).distribution(output, member).stddev.shape == output.shape


def test_each_member_may_learn_its_own_noise() -> None:
    likelihood = Gaussian(members=3, outputs=2).double()
    values = torch.tensor([[0.2, 3.0], [0.5, 0.1], [1.0, 2.0]], dtype=torch.float64)
    likelihood.scale.begin_at(values)
    output, y = randn(3, 5, 2).requires_grad_(), randn(5, 2, seed=1)
    expected = Normal(output, values[:, None, :]).log_prob(y).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(output, y), expected)
    member = torch.tensor([2, 0])
    torch.testing.assert_close(
        likelihood.distribution(output[:2], member).stddev, values[member][:, None].expand(2, 5, 2)
    )
    with pytest.raises(ValueError, match="noise has 3 values, but there are 2 members"):
        likelihood.log_prob(output[:2], y)
    # a member's residuals move its own noise and no other's
    (gradient,) = torch.autograd.grad(likelihood.log_prob(output, y)[1].sum(), likelihood.scale.raw)
    assert gradient[1].abs().min() > 0
    assert float(gradient[[0, 2]].abs().max()) == 0


# -- heteroscedastic


def heteroscedastic(outputs: int = 1, spread: float = 1.0) -> HeteroscedasticGaussian:
    likelihood = HeteroscedasticGaussian(outputs).double()
    likelihood.initialise(spread * torch.tensor([[-1.0] * outputs, [1.0] * outputs], dtype=torch.float64))
    return likelihood


@pytest.mark.parametrize("out", [(1,), (2,), (4, 2)])
def test_the_network_gives_mean_and_scale(out: tuple[int, ...]) -> None:
    output, y = randn(3, 5, *out[:-1], 2 * out[-1]), randn(5, *out, seed=1)
    mean, raw = output[..., : out[-1]], output[..., out[-1] :]
    expected = Normal(mean, 7.0 * (1e-3 + raw.exp().log1p()))
    likelihood = heteroscedastic(spread=7.0)
    torch.testing.assert_close(likelihood.log_prob(output, y), expected.log_prob(y).flatten(2).sum(2))
    distribution = likelihood.distribution(output, torch.tensor([0, 0, 0]))
    torch.testing.assert_close(distribution.mean, mean)
    torch.testing.assert_close(distribution.stddev, expected.stddev)


def test_each_output_may_have_its_own_unit_of_scale() -> None:
    likelihood = HeteroscedasticGaussian(outputs=2)
    y = torch.tensor([1.0, 100.0]) * randn(1000, 2).float() + 50
    likelihood.initialise(y)
    torch.testing.assert_close(likelihood.spread[0], y.std(0, correction=0))
    before = likelihood.spread.clone()
    likelihood.initialise(3 * y)
    assert torch.equal(likelihood.spread, before)
    assert HeteroscedasticGaussian(**likelihood.arguments()).spread.shape == (1, 2)
    with pytest.raises(ValueError, match="2 outputs, but the network returned"):
        likelihood.log_prob(randn(1, 5, 6).float(), randn(5, 3).float())
    with pytest.raises(ValueError, match=r"output 1 .* constant, so the scale"):
        HeteroscedasticGaussian(outputs=2).check_targets(torch.stack([torch.arange(5.0), torch.ones(5)], 1))
    with pytest.raises(ValueError, match="outputs must be at least 1"):
        HeteroscedasticGaussian(outputs=0)


@pytest.mark.parametrize("shape", [(1, 5), (1, 5, 3), (1, 5, 1)])
def test_an_output_without_room_for_a_scale_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="needs a mean and a scale for each output, but the network returned"):
        HeteroscedasticGaussian().log_prob(randn(*shape), randn(5, 1))


@pytest.mark.parametrize("raw", [-1e4, -100.0, -30.0, 0.0, 1e4])
@pytest.mark.parametrize("residual", [0.0, 1.0, 1e3])
def test_the_scale_keeps_its_floor_and_its_gradient_is_finite(raw: float, residual: float) -> None:
    likelihood = heteroscedastic(spread=5.0).float()
    output = torch.tensor([[[residual * 5.0, raw]]], requires_grad=True)
    stddev = likelihood.distribution(output, torch.tensor([0])).stddev
    assert float(stddev.detach()) >= 1e-3 * 5.0 * (1 - 1e-6)
    for value in (
        likelihood.log_prob(output, torch.zeros(1, 1)),
        likelihood.randomised_log_prob(output, torch.zeros(1, 1), torch.ones(1, 1, 2), torch.ones(1, 1)),
    ):
        (gradient,) = torch.autograd.grad(value.sum(), output)
        assert torch.isfinite(value).all()
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("strength", [1.0, 0.5, 0.0])
def test_anchored_mean_and_scale_are_learned_from_different_residuals(strength: float) -> None:
    likelihood = heteroscedastic()
    output, y, unit = randn(4, 6, 4).requires_grad_(), randn(6, 2, seed=1), randn(4, 6, 4, seed=2)
    value = likelihood.randomised_log_prob(output, y, unit, strength * ONE)
    (gradient,) = torch.autograd.grad(value.sum(), output)
    mean, raw = output.detach().chunk(2, -1)
    scale = 1e-3 + torch.nn.functional.softplus(raw)
    torch.testing.assert_close(gradient[..., :2], (y + strength * scale * unit[..., :2] - mean) / scale**2)
    # d log N / d scale at residuals whose square is multiplied by a log-normal of mean 1 and variance 2/3 strength²
    variance = math.log(1 + 2 / 3 * strength**2)
    square = (y - mean).square() * torch.exp(math.sqrt(variance) * unit[..., 2:] - variance / 2)
    torch.testing.assert_close(gradient[..., 2:], (square / scale**3 - 1 / scale) * raw.sigmoid())


def test_the_noise_of_squared_residuals_has_the_moments_that_it_claims() -> None:
    for strength in (1.0, 0.5):
        unit = torch.cat([torch.zeros(1, 400_000, 1), randn(1, 400_000, 1)], -1)
        square = heteroscedastic().clean_residual(torch.ones(1, 400_000, 1), unit, strength * ONE[..., None]).square()
        expected = 2 / 3 * strength**2
        assert float(square.mean()) == pytest.approx(1, abs=4 * math.sqrt(expected / 400_000))
        assert float(square.var()) == pytest.approx(expected, rel=0.03)
