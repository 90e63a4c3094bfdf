"""What is known, drawn afresh after every update."""

import pytest
import torch

from fokker.exact import Gaussian
from fokker.grid import LogSNR
from fokker.noise import PerSample, Zero
from fokker.perturbation import VP
from fokker.sampler import trajectory
from fokker.testing.moments import affine_map
from fokker_ddpm.ddim import DDIM
from fokker_guidance.gradient import PiGDM
from fokker_guidance.imputed import ImputedCorrector, ImputedPredictor
from fokker_guidance.inpaint import Inpaint
from fokker_guidance.linear import Colorize, Linear
from fokker_sde.pc import PredictorCorrector, Unchanged
from fokker_smld.annealed_langevin import AnnealedLangevin

P = VP()
SDE = DDIM(eta=1.0)


def imputed(predictor=SDE, corrector=None, corrections=1):
    return PredictorCorrector(ImputedPredictor(predictor), corrector or Unchanged(), corrections)


def law(shape=(2,)):
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    if shape == (2,):
        return Gaussian(P, torch.zeros(2), covariance)
    return Gaussian(P, torch.zeros(shape), torch.eye(torch.Size(shape).numel()))


def ends(sampler, model, steps=100):
    with torch.no_grad():
        found = affine_map(sampler, model, LogSNR().times(P, steps))
    return found.push(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))


def test_the_law_of_one_of_a_pair(observed):
    """N(.8, .36) is exact; the numbers of the docstring, with and without."""
    model = observed(Inpaint(values=(1.0, 0.0)), law())
    (plain, before), (mean, covariance) = (ends(s, model) for s in (SDE, imputed()))
    assert float(mean[1]) == pytest.approx(float(plain[1]), abs=1e-3)
    assert float(before[1, 1]) == pytest.approx(0.50, abs=0.01)
    assert float(covariance[1, 1]) == pytest.approx(0.46, abs=0.01)
    redrawn = ImputedCorrector(AnnealedLangevin(step=0.1))
    mean, covariance = ends(imputed(corrector=redrawn, corrections=5), model)
    assert float(mean[1]) == pytest.approx(0.71, abs=0.01)
    assert float(covariance[1, 1]) == pytest.approx(0.39, abs=0.01)


@pytest.mark.parametrize("guidance", [Inpaint(), Colorize(), Linear("average-2", noise=0.0)], ids=repr)
def test_the_known_part_of_every_state_is_that_of_alpha_y(guidance, observed, subject):
    """Behind scales that differ by channel; the rest of a state stays as the predictor left it."""
    from fokker_data.transforms import Standardise

    x = torch.rand(3, 3, 4, generator=torch.Generator().manual_seed(1))
    own = subject(x, Standardise(mean=(0.1, -0.2, 0.3), std=(0.5, 1.0, 2.0)))
    model = observed(guidance, law((3, 4)), subject=own)
    grid = LogSNR().times(P, 5)
    start = torch.randn(4, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    redrawn = list(trajectory(model, imputed(DDIM()), grid, Zero(), start, final="none"))[1:]
    u = own.chain.forward(x.double(), Zero())[:1]
    for state in redrawn:
        alpha = float(P.alpha(torch.tensor(state.t, dtype=torch.float64)))
        # without noise the known part of alpha u is there already: nothing more is to be imputed
        again = model.impute(state.x, state.t, torch.zeros_like(state.x), None)
        torch.testing.assert_close(again, state.x, rtol=0, atol=1e-9)
        there = model.impute(alpha * u.expand_as(state.x), state.t, torch.zeros_like(state.x), None)
        torch.testing.assert_close(there, alpha * u.expand_as(state.x), rtol=0, atol=1e-6)
        assert (state.x - there).abs().max() > 1e-3


def test_nothing_is_drawn_where_nothing_is_known_exactly(observed):
    for guidance in (PiGDM("left", (1.0,), 0.0), Linear("left", (1.0,), 0.3)):
        model = observed(guidance, law())
        assert not model.imputes
        grid, start = LogSNR().times(P, 6), torch.ones(3, 2, dtype=torch.float64)

        def end(sampler, model=model, grid=grid, start=start):
            noise = PerSample(0, range(3), (2,))
            return list(trajectory(model, sampler, grid, noise, start))[-1].x

        assert torch.equal(end(imputed()), end(PredictorCorrector(SDE, Unchanged())))


def test_all_known_parts_are_drawn(subject):
    """Two guidances, one inside the other."""
    own = subject(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    inner, outer = Inpaint("left-0.25"), Inpaint("right-0.25")
    model = outer.wrap(inner.wrap(law((4,))))
    cond = {**inner.conditions(own, [0]), **outer.conditions(own, [0])}
    x = model.impute(torch.zeros(1, 4, dtype=torch.float64), 0.0, torch.zeros(1, 4, dtype=torch.float64), cond)
    assert x.tolist() == [[1.0, 0.0, 0.0, 4.0]]
    assert outer.wrap(PiGDM().wrap(law((4,)))).imputes
    assert PiGDM().wrap(inner.wrap(law((4,)))).imputes
