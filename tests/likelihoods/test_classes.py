"""Class labels against `torch.distributions`, and the shapes and labels that are refused."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Categorical as CategoricalDistribution

from yuragi.likelihoods import Bernoulli, Categorical


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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


# -- yes or no


@pytest.mark.parametrize("out", [(), (1,), (3,)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64, torch.uint8, torch.bool])
def test_bernoulli_is_that_of_torch(out: tuple[int, ...], dtype: torch.dtype) -> None:
    logits = 3 * randn(2, 5, *out)
    y = torch.randint(2, (5, *out), generator=torch.Generator().manual_seed(0))
    expected = BernoulliDistribution(logits=logits).log_prob(y.double())
    likelihood = Bernoulli()
    likelihood.check_targets(y.to(dtype))
    torch.testing.assert_close(
        likelihood.log_prob(logits, y.to(dtype)), expected.flatten(2).sum(2) if out else expected
    )
    torch.testing.assert_close(likelihood.distribution(logits, torch.tensor([0, 0])).probs, logits.sigmoid())


def test_an_improbable_label_has_a_finite_log_probability_and_gradient() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    value = Bernoulli().log_prob(logits, torch.tensor([0, 1]))
    torch.testing.assert_close(value, torch.tensor([[-200.0, -200.0]]))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(gradient, torch.tensor([[-1.0, 1.0]]))


@pytest.mark.parametrize("y", [torch.tensor([0.0, 0.5]), torch.tensor([0, 2]), torch.tensor([-1.0, 1.0])])
def test_labels_that_are_neither_no_nor_yes(y: Tensor) -> None:
    with pytest.raises(ValueError, match="Bernoulli targets must be 0 or 1, got"):
        Bernoulli().check_targets(y)


def test_bernoulli_shapes_are_never_broadcast() -> None:
    with pytest.raises(ValueError, match=r"reshape the targets to \(5, 1\)"):
        Bernoulli().log_prob(randn(2, 5, 1), torch.zeros(5))
