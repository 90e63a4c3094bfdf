"""The reverse-time SDE in the form that torchsde takes.

torchsde's time increases, so a descent from `t` to `s` passes in a time u of its own, t(u):

    dy = F(u, y) du + G(u) dB,    F = f(t) y - g(t)^2 score, times dt/du,    G = g(t) sqrt(-dt/du)

Every number of every example is a row of its own there, (B numel, 1): torchsde describes additive noise by a matrix
for each row, which for rows of one number is a number, and for whole examples would have numel^2 entries.
"""

from collections.abc import Callable

from torch import Tensor, nn

from fokker_torchsde.methods import Method

__all__ = ["Equation"]

_KEPT = 4
"""Evaluations that are remembered: as many states as a step, its two halves and the next attempt come back to."""


class Equation(nn.Module):
    """What torchsde solves.

    It remembers its last evaluations: torchsde evaluates the drift once before the first step to see its shape, and
    again at the same state for every later stage that refers to it.

    Args:
        method: The solver, which decides what it is told of the noise.
        drift: F(u, y) for states (B, *D).
        diffusion: G(u), a number or (B, 1, ..., 1).
        shape: (B, *D).
    """

    def __init__(
        self,
        method: Method,
        drift: Callable[[float, Tensor], Tensor],
        diffusion: Callable[[float, Tensor], Tensor],
        shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.sde_type, self.noise_type = method.calculus, method.noise
        self._drift, self._diffusion, self._shape = drift, diffusion, shape
        self._kept: list[tuple[float, Tensor, Tensor]] = []

    def f(self, u: Tensor, y: Tensor) -> Tensor:
        """F(u, y), (B numel, 1)."""
        time = float(u)
        for k, (at, state, value) in enumerate(self._kept):
            if at == time and state is y:
                self._kept.append(self._kept.pop(k))
                return value
        value = self._drift(time, y.reshape(self._shape)).reshape(-1, 1)
        self._kept = [*self._kept, (time, y, value)][-_KEPT:]
        return value

    def begun(self, u: float) -> Tensor:
        """The state of the latest evaluation at `u`, (B numel, 1)."""
        return next(state for at, state, _ in reversed(self._kept) if at == u)

    def g(self, u: Tensor, y: Tensor) -> Tensor:
        """G(u), (B numel, 1), or a matrix (B numel, 1, 1) where torchsde expects one."""
        value = self._diffusion(float(u), y.reshape(self._shape)).expand(self._shape).reshape(-1, 1)
        return value.unsqueeze(-1) if self.noise_type == "additive" else value
