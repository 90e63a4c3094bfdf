"""Likelihoods of one's own, a nonlinear one against the exact posterior on a grid."""

import pytest
import torch

from fokker.data import Chain
from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.grid import LogSNR
from fokker.guidance import Subject
from fokker.network import DataSpec
from fokker.perturbation import VE, VP
from fokker.sampling import generate
from fokker.testing import checks_for, run
from fokker.testing.moments import affine_map
from fokker_data.transforms import Range, Standardise
from fokker_ddpm.ddim import DDIM
from fokker_guidance.gradient import DPS
from fokker_guidance.posterior import Posterior
from fokker_sde.pc import PredictorCorrector
from fokker_smld.annealed_langevin import AnnealedLangevin
from fokker_smld.langevin import Langevin

FUNCTIONS = """
import torch

def ring(x):
    return -((x.norm(dim=1) - 2.0) ** 2) / (2 * 0.3**2)

def line(x):  # y = x_1 + 2 x_2 + n, n ~ N(0, .25), y = 1
    return -((1 - x[:, 0] - 2 * x[:, 1]) ** 2) / (2 * 0.25)

def near(x, y):
    return -((x - y) ** 2).flatten(1).sum(1) / 2

def near_zero(x, y=0):
    return -(x - y if torch.is_tensor(y) and y.shape == x.shape else x).flatten(1).abs().pow(1.5).sum(1)

def one_number(x):
    return x.sum()

def constant(x):
    return torch.zeros(len(x))

def broken(x):
    raise ValueError("oops")

number = 3
"""
PAIR = Subject(DataSpec((2,)))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("likelihoods") / "functions.py"
    path.write_text(FUNCTIONS)
    return lambda name: f"{path}:{name}"


def two_modes(p):
    means = torch.tensor([[1.0, 0.5], [-1.5, -0.5]])
    covariances = torch.tensor([[[1.0, 0.5], [0.5, 1.0]], [[0.6, -0.3], [-0.3, 1.0]]])
    return Mixture(p, torch.tensor([0.6, 0.4]), means, covariances)


class Cells:
    """The plane in cells, and the exact posterior's weight in each."""

    reach, count, fine = 4.0, 20, 8

    def __init__(self, prior, log_likelihood):
        n = self.count * self.fine
        at = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 * self.reach - self.reach
        x = torch.stack(torch.meshgrid(at, at, indexing="ij"), -1).reshape(-1, 2)
        weights = (prior.log_prob(x, 0.0) + log_likelihood(x)).softmax(0)
        self.exact = weights.reshape(self.count, self.fine, self.count, self.fine).sum((1, 3)).flatten()

    def distance(self, cells):
        found = torch.bincount(cells, minlength=self.count**2).double() / len(cells)
        return float((found - self.exact).abs().sum() / 2)

    def total_variation(self, x):
        place = ((x + self.reach) / (2 * self.reach) * self.count).long().clamp(0, self.count - 1)
        return self.distance(place[:, 0] * self.count + place[:, 1])

    def floor(self, n):
        """Of n exact draws."""
        return self.distance(torch.multinomial(self.exact, n, True, generator=torch.Generator().manual_seed(0)))


def test_corrected_samples_of_a_nonlinear_posterior_are_as_good_as_exact_ones(file):
    """A ring over two modes: total variation of histograms from the exact posterior, and without corrections."""
    p, n = VP(), 4000
    prior = two_modes(p)
    ring = Posterior(file("ring"))
    cells = Cells(prior, lambda x: -((x.norm(dim=1) - 2.0) ** 2) / (2 * 0.3**2))

    def distance(sampler, guidance):
        grid = LogSNR().times(p, 50)
        chunks = generate(prior, Chain(), PAIR.spec, sampler, grid, n=n, guidance=guidance, batch_size=n)
        return cells.total_variation(torch.cat([c.x for c in chunks]))

    floor = cells.floor(n)
    corrected = PredictorCorrector(DDIM(eta=1.0), AnnealedLangevin(step=0.3), corrections=10)
    assert floor < 0.08
    assert distance(corrected, [ring]) < 1.5 * floor
    assert distance(DDIM(eta=1.0), [ring]) > 4 * floor
    assert distance(DDIM(eta=1.0), []) > 5 * floor


