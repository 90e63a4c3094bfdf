"""The ends of the probability flow, and what is measured against them, on laws whose flow is known."""

from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from fokker.compare import measure
from fokker.compare.cell import cells
from fokker.compare.measure import CONVERGENCE, Comparison, follows_the_flow
from fokker.compare.solution import EXACT, distance, solve
from fokker.data import Chain
from fokker.errors import ConfigError
from fokker.exact import Gaussian
from fokker.guidance import Subject
from fokker.network import DataSpec
from fokker.perturbation import VE, VP
from fokker.plugins import load_plugins
from fokker.sampler import Claims
from fokker.sampling import Begun, begin
from fokker_data.mixture import MixtureFile
from fokker_ddpm.ddim import DDIM


@pytest.fixture(scope="module")
def registry():
    return load_plugins().registry


def gaussian(p):
    covariance = torch.tensor([[1.0, 0.3], [0.3, 0.25]], dtype=torch.float64)
    return Gaussian(p, torch.tensor([0.5, -1.0], dtype=torch.float64), covariance)


def latents(model, t=1.0, n=20):
    spec = DataSpec(model.event_shape)
    return begin(
        model, Subject(spec), DDIM(), torch.tensor([t, 0.0], dtype=torch.float64), range(n), seed=3, dtype=torch.float64
    )


@pytest.mark.parametrize("p", [VP(), VE(0.02, 30.0)], ids=["vp", "ve"])
def test_ends_are_those_of_the_closed_form(p):
    model = gaussian(p)
    begun = latents(model)
    ends = solve(begun, tolerance=EXACT)
    true = model(model.flow(begun.x, 1.0, p.t_min), p.t_min).x0
    assert distance(ends.x, true) < 1e-6
    assert distance(ends.x, true) <= ends.error < 1e-6
    assert ends.nfe > 50


@pytest.mark.parametrize("key", ["mix2", "ring8", "gmm64"])
def test_ends_are_those_of_another_solver(shared, key):
    """DOP853 at 1e-8 from x = 80 z down to sigma = 1e-5, of the recorded latents."""
    path = shared / "problems" / "mixtures.safetensors"
    known = load_file(path)
    p = VE(1e-5, 80.0)
    model = MixtureFile(str(path), key=key).law(p)
    begun = latents(model, n=30)
    x = 80 * known[f"{key}/z"][:30]
    given = Begun(1.0, x, begun.model, begun.counted, begun.noise, None, None)
    ends = solve(given, tolerance=EXACT)
    assert distance(ends.x, known[f"{key}/x0_from_80"][:30]) < 1e-5


def test_a_start_at_the_end_is_refused():
    model = gaussian(VP())
    with pytest.raises(ConfigError, match="begins at the end"):
        solve(latents(model, t=VP().t_min), tolerance=EXACT)


def converged(registry, model, sampler, budgets, **options):
    """Convergence at each budget."""
    options = {"n": 40, "latents": 40, "exact": True, **options}
    comparison = Comparison(model, DataSpec(model.event_shape), Chain(), **options)
    p = model.perturbation
    found = cells(registry, p, [sampler], ["log-snr"], budgets, check=lambda way, times: None)
    return [row.metrics[CONVERGENCE] for cell in found for row in comparison.rows(cell, [0])]


def test_ddim_comes_closer_by_two_with_every_doubling(registry):
    values = converged(registry, gaussian(VE(0.02, 30.0)), "ddim", [41, 81, 161, 321])
    for coarse, fine in pairwise(values):
        assert coarse / fine == pytest.approx(2, rel=0.1)


def test_heun_comes_closer_by_four(registry):
    values = converged(registry, gaussian(VE(0.02, 30.0)), "ode:method=heun2", [161, 321, 641])
    for coarse, fine in pairwise(values):
        assert coarse / fine == pytest.approx(4, rel=0.15)


def test_stopping_early_is_part_of_the_distance(registry):
    """A grid that ends at a larger noise is measured against the same end as all others."""
    model = gaussian(VE(0.02, 30.0))
    comparison = Comparison(model, DataSpec((2,)), Chain(), exact=True, n=20, latents=20)
    found = cells(
        registry, model.perturbation, ["ode"], ["log-snr", "karras:sigma_min=0.5"], [5], check=lambda way, times: None
    )
    full, early = (next(comparison.rows(cell, [0])).metrics[CONVERGENCE] for cell in found)
    begun = latents_of(comparison, model)
    true = model(model.flow(begun.x, 1.0, 0.0), 0.0).x0
    t = float(model.perturbation.time(-2 * torch.tensor(0.5, dtype=torch.float64).log()))
    stopped = model(model.flow(begun.x, 1.0, t), t).x0
    assert early == pytest.approx(distance(stopped, true), rel=1e-3)
    assert full < 1e-3 < early


def latents_of(comparison, model):
    spec = DataSpec(model.event_shape)
    grid = torch.tensor([1.0, 0.0])
    return begin(model, Subject(spec), DDIM(), grid, range(comparison.n), seed=0, dtype=torch.float64)


def test_convergence_is_that_of_the_first_samples_however_many_there_are(registry):
    model = gaussian(VP())
    few = converged(registry, model, "ddim", [5], n=10, latents=10)
    assert converged(registry, model, "ddim", [5], n=30, latents=10) == pytest.approx(few, rel=1e-9)
    assert converged(registry, model, "ddim", [5], n=30, latents=10, batch_size=7) == pytest.approx(few, rel=1e-6)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        (Claims(order=1), None),
        (Claims(accuracy=1e-3, evaluations=None), None),
        (Claims(order=1, stochastic=True), "draws noise"),
        (Claims(stationary=True), "does not claim"),
    ],
)
def test_only_what_follows_the_flow_is_held_against_it(claims, reason):
    found = follows_the_flow(claims)
    assert found is None if reason is None else reason in found


def test_the_solution_is_computed_once_for_all_samplers_of_a_start(registry, monkeypatch):
    starts = []

    def counted(begun, *, tolerance):
        starts.append(begun.t)
        return solve(begun, tolerance=1e-4)

    monkeypatch.setattr(measure, "solve", counted)
    model = gaussian(VE(0.02, 30.0))
    comparison = Comparison(model, DataSpec((2,)), Chain(), exact=True, n=4, latents=4)
    grids = ["karras", "log-snr", "karras:sigma_max=10"]
    samplers = ["ddim", "ode:method=heun2"]
    for cell in cells(registry, model.perturbation, samplers, grids, [5, 9], check=lambda way, times: None):
        list(comparison.rows(cell, [0, 1]))
    assert len(starts) == 4 and len(set(starts)) == 2  # two starts of two seeds
