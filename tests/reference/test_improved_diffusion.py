"""improved-diffusion (Nichol & Dhariwal, 2021): tables of the diffusion and of its posterior, and respacing.

Its tables count levels from 0, fokker's from 1.
"""

import pytest
import torch

from fokker.grid import Knots
from fokker.table import Betas
from fokker_ddpm.ancestral import Ancestral

TABLES = {"linear_1000": Betas(), "cosine_40": Betas(schedule="cosine", steps=40)}
RTOL = 1e-10


@pytest.fixture(scope="module")
def data(record):
    return record("improved_diffusion/tables")


def below(times):
    return torch.cat([torch.zeros(1, dtype=torch.float64), times[:-1]])


@pytest.mark.parametrize("name", TABLES)
def test_forward_tables(data, name, agree):
    p = TABLES[name]
    agree(p.table, data[f"{name}/betas"], rtol=RTOL)
    agree(p.alpha(p.knots) ** 2, data[f"{name}/alphas_cumprod"], rtol=RTOL)
    agree(p.sigma(p.knots) / p.alpha(p.knots), data[f"{name}/sqrt_recipm1_alphas_cumprod"], rtol=RTOL)
    a, v = p.transition(below(p.knots), p.knots)
    agree(v**2, data[f"{name}/betas"], rtol=RTOL)
    agree(1 - a**2, data[f"{name}/betas"], rtol=RTOL)


@pytest.mark.parametrize("name", TABLES)
def test_posterior_tables(data, name, agree):
    """The coefficients of `ancestral` are the posterior's mean and standard deviation."""
    p = TABLES[name]
    c = Ancestral().coefficients(p, p.knots, below(p.knots))
    agree(c["x0"], data[f"{name}/posterior_mean_coef1"], rtol=RTOL)
    agree(c["x"], data[f"{name}/posterior_mean_coef2"], rtol=RTOL)
    agree(c["z"] ** 2, data[f"{name}/posterior_variance"], rtol=RTOL)


def test_respacing(data, agree):
    """The betas of a respaced process are the variances of fokker's transitions between the levels that are kept."""
    p = Betas()
    kept = p.knots[data["spaced/timestep_map"]]
    _, v = p.transition(below(kept), kept)
    agree(v**2, data["spaced/betas"], rtol=RTOL)


def test_spacing(data):
    """`knots` with 99 steps keeps the hundred levels that it keeps."""
    p = Betas()
    assert (p.index(Knots().times(p, 99)) - 1).flip(0).tolist() == data["space_timesteps/1000:100"].tolist()
