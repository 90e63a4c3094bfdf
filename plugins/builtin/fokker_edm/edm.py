"""Karras et al.'s stochastic sampler: churn, then a deterministic step."""

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Sampler, State, by_step
from fokker_edm.heun import Heun, of_ratio, ratio

__all__ = ["EDM"]


@component
class EDM(Sampler):
    """Every step first adds noise, then follows the probability flow (Karras et al., 2022, algorithm 2).

        y = x / alpha,  u = sigma / alpha,    gamma = min(s_churn / N, sqrt(2) - 1) if s_min <= u <= s_max, else 0
        u' = (1 + gamma) u,    y' = y + s_noise sqrt(u'^2 - u^2) z,    then Heun's or Euler's step from u' to the next u

    in a grid of N steps, for any alpha and sigma. Nothing is drawn where gamma is 0, and without churn the sampler is
    `heun`, bit for bit. Where u' would lie beyond the noise of t = 1, it is that noise: the model knows no other time,
    so a first step from t = 1 adds nothing. Half the noise of a step is drawn before its deterministic half, so that
    there is none in its end which `final=mean` could leave out.

    The source's own numbers (its table 5) are 30 to 80 for `s_churn`, for 36 to 512 evaluations, and 1.003 or 1.007
    for `s_noise`, which makes up for what a trained network takes away; the law is the exact one, in the limit of many
    steps, where `s_noise` is 1.

    Args:
        s_churn: Noise added over the whole grid; 0 for none.
        s_min: Smallest sigma / alpha at which noise is added; 0.05 unless given.
        s_max: Largest; 50 unless given.
        s_noise: Standard deviation of z; 1 unless given.
        solver: The deterministic part of a step, of order 2 or 1.
    """

    s_churn: Annotated[float, Ge(0)] = 4.0
    s_min: Annotated[float, Ge(0)] | None = None
    s_max: Annotated[float, Gt(0)] | None = None
    s_noise: Annotated[float, Gt(0)] | None = None
    solver: Literal["heun", "euler"] = "heun"

    def __post_init__(self) -> None:
        for name, usual in (("s_min", 0.05), ("s_max", 50.0), ("s_noise", 1.0)):
            if self.s_churn and getattr(self, name) is None:
                object.__setattr__(self, name, usual)
            if not self.s_churn and getattr(self, name) is not None:
                raise ConfigError(f"EDM.{name} has no effect without churn; leave it out, or raise s_churn.")
        if self.s_min is not None and self.s_max is not None and self.s_max <= self.s_min:
            raise ConfigError(f"EDM.s_max must be greater than s_min = {self.s_min:g}, got {self.s_max:g}.")

    @property
    def claims(self) -> Claims:
        """The solver's order, of laws where there is churn with noise of its right size."""
        order = 2 if self.solver == "heun" else 1
        exact = self.s_noise in (None, 1.0)
        return Claims(
            order=None if self.s_churn else order,
            weak_order=order if self.s_churn and exact else None,
            evaluations=order,
            stochastic=self.s_churn > 0,
            schedule_invariant=True,
            exact_on_point_mass=exact,
            quiet_end=self.s_churn > 0,
        )

    def _churned(self, p: Perturbation, t: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Times after the churn, those of the grid where there is none, and the factors of x and z that lead there."""
        nothing = {"x": torch.ones_like(t), "z": torch.zeros_like(t)}
        if not self.s_churn:
            return t, nothing
        assert self.s_min is not None and self.s_max is not None and self.s_noise is not None
        u, top = ratio(p, t), ratio(p, torch.ones((), dtype=t.dtype))
        gamma = min(self.s_churn / len(t), sqrt(2) - 1)
        more = torch.minimum((1 + gamma) * u, top)
        churns = (u >= self.s_min) & (u <= self.s_max) & (more > u)
        there = torch.where(churns, of_ratio(p, more), t)
        return there, {
            "x": torch.where(churns, (p.log_alpha(there) - p.log_alpha(t)).exp(), 1.0),
            "z": torch.where(churns, p.alpha(there) * self.s_noise * ((more - u) * (more + u)).sqrt(), 0.0),
        }

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        p, heun = model.perturbation, Heun()
        raised, churn = self._churned(p, grid[:-1])
        down = heun.coefficients(p, raised, grid[1:])
        if self.solver == "euler":
            down["eps"], down["second"] = down["eps"] + down["second"], torch.zeros_like(raised)
        starts: list[float] = raised.tolist()
        times: list[float] = grid.tolist()
        yield State(times[0], x)
        for k, (up, c) in enumerate(zip(by_step(churn), by_step(down), strict=True)):
            if up["z"]:
                x = up["x"] * x + up["z"] * noise(x, starts[k], times[k])
            x = heun.step(model, x, starts[k], times[k + 1], c, noise, cond)
            yield State(times[k + 1], x)
