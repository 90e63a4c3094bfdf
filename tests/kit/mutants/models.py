"""Score models with one defect each."""

import torch

from fokker.exact import Gaussian
from fokker.model import ScoreModel, rates_at
from fokker.perturbation import VP
from fokker.prediction import Prediction
from fokker.testing.worlds import mixture

MEAN, VARIANCES = torch.tensor([1.0, -1.0, 0.0]), torch.tensor([0.05, 0.5, 2.0])


class Own(ScoreModel):
    """The exact model of a mixture, written as a model of one's own: eps with all that a prediction needs."""

    event_shape = (2,)
    perturbation = VP(t_min=1e-8)

    def __call__(self, x, t, cond=None):
        alpha, sigma = self.scales(t, x)
        return Prediction(x, alpha, sigma, eps=self.eps(x, t), rates=self.rates(t, x))

    def scales(self, t, x):
        return self.perturbation.scales(t, x)

    def eps(self, x, t):
        return mixture(self.perturbation)(x, t).eps

    def rates(self, t, x):
        return rates_at(self.perturbation, t, x)


class AlphaOne(Own):
    def scales(self, t, x):
        return 1.0, Own.scales(self, t, x)[1]


class Denoised(Own):
    def __call__(self, x, t, cond=None):
        # the prediction belongs to the state that it was made at, here a clamped one
        return Own.__call__(self, x.clamp(-0.5, 0.5), t)


class SlowRates(Own):
    def rates(self, t, x):
        a, s = rates_at(self.perturbation, t, x)()
        return lambda: (a / 2, s / 2)  # of a schedule that takes twice as long


class FirstTime(Own):
    def eps(self, x, t):
        return Own.eps(self, x, float(torch.as_tensor(t).flatten()[0]))


class Centred(Own):
    def eps(self, x, t):
        eps = Own.eps(self, x, t)
        return eps - eps.mean(0)


class Clamping(Own):
    def __call__(self, x, t, cond=None):
        return Own.__call__(self, x.clamp_(-0.5, 0.5), t)


class Dithered(Own):
    def eps(self, x, t):
        return Own.eps(self, x, t) + 1e-3 * torch.randn_like(x)


class Remembering(Own):
    last = 0.0

    def eps(self, x, t):
        eps = Own.eps(self, x, t) + 0.1 * self.last
        self.last = float(x[0, 0])
        return eps


class Double(Own):
    def eps(self, x, t):
        return Own.eps(self, x.double(), t)


class Rounded(Own):
    def scales(self, t, x):
        # alpha is 1 in float32 long before sigma is 0
        alpha = torch.as_tensor(Own.scales(self, t, x)[0], dtype=x.dtype)
        return alpha, (1 - alpha**2).sqrt()


class Remembered(Own):
    def eps(self, x, t):
        # coefficients are kept by their time, to one digit
        return Own.eps(self, x, round(t, 1) if isinstance(t, float) else t)


class Exact(Gaussian):
    def __init__(self):
        super().__init__(VP(), MEAN, VARIANCES)


class OtherScore(Exact):
    def score(self, x, t):
        return Gaussian.score(self, x, t) * self.perturbation.scales(t, x)[0]


class WithoutDeterminant(Exact):
    def log_prob(self, x, t):
        _, v, _, _ = self._whiten(x, t)
        return Gaussian.log_prob(self, x, t) + v.log().sum((1, 2)) / 2


class VarianceForDeviation(Exact):
    def draw(self, n, noise):
        return MEAN + VARIANCES * noise(torch.empty(n, 3, dtype=torch.float64))


class SinglePrecisionDraws(Exact):
    def draw(self, n, noise):
        return Exact.draw(self, n, noise).float()


MUTANTS = {
    "takes alpha for 1": (Own(), AlphaOne(), "makes-its-state-again"),
    "predicts at another state": (Own(), Denoised(), "makes-its-state-again"),
    "has the rates of another clock": (Own(), SlowRates(), "quantities-agree"),
    "takes the first time for all": (Own(), FirstTime(), "batch-independent"),
    "subtracts the mean of the batch": (Own(), Centred(), "batch-independent"),
    "clamps its state in place": (Own(), Clamping(), "input-untouched"),
    "adds noise of its own": (Own(), Dithered(), "deterministic"),
    "remembers its last call": (Own(), Remembering(), "deterministic"),
    "answers in double precision": (Own(), Double(), "keeps-shape-and-precision"),
    "takes sigma from a rounded alpha": (Own(), Rounded(), "finite-at-the-ends"),
    "rounds a time that all share": (Own(), Remembered(), "times-agree"),
    "has a score wrong by alpha": (Exact(), OtherScore(), "score-is-the-gradient"),
    "has a density without its determinant": (Exact(), WithoutDeterminant(), "density-moves-with-the-flow"),
    "draws with variances for deviations": (Exact(), VarianceForDeviation(), "draws-have-its-law"),
    "draws in single precision": (Exact(), SinglePrecisionDraws(), "draws-have-its-law"),
}
