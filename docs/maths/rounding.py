"""What rounding a network's label costs on a table: python docs/maths/rounding.py."""

from collections.abc import Mapping

import torch

from fokker.exact import Mixture
from fokker.grid import Grid, Karras
from fokker.levelled import OnLevels
from fokker.model import ScoreModel
from fokker.noise import Zero
from fokker.perturbation import Perturbation
from fokker.prediction import Prediction
from fokker.sampler import trajectory
from fokker.table import Betas
from fokker_ddpm.ddim import DDIM

P = Betas()
X = torch.linspace(-2.5, 2.5, 400, dtype=torch.float64).reshape(-1, 1)


class Rounded(ScoreModel):
    """A model that answers at the nearest level, whatever the time."""

    def __init__(self, model: ScoreModel) -> None:
        self.model = model

    @property
    def perturbation(self) -> Perturbation:
        """The table."""
        return P

    def __call__(
        self, x: torch.Tensor, t: torch.Tensor | float, cond: Mapping[str, torch.Tensor] | None = None
    ) -> Prediction:
        """The answer at the level, read at the time."""
        level = P.knots[P.nearest_level(torch.as_tensor(t, dtype=torch.float64)) - 1]
        return Prediction(x, *P.scales(t, x), eps=self.model(x, level).eps)


def first_order(model: ScoreModel, grid: Grid, steps: int) -> torch.Tensor:
    """The ends of DDIM's trajectories."""
    x = X
    for state in trajectory(model, DDIM(), grid.times(P, steps), Zero(), x, final="tweedie"):
        x = state.x
    return x


def second_order(model: ScoreModel, grid: Grid, steps: int) -> torch.Tensor:
    """Two-step Adams-Bashforth on dy/ds = eps, y = x / alpha and s = sigma / alpha."""
    times = grid.times(P, steps)
    s = P.sigma(times) / P.alpha(times)
    y, before = X / P.alpha(times[0]), None
    for k, h in enumerate(s.diff()):
        slope = model(y * P.alpha(times[k]), times[k]).eps
        ratio = 0 if before is None else h / (s[k] - s[k - 1]) / 2
        y, before = y + h * (slope if before is None else (1 + ratio) * slope - ratio * before), slope
    return model(y * P.alpha(times[-1]), times[-1]).x0


modes = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
exact = Mixture(P, torch.ones(2), modes, torch.full((2,), 0.05**2))
truth = second_order(exact, Karras(), 4000)
print("order  steps  own time  label rounded  on-levels")
for order, down in ((1, first_order), (2, second_order)):
    for steps in (10, 20, 50, 100):
        ends = (down(exact, Karras(), steps), down(Rounded(exact), Karras(), steps), down(exact, OnLevels(), steps))
        print(order, steps, *(f"{float((x - truth).abs().mean()):.2e}" for x in ends))
