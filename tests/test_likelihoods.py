"""Likelihoods against `torch.distributions`, the shapes that they refuse, and the anchored objective."""

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical as CategoricalDistribution
from torch.distributions import Normal

from yuragi.likelihoods import Categorical, Gaussian


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
        Gaussian(0.1).randomised_log_prob(randn(*output), randn(*y), randn(*output))


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
    with pytest.raises(ValueError, match="outputs= goes with"):
        Gaussian(noise=0.1, outputs=2)


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
    assert repr(Gaussian(0.1)) == "Gaussian(noise=0.1)"


# -- the objective of an anchored member


@pytest.mark.parametrize("values", [[0.6], [0.3, 1.2]])
def test_anchored_outputs_follow_the_noised_targets_and_the_noise_the_clean_residuals(values: list[float]) -> None:
    likelihood = learned(values)
    output, y, unit = randn(4, 6, 2).requires_grad_(), randn(6, 2, seed=1), randn(4, 6, 2, seed=2)
    scale = likelihood.noise.detach()
    value = likelihood.randomised_log_prob(output, y, unit)
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
    torch.testing.assert_close(Gaussian(noise).randomised_log_prob(output, y, unit), expected)


@pytest.mark.parametrize("out", [(), (1,), (2,)])
def test_distribution_gives_each_draw_the_noise_of_its_member(out: tuple[int, ...]) -> None:
    output, member = randn(4, 5, *out), torch.tensor([1, 0, 1, 2])
    noise = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    distribution = Gaussian(noise).distribution(output, member)
    torch.testing.assert_close(distribution.mean, output)
    torch.testing.assert_close(distribution.stddev, noise[member].reshape(4, 1, *[1] * len(out)).expand_as(output))
    assert Gaussian(0.2).distribution(output, member).stddev.shape == output.shape


# -- categorical


@pytest.mark.parametrize("positions", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_categorical_is_that_of_torch(positions: tuple[int, ...], dtype: torch.dtype) -> None:
    logits = randn(2, 5, 4, *positions)
    labels = torch.randint(4, (5, *positions), generator=torch.Generator().manual_seed(0)).to(dtype)
    expected = CategoricalDistribution(logits=logits.movedim(2, -1)).log_prob(labels.long())
    log_prob = Categorical().log_prob(logits, labels)
    assert log_prob.shape == (2, 5)
    torch.testing.assert_close(log_prob, expected.flatten(2).sum(2) if positions else expected)
    cross_entropy = torch.nn.functional.cross_entropy(logits[1], labels.long(), reduction="sum")
    torch.testing.assert_close(-log_prob[1].sum(), cross_entropy)
    distribution = Categorical().distribution(logits, torch.tensor([0, 0]))
    torch.testing.assert_close(distribution.log_prob(labels.long()), expected)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [((2, 5, 4), (5, 1)), ((2, 5, 4), (2, 5)), ((2, 5, 4), (1,)), ((2, 5), (5,)), ((2, 5, 4, 3), (5,))],
)
def test_categorical_shapes_are_never_broadcast(logits: tuple[int, ...], labels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="the labels have shape"):
        Categorical().log_prob(randn(*logits), torch.zeros(labels, dtype=torch.long))


def test_labels_must_be_integers_in_range() -> None:
    with pytest.raises(ValueError, match=r"must be integers, got dtype torch.float32: convert them with y.long\(\)"):
        Categorical().check_targets(torch.zeros(3))
    with pytest.raises(ValueError, match="must be 0 or more, got -1"):
        Categorical().check_targets(torch.tensor([0, -1]))
    with pytest.raises(ValueError, match="go up to 4, but the network has 4 classes"):
        Categorical().log_prob(randn(1, 2, 4), torch.tensor([0, 4]))
