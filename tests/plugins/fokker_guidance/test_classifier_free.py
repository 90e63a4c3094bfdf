"""Classifier-free guidance: what it is on exact classes, what it is not, and which runs it takes."""

from math import atanh, sqrt

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.grid import LogSNR
from fokker.model import ScoreModel
from fokker.noise import Zero
from fokker.perturbation import VP
from fokker.sampler import trajectory
from fokker.testing import checks_for, run
from fokker_guidance.classifier_free import ClassifierFree
from fokker_ode.ode import ODE

D = torch.float64
P = VP()


class Told(ScoreModel):
    """One law without a label, another one with it."""

    def __init__(self, free, told):
        self.free, self.told, self.perturbation_ = free, told, free.perturbation

    @property
    def perturbation(self):
        return self.perturbation_

    def __call__(self, x, t, cond=None):
        return (self.free if cond is None else self.told)(x, t)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_it_passes_the_kit(scale):
    outcomes = [run(check) for check in checks_for(ClassifierFree(scale=scale))]
    assert not [o for o in outcomes if o.status == "failed"]


def test_it_is_the_published_equation():
    means = torch.tensor([[1.0, 0.0], [-1.0, 2.0]], dtype=D)
    free = Mixture(P, torch.tensor([0.3, 0.7]), means, torch.tensor([0.2, 0.4]))
    told = Gaussian(P, means[0], torch.tensor(0.2))
    x, t = torch.randn(5, 2, dtype=D), torch.linspace(0.1, 0.9, 5, dtype=D)
    w = 1.5  # of the paper, eq. 6
    found = ClassifierFree(scale=1 + w).wrap(Told(free, told))(x, t, {"label": torch.zeros(5)})
    assert_close(found.eps, (1 + w) * told(x, t).eps - w * free(x, t).eps, rtol=1e-9, atol=1e-9)
    # p(x) p(y | x)^scale: y is the first component of the mixture
    at = x.clone().requires_grad_()
    log_share = told.log_prob(at, t) - free.log_prob(at, t)
    (slope,) = torch.autograd.grad(log_share.sum(), at)
    assert_close(found.score, free(x, t).score + (1 + w) * slope, rtol=1e-9, atol=1e-9)


def test_scale_0_is_the_data_and_scale_1_the_class():
    free, told = Gaussian(P, torch.zeros(2), torch.ones(2)), Gaussian(P, torch.ones(2), torch.full((2,), 0.3))
    x, cond = torch.randn(5, 2, dtype=D), {"label": torch.zeros(5)}
    for scale, law in ((0.0, free), (1.0, told)):
        found = ClassifierFree(scale=scale).wrap(Told(free, told))(x, 0.4, cond)
        assert_close(found.eps, law(x, 0.4).eps, rtol=1e-12, atol=1e-12)


def test_at_scale_2_the_flow_ends_farther_out_and_narrower_than_the_tilted_density():
    """Data N(0, 1), of a class N(m, 1/2), where p(x) p(y | x)^2 is N(4 m / 3, 1/3).

    With u = alpha^2, c = 1/2 and w = sqrt(u) the guided flow is linear and known:

        x(u) = (1 - c u) (x(u_0) / (1 - c u_0) + 2 m int_{w_0}^{w} dw / (1 - c w^2)^2)

    which ends at u = 1 in mean 1.6232 m and variance 1/4.
    """
    m, c = 0.7, 0.5

    def integral(w):
        return w / (2 * (1 - c * w * w)) + atanh(sqrt(c) * w) / (2 * sqrt(c))

    model = Told(Gaussian(P, torch.zeros(1), torch.ones(1)), Gaussian(P, torch.full((1,), m), torch.full((1,), 0.5)))
    guided = ClassifierFree(scale=2).wrap(model)
    x = torch.tensor([[0.0], [1.0]], dtype=D)
    grid = LogSNR().times(P, 200)
    for state in trajectory(guided, ODE(method="rk4"), grid, Zero(), x, cond={"label": torch.zeros(2)}, final="none"):
        end = state.x.flatten().tolist()
    w_0, w_1 = (float(P.alpha(t)) for t in (grid[0], grid[-1]))
    mean, slope = end[0], end[1] - end[0]
    ends = 1 - c * w_1**2, 1 - c * w_0**2
    assert mean == pytest.approx(2 * m * ends[0] * (integral(w_1) - integral(w_0)), rel=1e-5)
    assert slope == pytest.approx(ends[0] / ends[1], rel=1e-5)
    assert integral(1) == pytest.approx(1.6232, rel=1e-4)
    assert mean / m == pytest.approx(1.62, abs=0.02)  # where 4 / 3 = 1.33 was asked for
    assert slope**2 == pytest.approx(1 / 4, abs=0.01)  # where 1 / 3 was


def test_it_asks_for_labels():
    guided = ClassifierFree().wrap(Gaussian(P, torch.zeros(1), torch.ones(1)))
    with pytest.raises(ConfigError, match="is called with labels"):
        guided(torch.zeros(2, 1), 0.5)
