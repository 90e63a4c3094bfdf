"""What fokker adds to the network: a step of a sampler, and a draw of noise, at three sizes of a batch."""

import pytest
import torch

from fokker.grid import Uniform
from fokker.model import ScoreModel
from fokker.noise import PerSample, Seeded, Zero
from fokker.perturbation import VP
from fokker.prediction import Prediction
from fokker.sampler import sample
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM

STEPS = 100


def sized(*shape):
    """A shape of a batch, whose benchmarks are printed together."""
    name = "x".join(map(str, shape))
    return pytest.param(shape, id=name, marks=pytest.mark.benchmark(group=name))


shapes = pytest.mark.parametrize("shape", [sized(64, 2), sized(64, 1, 28, 28), sized(16, 3, 64, 64)])


class FreeModel(ScoreModel):
    """Predicts the state itself as the noise: a network that costs nothing."""

    perturbation = VP()

    def __call__(self, x, t, cond=None):
        """See `ScoreModel`."""
        alpha, sigma = self.perturbation.scales(t, x)
        return Prediction(x, alpha, sigma, eps=x)


@shapes
def test_arithmetic_of_ddim(benchmark, shape):
    """The element-wise operations of 100 DDIM steps and nothing else: the bound of the next one."""
    grid = Uniform().times(VP(), STEPS)
    alphas, sigmas = VP().alpha(grid).tolist(), VP().sigma(grid).tolist()

    @torch.no_grad()
    def run():
        x = torch.ones(shape)
        for k in range(STEPS):
            eps = x
            x0 = (x - sigmas[k] * eps) / alphas[k]
            x = alphas[k + 1] * x0 + sigmas[k + 1] * eps
        return x

    assert benchmark(run).isfinite().all()


@shapes
@pytest.mark.parametrize("sampler", [DDIM(), Ancestral()], ids=repr)
def test_steps(benchmark, sampler, shape):
    """100 steps from the grid to the last state, with a network that costs nothing and no noise to draw."""
    model, grid = FreeModel(), Uniform().times(VP(), STEPS)
    x = benchmark(lambda: sample(model, sampler, grid, Zero(), shape, final="none"))
    assert x.shape == shape


@shapes
def test_one_generator(benchmark, shape):
    """A draw from one generator: the bound of the next one."""
    x, noise = torch.empty(shape), Seeded(0)
    assert benchmark(noise, x).shape == shape


@shapes
def test_noise_per_sample(benchmark, shape):
    """A draw that makes sample i depend on the seed and on i alone."""
    x, noise = torch.empty(shape), PerSample(0, range(shape[0]), shape[1:])
    assert benchmark(noise, x).shape == shape
