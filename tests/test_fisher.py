"""The Fisher divergence of scores that are wrong by a known amount, and the losses that it is a part of."""

import math

import pytest
import torch

from fokker.errors import DataError
from fokker.exact import Gaussian
from fokker.fisher import FisherDivergence, fisher_divergence, levels_of, score_errors
from fokker.model import ScoreModel
from fokker.noise import Seeded
from fokker.perturbation import VE, VP
from fokker.prediction import Prediction
from fokker.table import Sigmas
from fokker.vanishing import Vanishing
from fokker_data.toy import SwissRoll
from fokker_matching.dsm import DSM
from fokker_matching.explicit import Explicit
from fokker_matching.ncsn import NCSN

D = torch.float64


class Scaled(ScoreModel):
    """A law's score, times a factor."""

    def __init__(self, law, factor):
        self.law, self.factor = law, factor

    @property
    def perturbation(self):
        return self.law.perturbation

    def __call__(self, x, t, cond=None):
        return Prediction(x, *self.perturbation.scales(t, x), score=self.factor * self.law.score(x, t))


def normal_world(p):
    return Gaussian(p, torch.tensor([1.0, -0.5]), torch.tensor([0.3, 1.5]))


def measured(model, law, t, n=4000):
    x = law.draw(n, Seeded(0))
    return fisher_divergence(model, law, [(x[: n // 2], Seeded(1), None), (x[n // 2 :], Seeded(2), None)], t)


@pytest.mark.parametrize("p", [VP(), VE(), Vanishing(), Sigmas(minimum=0.01, maximum=1.0, levels=4)], ids=repr)
def test_a_score_that_is_scaled_is_off_by_the_square_of_it(p):
    law = normal_world(p)
    found = measured(Scaled(law, 0.7), law, 1.0)
    assert found.relative == pytest.approx(0.09, rel=1e-9)
    assert found.half == pytest.approx(0.09 * found.score, rel=1e-9)
    assert found.matching == pytest.approx(found.half - found.score, rel=1e-12)
    assert found.sigma == float(p.sigma(torch.ones((), dtype=D)))


def test_c_is_the_information_of_a_normal_law():
    """E|x - m|^2 / V^2 = 1 / V for each number."""
    law = normal_world(Vanishing())
    found = measured(Scaled(law, 0.0), law, 0.0, n=40_000)
    expected = (1 / 0.3 + 1 / 1.5) / 2
    assert found.relative == 1
    assert found.half == pytest.approx(expected, abs=4 * found.stderr)
    assert found.stderr == pytest.approx(math.sqrt((1 / 0.3**2 + 1 / 1.5**2) / 2 / 40_000), rel=0.1)


def test_the_same_score_is_no_distance_away():
    law = normal_world(VP())
    assert measured(law, law, 0.5).half < 1e-24


def test_errors_are_those_of_each_example():
    law, x = normal_world(VP()), torch.tensor([[1.0, 2.0], [0.0, 0.0]], dtype=D)
    error, norm = score_errors(Scaled(law, 2.0), law, x, 0.3)
    assert error.shape == norm.shape == (2,)
    assert torch.equal(error, law.score(x, 0.3).square().sum(1) / 2)
    torch.testing.assert_close(error, norm)


def test_the_loss_of_every_kind_of_score_matching_is_f_less_c_and_a_constant():
    """Of a wrong score as of the right one, in expectation: tried with 4 standard errors of the difference."""
    law = SwissRoll().law(Sigmas(minimum=0.1, maximum=1.0, levels=3))
    x0 = SwissRoll(n=20_000).open("test").fetch(range(20_000)).x.double()
    sigma, t = 0.1, 0.0
    times = torch.full((2000,), t, dtype=D)
    for factor in (1.0, 0.4):
        model = Scaled(law, factor)
        parts = [(part, Seeded(k), None) for k, part in enumerate(x0.split(2000))]
        expected = fisher_divergence(model, law, parts, t).matching
        for objective, weight in ((DSM(sigma=0.1), 1.0), (NCSN(), sigma**2), (Explicit(), 1.0)):
            with torch.no_grad():
                if isinstance(objective, Explicit):  # differentiates the law's score, which is slow
                    losses = objective.loss(model, x0[:500], times[:500], Seeded(0))
                else:
                    losses = torch.cat([objective.loss(model, x, times, noise) for x, noise, _ in parts])
            constant = 0.0 if isinstance(objective, Explicit) else 2 / (2 * sigma**2)
            wanted = weight * (expected + constant)
            assert float(losses.mean()) == pytest.approx(wanted, abs=4 * float(losses.std()) / len(losses) ** 0.5)


def test_the_optimum_of_ncsn_on_the_roll():
    """D7: .3105 .7408 .9135 .9950 at sigma 1, .2154, .0464, .01, and .7399 in the mean: 1 - sigma^2 C."""
    p = Sigmas(minimum=0.01, maximum=1.0, levels=4)
    law, x0 = SwissRoll().law(p), SwissRoll(n=4000).open("test").fetch(range(4000)).x.double()
    found = [
        fisher_divergence(law, law, [(x, Seeded(k), None) for k, x in enumerate(x0.split(500))], t)
        for t in levels_of(p)
    ]
    losses = [1 - f.sigma**2 * f.score for f in found]
    assert losses == pytest.approx([0.3105, 0.7408, 0.9135, 0.9950], abs=0.03)
    assert sum(losses) / 4 == pytest.approx(0.7399, abs=0.01)


def test_levels():
    assert levels_of(Vanishing()) == [0.0]
    assert levels_of(Sigmas(values=(0.1, 0.3, 1.0))) == [1.0, 0.5, 0.0]
    p = VP()
    times = levels_of(p)
    assert len(times) == 5 and times[0] == pytest.approx(1) and times[-1] == pytest.approx(p.t_min)
    steps = p.log_snr(torch.tensor(times, dtype=D)).diff()
    torch.testing.assert_close(steps, steps[:1].expand(4), rtol=1e-6, atol=0)


def test_no_examples_no_mean():
    law = normal_world(VP())
    with pytest.raises(DataError, match="there are none"):
        fisher_divergence(law, law, [], 0.5)
    single = fisher_divergence(Scaled(law, 0.5), law, [(torch.zeros(1, 2, dtype=D), Seeded(0), None)], 0.5)
    assert isinstance(single, FisherDivergence) and math.isnan(single.stderr)
