"""The search of the best grid, on laws whose score is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fokker.auto_grid import AutoGrid
from fokker.errors import ConfigError
from fokker.exact import Mixture
from fokker.grid import LogSNR, Uniform
from fokker.guidance import Subject
from fokker.linear import EDMNoise, Flow
from fokker.network import DataSpec
from fokker.optimized_grid import OptimizedGrid
from fokker.perturbation import VE, VP
from fokker.sampler import check_grid
from fokker.sampling import Begun
from fokker.tune.grid import Latents, distance_of, draw_latents, search_grid
from fokker_data.mixture import MixtureFile
from fokker_ddpm.ancestral import Ancestral
from fokker_ddpm.ddim import DDIM
from fokker_dpm.auto import Auto

PROBLEMS = Path(__file__).parents[1] / "reference" / "data" / "problems" / "mixtures.safetensors"


def mixture(p):
    means = torch.tensor([[-1.0, 0.2], [0.9, -0.3]], dtype=torch.float64)
    weights = torch.tensor([0.4, 0.6], dtype=torch.float64)
    return Mixture(p, weights, means, torch.tensor([0.02, 0.05], dtype=torch.float64)[:, None].expand(2, 2))


def latents(model, way, n=48, first=0, seed=0):
    return draw_latents(model, Subject(DataSpec(model.event_shape)), way, n, first=first, seed=seed, exact=True)


def searched(p, way, times, seed=0):
    model = mixture(p)
    return search_grid(way, times, latents(model, way, seed=seed), latents(model, way, first=48, seed=seed))


@pytest.mark.parametrize("p", [VE(0.002, 50.0), VP(), Flow()], ids=repr)
def test_comes_nearer_than_auto(p):
    found = searched(p, Auto(), AutoGrid().times(p, 4))
    assert found.improved
    assert found.distance < 0.6 * found.start
    check_grid(OptimizedGrid(found.noise).times(p, 4))


def test_serves_another_sampler():
    p = VE(0.002, 50.0)
    found = searched(p, DDIM(), LogSNR().times(p, 6))
    assert found.distance < 0.6 * found.start


def test_the_same_seed_gives_the_same_levels_and_another_seed_others():
    p = VE(0.002, 50.0)
    one, again, other = (searched(p, Auto(), AutoGrid().times(p, 4), seed) for seed in (0, 0, 1))
    assert one == again
    assert one.noise != other.noise


def test_no_level_is_below_the_least_that_the_model_knows():
    p = VE(0.1, 50.0)
    found = searched(p, Auto(), AutoGrid().times(p, 4))
    assert found.noise[-1] >= 0.1 * (1 - 1e-9)
    assert float(OptimizedGrid(found.noise).times(p, 4)[-1]) >= p.t_min


def test_what_is_no_better_elsewhere_is_not_taken():
    """Levels tuned for one latent, measured on many, from a grid that has been tuned for many."""
    p = VE(0.002, 50.0)
    model, way = mixture(p), Auto()
    many, one = latents(model, way, 200), latents(model, way, 2, first=7000)
    tuned = search_grid(way, AutoGrid().times(p, 4), many, latents(model, way, 200, first=200))
    best = OptimizedGrid(tuned.noise).times(p, 4)
    found = search_grid(way, best, one, many)
    assert not found.improved
    assert found.distance == found.start == pytest.approx(distance_of(many, way, best))
    assert found.noise == pytest.approx(tuned.noise)


def test_counts_its_evaluations_and_tells_how_far_it_is():
    p = VE(0.002, 50.0)
    model, way, told = mixture(p), Auto(), []
    a, b = latents(model, way), latents(model, way, first=48)
    before = a.begun.counted.rows + b.begun.counted.rows
    assert before == a.evaluations + b.evaluations
    found = search_grid(way, AutoGrid().times(p, 4), a, b, tell=lambda share, d: told.append((share, d)))
    assert found.evaluations == a.begun.counted.rows + b.begun.counted.rows - before
    assert found.evaluations % (48 * 5) == 0
    shares, distances = zip(*told, strict=True)
    assert list(shares) == sorted(shares) and shares[-1] == 1
    assert list(distances) == sorted(distances, reverse=True)


def test_a_sampler_that_draws_noise_is_refused():
    with pytest.raises(ConfigError, match="Ancestral has no best grid: it draws noise"):
        latents(mixture(VE()), Ancestral())


def test_a_grid_that_begins_elsewhere_is_refused():
    p = VE()
    with pytest.raises(ConfigError, match=r"begins at 0\.5"):
        searched(p, DDIM(), 0.5 * Uniform().times(p, 4))


def test_beats_the_best_peers_on_their_problems():
    """Latents and ends that it was not chosen by; PEERS.md's best cells at 5 and 10 evaluations."""
    known, p, way = load_file(PROBLEMS), EDMNoise(sigma_min=1e-4, sigma_max=15.0), Auto()
    best = {5: {"mix2": 0.037, "ring8": 0.042, "gmm64": 1.3}, 10: {"mix2": 0.0063, "ring8": 0.012, "gmm64": 0.31}}
    ratios = {5: [], 10: []}
    for key in ("mix2", "ring8", "gmm64"):
        model = MixtureFile(str(PROBLEMS), key=key).law(p)
        a, b = latents(model, way, 64), latents(model, way, 64, first=64)
        begun = Begun(1.0, 15 * known[f"{key}/z"], a.begun.model, a.begun.counted, a.begun.noise, None, None)
        given = Latents(begun, known[f"{key}/x0_from_15"], 0)
        for nfe, bars in best.items():
            found = search_grid(way, AutoGrid().times(p, nfe - 1), a, b)
            times = OptimizedGrid(found.noise).times(p, nfe - 1)
            ratios[nfe].append(distance_of(given, way, times) / bars[key])
    five, ten = (float(np.exp(np.log(each).mean())) for each in ratios.values())
    assert five < 0.25
    assert ten < 0.25
