"""The reverse-time SDE with steps of its own for every sample."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from annotated_types import Gt, Interval, Lt
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.flow.transport import some_rows
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import expand
from fokker.sampler import Claims, Sampler, State

__all__ = ["AdaptiveSDE"]

_SAFETY = 0.9
_LEAST = 1e-10
"""The shortest step, in time, below which the tolerance is taken for one that cannot be met."""


@component
class AdaptiveSDE(Sampler):
    """Improved Euler, extrapolated, each sample with its own steps (Jolicoeur-Martineau et al., 2021, algorithm 1).

        D(x, t) = f(t) x - g(t)^2 score(x, t)
        x'  = x - h D(x, t)      + g(t) w                  Euler-Maruyama,     w = W(t) - W(t - h)
        x~  = x - h D(x', t - h) + g(t - h) w
        x'' = (x' + x~) / 2                                the step, if E <= 1
        E   = sqrt(mean(((x' - x'') / delta)^2)),          delta = max(atol, rtol max(|x'|, |x'_before|))
        h <- 0.9 h E^-exponent

    The source draws w anew after a step that was too long. Steps that happen to be calm are then taken more often than
    chance has them, which is a bias. Here the path stays: what was drawn for a step is cut, by the Brownian bridge,
    into what the shorter step needs and a rest that later steps use up (Rackauckas & Nie, 2017, RSwM1). A step also
    ends at the next time of the grid, so a grid of few times costs least. `final=mean` leaves out the noise of steps
    that reach the last time.

    Args:
        rtol: Relative tolerance of a step.
        atol: Absolute tolerance of a step, in the units of the model's data; the source takes 1/128 of pictures'
            range for those of 8 bits.
        h: Length in time of the first step.
        exponent: How fast the next step follows the error, r in the source.
    """

    rtol: Annotated[float, Gt(0), Lt(1)] = 0.02
    atol: Annotated[float, Gt(0)] = 0.0078
    h: Annotated[float, Gt(0), Lt(1)] = 0.01
    exponent: Annotated[float, Interval(ge=0.5, le=1)] = 0.9

    @property
    def claims(self) -> Claims:
        """Steps of its own, of which it claims no order."""
        return Claims(evaluations=None, stochastic=True, own_steps=True)

    def trajectory(
        self, model: ScoreModel, x: Tensor, grid: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Iterator[State]:
        """See `Sampler.trajectory`."""
        count, last = len(x), float(grid[-1])
        yield State(float(grid[0]), x)
        t = torch.full((count,), float(grid[0]), dtype=torch.float64)
        h = torch.full((count,), self.h, dtype=torch.float64)
        x, before, path = x.clone(), x.abs(), _Path(x)
        for time in grid[1:].tolist():
            while len(rows := (t > time).nonzero().flatten()):
                there = rows.to(x.device)
                y, start = x[there], t[rows]
                wanted = torch.minimum(h[rows], start - time)
                step, w = path.take(rows, wanted, y, start, noise, last)
                end = torch.where(start - step <= time + 1e-14, time, start - step)
                told = some_rows(cond, rows)
                first = self._moved(model, y, y, start, step, w, told)
                second = self._moved(model, y, first, end, step, w, told)
                moved = (first + second) / 2
                scale = (self.rtol * torch.maximum(first.abs(), before[there])).clamp(min=self.atol)
                error = ((first - moved) / scale).flatten(1).square().mean(1).sqrt().to("cpu", torch.float64)
                lost = ~error.isfinite()  # not a number from here on; the others do not notice
                taken = (error <= 1) | lost
                ahead = _SAFETY * step * error.clamp(min=1e-8) ** -self.exponent
                # a step that the grid or the path cut short tells nothing against the longer one that was wanted
                short = taken & (step < h[rows])
                h[rows] = torch.where(short, torch.maximum(ahead, h[rows]), ahead).nan_to_num(1.0).clamp(max=1.0)
                if bool((h[rows] < _LEAST).any()):
                    raise ConfigError(
                        "AdaptiveSDE finds no step short enough for its tolerance near t = "
                        f"{float(start[h[rows].argmin()]):.3g}: raise rtol and atol."
                    )
                path.put_back(rows[~taken], step[~taken], w[(~taken).to(x.device)])
                kept = taken.to(x.device)
                x[there[kept]], before[there[kept]] = moved[kept], first[kept].abs()
                t[rows[taken]] = end[taken]
            yield State(time, x.clone())

    def _moved(
        self,
        model: ScoreModel,
        x: Tensor,
        at: Tensor,
        t: Tensor,
        h: Tensor,
        w: Tensor,
        cond: Mapping[str, Tensor] | None,
    ) -> Tensor:
        """x - h D(at, t) + g(t) w."""
        p = model.perturbation
        g = p.diffusion(t)
        drift, spread, g = (expand(c.to(x.device, x.dtype), x) for c in (-h * p.drift(t), h * g**2, g))
        return x + drift * at + spread * model(at, t, cond).score + g * w


class _Path:
    """What is known of each row's Brownian path ahead of it: stretches of time with their increments, nearest last.

    Args:
        x: A tensor like the states, (B, *D).
    """

    def __init__(self, x: Tensor) -> None:
        self._depth = torch.zeros(len(x), dtype=torch.int64)
        self._length = torch.zeros(1, len(x), dtype=torch.float64)
        self._increment = torch.zeros((1, *x.shape), dtype=x.dtype, device=x.device)

    def take(self, rows: Tensor, h: Tensor, x: Tensor, t: Tensor, noise: Noise, last: float) -> tuple[Tensor, Tensor]:
        """The increments over the next `h`, or over what is left of the stretch that is known, with their lengths."""
        depth = self._depth[rows]
        known = depth > 0
        top = (depth - 1).clamp(min=0)
        length = torch.where(known, self._length[top, rows], torch.inf)
        whole = known & (h >= length * (1 - 1e-12))
        h = torch.where(whole, length, h)
        there, top_there = rows.to(x.device), top.to(x.device)
        stretch = self._increment[top_there, there]
        w = stretch.clone()
        final = ~known & (t - h <= last + 1e-14)
        for some, source in ((~whole & ~final, noise), (final, noise.final)):
            if bool(some.any()):
                mine = some.to(x.device)
                z = source.rows(rows[some])(x[mine], t[some], (t - h)[some])
                share = torch.where(known, h / length, 0.0)[some]
                spread = (h[some] * (1 - share)).sqrt()
                w[mine] = _as(share, z) * stretch[mine] * _as(known[some].double(), z) + _as(spread, z) * z
        cut = known & ~whole
        mine = cut.to(x.device)
        self._length[top[cut], rows[cut]] = (length - h)[cut]
        self._increment[top_there[mine], there[mine]] = (stretch - w)[mine]
        self._depth[rows[whole]] -= 1
        return h, w

    def put_back(self, rows: Tensor, h: Tensor, w: Tensor) -> None:
        """Keep increments that were taken and not used."""
        if not len(rows):
            return
        depth = self._depth[rows]
        if int(depth.max()) == len(self._length):
            self._length = torch.cat([self._length, torch.zeros_like(self._length[:1])])
            self._increment = torch.cat([self._increment, torch.zeros_like(self._increment[:1])])
        self._length[depth, rows] = h
        self._increment[depth.to(w.device), rows.to(w.device)] = w
        self._depth[rows] += 1


def _as(c: Tensor, x: Tensor) -> Tensor:
    return expand(c.to(x.device, x.dtype), x)
