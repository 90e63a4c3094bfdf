"""Laws of whole sampler runs on Gaussian data, where a step is affine: mean and variance go through it exactly.

Forty-digit recursions of published samplers, and standard deviations of Score SDE's own loops. Score SDE goes down the
levels of its tables and from the smallest one to clean data. That last step is told to fokker as its end: without noise
it is Tweedie's formula for VE, and the noise it would add, which fokker never adds to clean data, is sigma_1's or
beta_1's.
"""

from math import sqrt

import pytest
import torch

from fokker.exact import Gaussian
from fokker.noise import Recorded, Zero
from fokker.sampler import by_step
from fokker.table import Betas
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.reverse_diffusion import ReverseDiffusion


def affine(step):
    """A, B and C of a step A x + B + C z."""
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    (b,), (ab,) = step(x, Zero()).tolist()
    c = float(step(x[:1], Recorded(torch.ones(1, 1, 1)))[0, 0]) - b
    return ab - b, b, c


class Law:
    """A normal law and the affine map that made it of the start, pushed through steps.

    Args:
        variance: Of the start, whose mean is 0.
    """

    def __init__(self, variance):
        self.scale, self.shift, self.variance, self.denoised = 1.0, 0.0, variance, variance

    def through(self, step):
        a, b, c = affine(step)
        self.scale, self.shift = a * self.scale, a * self.shift + b
        self.denoised = a**2 * self.variance
        self.variance = self.denoised + c**2
        return self

    def down(self, sampler, model, starts, ends):
        steps = by_step(sampler.coefficients(model.perturbation, starts, ends))
        for t, s, c in zip(starts.tolist(), ends.tolist(), steps, strict=True):
            self.through(lambda x, noise, t=t, s=s, c=c: sampler.step(model, x, t, s, c, noise))
        return self

    def tweedie(self, model, t):
        return self.through(lambda x, noise: model(x, t).x0)


def gaussian(p, mean, std):
    return Gaussian(p, torch.tensor([mean], dtype=torch.float64), torch.tensor(std**2, dtype=torch.float64))


def descending(levels, end=()):
    times = torch.cat([levels.knots.flip(0), torch.tensor(end, dtype=torch.float64)])
    return times[:-1], times[1:]


def euler_maruyama(p, n, mean, std):
    t = torch.linspace(1, 1e-3, n, dtype=torch.float64)
    return Law(1.0).down(EulerMaruyama(), gaussian(p, mean, std), t, t - 1 / n)


def down_sigmas(predictor, levels, mean, std):
    """Down to sigma_1 and by Tweedie's formula to clean data."""
    model = gaussian(levels, mean, std)
    return Law(levels.prior_std**2).down(predictor, model, *descending(levels)).tweedie(model, 0.0)


@pytest.fixture(scope="module")
def data(record):
    return record("analytic/discrete_sampler_laws")


@pytest.mark.parametrize("n", [20, 200])
def test_reverse_diffusion_on_sigmas(data, n, table, agree):
    """Its last step adds noise of sigma_1."""
    levels = table("ve", N=n)
    law = down_sigmas(ReverseDiffusion(), levels, 0.7, 0.4)
    expected = data[f"ve_reverse_diffusion_N{n}/mean_var_denoised"]
    agree(torch.tensor([law.shift, law.denoised], dtype=torch.float64), expected, rtol=1e-9)
    agree(
        torch.tensor([law.shift, law.denoised + levels.minimum**2], dtype=torch.float64),
        data[f"ve_reverse_diffusion_N{n}/mean_var"],
        rtol=1e-9,
    )


@pytest.mark.parametrize("n", [20, 200])
def test_euler_maruyama(data, n, sde, agree):
    """Steps of 1/N, which is not the distance of the times."""
    law = euler_maruyama(sde("vp"), n, 0.7, 0.4)
    agree(
        torch.tensor([law.shift, law.variance], dtype=torch.float64),
        data[f"vp_euler_maruyama_N{n}/mean_var"],
        rtol=1e-9,
    )
    agree(
        torch.tensor([law.shift, law.denoised], dtype=torch.float64),
        data[f"vp_euler_maruyama_N{n}/mean_var_denoised"],
        rtol=1e-9,
    )


@pytest.mark.parametrize("n", [10, 50])
@pytest.mark.parametrize("eta", [0, 0.5, 1])
def test_ddim(data, n, eta, agree):
    """Levels 1, 1 + T/n, ...: diffusers' `leading` spacing."""
    times = torch.cat([torch.arange(n - 1, -1, -1) * (1000 // n) + 1, torch.zeros(1)]).double() / 1000
    law = Law(1.0).down(DDIM(eta=eta), gaussian(Betas(), 0.7, 0.4), times[:-1], times[1:])
    agree(torch.tensor([law.shift, law.variance], dtype=torch.float64), data[f"ddim_n{n}_eta{eta}/mean_var"], rtol=1e-9)
    if eta == 0:
        agree(torch.tensor([law.scale, law.shift], dtype=torch.float64), data[f"ddim_n{n}_eta0/affine"], rtol=1e-10)


# Standard deviations (x, x_mean) on N(0, 0.25), by exact propagation through Score SDE's formulas.
VP_ROWS = {
    1000: ((0.50035253, 0.50023270), (0.50147925, 0.50137954), (0.50085135, 0.50075151)),
    100: ((0.50418825, 0.50299781), (0.51520358, 0.51423218), (0.50870019, 0.50771634)),
}
VE_ROWS = {
    1000: ((0.50213863, 0.50203905), 0.49777742),
    232: ((0.50935909, 0.50926092), 0.49082773),
}


@pytest.mark.parametrize("n", VP_ROWS)
def test_score_sde_vp(n, sde, table):
    """Its reverse diffusion and ancestral sampling read score and coefficients from the table of betas.

    Its ancestral step has the forward variance, in the step to clean data too.
    """
    levels = table("vp", N=n)
    euler, reverse, ancestral = VP_ROWS[n]
    law = euler_maruyama(sde("vp"), n, 0.0, 0.5)
    assert (sqrt(law.variance), sqrt(law.denoised)) == pytest.approx(euler, abs=1e-8)
    model = gaussian(levels, 0.0, 0.5)
    law = Law(1.0).down(ReverseDiffusion(), model, *descending(levels, end=[0.0]))
    assert (sqrt(law.variance), sqrt(law.denoised)) == pytest.approx(reverse, abs=1e-8)
    law = Law(1.0).down(Ancestral(variance="forward"), model, *descending(levels, end=[0.0]))
    noisy = law.denoised + float(levels.table[0])
    assert (sqrt(noisy), sqrt(law.denoised)) == pytest.approx(ancestral, abs=1e-8)


@pytest.mark.parametrize("n", VE_ROWS)
def test_score_sde_ve(n, table):
    levels = table("ve", N=n)
    reverse, ancestral = VE_ROWS[n]
    law = down_sigmas(ReverseDiffusion(), levels, 0.0, 0.5)
    assert (sqrt(law.denoised + levels.minimum**2), sqrt(law.denoised)) == pytest.approx(reverse, abs=1e-8)
    law = down_sigmas(Ancestral(), levels, 0.0, 0.5)
    assert sqrt(law.denoised) == pytest.approx(ancestral, abs=1e-8)
