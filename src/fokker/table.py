"""Tables of noise levels, the discrete perturbations of SMLD, NCSN and DDPM, as functions of continuous time.

    sigmas: level i of L lies at t = (i - 1) / (L - 1)        betas: level i of T lies at t = i / T

Level 1 has the smallest noise. On the levels the table is exact; between them the log-SNR is a monotone cubic
(Fritsch & Carlson, 1980, eq. 3-4, with the harmonic-mean slopes of Fritsch & Butland, 1984), so drift and
diffusion are continuous and the same samplers and solvers run on tables and on SDEs.
"""

from functools import cached_property
from math import exp, log
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Len, Lt
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.perturbation import Perturbation

__all__ = ["Betas", "MonotoneCubic", "Sigmas", "cosine_betas"]


class MonotoneCubic:
    """A cubic Hermite interpolant that is monotone wherever the values are, linear beyond the ends.

    Args:
        t: Strictly increasing knots, float64 (n,), n >= 2.
        y: Values, float64 (n,).
    """

    def __init__(self, t: Tensor, y: Tensor) -> None:
        h, slope = t.diff(), y.diff() / t.diff()
        w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
        mean = (w1 + w2) / (w1 / slope[:-1] + w2 / slope[1:])
        inner = torch.where(slope[:-1] * slope[1:] > 0, mean, torch.zeros_like(mean))  # flat where the values turn
        self.t, self.y = t, y
        # the secants at both ends: one-sided three-point formulas can change the sign of the slope
        self.slope = torch.cat([slope[:1], inner, slope[-1:]])

    def __call__(self, t: Tensor) -> Tensor:
        """Interpolate at times of any shape; differentiable in `t`."""
        if t.dtype != torch.float64 and t.device.type != "mps":
            # a single-precision place between two of a thousand knots is right to four digits only
            return self(t.double()).to(t.dtype)
        knots, y, m = (v.to(t.device, t.dtype) for v in (self.t, self.y, self.slope))
        i = torch.searchsorted(knots, t.detach().contiguous(), right=True).clamp(1, len(knots) - 1) - 1
        h = knots[i + 1] - knots[i]
        u = (t - knots[i]) / h
        inside = u.clamp(0, 1)
        rise = y[i + 1] - y[i]
        cubic = (
            y[i]
            + rise * inside**2 * (3 - 2 * inside)
            + h * inside * (1 - inside) * (m[i] * (1 - inside) - m[i + 1] * inside)
        )
        # at the last knot the value is the tabulated one to the last bit, with the cubic's own derivative
        value = torch.where(t == knots[i + 1], y[i + 1] + (cubic - cubic.detach()), cubic)
        return value + h * torch.where(u > 1, (u - 1) * m[i + 1], torch.where(u < 0, u * m[i], torch.zeros_like(u)))

    def inverse(self, y: Tensor) -> Tensor:
        """Times at which strictly monotone values are reached, float64; beyond the ends, the nearest end.

        The interval is looked up, and the cubic in it solved by Newton's method inside a shrinking bracket.
        """
        sign = 1.0 if bool(self.y[-1] > self.y[0]) else -1.0
        knots, values, m = (v.to(y.device) for v in (self.t, sign * self.y, sign * self.slope))
        target = (sign * y.double()).clamp(values[0], values[-1])
        i = torch.searchsorted(values, target.contiguous(), right=True).clamp(max=len(knots) - 1) - 1
        h, rise, off = knots[i + 1] - knots[i], values[i + 1] - values[i], target - values[i]
        left, right = h * m[i], h * m[i + 1]
        low, high = torch.zeros_like(off), torch.ones_like(off)
        u = off / rise
        for _ in range(60):  # bisection alone would need as many; Newton's method needs 4 to 8
            value = rise * u**2 * (3 - 2 * u) + u * (1 - u) * (left * (1 - u) - right * u) - off
            slope = 6 * rise * u * (1 - u) + left * (1 - u) * (1 - 3 * u) + right * u * (3 * u - 2)
            low, high = torch.where(value < 0, u, low), torch.where(value > 0, u, high)
            newton = u - value / slope
            step = torch.where((newton > low) & (newton < high), newton, (low + high) / 2)
            step = torch.where(value == 0, u, step)
            if bool(((step - u).abs() <= 2e-16).all()):
                break
            u = step
        return knots[i] + h * u


