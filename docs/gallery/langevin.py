"""Draw ascent and Langevin paths on a learned score, and measure why there are noise levels; prints the page's figures.

    python docs/gallery/langevin.py runs/roll-langevin docs/gallery

The run is that of the recipe `swiss-roll-langevin`, or of `swiss-roll-explicit`, which is the same training. The second
part has no network. A minute.
"""

import sys
from pathlib import Path

import torch

from fokker import draw
from fokker.data import Chain
from fokker.grid import Knots, Uniform
from fokker.network import DataSpec
from fokker.plan import resolve
from fokker.plugins.host import load_plugins
from fokker.run.folder import open_run
from fokker.sampler import Sampler
from fokker.sampling import generate
from fokker.start import Start, start_from
from fokker.table import Sigmas
from fokker_data.roll import roll_rms
from fokker_data.toy import TwoGaussians
from fokker_smld.langevin import GradientAscent, Langevin
from fokker_smld.smld import SMLD

N = 10_000
STEPS = 1000


def paths(run: Path, pictures: Path) -> None:
    """Ascent and Langevin dynamics from one point, as in the recipe."""
    host = load_plugins()
    opened, model = open_run(run, host), open_run(run, host).model()
    plan, recipe = opened.plan, resolve(host.registry, "swiss-roll-langevin").sample
    reference = plan.data.open("train").fetch(range(N)).x
    init = start_from(recipe.init, plan)
    law = plan.data.law(plan.perturbation)
    assert law is not None
    ways: tuple[tuple[str, Sampler, int, int], ...] = (
        ("gradient ascent, 20 steps", GradientAscent(step=1e-3, relative=False), 20, 1),
        ("Langevin dynamics, 10 steps", recipe.sampler, recipe.steps, 5),
    )
    drawn = []
    for name, sampler, steps, n in ways:
        grid = recipe.grid.times(plan.perturbation, steps)
        made = generate(
            model, plan.chain, opened.spec, sampler, grid, n=N, batch_size=N, init=init, final="none", keep_states=99
        )
        chunk = next(made)
        mean, std = ([round(v, 3) for v in f(chunk.x).tolist()] for f in (lambda x: x.mean(0), lambda x: x.std(0)))
        logs = [float(law.log_prob(x.double(), 0.0).mean()) for x in (torch.tensor([recipe.init]), chunk.x[:1000])]
        print(f"| {name} | {mean} | {std} | {logs[0]:.2f} | {logs[1]:.2f} | {roll_rms(chunk.x):.3f} |")
        drawn.append((name, draw.step_arrows(chunk.states, reference=reference, n=n, width=640)))
    draw.row(drawn).save(pictures / "langevin-paths.png")


def levels(pictures: Path) -> None:
    """Plain and annealed Langevin dynamics on the exact score of two modes, from the same starts, at the same price."""
    source = TwoGaussians(n=N, centre=5.0, variance=1.0, weights=(0.8, 0.2))
    p = Sigmas(minimum=0.1, maximum=10.0, levels=10)
    law = source.law(p)
    assert law is not None
    wide: Start = lambda p, t, noise, like: 16 * noise.uniform(like) - 8  # noqa: E731
    ways: tuple[tuple[str, Sampler, torch.Tensor], ...] = (
        ("plain", Langevin(step=0.1, relative=False), Uniform().times(p, STEPS)),
        ("annealed", SMLD(step=0.3, steps_per_level=STEPS // p.levels), Knots().times(p, p.levels - 1)),
    )
    data = source.open("test").fetch(range(N)).x
    drawn = [("data", draw.scatter(data, like=data, width=420))]
    print(_row("data", data, 0))
    for name, sampler, grid in ways:
        made = generate(law, Chain(), DataSpec((2,)), sampler, grid, n=N, batch_size=N, init=wide)
        chunk = next(made)
        print(_row(name, chunk.x, chunk.nfe))
        drawn.append((name, draw.scatter(chunk.x, like=data, width=420)))
    draw.row(drawn).save(pictures / "langevin-levels.png")


def _row(name: str, x: torch.Tensor, nfe: int) -> str:
    lower = x.sum(1) < 0
    parts = [f"{float(x[rows].std(0).mean()):.3f}" for rows in (lower, ~lower)]
    share = float(lower.float().mean())
    return f"| {name} | {nfe} | {share:.3f} / {1 - share:.3f} | {' / '.join(parts)} |"


if __name__ == "__main__":
    torch.set_num_threads(1)
    paths(Path(sys.argv[1]), Path(sys.argv[2]))
    levels(Path(sys.argv[2]))