def test_at_low_noise_langevin_dynamics_samples_the_posterior(file, double):
    """N(0, I) and a noisy sum, by the law of the updates themselves: mean (4, 8) / 21."""
    p = VE(sigma_min=0.01)
    guidance = Posterior(file("line"), at="state")
    prior = Gaussian(p, torch.zeros(2), torch.ones(2))
    model = guidance.wrap(prior)
    cond = guidance.conditions(PAIR, [0])

    class Measured(type(model)):
        event_shape = (2,)

        def __init__(self):
            self.__dict__.update(model.__dict__)

        def __call__(self, x, t, _=None):
            return super().__call__(x, t, {k: v.expand(len(x), 2) for k, v in cond.items()})

    grid = LogSNR().times(p, 400)
    with torch.no_grad():
        found = affine_map(Langevin(step=0.04, relative=False), Measured(), grid)
    mean, covariance = found.push(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(mean, double([4 / 21, 8 / 21]), rtol=0, atol=1e-4)
    expected = double([[0.8095238095, -0.3809523810], [-0.3809523810, 0.2380952381]])
    torch.testing.assert_close(covariance, expected, rtol=0, atol=0.06)  # a bias of the step's size


def test_it_is_dps_of_a_gaussian_likelihood(file, saved):
    p = VP()
    prior = two_modes(p)
    x = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    dps, own = DPS(saved([[1.0, 2.0]]), (1.0,), 0.5, weight=0.7), Posterior(file("line"), weight=0.7)
    chain = (Range(-1.0, 1.0), Standardise(mean=(0.1, -0.2), std=(0.5, 2.0)))
    for subject in (PAIR, Subject(PAIR.spec, Chain(chain))):
        with torch.no_grad():
            expected = dps.wrap(prior)(x, 0.4, dps.conditions(subject, range(6))).eps
            found = own.wrap(prior)(x, 0.4, own.conditions(subject, range(6))).eps
        torch.testing.assert_close(found, expected)


def test_the_function_is_told_the_sample_s_own_values(file, subject, saved):
    p, x = VP(), torch.zeros(3, 2, dtype=torch.float64)
    prior = Gaussian(p, torch.zeros(2), torch.ones(2))
    held = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    for values, expected in (
        ("test", [[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]),
        (saved([[5.0, 6.0]]), [[5.0, 6.0]] * 3),
        ((7.0, 8.0), [[7.0, 8.0]] * 3),
    ):
        guidance = Posterior(file("near"), values, at="state")
        with torch.no_grad():
            score = guidance.wrap(prior)(x, 0.2, guidance.conditions(subject(held), [0, 1, 2])).score
        alpha = float(p.alpha(torch.tensor(0.2, dtype=torch.float64)))
        torch.testing.assert_close(score * alpha, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("at", ["x0", "state"])
def test_a_function_that_is_no_likelihood_is_refused(file, at):
    prior = Gaussian(VP(), torch.zeros(2), torch.ones(2))
    x = torch.zeros(3, 2, dtype=torch.float64)
    for name, message in (
        ("one_number", r"returns log p of each example, \(3,\); got \(\)"),
        ("constant", "does not depend on the examples by way of torch operations"),
        ("broken", r"failed: ValueError: oops; --debug shows where"),
        ("near", r"called without a measurement \(no values= are given\), failed: TypeError: near\(\) missing 1"),
    ):
        guidance = Posterior(file(name), at=at)
        with pytest.raises(ConfigError, match=message):
            guidance.wrap(prior)(x, 0.5, guidance.conditions(PAIR, [0, 1, 2]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number", "has no function 'number'"),
        ("nothing", "has no function 'nothing'"),
    ],
)
def test_what_cannot_be_called_is_refused(file, name, message):
    with pytest.raises(ConfigError, match=message):
        Posterior(file(name)).wrap(two_modes(VP()))


@pytest.mark.parametrize("text", ["no_such_module:f", "no/such/file.py:f"])
def test_what_cannot_be_imported_is_refused(text):
    with pytest.raises(ConfigError, match="cannot be imported"):
        Posterior(text).wrap(two_modes(VP()))


def test_a_name_without_a_function_is_refused():
    with pytest.raises(ConfigError, match=r"is 'module:function' or 'file.py:function', got 'ring'"):
        Posterior("ring")


def test_a_module_is_imported_by_its_name():
    """Any callable will do: the error is that of its answer, so it was found."""
    guidance = Posterior("torch:sum", at="state")
    with pytest.raises(ConfigError, match="The likelihood 'torch:sum' returns log p of each example"):
        guidance.wrap(two_modes(VP()))(torch.zeros(2, 2).double(), 0.5, guidance.conditions(PAIR, [0, 1]))


@pytest.mark.parametrize("at", ["x0", "state"])
def test_it_passes_the_kit(file, at):
    outcomes = [run(check) for check in checks_for(Posterior(file("near_zero"), at=at))]
    assert [o for o in outcomes if o.status == "failed"] == []
    assert {"neutral", "batch-independent", "field[weight]"} <= {o.check for o in outcomes if o.status == "passed"}
