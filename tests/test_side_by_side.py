"""Priors and likelihoods side by side: what they become, and which cannot stand so."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import yuragi as yu
from yuragi.likelihoods import Poisson, StudentT
from yuragi.priors import FanIn, Laplace, Normal, PerLayer
from yuragi.side_by_side import beside


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        ([Normal(0.5, 1.0), Normal(0.5, 2.0)], "Normal(mean=0.5, scale=tensor([1., 1., 2., 2.]))"),
        ([Laplace(scale=3.0)] * 2, "Laplace(mean=0.0, scale=tensor([3., 3., 3., 3.]))"),
        ([Laplace(scale=3.0)], "Laplace(mean=0.0, scale=3.0)"),
        ([yu.Gaussian(1.0), yu.Gaussian(2.0)], "Gaussian(noise=tensor([1., 1., 2., 2.]))"),
        ([yu.Gaussian(), yu.Gaussian()], "Gaussian(noise='learned', members=4)"),
        (
            [StudentT(4.0), StudentT(8.0)],
            "StudentT(df=tensor([4., 4., 8., 8.]), noise='learned', members=4)",
        ),
        ([Poisson(), Poisson()], "Poisson()"),
    ],
    ids=repr,
)  # fmt: skip
def test_settings_side_by_side(parts: list[Any], joined: str) -> None:
    assert repr(beside(parts, each=2)) == joined


def test_the_parts_of_a_prior_for_each_layer_are_joined() -> None:
    parts = [PerLayer({"0": FanIn(gain), "2": Normal(scale=0.5)}, default=Laplace()) for gain in (1.0, 3.0)]
    joined = beside(parts, each=1)
    assert joined is not None
    layers = joined.arguments()["layers"]
    assert layers["0"].gain.tolist() == [1, 3]
    assert layers["2"].prior_scale.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    "parts",
    [
        [FanIn(), Normal()],
        [Normal(0.0), Normal(1.0)],
        [yu.Gaussian(), yu.Gaussian(0.1)],
        [yu.Gaussian(outputs=2), yu.Gaussian()],
        [FanIn(torch.ones(2))],
        [PerLayer({"0": FanIn()}), PerLayer({"2": FanIn()})],
        [PerLayer({"0": FanIn()}), PerLayer({"0": Laplace()})],
    ],
    ids=repr,
)
def test_what_cannot_stand_side_by_side(parts: list[Any]) -> None:
    assert beside(parts, each=2) is None
