"""What rounding a network's label costs on a table: python docs/maths/rounding.py."""

import torch

from fokker.exact import Mixture
from fokker.grid import Grid, Karras
from fokker.levelled import OnLevels
from fokker.model import ScoreModel
from fokker.noise import Zero
from fokker.prediction import Prediction
from fokker.sampler import trajectory
from fokker.table import Betas
from fokker_ddpm.ddim import DDIM

P = Betas()
X = torch.linspace(-2.5, 2.5, 400, dtype=torch.float64).reshape(-1, 1)


class Rounded(ScoreModel):
    """A model that answers at the nearest level, whatever the time."""

    perturbation = P

    def __init__(self, model):
        self.model = model

    def __call__(self, x, t, cond=None):
        level = P.knots[P.nearest_level(torch.as_tensor(t, dtype=torch.float64)) - 1]
        return Prediction(x, *P.scales(t, x), eps=self.model(x, level).eps)


def down(model: ScoreModel, grid: Grid, steps: int) -> torch.Tensor:
    """The ends of DDIM's trajectories."""
    x = X
    for state in trajectory(model, DDIM(), grid.times(P, steps), Zero(), x, final="tweedie"):
        x = state.x
    return x


modes = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
exact = Mixture(P, torch.ones(2), modes, torch.full((2,), 0.05**2))
truth = down(exact, Karras(), 20000)
print("steps  own time  label rounded  on-levels")
for steps in (10, 20, 50, 100):
    ends = (down(exact, Karras(), steps), down(Rounded(exact), Karras(), steps), down(exact, OnLevels(), steps))
    print(steps, *(f"{float((x - truth).abs().mean()):.2e}" for x in ends))
