"""The probability flow with steps of its own for every sample."""

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.grid import Karras, Uniform
from fokker.integrate import _MIDDLE, IntegrationError, passage
from fokker.linear import EDMNoise, Flow
from fokker.model import Counted
from fokker.noise import Recorded, Zero
from fokker.perturbation import VE, VP, Cosine, SubVP
from fokker.prediction import Prediction
from fokker.sampler import trajectory
from fokker.table import Betas, Sigmas
from fokker.testing.worlds import gaussian, mixture, normal
from fokker_ode.adaptive_ode import AdaptiveODE
from fokker_ode.ode import ODE

D = torch.float64
PERTURBATIONS = [VP(), SubVP(), VE(), Cosine(), EDMNoise(), Flow(), Betas(), Sigmas()]


def name_of(value):
    return type(value).__name__


def states(sampler, model, x, grid):
    return list(trajectory(model, sampler, grid, Recorded([]), x, final="none"))


def grid_of(p, steps):
    return Uniform(end=0.01).times(p, steps)


def start(p, n=8):
    return normal(n, 3) * p.prior_std


@pytest.mark.parametrize("p", PERTURBATIONS, ids=name_of)
def test_every_state_of_the_grid_is_as_accurate_as_the_end(p):
    model, x = gaussian(p), start(p)
    for tolerance in (1e-3, 1e-6):
        sampler, before = AdaptiveODE(rtol=tolerance, atol=tolerance), 1.0
        found = states(sampler, model, x, grid_of(p, 30))
        assert [state.t for state in found] == grid_of(p, 30).tolist()
        for state in found:
            rho = (
                float(p.alpha(torch.tensor(state.t, dtype=D)) ** 2 + p.sigma(torch.tensor(state.t, dtype=D)) ** 2)
                ** 0.5
            )
            error = float((state.x - model.flow(x, before, state.t)).abs().max()) / rho
            assert error < 100 * tolerance


@pytest.mark.parametrize("p", PERTURBATIONS[:6], ids=name_of)
def test_many_times_cost_no_more_than_two(p):
    spent, ends = [], []
    for steps in (1, 200):
        model = Counted(mixture(p))
        ends.append(states(AdaptiveODE(), model, normal(16, 2) * p.prior_std, grid_of(p, steps))[-1].x)
        spent.append(model.rows / 16)
    assert spent[1] == spent[0] < 90
    assert_close(ends[0], ends[1], rtol=0, atol=1e-9)  # the model's own rounding depends on its batch


@pytest.mark.parametrize("p", [VP(), VE()], ids=name_of)
def test_the_default_tolerance_wastes_no_evaluations(p):
    # Score SDE's default, RK45 at 1e-5 for the whole batch, spends 129 to 141 where fewer reach the same end
    model = Counted(mixture(p))
    x, grid = normal(64, 2) * p.prior_std, Uniform(end=1e-3).times(p, 1)
    exact = states(AdaptiveODE(rtol=1e-10, atol=1e-10), model, x, grid)[-1].x
    model.calls = model.rows = 0
    own = states(AdaptiveODE(), model, x, grid)[-1].x
    mine = model.rows / 64
    model.calls = 0
    shared = states(ODE(), model, x, grid)[-1].x
    assert mine < 0.75 * model.calls
    assert float((own - exact).norm(dim=1).median()) < 1e-3
    assert float((shared - exact).norm(dim=1).median()) < 1e-3


def test_rows_leave_when_they_arrive():
    p, x = VP(), start(VP(), 32)
    model = Counted(mixture(p))
    states(AdaptiveODE(rtol=1e-6, atol=1e-6), model, x[:, :2], grid_of(p, 1))
    assert model.rows < 32 * model.calls
    alone = []
    for i in range(4):
        one = Counted(mixture(p))
        states(AdaptiveODE(rtol=1e-6, atol=1e-6), one, x[i : i + 1, :2], grid_of(p, 1))
        assert one.rows == one.calls
        alone.append(one.rows)
    assert len(set(alone)) > 1


def test_it_goes_down_to_clean_data_and_from_no_data_at_all():
    # sigma is 0 at one end and alpha less than rounding at the other
    p = Flow(log_snr_min=-80.0, t_min=0.0)
    model, x = gaussian(p), start(p)
    found = states(AdaptiveODE(rtol=1e-6, atol=1e-6), model, x, torch.tensor([1.0, 0.5, 0.0], dtype=D))
    for state in found:
        assert_close(state.x, model.flow(x, 1.0, state.t), rtol=0, atol=1e-4)


@pytest.mark.parametrize("p", [VP(), VE()], ids=name_of)
def test_single_precision(p):
    grid = Karras().times(p, 12)
    wide = states(AdaptiveODE(), mixture(p), normal(8, 2) * p.prior_std, grid)[-1].x
    narrow = states(AdaptiveODE(), mixture(p), (normal(8, 2) * p.prior_std).float(), grid)[-1].x
    assert narrow.dtype == torch.float32
    assert_close(narrow.double(), wide, rtol=0, atol=5e-3)


class _Broken(Counted):
    """A model whose answer to the first state of a batch is not a number below t = 0.5."""

    def __call__(self, x, t, cond=None):
        q = super().__call__(x, t, cond)
        mark = cond["row"].reshape(-1, 1) == 0
        late = torch.as_tensor(t).reshape(-1, 1) < 0.5
        return Prediction(x, q.alpha, q.sigma, v=torch.where(mark & late, torch.nan, q.v), rates=q.rates)


def test_one_that_breaks_on_the_way_breaks_alone():
    p, x = VP(), normal(4, 2)
    with pytest.raises(IntegrationError, match="not finite"):
        # its step ends where numbers do: no step is short enough
        list(trajectory(_Broken(mixture(p)), AdaptiveODE(), grid_of(p, 4), Zero(), x, cond={"row": torch.arange(4)}))
    x[0] = torch.nan
    broken = states(AdaptiveODE(), mixture(p), x, grid_of(p, 4))
    whole = states(AdaptiveODE(), mixture(p), x[1:], grid_of(p, 4))
    for a, b in zip(broken, whole, strict=True):
        assert bool(a.x[0].isnan().all())
        assert_close(a.x[1:], b.x, rtol=1e-12, atol=1e-12)


def test_tolerances_below_rounding_are_refused():
    with pytest.raises(ConfigError, match=r"rtol must be at least 1\.2e-06, the rounding of float32"):
        states(AdaptiveODE(rtol=1e-7), mixture(VP()), normal(2, 2).float(), grid_of(VP(), 1))


def test_the_middle_of_a_step_is_of_order_4():
    # sum b_i c_i^q = (1/2)^(q + 1) / (q + 1) for q up to 3
    c = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
    for q in range(4):
        moment = sum(b * x**q for b, x in zip(_MIDDLE, c, strict=True))
        assert moment == pytest.approx(0.5 ** (q + 1) / (q + 1), abs=1e-14)
    for tolerance, bound in ((1e-4, 1e-3), (1e-8, 1e-6)):
        times = torch.linspace(0, 3, 40, dtype=D)
        one = torch.ones(2, 1, dtype=D)
        way = passage(_growth, one, times.tolist(), rtol=tolerance, atol=tolerance)
        for t, y in zip(times[1:], way, strict=True):
            assert_close(y, t.sin().exp().expand(2, 1), rtol=0, atol=bound)


def _growth(t, y, rows):
    """y = exp(sin t)."""
    return (y[0] * t.cos().unsqueeze(1),)
