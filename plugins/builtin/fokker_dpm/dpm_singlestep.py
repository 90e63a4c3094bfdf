"""DPM-Solver and DPM-Solver++, singlestep."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation, Scale
from fokker.sampler import Claims, Coefficients, OneStep
from fokker_dpm.integrals import Levels, decay, total, weights
from fokker_dpm.multistep import predicted_by

__all__ = ["DPMSolver1", "DPMSolver2", "DPMSolver3"]


class _Singlestep(OneStep):
    """Stages between t and s, at given parts of the step in log-SNR; every stage looks at the first and the latest."""

    kind: ClassVar[str] = "sampler"
    parts: ClassVar[tuple[float, ...]] = ()
    halves: ClassVar[bool] = False
    """Whether the last stage takes (m - m_0) / (2 part) for the integral of the line through both."""

    prediction: Literal["eps", "x0"]

    @property
    def claims(self) -> Claims:
        """As many evaluations as the order."""
        n = len(self.parts) + 1
        return Claims(order=n, evaluations=n, schedule_invariant=True, exact_on_point_mass=True)

    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Times of the stages, and in each the factors of x, of the first prediction and of the latest."""
        shape, n = t.shape, t.numel()
        t, s = t.reshape(-1), s.reshape(-1)
        low, high = p.log_snr(t), p.log_snr(s)
        whole = low.isfinite() & high.isfinite()
        # where the log-SNR is infinite the step is of order 1, and its stages are not made
        times = [t, *(p.time((low + r * (high - low)).where(whole, low)).where(whole, t) for r in self.parts), s]
        levels = Levels.at(p, torch.cat(times))
        start = torch.arange(n)
        found: dict[str, Tensor] = {}
        for i in range(1, len(times)):
            end = start + i * n
            factor = decay(levels, self.prediction, start, end)
            first = total(levels, self.prediction, start, end)
            if i < len(times) - 1:
                factor, first = factor.where(whole, 1.0), first.where(whole, 0.0)
            found[f"x{i}"] = factor
            latest = torch.zeros_like(first)
            if i > 1:
                nodes = torch.stack([start, start + (i - 1) * n], dim=1)
                part = self.parts[i - 2]
                if self.halves:
                    line = first / (2 * part)
                else:
                    safe = torch.where(whole, start, start[whole][:1] if bool(whole.any()) else start)
                    nodes = torch.stack([safe, safe + (i - 1) * n], dim=1)
                    line = weights(levels, self.prediction, "log-snr", safe, safe + i * n, nodes)[:, 1]
                latest = torch.where(whole & (high > low), line, 0.0)
            found[f"m{i}"], found[f"n{i}"], found[f"t{i}"] = first - latest, latest, times[i]
        return {name: value.reshape(shape) for name, value in found.items()}

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
        n = len(self.parts) + 1
        first = predicted_by(model(x, t, cond), self.prediction)
        last = c[f"n{n}"]
        if isinstance(last, float) and not last:
            return _sum(x, c[f"x{n}"], (c[f"m{n}"], first))
        y = _sum(x, c["x1"], (c["m1"], first))
        for i in range(2, n + 1):
            time = c[f"t{i - 1}"]
            here = time if isinstance(time, float) else time.flatten()
            latest = predicted_by(model(y, here, cond), self.prediction)
            y = _sum(x, c[f"x{i}"], (c[f"m{i}"], first), (c[f"n{i}"], latest))
        return y


def _sum(x: Tensor, c: Scale, *terms: tuple[Scale, Tensor]) -> Tensor:
    """c x + sum_j w_j m_j, in place after the first product."""
    y = x * c
    for w, m in terms:
        if isinstance(w, float):
            y.add_(m, alpha=w)
        else:
            y.addcmul_(w, m)
    return y


@component
class DPMSolver1(_Singlestep):
    """DPM-Solver-1 (Lu et al., 2022, DPM-Solver, eq. 3.7), which is DDIM.

        x_s = alpha_s / alpha_t x_t - sigma_s (exp(h) - 1) eps,    h = ell_s - ell_t

    There is no field: written with x0, as it is computed, it is the same, and it exists at alpha = 0 too.
    """

    prediction: ClassVar[Literal["eps", "x0"]] = "x0"  # type: ignore[misc]


@component
class DPMSolver2(_Singlestep):
    """DPM-Solver-2 (Lu et al., 2022, DPM-Solver, algorithm 1); with x0, DPM-Solver++(2S).

        u   = the step of order 1 to the middle in log-SNR
        x_s = alpha_s / alpha_t x_t - sigma_s (exp(h) - 1) eps(u)

    Args:
        prediction: What is held constant.
    """

    parts: ClassVar[tuple[float, ...]] = (0.5,)
    halves: ClassVar[bool] = True

    prediction: Literal["eps", "x0"] = "eps"


@component
class DPMSolver3(_Singlestep):
    """DPM-Solver-3 (Lu et al., 2022, DPM-Solver, algorithm 2), stages at 1/3 and 2/3 of the step in log-SNR.

        u_1 = the step of order 1 to 1/3
        u_2 = to 2/3, with the line through eps(x_t) and eps(u_1)
        x_s = the whole step, with the line through eps(x_t) and eps(u_2)

    Args:
        prediction: What the lines interpolate; `x0` is the third-order DPM-Solver++.
    """

    parts: ClassVar[tuple[float, ...]] = (1 / 3, 2 / 3)

    prediction: Literal["eps", "x0"] = "eps"
