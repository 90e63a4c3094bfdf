"""Slips that go around in code and papers: what each does, and that fokker's form is the right one.

Every section of docs/maths/errata.md has a test here, named after its anchor.
"""

import math
import re
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from fokker.data import Chain
from fokker.draw.images import to_bytes
from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.grid import Knots, Uniform
from fokker.label import Time
from fokker.model import Counted, NetworkModel
from fokker.noise import PerSample, Recorded, Seeded, Zero
from fokker.parameterization import Score
from fokker.perturbation import VE, VP, SubVP
from fokker.prediction import Prediction
from fokker.sampler import trajectory
from fokker.table import Betas, Sigmas
from fokker.testing.moments import affine_map
from fokker.testing.order import measure_order
from fokker.testing.worlds import gaussian
from fokker.vanishing import Vanishing
from fokker_data.transforms import Dequantise, Logit, Range
from fokker_ddpm.ancestral import Ancestral
from fokker_dpm.dpm_multistep import DPMSolver3M
from fokker_matching.sliced import Sliced, SlicedVR
from fokker_networks.embedding import positional_embedding
from fokker_smld.langevin import Langevin
from fokker_smld.smld import SMLD

D = torch.float64
PAGE = Path(__file__).resolve().parents[1] / "docs" / "maths" / "errata.md"


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def test_every_section_has_a_test():
    anchors = re.findall(r"^## .+ \{ #([\w-]+) \}$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert anchors and not [a for a in anchors if f"test_{a.replace('-', '_')}" not in globals()]


class Rand(Seeded):
    """`rand` for `randn`."""

    def __call__(self, x, t=None, s=None):
        return self.uniform(x)


V, A = 0.5, 0.02
"""Variance of a Gaussian at a level, and the size of a Langevin step there."""


def at_rest(noise, n=20_000):
    """Mean and variance of many states after Langevin dynamics has come to rest."""
    p = VE(sigma_min=0.1, sigma_max=2.0)
    model = Gaussian(p, torch.zeros(1), torch.tensor(V - 0.01))
    x, grid = torch.zeros(n, 1, dtype=D), Uniform().times(p, 300)
    for state in trajectory(model, Langevin(step=A, relative=False), grid, noise, x, final="none"):
        x = state.x
    return float(x.mean()), float(x.var())


def test_uniform_noise():
    bias = 1 / (1 - A / (2 * V))  # of a Langevin step, which has the second order in its size
    mean, variance = at_rest(PerSample(0, range(20_000), (1,)))
    assert mean == pytest.approx(0, abs=0.02) and variance == pytest.approx(V * bias, rel=0.04)
    mean, variance = at_rest(Rand(0))
    assert mean == pytest.approx(V / (2 * A) ** 0.5, rel=0.01)
    assert variance == pytest.approx(V * bias / 12, rel=0.04)


@pytest.mark.parametrize("p", [VP(), VE(), SubVP(), Betas(), Sigmas()], ids=lambda p: type(p).__name__)
def test_sign(p):
    x0, eps, t = normal(4, 3), normal(4, 3, seed=1), float(p.knots[7]) if p.knots is not None else 0.4
    alpha, sigma = p.scales(t, x0)
    x = (alpha * x0 + sigma * eps).requires_grad_()
    log_q = -((x - alpha * x0) ** 2).sum() / (2 * sigma**2)
    (gradient,) = torch.autograd.grad(log_q, x)
    assert_close(Prediction(x, alpha, sigma, eps=eps).score, gradient, rtol=1e-9, atol=1e-9)
    # a small step along the score climbs, against it falls
    model = Mixture(p, torch.ones(2), normal(2, 3), torch.tensor([0.1, 0.5]))
    score, x = model(x.detach(), t).score, x.detach()
    step = 0.01 * sigma**2
    here, up, down = (model.log_prob(x + factor * score, t) for factor in (0, step, -step))
    assert bool((up > here).all()) and bool((down < here).all())


def test_half_step():
    # x <- (1 - a / V) x + c z comes to rest at c^2 / (2 a / V - a^2 / V^2)
    p = VE(sigma_min=0.1, sigma_max=2.0)
    model = Gaussian(p, torch.zeros(1), torch.tensor(V - 0.01))
    grid = Uniform().times(p, 400)

    def variance(a, c):
        law = affine_map(Langevin(step=a, relative=False, temperature=c / (2 * a) ** 0.5), model, grid)
        return float(law.push(torch.zeros(1, dtype=D), torch.eye(1, dtype=D))[1])

    e = 2 * A
    assert variance(e / 2, e**0.5) == pytest.approx(V, rel=0.03)
    assert variance(e, e**0.5) == pytest.approx(V / 2, rel=0.05)
    assert variance(e / 2, (2 * e) ** 0.5) == pytest.approx(2 * V, rel=0.03)


def test_steps_per_level():
    p = Sigmas(minimum=0.1, maximum=2.0, levels=6)
    model, grid = Gaussian(p, torch.zeros(1), torch.tensor(0.25)), Knots().times(p, 5)
    ends = []
    for updates in (10, 11):
        counted = Counted(model)
        for _ in trajectory(counted, SMLD(steps_per_level=updates), grid, Zero(), normal(2, 1), final="mean"):
            pass
        assert counted.calls == p.levels * updates
        law = affine_map(SMLD(steps_per_level=updates), model, grid, final="mean")
        ends.append(law.push(torch.zeros(1, dtype=D), 4 * torch.eye(1, dtype=D))[1])
    assert not torch.allclose(*ends, rtol=1e-3)


def test_levels():
    p = Betas()
    beta, abar = p.table, (1 - p.table).cumprod(0)
    first, clean = p.knots[:1], torch.zeros(1, dtype=D)
    c = {k: float(v) for k, v in Ancestral().coefficients(p, first, clean).items()}
    assert c == {"x": 0, "x0": 1, "z": 0}

    def posterior(before):  # Ho et al. (2020), eq. 7, at the first level of a table that counts from 0
        of_x = (1 - beta[0]).sqrt() * (1 - before) / (1 - abar[0])
        return float(of_x), float(before.sqrt() * beta[0] / (1 - abar[0]))

    assert posterior(torch.ones((), dtype=D)) == pytest.approx((0, 1))
    assert posterior(abar[-1]) == pytest.approx((9999, 0.0064), rel=0.01)
    # level 1 has the smallest noise in both kinds of table
    for table in (p, Sigmas()):
        assert table.index(table.knots[[0, -1]]).tolist() == [1, len(table.knots)]
        assert bool((table.sigma(table.knots).diff() > 0).all())
    with pytest.raises(ConfigError, match="reverse a table that descends"):
        Sigmas(values=(1.0, 0.1))


def test_embedding_exponent():
    width = 128
    i, labels = torch.arange(width // 2, dtype=D), torch.arange(1000, dtype=D)
    right, slip = 10000 ** (-i / (width / 2 - 1)), 10000 ** (-i / (2 * width))
    embedded = positional_embedding(labels, width)
    assert_close(embedded, torch.cat([(labels[:, None] * right).sin(), (labels[:, None] * right).cos()], 1))
    assert float(right[-1]) == pytest.approx(1e-4) and 2 * torch.pi / float(right[-1]) == pytest.approx(
        62_832, rel=1e-3
    )
    assert 2 * torch.pi / float(slip[-1]) == pytest.approx(60, rel=0.05)
    # in order of the level here; there and back again many times with the other exponent
    assert bool((embedded[:, -1].diff() <= 0).all())
    turns = (labels * slip[-1]).cos().diff().sign().diff().count_nonzero()
    assert int(turns) > 30


def test_sliced_average():
    d, n, k = 2, 20_000, 0.7
    x, v = normal(n, d), normal(n, d, seed=1)
    unit = v / v.norm(dim=1, keepdim=True)
    # s = -k x on N(0, I), whose Jacobian is -k I: E loss = d (k^2 / 2 - k)

    def terms(v, k):
        return -k * v.square(), (k * x * v).square() / 2  # per dimension; of v^T J v, and of squares before the sum

    jacobian, square = terms(unit, k)
    expected = d * (k**2 / 2 - k)
    assert float((jacobian + square).mean()) == pytest.approx(expected / d**2, abs=0.01)
    whole = terms(unit * d**0.5, k)
    assert float(sum(term.sum(1).mean() for term in whole)) == pytest.approx(expected, abs=0.03)

    def least(loss):  # of a parabola in k
        low, middle, high = loss(0.0), loss(1.0), loss(2.0)
        return (3 * low - 4 * middle + high) / (2 * (low - 2 * middle + high))

    def reduced(v, of_jacobian=torch.sum):
        return least(lambda k: float((k**2 * x.square().sum(1) / 2 + of_jacobian(terms(v, k)[0], 1)).mean()))

    assert least(lambda k: float(sum(term.mean() for term in terms(unit, k)))) == pytest.approx(1, abs=0.03)
    assert reduced(unit * d**0.5) == pytest.approx(1, abs=0.03)
    assert reduced(unit) == pytest.approx(1 / d, abs=0.02)
    assert reduced(unit * d**0.5, torch.mean) == pytest.approx(1 / d, abs=0.02)

    class Line(NetworkModel):
        def __init__(self):
            super().__init__(torch.nn.Identity(), Vanishing(), Score(), Time())

        def __call__(self, x, t, cond=None):
            return Prediction(x, *self.perturbation.scales(t, x), score=-k * x)

    for objective in (Sliced(directions="sphere"), SlicedVR(directions="sphere")):
        with torch.no_grad():
            loss = objective.loss(Line(), x, torch.ones(n, dtype=D), Seeded(2))
        assert float(loss.mean()) == pytest.approx(expected, abs=0.03)


def test_uint8():
    levels = torch.arange(256)
    x = levels.float() / 255
    back = (2 * x - 1 + 1) / 2  # to [-1, 1] and back, in single precision
    assert int(((255 * back).to(torch.uint8) != levels).sum()) > 0
    assert torch.equal((255 * back).round().to(torch.uint8), levels.to(torch.uint8))
    dequantise = Dequantise()
    chain = Chain((dequantise, Range()))
    assert torch.equal((255 * chain.inverse(chain.forward(x[:, None], Seeded(0)))).round()[:, 0], levels.float())
    uniform = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    darker = 255 * uniform - (255 * uniform).to(torch.uint8).float()
    assert float(darker.mean()) == pytest.approx(0.5, abs=0.01)
    outside = torch.tensor([1.01, -0.01])
    assert (255 * outside).to(torch.int32).to(torch.uint8).tolist() == [1, 254]
    assert to_bytes(outside, (0.0, 1.0)).tolist() == [255, 0]


def test_dequantise():
    levels, u = torch.arange(256, dtype=D)[:, None] / 255, torch.linspace(0.01, 0.99, 7, dtype=D)

    def filled(x, u):
        return Dequantise().forward(x, Recorded([torch.full_like(x, u)]))

    for value in u.tolist():
        y = filled(levels, value)
        assert_close(y, levels / 256 * 255 + value / 256)
        assert_close((256 * y).floor() / 255, levels)
        assert bool((y < 1).all())
    assert float((levels + 0.99 / 256).max()) > 1 and float((levels + 0.99 / 255).max()) > 1
    assert not bool(Logit(alpha=1e-6).forward(levels + 0.99 / 256, Seeded(0)).isfinite().all())
    # a density of 1 in the unit interval is 8 bits per dimension; an offset of 7 in [-1, 1]
    for transforms, log_density, bits in (((Dequantise(),), 0.0, 8.0), ((Dequantise(), Range()), -math.log(2), 8.0)):
        _, volume = Chain(transforms).forward_with_log_volume(levels, Seeded(0))
        assert_close(-(log_density + volume) / math.log(2), torch.full((256,), bits, dtype=D), rtol=1e-12, atol=0)
    assert_close(
        -Chain((Dequantise(), Range())).forward_with_log_volume(levels, Seeded(0))[1] / math.log(2),
        torch.full((256,), 7.0, dtype=D),
    )
    # the logit without its log-determinant
    _, volume = Chain((Dequantise(), Logit(alpha=0.05))).forward_with_log_volume(levels, Seeded(0))
    assert float((-volume / math.log(2) - 8).abs().mean()) > 2


def test_third_order():
    """Half of the second difference is an update of order 2, with 20 times the error at 512 steps."""
    forms = ("exact", "published")
    exact, halved = (measure_order(DPMSolver3M(form=f), gaussian(VP()), steps=(64, 128, 256, 512)) for f in forms)
    assert exact.local_orders[-1] == pytest.approx(3, abs=0.1)
    assert halved.local_orders[-1] == pytest.approx(2, abs=0.1)
    assert halved.errors[-1] == pytest.approx(2.7e-6, rel=0.05)
    assert exact.errors[-1] == pytest.approx(1.1e-7, rel=0.05)
