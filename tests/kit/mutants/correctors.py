import torch

from fokker.component import component
from fokker.perturbation import expand
from fokker_smld.annealed_langevin import AnnealedLangevin


@component
class HalfRoot(AnnealedLangevin):
    """sqrt(e) with a full step: the papers' e / 2 was forgotten in the drift."""

    def coefficients(self, p, t):
        c = super().coefficients(p, t)
        return {**c, "z": self.temperature * c["score"].sqrt()}


@component
class UniformNoise(AnnealedLangevin):
    """`rand` for `randn`, which shifts every path."""

    def correct(self, model, x, t, c, noise, cond=None):
        return x + c["score"] * model(x, t, cond).score + c["z"] * noise.uniform(x)


@component
class WrongSign(AnnealedLangevin):
    """Goes down the density."""

    def coefficients(self, p, t):
        c = super().coefficients(p, t)
        return {**c, "score": -c["score"]}


@component
class BatchStep(AnnealedLangevin):
    """One step size for the batch, from the mean norm of its scores."""

    def correct(self, model, x, t, c, noise, cond=None):
        score = model(x, t, cond).score
        a = 0.02 / score.flatten(1).norm(dim=1).mean() ** 2
        return x + a * score + (2 * a).sqrt() * noise(x, t, t)


@component
class OwnStep(AnnealedLangevin):
    """A step size for each sample, from the norm of its score."""

    def correct(self, model, x, t, c, noise, cond=None):
        score = model(x, t, cond).score
        a = expand(0.02 / score.flatten(1).norm(dim=1) ** 2, x)
        return x + a * score + (2 * a).sqrt() * noise(x, t, t)


@component
class RelativeToTheGrid(AnnealedLangevin):
    """Steps relative to the smallest level of the grid that it happens to see."""

    def coefficients(self, p, t):
        a = self.step * (p.sigma(t) / p.sigma(t).min()) ** 2 * p.sigma(torch.zeros_like(t)).clamp(min=0.01) ** 2
        return {"score": a, "z": self.temperature * (2 * a).sqrt()}


MUTANTS = {
    "adds sqrt(e) z to a full step": (AnnealedLangevin(), HalfRoot(), "stationary[vp]"),
    "draws uniform noise for normal": (AnnealedLangevin(), UniformNoise(), "stationary[ve]"),
    "has the wrong sign of the score": (AnnealedLangevin(), WrongSign(), "stationary[sigmas]"),
    "takes its step size from the whole batch": (OwnStep(), BatchStep(), "batch-independent"),
    "scales its step by the grid's last level": (
        AnnealedLangevin(),
        RelativeToTheGrid(),
        "coefficients-of-a-grid[ve]",
    ),
}
