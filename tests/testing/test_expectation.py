import pytest
import torch

from fokker.exact import Gaussian
from fokker.noise import Seeded
from fokker.objective import Denoising
from fokker.perturbation import VE, VP
from fokker.testing.check import NotApplicable
from fokker.testing.expectation import Draw, Expectation, Handed, Logged, normal_rule, product, rules_of
from fokker.testing.optimum import AffineWorld, NotQuadratic, TwoModes, choices_of_nodes, normals
from fokker.weighting import Simple

D = torch.float64
ONE = torch.zeros(1, 1, dtype=D)


def test_nodes_have_the_moments_of_their_law():
    moments = {"normal": (0, 1, 0, 3, 0, 15), "rademacher": (0, 1, 0, 1, 0, 1), "uniform": (1 / 2, 1 / 3, 1 / 4, 1 / 5)}
    for kind, expected in moments.items():
        (rule,) = rules_of(Draw(kind, ONE), 4)
        for k, moment in enumerate(expected, 1):
            assert float(rule.weights @ rule.points**k) == pytest.approx(moment, abs=1e-12)


def test_a_product_has_every_combination():
    rule = product([normal_rule(2), normal_rule(3)])
    assert rule.points.shape == (6, 2)
    assert float(rule.weights @ (rule.points[:, 0] ** 2 * rule.points[:, 1] ** 4)) == pytest.approx(3)
    with pytest.raises(NotApplicable, match="takes 18 random numbers, too many"):
        product([normal_rule(2)] * 18)


@pytest.mark.parametrize("variance", [1.0, 0.25])
def test_the_least_denoising_loss_is_half_of_what_the_noise_hides(variance):
    # |eps error|^2 / 2 at sigma = 0.5: its least value is variance / (variance + 0.25) / 2
    p = VE(sigma_min=0.5)
    model = Gaussian(p, torch.zeros(1), torch.tensor(variance))
    objective = Denoising(weighting=Simple())
    loss = Expectation(objective, 0.0, [normal_rule(3)], lambda z: variance**0.5 * z, [Draw("normal", ONE)], nodes=[3])
    assert float(loss(model)) == pytest.approx(variance / (variance + 0.25) / 2)


def test_draws_are_kept_and_handed_out_again():
    logged = Logged(Seeded(0))
    x = torch.zeros(3, 2, dtype=D)
    first = [logged(x), logged.uniform(x[:, 0]), logged.rademacher(x)]
    handed = Handed(logged.draws)
    assert torch.equal(handed(x), first[0])
    with pytest.raises(
        ValueError, match=r"normal numbers \(3, 2\) were asked for where it drew uniform numbers \(3,\)"
    ):
        handed(x)
    again = logged.draws[2].again(Seeded(5))
    assert again.kind == "rademacher" and set(again.value.unique().tolist()) == {-1.0, 1.0}
    for source in (handed, logged):
        with pytest.raises(TypeError):
            source.rows(torch.arange(1))


def test_the_minimum_of_a_wrong_target_is_known():
    """|0.8 eps_model - eps|^2 is least at 1.25 times the exact score."""

    class Stretched(Denoising):
        def loss(self, model, x0, t, noise, cond=None):
            eps = noise(x0)
            return (0.8 * model(model.perturbation.perturb(x0, t, eps), t).eps - eps).square().sum(1)

    world = AffineWorld(VP(), 0.5)
    draws = [Draw("normal", torch.zeros(1, 2, dtype=D))]
    off = world.minimum(world.expectation(Stretched(), draws)) / world.slope.repeat(3)
    torch.testing.assert_close(off, torch.tensor([0.25, 0, 0, 0.25, 0, 0], dtype=D), rtol=0, atol=1e-10)
    assert float(world.minimum(world.expectation(Denoising(), draws)).abs().max()) < 1e-10


def test_what_is_not_quadratic_is_told():
    class Cubed(Denoising):
        def loss(self, model, x0, t, noise, cond=None):
            return Denoising.loss(self, model, x0, t, noise, cond) ** 1.5

    world = TwoModes(VP(), 0.5)
    draws = [Draw("normal", ONE)]
    with pytest.raises(NotQuadratic):
        world.minimum(world.expectation(Cubed(), draws, [8]))


def test_any_normal_draw_may_be_the_noise():
    two = torch.zeros(1, 2, dtype=D)
    draws = [Draw("normal", two), Draw("rademacher", ONE), Draw("normal", ONE), Draw("normal", ONE)]
    assert list(normals(draws, (2,))) == [0] and list(normals(draws, (1,))) == [2, 3]
    assert list(choices_of_nodes(draws)) == [[4, 4, 32, 4], [4, 4, 4, 32], [12] * 4]
    assert list(choices_of_nodes([])) == [[]]
