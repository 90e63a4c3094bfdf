import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian
from fokker.linear import EDMNoise, Flow
from fokker.model import ScoreModel, rates_at
from fokker.noise import Recorded
from fokker.perturbation import VE, VP, SubVP
from fokker.prediction import Prediction
from fokker.table import Betas
from fokker_flow.objective import FlowMatching

D = torch.float64
PERTURBATIONS = [Flow(), Flow(log_snr_min=-80.0), EDMNoise(), VP(), SubVP(), VE(), Betas(steps=20)]


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


class Answers(ScoreModel):
    """Gives the same number for everything, as the quantity that it is asked to."""

    def __init__(self, perturbation, primary, value):
        self.given, self.primary, self.value = perturbation, primary, value

    @property
    def perturbation(self):
        return self.given

    def __call__(self, x, t, cond=None):
        value = torch.full_like(x, self.value)
        rates = rates_at(self.perturbation, t, x)
        return Prediction(x, *self.perturbation.scales(t, x), rates=rates, **{self.primary: value})


@pytest.mark.parametrize("p", PERTURBATIONS, ids=repr)
@pytest.mark.parametrize("event", [(2,), (1, 3, 4)], ids=str)
def test_the_loss_is_half_the_squared_error_of_the_velocity(p, event):
    x0, eps, t = normal(3, *event), normal(3, *event, seed=1), torch.tensor([0.1, 0.5, 0.9], dtype=D)
    d_alpha, d_sigma = (rate.reshape(3, *[1] * len(event)) for rate in p.rates(t))
    model = Gaussian(p, torch.zeros(event), torch.tensor(0.3))
    velocity = model(p.perturb(x0, t, eps), t).velocity
    expected = (velocity - (d_alpha * x0 + d_sigma * eps)).square().flatten(1).sum(1) / 2
    assert_close(FlowMatching().loss(model, x0, t, Recorded([eps])), expected, rtol=1e-9, atol=1e-12)


def test_on_straight_lines_the_target_is_noise_less_data():
    # Liu et al. (2023), eq. 1, with data and noise exchanged
    p, t = Flow(log_snr_min=-80.0), torch.tensor([0.01, 0.3, 0.7, 1.0], dtype=D)
    x0, eps = normal(4, 2), normal(4, 2, seed=1)
    loss = FlowMatching().loss(Answers(p, "velocity", 0.2), x0, t, Recorded([eps]))
    assert_close(loss, (0.2 - (eps - x0)).square().sum(1) / 2, rtol=1e-9, atol=0)


@pytest.mark.parametrize("primary", ["velocity", "v", "x0", "eps", "score"])
def test_any_parameterization_has_the_error_of_its_velocity(primary):
    p, x0, eps, t = Flow(), normal(3, 2), normal(3, 2, seed=1), torch.tensor([0.1, 0.5, 0.9], dtype=D)
    model = Answers(p, primary, 0.3)
    d_alpha, d_sigma = (rate[:, None] for rate in p.rates(t))
    expected = (model(p.perturb(x0, t, eps), t).velocity - (d_alpha * x0 + d_sigma * eps)).square().sum(1) / 2
    assert_close(FlowMatching().loss(model, x0, t, Recorded([eps])), expected, rtol=1e-9, atol=0)


def test_times_are_uniform_unless_asked_otherwise():
    p, u = Flow(t_min=0.1), torch.linspace(0, 0.999, 100, dtype=D)
    assert_close(FlowMatching().times(p, u), 0.1 + 0.9 * u)


def test_logit_normal_times_have_a_normal_logit():
    p, u = Flow(t_min=0.0), (torch.arange(20_000, dtype=D) + 0.5) / 20_000
    logit = torch.logit(FlowMatching(times_in="logit-normal").times(p, u))
    assert (float(logit.mean()), float(logit.std())) == (pytest.approx(0.0, abs=1e-4), pytest.approx(1.0, abs=1e-3))
    logit = torch.logit(FlowMatching(times_in="logit-normal", mean=0.5, std=0.3).times(p, u))
    assert (float(logit.mean()), float(logit.std())) == (pytest.approx(0.5, abs=1e-4), pytest.approx(0.3, abs=1e-3))
    ends = FlowMatching(times_in="logit-normal").times(Flow(), torch.tensor([0.0, 1 - 2**-53], dtype=D))
    assert ends[0] == Flow().t_min and ends[1] <= 1


@pytest.mark.parametrize("name", ["mean", "std"])
def test_a_law_of_the_logit_is_refused_for_uniform_times(name):
    with pytest.raises(ConfigError, match=rf"FlowMatching\.{name} has no effect on uniform times; leave it out"):
        FlowMatching(**{name: 1.0})
