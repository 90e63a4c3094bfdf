"""Score SDE (Song et al., 2021): single predictor and corrector updates, from recorded states with recorded noise.

That code's conventions, which fokker's steps are told here: a step of Euler-Maruyama is 1/N long whatever the grid; the
other predictors go from the level that t (N - 1) is truncated to, to the one below, with the score at t itself.
"""

import pytest
import torch

from fokker.noise import Recorded, Zero
from fokker.perturbation import expand
from fokker_ddpm.ancestral import Ancestral
from fokker_sde.euler_maruyama import EulerMaruyama
from fokker_sde.langevin import Langevin
from fokker_sde.reverse_diffusion import ReverseDiffusion
from fokker_smld.annealed_langevin import AnnealedLangevin

N = 100
TOLERANCE = {"rtol": 2e-5, "atol": 2e-5}
CORRECTORS = {"n1": (1, 0.16), "n2": (2, 0.075)}


@pytest.fixture(scope="module")
def data(record):
    return record("score_sde/predictor_corrector_steps")


@pytest.fixture(params=["t0", "t1", "t2"])
def at(request):
    return request.param


def floats(coefficients):
    return {name: float(value) for name, value in coefficients.items()}


def one_step(predictor, model, x, t, s, noise):
    t, s = torch.tensor(t, dtype=torch.float64), torch.tensor(s, dtype=torch.float64)
    return predictor.step(model, x, float(t), float(s), floats(predictor.coefficients(model.perturbation, t, s)), noise)


def discretised(kind, t, table, law, recast):
    """The model on the table, and the two times of the table that the step goes between."""
    levels = table(kind, N=N)
    index = int(torch.tensor(t, dtype=torch.float32) * (N - 1))
    times = torch.cat([torch.zeros(1, dtype=torch.float64), levels.knots])
    return recast(law, levels, lambda _: t), float(times[index + 1]), float(times[index]), levels, index


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp"])
def test_score(data, kind, at, sde, agree):
    t = float(data[f"{kind}/{at}/t"][0])
    agree(data.law(sde(kind)).score(data[f"{kind}/{at}/x"], t), data[f"{kind}/{at}/score"], **TOLERANCE)


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp"])
def test_euler_maruyama(data, kind, at, sde, agree):
    t = float(data[f"{kind}/{at}/t"][0])
    law = data.law(sde(kind))
    case = f"{kind}/{at}/euler_maruyama"
    for noise, result in ((Recorded(data[f"{case}/noise"].unsqueeze(0)), "x"), (Zero(), "x_mean")):
        x = one_step(EulerMaruyama(), law, data[f"{kind}/{at}/x"], t, t - 1 / N, noise)
        agree(x, data[f"{case}/{result}"], **TOLERANCE)


@pytest.mark.parametrize("kind", ["ve", "vp"])
@pytest.mark.parametrize(
    ("name", "predictor"),
    [
        ("reverse_diffusion", {"ve": ReverseDiffusion(), "vp": ReverseDiffusion()}),
        ("ancestral_sampling", {"ve": Ancestral(), "vp": Ancestral(variance="forward")}),
    ],
)
def test_table_predictors(data, kind, at, name, predictor, sde, table, recast, agree):
    """Its ancestral step has the posterior variance for VE, and the forward one, beta, for VP."""
    t = float(data[f"{kind}/{at}/t"][0])
    model, start, end, _, _ = discretised(kind, t, table, data.law(sde(kind)), recast)
    case = f"{kind}/{at}/{name}"
    for noise, result in ((Recorded(data[f"{case}/noise"].unsqueeze(0)), "x"), (Zero(), "x_mean")):
        x = one_step(predictor[kind], model, data[f"{kind}/{at}/x"], start, end, noise)
        agree(x, data[f"{case}/{result}"], **TOLERANCE)


def test_reverse_diffusion_of_sub_vp_is_an_euler_step(data, at, sde, agree):
    """Score SDE has no discretisation of its own for sub-VP; fokker's transition is exact and differs."""
    t = float(data[f"subvp/{at}/t"][0])
    noise = Recorded(data[f"subvp/{at}/reverse_diffusion/noise"].unsqueeze(0))
    x = one_step(EulerMaruyama(), data.law(sde("subvp")), data[f"subvp/{at}/x"], t, t - 1 / N, noise)
    agree(x, data[f"subvp/{at}/reverse_diffusion/x"], **TOLERANCE)


def shrinkage(kind, levels, index):
    """Score SDE's factor alpha = 1 - beta_i of a corrector's step for VP."""
    return 1 - float(levels.table[index]) if kind == "vp" else 1.0


@pytest.mark.parametrize("kind", ["ve", "vp"])
@pytest.mark.parametrize("n", ["n1", "n2"])
def test_annealed_langevin(data, kind, at, n, sde, table, recast, agree):
    """`ald` is fokker's step with `step = 2 snr^2`, and with Score SDE's factor alpha for VP."""
    updates, snr = CORRECTORS[n]
    t = float(data[f"{kind}/{at}/t"][0])
    law = data.law(sde(kind))
    _, _, _, levels, index = discretised(kind, t, table, law, recast)
    corrector = AnnealedLangevin(step=2 * snr**2 * shrinkage(kind, levels, index))
    c = floats(corrector.coefficients(law.perturbation, torch.tensor(t, dtype=torch.float64)))
    case = f"{kind}/{at}/ald_{n}"
    draws = data[f"{case}/noise"]
    x = data[f"{kind}/{at}/x"]
    for k in range(updates):
        mean = corrector.correct(law, x, t, c, Zero())
        x = corrector.correct(law, x, t, c, Recorded(draws[k : k + 1]))
    agree(x, data[f"{case}/x"], **TOLERANCE)
    agree(mean, data[f"{case}/x_mean"], **TOLERANCE)


@pytest.mark.parametrize("kind", ["ve", "vp"])
@pytest.mark.parametrize("n", ["n1", "n2"])
def test_langevin(data, kind, at, n, sde, table, recast, agree):
    """The update with Score SDE's step size, which is the batch's; fokker's is each sample's own.

        Score SDE  a = 2 alpha (snr mean|z| / mean|score|)^2        fokker  a = 2 (snr sqrt(numel) / |score|)^2

    Given the ratio of the two, sample by sample, and without fokker's bound on the step, the updates are the same.
    """
    _, snr = CORRECTORS[n]
    t = float(data[f"{kind}/{at}/t"][0])
    law = data.law(sde(kind))
    _, _, _, levels, index = discretised(kind, t, table, law, recast)
    case = f"{kind}/{at}/langevin_{n}"
    x = data[f"{kind}/{at}/x"]
    for draw in data[f"{case}/noise"]:
        scores = law.score(x, t).flatten(1).norm(dim=1)
        batch = draw.flatten(1).norm(dim=1).mean() / scores.mean() * shrinkage(kind, levels, index) ** 0.5
        own = draw[0].numel() ** 0.5 / scores
        c = {"snr": expand(snr * batch / own, x), "least": 0.0}
        mean = Langevin().correct(law, x, t, c, Zero())
        x = Langevin().correct(law, x, t, c, Recorded(draw.unsqueeze(0)))
    agree(x, data[f"{case}/x"], **TOLERANCE)
    agree(mean, data[f"{case}/x_mean"], **TOLERANCE)
