"""Whatever a failed training leaves can be looked at: a picture never is what fails."""

import math

import pytest
import torch

from fokker import draw

SHAPES = [(1,), (2,), (5,), (16,), (2, 30), (1, 8, 8), (3, 5, 7), (1, 3, 4, 5)]
VALUES = {
    "zero": lambda n, shape: torch.zeros(n, *shape),
    "constant": lambda n, shape: torch.full((n, *shape), 3.5),
    "nan": lambda n, shape: torch.full((n, *shape), math.nan),
    "some infinite": lambda n, shape: torch.randn(n, *shape).clamp(min=-1) / (torch.rand(n, *shape) > 0.3).float(),
    "huge": lambda n, shape: 1e30 * torch.randn(n, *shape),
    "tiny": lambda n, shape: 1e-30 * torch.randn(n, *shape),
}


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("values", VALUES)
def test_samples_of_any_value_are_drawn(values, shape):
    torch.manual_seed(0)
    x, y = VALUES[values](9, shape), torch.rand(7, *shape)
    assert draw.samples(x, reference=y, width=240).size[0] > 0
    assert draw.samples(x[:1], width=240).size[0] > 0


@pytest.mark.parametrize("values", VALUES)
def test_trajectories_of_any_value_are_drawn(values):
    x = VALUES[values](9, (2,))
    assert draw.trajectory_strip([(1.0, torch.rand(9, 2)), (0.5, x), (0.0, x)], n=3, width=240).size[0] >= 720
    assert draw.trajectory_strip([(1.0, x), (0.0, torch.rand(9, 2))], n=2, width=240).size[0] >= 480


@pytest.mark.parametrize("loss", [0.0, -3.0, 1e-30, 1e30, 5.0])
def test_constant_losses_are_drawn(loss):
    for rows in (1, 30):
        assert draw.loss_curve([{"step": k, "loss": loss, "lr": 0.0} for k in range(rows)], width=300).size[0] == 300
