"""Score SDE (Song et al., 2021): whole predictor-corrector runs on the exact score of a mixture.

Its loop corrects and then predicts at each of N times, the last one too: N - 1 predictions between the levels of a
table, and one from the smallest level to clean data. The latter is fokker's end of a trajectory, `final`; without its
noise it is, for VE, Tweedie's formula.
"""

import pytest
import torch

from fokker.grid import Knots
from fokker.noise import Recorded
from fokker.sampler import Claims, Corrector, by_step, trajectory
from fokker_ddpm.ancestral import Ancestral
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.pc import PredictorCorrector
from fokker_sde.reverse_diffusion import ReverseDiffusion
from fokker_smld.annealed_langevin import AnnealedLangevin

# of a trajectory, relative to its largest state; of its end, in the units of the data
PATH = {"rtol": 0, "atol": 1e-3}
END = 5e-4


@pytest.fixture(scope="module")
def data(record):
    return record("score_sde/pc_trajectories")


class BatchLangevin(Corrector):
    """Score SDE's Langevin step, a = 2 alpha_i (snr mean|z| / mean|score|)^2 with means over the batch.

    fokker has no such corrector, because a sample would depend on its neighbours; it is written out here so that the
    rest of the run can be compared.
    """

    def __init__(self, snr, alphas=None):
        self.snr, self.alphas = snr, alphas

    @property
    def claims(self):
        return Claims(stochastic=True)

    def coefficients(self, p, t):
        return {"alpha": torch.ones_like(t) if self.alphas is None else self.alphas[p.index(t) - 1]}

    def correct(self, model, x, t, c, noise, cond=None):
        score, z = model(x, t, cond).score, noise(x)
        norm, slope = (v.flatten(1).norm(dim=1).mean() for v in (z, score))
        a = 2 * c["alpha"] * (self.snr * norm / slope) ** 2
        return x + a * score + (2 * a).sqrt() * z


@pytest.mark.parametrize("name", ["vp_em_none", "subvp_em_none"])
def test_euler_maruyama(data, name, sde, agree):
    """Its step is 1/N long, where its times are (1 - eps) / (N - 1) apart; fokker's steps end where the next begins."""
    case = data.case(name)
    n = case["sde_params"]["N"]
    law = data.law(sde(case["sde"], **case["sde_params"]))
    times = data[f"{name}/timesteps"]
    steps = by_step(EulerMaruyama().coefficients(law.perturbation, times, times - 1 / n))
    noise = Recorded(data[f"{name}/noise"])
    x = data[f"{name}/x_init"]
    states = []
    for t, c in zip(times.tolist(), steps, strict=True):
        x = EulerMaruyama().step(law, x, t, t - 1 / n, c, noise)
        states.append(x)
    agree(torch.stack(states), data[f"{name}/predictor_x"], **PATH)
    torch.testing.assert_close(x, data[f"{name}/sample_denoise_false"], rtol=0, atol=END)
    mean = x - c["z"] * data[f"{name}/noise"][-1]
    torch.testing.assert_close(mean, data[f"{name}/sample_denoise_true"], rtol=0, atol=END)


def test_ancestral_and_annealed_langevin(data, sde, agree):
    """fokker's `pc` on the SDE itself and Score SDE's times; `ald` at snr is `annealed-langevin` at 2 snr^2.

    fokker makes one draw less: its last correction ends the trajectory, and Tweedie's formula draws nothing. It yields
    one state per time: at the last one, the corrected state.
    """
    case = data.case("ve_as_ald")
    law = data.law(sde(case["sde"], **case["sde_params"]))
    pc = PredictorCorrector(Ancestral(), AnnealedLangevin(step=2 * case["snr"] ** 2), corrections=case["n_steps"])
    x = data["ve_as_ald/x_init"]
    grid = data["ve_as_ald/timesteps"]
    states = [s.x for s in trajectory(law, pc, grid, Recorded(data["ve_as_ald/noise"]), x)]
    *predicted, corrected, end = states[1:]
    agree(torch.stack(predicted), data["ve_as_ald/predictor_x"][:-2], **PATH)
    agree(corrected, data["ve_as_ald/corrector_x"][-1], **PATH)
    torch.testing.assert_close(end, data["ve_as_ald/sample_denoise_true"], rtol=0, atol=END)


@pytest.mark.parametrize("name", ["ve_rd_langevin", "ve_rd_langevin_discrete", "vp_rd_langevin"])
def test_reverse_diffusion_and_langevin(data, name, sde, table, recast, agree):
    """fokker's `pc` on the levels of the table, with Score SDE's corrector, whose norms are the batch's.

    In the continuous cases the score is the one at Score SDE's times, which lie up to eps off the table's. The very
    last prediction, to clean data, is the reverse-diffusion step for VP and Tweedie's formula for VE.
    """
    case = data.case(name)
    kind, params = case["sde"], case["sde_params"]
    levels = table(kind, **params)
    grid = Knots().times(levels, params["N"] - 1)
    if case["continuous"]:
        when = dict(zip(grid.tolist(), data[f"{name}/timesteps"].tolist(), strict=True))
        model = recast(data.law(sde(kind, **params)), levels, when.__getitem__)
    else:
        model = data.law(levels)
    corrector = BatchLangevin(case["snr"], 1 - levels.table if kind == "VPSDE" else None)
    pc = PredictorCorrector(ReverseDiffusion(), corrector, corrections=case["n_steps"])
    noise = Recorded(data[f"{name}/noise"])
    states = [s.x for s in trajectory(model, pc, grid, noise, data[f"{name}/x_init"], final="none")]
    agree(torch.stack(states[1:-1]), data[f"{name}/predictor_x"][:-2], **PATH)
    agree(states[-1], data[f"{name}/corrector_x"][-1], **PATH)

    prediction = model(states[-1], float(grid[-1]))
    if kind == "VESDE":
        mean, std = prediction.x0, levels.sigma(grid[-1])
    else:
        c = ReverseDiffusion().coefficients(levels, grid[-1], torch.zeros((), dtype=torch.float64))
        mean, std = c["x"] * states[-1] + c["score"] * prediction.score, c["z"]
    torch.testing.assert_close(mean, data[f"{name}/sample_denoise_true"], rtol=0, atol=END)
    end = mean + std * noise(mean)
    torch.testing.assert_close(end, data[f"{name}/sample_denoise_false"], rtol=0, atol=END)


@pytest.mark.parametrize("name", ["ve_rd_langevin", "ve_as_ald", "vp_rd_langevin"])
def test_each_prediction(data, name, sde, table, recast, agree):
    """Single predictions from the recorded corrected states, at the tolerance of one step."""
    case = data.case(name)
    kind, params = case["sde"], case["sde_params"]
    levels = table(kind, **params)
    grid = Knots().times(levels, params["N"] - 1)
    when = dict(zip(grid.tolist(), data[f"{name}/timesteps"].tolist(), strict=True))
    model = recast(data.law(sde(kind, **params)), levels, when.__getitem__)
    predictor = Ancestral() if case["predictor"] == "ancestral_sampling" else ReverseDiffusion()
    draws = data[f"{name}/noise"].unflatten(0, (params["N"], -1))[:, -1]
    for k, c in enumerate(by_step(predictor.coefficients(levels, grid[:-1], grid[1:]))):
        x = data[f"{name}/corrector_x"][k]
        x = predictor.step(model, x, float(grid[k]), float(grid[k + 1]), c, Recorded(draws[k : k + 1]))
        agree(x, data[f"{name}/predictor_x"][k], rtol=2e-5, atol=2e-5)