@component
class Sigmas(Perturbation):
    """A table of noise levels without scaling of the data (Song & Ermon, 2019, section 4).

        alpha = 1,    sigma_i geometric from `minimum` to `maximum`, or as given

    Args:
        minimum: sigma_1, the smallest level, in the units of the model's data.
        maximum: sigma_L, the largest level.
        levels: Number of levels L.
        values: The whole table instead, ascending; `minimum`, `maximum` and `levels` are then read off it.
    """

    minimum: Annotated[float, Gt(0)] | None = None
    maximum: Annotated[float, Gt(0)] | None = None
    levels: Annotated[int, Ge(2)] | None = None
    values: Annotated[tuple[Annotated[float, Gt(0)], ...], Len(2)] | None = None

    def __post_init__(self) -> None:
        if self.values is not None:
            object.__setattr__(self, "values", tuple(float(v) for v in self.values))
            if self.minimum is not None or self.maximum is not None or self.levels is not None:
                raise ConfigError("Sigmas takes either values, or minimum, maximum and levels; got both.")
            if any(b <= a for a, b in zip(self.values, self.values[1:], strict=False)):
                raise ConfigError(
                    "Sigmas.values must ascend strictly, smallest noise first; reverse a table that descends."
                )
            return
        # the constants of NCSNv2 for CIFAR-10 (Song & Ermon, 2020, table 3)
        for name, default in (("minimum", 0.01), ("maximum", 50.0), ("levels", 232)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        if self.maximum <= self.minimum:  # type: ignore[operator]
            raise ConfigError(f"Sigmas.maximum must be greater than minimum = {self.minimum:g}, got {self.maximum:g}.")

    @cached_property
    def table(self) -> Tensor:
        """sigma_1 to sigma_L, ascending, float64 (L,)."""
        if self.values is not None:
            return torch.tensor(self.values, dtype=torch.float64)
        assert self.minimum is not None and self.maximum is not None and self.levels is not None
        table = torch.linspace(log(self.minimum), log(self.maximum), self.levels, dtype=torch.float64).exp()
        table[0], table[-1] = self.minimum, self.maximum
        return table

    @cached_property
    def _interpolant(self) -> MonotoneCubic:
        return MonotoneCubic(self.knots, self.table.log())

    @property
    def knots(self) -> Tensor:
        """(i - 1) / (L - 1)."""
        n = len(self.table)
        return torch.arange(n, dtype=torch.float64) / (n - 1)

    @property
    def tabulated(self) -> tuple[Tensor, Tensor]:
        """1 and the table."""
        return torch.ones_like(self.table), self.table

    def log_alpha(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def alpha(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """The table on its levels, a monotone cubic of log sigma between them."""
        return self._interpolant(t).exp()

    def log_snr(self, t: Tensor) -> Tensor:
        """-2 log sigma."""
        return -2 * self._interpolant(t)

    def time(self, log_snr: Tensor) -> Tensor:
        """Solves the cubic of log sigma."""
        return self._interpolant.inverse(-log_snr / 2).to(log_snr.dtype)


@component
class Betas(Perturbation):
    """A table of DDPM's betas (Ho et al., 2020, eq. 4; Nichol & Dhariwal, 2021, eq. 17).

        alpha_i^2 = (1 - beta_1) ... (1 - beta_i),    sigma_i^2 = 1 - alpha_i^2

    Below level 1, sigma^2 is linear in t down to 0 at t = 0, which continues the same rate.

    Args:
        schedule: `linear` in beta, `scaled-linear` in sqrt(beta), or `cosine` in alpha, with betas of at most 0.999.
        steps: Number of levels T.
        start: beta_1 of the two linear schedules; 1e-4 and 8.5e-4 unless given.
        end: beta_T of the two linear schedules; 0.02 and 0.012 unless given.
        values: The whole table of betas instead, level 1 first.
        zero_terminal_snr: Shift and scale alpha so that level 1 keeps its own and level T has 0: nothing is left of
            the data at t = 1 (Lin et al., 2024, algorithm 1). In the last interval alpha / sigma is linear in t.
    """

    schedule: Literal["linear", "scaled-linear", "cosine", "values"] = "linear"
    steps: Annotated[int, Ge(2)] | None = None
    start: Annotated[float, Gt(0), Lt(1)] | None = None
    end: Annotated[float, Gt(0), Lt(1)] | None = None
    values: Annotated[tuple[Annotated[float, Gt(0), Lt(1)], ...], Len(2)] | None = None
    zero_terminal_snr: bool = False

    def __post_init__(self) -> None:
        def default(name: str, value: float) -> None:
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

        if (self.schedule == "values") != (self.values is not None):
            raise ConfigError("Betas.values and schedule = 'values' go together; give both or neither.")
        given = [name for name in ("start", "end") if getattr(self, name) is not None]
        if self.schedule in ("cosine", "values") and given:
            raise ConfigError(f"Betas.{given[0]} has no meaning with schedule = '{self.schedule}'; leave it out.")
        if self.values is not None:
            object.__setattr__(self, "values", tuple(float(v) for v in self.values))
            if self.steps not in (None, len(self.values)):
                raise ConfigError(f"Betas.steps is {self.steps}, but values has {len(self.values)} entries.")
            default("steps", len(self.values))
        default("steps", 1000)
        if self.schedule == "linear":
            default("start", 1e-4)
            default("end", 0.02)
        if self.schedule == "scaled-linear":
            default("start", 0.00085)
            default("end", 0.012)
        if self.zero_terminal_snr and self.steps is not None and self.steps < 3:
            raise ConfigError("Betas.zero_terminal_snr needs 3 levels at least: with 2, only level 1 has any data.")

    @property
    def t_min(self) -> float:  # type: ignore[override]
        """1 / T, the time of level 1."""
        assert self.steps is not None
        return 1.0 / self.steps

    @property
    def prior_std(self) -> float:
        """1: what is left of the data at t = 1 is taken for noise."""
        return 1.0

    @property
    def prior_variance(self) -> float:
        """1: data of unit variance stays of unit variance."""
        return 1.0

    @cached_property
    def table(self) -> Tensor:
        """beta_1 to beta_T, float64 (T,)."""
        if not self.zero_terminal_snr:
            return self._given
        of_level = self.log_alpha_bar
        before = torch.cat([torch.zeros_like(of_level[:1]), of_level[:-1]])
        return -torch.expm1(of_level - before)

    @cached_property
    def _given(self) -> Tensor:
        """The betas before any rescaling."""
        assert self.steps is not None
        if self.values is not None:
            return torch.tensor(self.values, dtype=torch.float64)
        if self.schedule == "cosine":
            return cosine_betas(self.steps)
        assert self.start is not None and self.end is not None
        if self.schedule == "linear":
            return torch.linspace(self.start, self.end, self.steps, dtype=torch.float64)
        return torch.linspace(self.start**0.5, self.end**0.5, self.steps, dtype=torch.float64) ** 2

    @cached_property
    def log_alpha_bar(self) -> Tensor:
        """log(alpha_i^2) for i = 1 to T, float64 (T,)."""
        given = torch.log1p(-self._given).cumsum(0)
        if not self.zero_terminal_snr:
            return given
        alpha = (given / 2).exp()
        rescaled = 2 * ((alpha - alpha[-1]) / (alpha[0] - alpha[-1])).log() + given[0]
        rescaled[0] = given[0]
        return rescaled

    @cached_property
    def _interpolant(self) -> MonotoneCubic:
        # alpha^2 = sigmoid(lambda)
        log_snr = self.log_alpha_bar - torch.log(-torch.expm1(self.log_alpha_bar))
        if not self.zero_terminal_snr:
            return MonotoneCubic(self.knots, log_snr)
        assert self.steps is not None
        found = MonotoneCubic(self.knots[:-1], log_snr[:-1])
        # meets the last interval's slope, as far as a monotone cubic can: three secants (Fritsch & Carlson, 1980)
        found.slope[-1] = max(-2.0 * self.steps, 3 * float(found.slope[-1]))
        return found

    @property
    def _last(self) -> tuple[float, float]:
        """Where the last interval of a rescaled table begins, and alpha / sigma there; 1 and 0 for other tables."""
        if not self.zero_terminal_snr:
            return 1.0, 0.0
        snr = float(self._interpolant.y[-1])
        return float(self.knots[-2]), exp(snr / 2)

    def _ratio(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Whether times lie in the last interval of a rescaled table, and alpha / sigma there, linear down to 0."""
        begin, ratio = self._last
        inside = t > begin if self.zero_terminal_snr else torch.zeros_like(t, dtype=torch.bool)
        # outside its branch each formula gets a harmless time: autograd would turn an infinity there into a NaN
        place = torch.where(inside, t, torch.full_like(t, begin))
        return inside, ratio * (1 - place) / ((1 - begin) or 1.0)

    @property
    def knots(self) -> Tensor:
        """i / T."""
        assert self.steps is not None
        return torch.arange(1, self.steps + 1, dtype=torch.float64) / self.steps

    @property
    def tabulated(self) -> tuple[Tensor, Tensor]:
        """alpha_i and sigma_i, from the products of 1 - beta."""
        return (self.log_alpha_bar / 2).exp(), (-torch.expm1(self.log_alpha_bar)).sqrt()

    def _above_the_end(self, t: Tensor) -> Tensor:
        """The log-SNR up to the last interval of a rescaled table; beyond, its value there."""
        assert self.steps is not None
        low, inside = t * self.steps < 1, self._ratio(t)[0]
        variance = float(self.table[0]) * self.steps * torch.where(low, t, torch.full_like(t, 0.5 / self.steps))
        below = torch.log1p(-variance) - variance.log()
        return torch.where(
            low, below, self._interpolant(torch.where(low | inside, torch.full_like(t, self._last[0]), t))
        )

    def log_snr(self, t: Tensor) -> Tensor:
        """The table on its levels, a monotone cubic between them, and a constant rate below level 1."""
        if not self.zero_terminal_snr:
            return self._above_the_end(t)
        inside, ratio = self._ratio(t)
        return torch.where(inside, 2 * ratio.log(), self._above_the_end(t))

    def time(self, log_snr: Tensor) -> Tensor:
        """Solves the cubic of the log-SNR; below level 1, sigma^2 is linear in t."""
        assert self.steps is not None
        wanted = log_snr.double()
        below = torch.sigmoid(-wanted) / (float(self.table[0]) * self.steps)
        found = torch.where(below * self.steps < 1, below, self._interpolant.inverse(wanted))
        if self.zero_terminal_snr:
            begin, ratio = self._last
            share = ((wanted / 2).exp() / ratio).clamp(max=1)
            found = torch.where(share < 1, 1 - (1 - begin) * share, found)
        return found.to(log_snr.dtype)

    def alpha(self, t: Tensor) -> Tensor:
        """sqrt(sigmoid(lambda)); with r = alpha / sigma, r / sqrt(1 + r^2) in the last interval of a rescaled table."""
        alpha = (torch.nn.functional.logsigmoid(self._above_the_end(t)) / 2).exp()
        if not self.zero_terminal_snr:
            return alpha
        inside, ratio = self._ratio(t)
        return torch.where(inside, ratio / (1 + ratio**2).sqrt(), alpha)

    def log_alpha(self, t: Tensor) -> Tensor:
        """log sigmoid(lambda) / 2; minus infinity where alpha = 0."""
        return torch.nn.functional.logsigmoid(self.log_snr(t)) / 2

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(sigmoid(-lambda))."""
        sigma = (torch.nn.functional.logsigmoid(-self._above_the_end(t)) / 2).exp()
        if not self.zero_terminal_snr:
            return sigma
        inside, ratio = self._ratio(t)
        return torch.where(inside, 1 / (1 + ratio**2).sqrt(), sigma)


def cosine_betas(steps: int, s: float = 0.008, largest: float = 0.999) -> Tensor:
    """Betas of the cosine schedule (Nichol & Dhariwal, 2021, eq. 17).

    Args:
        steps: Number of levels T.
        s: Offset that keeps beta_1 from being too small.
        largest: Betas are clipped here; the last one would be 1.

    Returns:
        beta_1 to beta_T, float64 (T,).
    """
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    alpha_bar = torch.cos((u + s) / (1 + s) * torch.pi / 2) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=largest)
