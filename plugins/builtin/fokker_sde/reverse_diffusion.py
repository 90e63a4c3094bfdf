"""The reverse-diffusion predictor."""

from collections.abc import Mapping

from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Coefficients, OneStep, add_noise

__all__ = ["ReverseDiffusion"]


@component
class ReverseDiffusion(OneStep):
    """The forward transition x_t = a x_s + v z, reversed term by term (Song et al., 2021, eq. 46 and appendix E).

        x_s = (2 - a) x + v^2 score + v z

    On a table of betas a = sqrt(1 - beta) and v = sqrt(beta), on a table of sigmas v^2 = sigma_t^2 - sigma_s^2, as in
    the source. Where a step is so long that 2 - a grows towards 2 it overshoots: use more steps.
    """

    @property
    def claims(self) -> Claims:
        """Weak and strong order 1."""
        return Claims(weak_order=1, strong_order=1, stochastic=True)

    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Factors of x, score and z."""
        a, v = p.transition(s, t)
        return {"x": 2 - a, "score": v**2, "z": v}

    def step(
        self,
        model: ScoreModel,
        x: Tensor,
        t: float | Tensor,
        s: float | Tensor,
        c: Coefficients,
        noise: Noise,
        cond: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """See `OneStep.step`."""
        mean = model(x, t, cond).linear(x=c["x"], score=c["score"])
        return add_noise(mean, c["z"], noise, t, s)
