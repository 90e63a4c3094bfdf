import torch

from fokker.component import component
from fokker.perturbation import expand
from fokker.sampler import Claims, OneStep
from fokker_ddpm.ddim import DDIM
from fokker_sde.euler_maruyama import EulerMaruyama


@component
class NumberOfSteps(EulerMaruyama):
    """A step of 1 / N, with N guessed from the length of the grid."""

    def coefficients(self, p, t, s):
        h = torch.full_like(t, 0.8 / max(1, t.numel()))
        g = p.diffusion(t)
        return {"x": 1 - p.drift(t) * h, "score": g**2 * h, "z": g * h.sqrt()}


@component
class FixedStep(EulerMaruyama):
    """A step of 1 / 100, whatever it is told."""

    def coefficients(self, p, t, s):
        return super().coefficients(p, t, t - 0.01)


@component
class Restless(DDIM):
    """Jitters by the number of its calls."""

    def trajectory(self, model, x, grid, noise, cond=None):
        for k, state in enumerate(super().trajectory(model, x, grid, noise, cond)):
            yield type(state)(state.t, state.x * (1 + 1e-3 * (k > 0)))


@component
class FirstRow(OneStep):
    """Takes the time of the first row for all rows."""

    @property
    def claims(self):
        return Claims(order=1)

    def coefficients(self, p, t, s):
        return {"x": p.alpha(s) / p.alpha(t), "eps": p.sigma(s) - p.alpha(s) / p.alpha(t) * p.sigma(t)}

    def step(self, model, x, t, s, c, noise, cond=None):
        c = {k: v if isinstance(v, float) else expand(v.flatten()[:1].expand(len(x)), x) for k, v in c.items()}
        return c["x"] * x + c["eps"] * model(x, t, cond).eps


MUTANTS = {
    "bakes 1 / N into its step": (EulerMaruyama(), NumberOfSteps(), "coefficients-of-a-grid[vp]"),
    "makes a step of its own length": (EulerMaruyama(), FixedStep(), "identity-without-time[vp]"),
    "treats the first step of a run apart": (DDIM(), Restless(), "steps-chain[vp]"),
    "takes the first row's time for all": (DDIM(), FirstRow(), "rows-at-their-own-times"),
}
