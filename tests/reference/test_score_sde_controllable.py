"""Score SDE (Song et al., 2021): inpainting and colourisation by drawing the known part afresh after every update.

Its updates see the plain score; what is known is then overwritten at the noise level that the update started from,
where fokker's `imputed` takes the one that it lands on. Its first state has known values without noise, and what it
returns is the mean of the last prediction in the known part alone.
"""

import numpy as np
import pytest
import torch

from fokker.grid import Knots
from fokker.guidance import Subject
from fokker.network import DataSpec
from fokker.noise import Recorded
from fokker.sampler import by_step
from fokker_guidance.imputed import ImputedPredictor
from fokker_guidance.inpaint import Inpaint
from fokker_guidance.linear import Colorize
from fokker_sde.reverse_diffusion import ReverseDiffusion

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
CASES = ["inpaint_ve", "colorize_ve", "inpaint_ve_1step"]


@pytest.fixture(scope="module")
def data(record):
    return record("score_sde/controllable")


@pytest.fixture(params=CASES)
def run(request, data, sde, table, recast, tmp_path):
    return Run(request.param, data, sde, table, recast, tmp_path)


class Run:
    """A recorded run, its guidance, and its times; level k of the grid is where its k-th step starts."""

    def __init__(self, name, data, sde, table, recast, tmp_path):
        self.case = data.case(name)
        self.tensors = {key.split("/")[1]: data[key] for key in data.tensors if key.startswith(f"{name}/")}
        params = self.case["sde_params"]
        self.n = params["N"]
        self.times = torch.linspace(1, self.case["eps"], self.n, dtype=torch.float32).double().tolist()
        law = data.law(sde("VESDE", **params))
        shape = law.event_shape
        if self.n > 1:
            levels = table("VESDE", **params)
            self.grid = Knots().times(levels, self.n - 1)
            when = dict(zip(self.grid.tolist(), self.times, strict=True))
            self.model = recast(law, levels, when.__getitem__)
        else:
            # one step from t = 1: the smallest level of a table of one is sigma_min, whatever the time of the score
            self.model, self.grid = law, torch.ones(1, dtype=torch.float64)
        values = tmp_path / "values.npy"
        if self.case["task"] == "inpaint":
            np.save(values, self["data"].numpy())
            np.save(tmp_path / "mask.npy", self["mask"].numpy())
            guidance = Inpaint(str(tmp_path / "mask.npy"), str(values))
            self.rotation = torch.eye(3, dtype=torch.float64)
        else:
            np.save(values, self["data"][:, 0].numpy())
            guidance = Colorize(str(values))
            self.rotation = torch.tensor(data.meta["colour_matrix"], dtype=torch.float64)
        self.cond = guidance.conditions(Subject(DataSpec(shape)), range(len(self["data"])))
        self.guided = guidance.wrap(self.model)
        # its noise is in the basis of the grey level and two colours
        self.projections = torch.einsum("nbchw,dc->nbdhw", self["noise"], self.rotation)
        self.law = law

    def __getitem__(self, key):
        return self.tensors[key]

    def imputed(self, x, k, z):
        """At the continuous noise level of the time that the k-th step starts from."""
        law = type(self.guided).__new__(type(self.guided))
        law.__dict__.update(self.guided.__dict__, model=self.law)
        return law.impute(x, self.times[k], z, self.cond)


def corrected(case, model, x, t, z):
    """Score SDE's Langevin step for VE, whose norms are means over the batch."""
    score = model(x, t).score
    norm, slope = (v.flatten(1).norm(dim=1).mean() for v in (z, score))
    a = 2 * (case["snr"] * norm / slope) ** 2
    return x + a * score + (2 * a).sqrt() * z


def test_every_projection(run, agree):
    """From each recorded update, before what is known was drawn, to the state that the next one starts from."""
    if run.case["corrector"] == "none":
        draws = [run.projections[0], run.projections[-1]]  # its corrector does nothing and is followed by a projection
    else:
        draws = run.projections[1::2]
    states, updates = run["update_in"], run["update_x"]
    for i in range(len(states) - 1):
        agree(run.imputed(updates[i], i // 2, draws[i]), states[i + 1], **CLOSE)
    known = run.imputed(updates[-1], run.n - 1, draws[-1])
    off = (known - run["sample"]).abs()
    # at its end the noise of the known part is left out, and that of the unknown one is not
    z = run.imputed(updates[-1], run.n - 1, torch.zeros_like(updates[-1]))
    agree(z, run["sample"], **CLOSE)
    assert off.max() > 0


def test_whole_runs(run, agree):
    """Correct, draw, predict, draw, on the recorded noise, from the first recorded state to the end."""
    noise, where = run["noise"], iter(range(len(run["noise"])))
    x = run["update_in"][0]
    predictor = ReverseDiffusion()
    steps = by_step(predictor.coefficients(run.model.perturbation, run.grid[:-1], run.grid[1:])) if run.n > 1 else []
    for k in range(run.n):
        t = float(run.grid[k])
        if run.case["corrector"] != "none":
            x = corrected(run.case, run.model, x, t, noise[next(where)])
        x = run.imputed(x, k, run.projections[next(where)])
        z = noise[next(where)]
        if k < run.n - 1:
            x = predictor.step(run.model, x, t, float(run.grid[k + 1]), steps[k], Recorded(z[None]))
        else:  # the last step leads from the smallest level to clean data: Tweedie's formula, with its noise
            sigma = run.case["sde_params"]["sigma_min"]
            x = x + sigma**2 * run.model(x, t).score + sigma * z
        agree(x, run["update_x"][2 * k + 1], **CLOSE)
        last = next(where)
        x = run.imputed(x, k, run.projections[last] * (k < run.n - 1))
    agree(x, run["sample"], **CLOSE)


@pytest.mark.parametrize("run", CASES[:2], indirect=True)
def test_the_guided_score_moves_the_unknown_part_as_the_plain_one_does(run, agree):
    """So a prediction by the guided model, and a draw of the known part after it, is its update: that of `imputed`."""
    (c, *_) = by_step(ReverseDiffusion().coefficients(run.model.perturbation, run.grid[:-1], run.grid[1:]))
    x, z, last = run["update_in"][1], run["noise"][0], run.projections[-1]
    t, s = run.grid[:2].tolist()
    draws = Recorded(torch.stack([z, last]))
    found = ImputedPredictor(ReverseDiffusion()).step(run.guided, x, t, s, c, draws, run.cond)
    plain = ReverseDiffusion().step(run.model, x, t, s, c, Recorded(z[None]))
    agree(found, run.guided.impute(plain, s, last, run.cond), rtol=1e-9, atol=1e-9)
    assert (found - plain).abs().max() > 0
