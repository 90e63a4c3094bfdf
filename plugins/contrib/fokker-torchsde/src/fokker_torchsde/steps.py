"""torchsde's solvers with the steps of a grid."""

from collections.abc import Mapping

import torch
from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Coefficients, OneStep
from torch import Tensor
from torchsde import sdeint

from fokker_torchsde.brownian import Step
from fokker_torchsde.equation import Equation
from fokker_torchsde.methods import METHODS, Name

__all__ = ["TorchSDE"]


@component
class TorchSDE(OneStep):
    """The reverse SDE (Song et al., 2021, eq. 6) by a solver of torchsde, a step for every step of the grid.

        dx = (f(t) x - g(t)^2 score) dt + g(t) dw,    t running down

    A step passes in a time u of its own, from 0 to 1, in which the equation is

        dy = (-f y + g^2 score) h du + g sqrt(h) dB,    h = t - s,  f, g and score at t - u h

    and the scheme is the same, since all of them commute with a linear change of time. So torchsde's time increases,
    its steps are told exactly, in single precision too, and rows of a batch may have times of their own. The noise is
    what the sampler is given, its increment and, for `srk`, its integral over time (`Noise.integral`).

    Since g depends on time alone, `milstein` is `euler`, and `log-ode` is `midpoint`; `srk` is SRA1 of Roessler (2010,
    table 6.3), which is fokker's `sra1` too, and `srk-diagonal` his SRID2, which could do with a g of the state.

    Args:
        method: Solver: `srk srk-diagonal milstein euler` of Ito's kind, `euler-heun heun midpoint log-ode` of
            Stratonovich's, which is the same where g depends on time alone.
    """

    method: Name = "srk"

    @property
    def claims(self) -> Claims:
        """The solver's orders for additive noise, and its evaluations."""
        m = METHODS[self.method]
        return Claims(weak_order=m.weak, strong_order=m.strong, evaluations=m.evaluations, stochastic=True)

    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Factors of x and score in the drift, and of the noise, at each of the solver's stages."""
        h = t - s
        found: dict[str, Tensor] = {}
        for u in METHODS[self.method].stages:
            at = t + u * (s - t)
            g = p.diffusion(at)
            found |= {f"x {u:g}": -p.drift(at) * h, f"score {u:g}": g**2 * h, f"z {u:g}": g * h.sqrt()}
        return found

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
        method = METHODS[self.method]

        def drift(u: float, y: Tensor) -> Tensor:
            at = t + u * (s - t) if u else t
            return model(y, at, cond).linear(x=c[f"x {u:g}"], score=c[f"score {u:g}"])

        def diffusion(u: float, y: Tensor) -> Tensor:
            return torch.as_tensor(c[f"z {u:g}"], dtype=y.dtype, device=y.device)

        equation = Equation(method, drift, diffusion, tuple(x.shape))
        # float64 on the host: a tensor without dimensions leaves the states' dtype and device as they are
        times = torch.tensor([0.0, 1.0], dtype=torch.float64)
        path = Step(noise, x, t, s)
        y = sdeint(equation, x.reshape(-1, 1), times, bm=path, method=method.name, dt=1.0)
        end: Tensor = y[-1].reshape(x.shape)
        return end
