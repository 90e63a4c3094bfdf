import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.table import Betas, MonotoneCubic, Sigmas, cosine_betas

D = torch.float64


def tensor(*values):
    return torch.tensor(values, dtype=D)


def alpha_bar(p, *levels):
    """alpha^2 at these levels, counted from 0 as in the sources."""
    return p.alpha(p.knots[list(levels)]) ** 2


# Cumulative products of the published betas in float64; indices start at 0.


def test_the_linear_table_is_that_of_ddpm():
    # Ho et al. (2020), section 4: 1e-4 to 0.02 in 1000 steps
    p = Betas()
    expected = tensor(0.9999, 0.999780092072, 0.897018145675, 0.0785872428818, 4.03582976538e-5)
    assert_close(alpha_bar(p, 0, 1, 99, 499, 999), expected, rtol=5e-12, atol=0)
    assert_close(p.log_snr(p.knots[[0, 999]]), tensor(9.21024037, -10.11767318), rtol=0, atol=5.1e-9)
    assert (p.sigma(p.knots[-1]) / p.alpha(p.knots[-1])).item() == pytest.approx(157.4072808, abs=5.1e-8)


def test_the_table_of_the_fashion_mnist_note():
    p = Betas(start=0.001, end=0.01)
    assert_close(alpha_bar(p, 0, 499, 999), tensor(0.999, 0.196529635585, 0.00401146015948), rtol=5e-12, atol=0)


def test_the_scaled_linear_table_is_that_of_latent_diffusion():
    p = Betas(schedule="scaled-linear")
    assert alpha_bar(p, 999).item() == pytest.approx(0.004660098513, abs=5.1e-13)
    sigma = p.sigma(p.knots) / p.alpha(p.knots)
    assert sigma[-1].item() == pytest.approx(14.61464123, abs=5.1e-9)
    assert sigma[0].item() == pytest.approx(0.02916716, abs=5.1e-9)


def test_the_cosine_table_is_that_of_improved_ddpm():
    # Nichol & Dhariwal (2021), eq. 17 with s = 0.008, betas at most 0.999
    betas = cosine_betas(1000)
    expected = tensor(4.128422482e-5, 4.614175274e-5, 0.7499993929, 0.999)
    assert_close(betas[[0, 1, 998, 999]], expected, rtol=2e-10, atol=0)
    p = Betas(schedule="cosine")
    assert torch.equal(p.table, betas)
    assert alpha_bar(p, 499).item() == pytest.approx(0.4938435904, abs=5.1e-11)


def test_the_end_of_the_linear_table_is_not_that_of_the_vp_sde():
    # exp(-10.05), the continuous limit with beta 0.1 to 20
    assert alpha_bar(Betas(), 999).item() != pytest.approx(4.3185749060e-5, rel=0.05)


def test_given_betas_are_the_table():
    p = Betas(schedule="values", values=(0.1, 0.2, 0.5))
    assert p.steps == 3 and p.t_min == 1 / 3
    assert_close(p.alpha(p.knots) ** 2, tensor(0.9, 0.72, 0.36))
    assert_close(p.knots, tensor(1 / 3, 2 / 3, 1.0))
    assert Betas(schedule="values", values=[0.1, 0.2, 0.5]) == p


def test_below_level_1_the_variance_of_betas_grows_evenly():
    p = Betas(schedule="values", values=(0.1, 0.2, 0.5))
    t = tensor(0.0, 1e-9, 0.1, 0.2, 1 / 3)
    assert_close(p.sigma(t) ** 2, 0.3 * t, rtol=1e-12, atol=0)
    assert_close(p.alpha(t) ** 2, 1 - 0.3 * t, rtol=1e-12, atol=0)


def test_the_geometric_table_of_sigmas():
    p = Sigmas(minimum=0.01, maximum=1.0, levels=10)
    ratio = p.table[1:] / p.table[:-1]
    assert_close(ratio, torch.full((9,), 1.66810054, dtype=D), rtol=5e-9, atol=0)  # NCSN: 1 to 0.01 in 10 levels
    assert p.table[0] == 0.01 and p.table[-1] == 1.0 and p.prior_std == 1.0 and p.t_min == 0
    assert_close(p.knots, torch.arange(10, dtype=D) / 9)


def test_sigmas_are_those_of_ncsnv2_unless_given():
    p = Sigmas()
    assert (p.minimum, p.maximum, p.levels) == (0.01, 50.0, 232)
    # Song & Ermon (2020), technique 1 on CIFAR-10
    assert (p.table[1] / p.table[0]).item() == pytest.approx(1.03755913, abs=5.1e-9)


def test_given_sigmas_are_the_table():
    p = Sigmas(values=(0.1, 0.5, 3.0))
    assert p.sigma(tensor(0.0, 0.5, 1.0)).tolist() == pytest.approx([0.1, 0.5, 3.0], rel=1e-15)
    assert p.prior_std == pytest.approx(3.0, rel=1e-15)


def test_geometric_sigmas_are_geometric_between_their_levels_too():
    p = Sigmas(minimum=0.01, maximum=1.0, levels=10)
    t = torch.linspace(0, 1, 101, dtype=D)
    assert_close(p.sigma(t), 0.01 * 100**t, rtol=1e-12, atol=0)
    assert_close(p.diffusion(t), p.sigma(t) * (2 * tensor(100.0).log()).sqrt(), rtol=1e-10, atol=0)


@pytest.mark.parametrize("p", [Betas(), Betas(schedule="cosine"), Sigmas()], ids=repr)
def test_a_long_table_keeps_its_accuracy_in_single_precision(p):
    t = torch.cat([torch.logspace(-6, 0, 2001), torch.linspace(1e-3, 1, 2001)])
    assert_close(p.sigma(t).double(), p.sigma(t.double()), rtol=1e-6, atol=0)
    assert_close(p.alpha(t).double(), p.alpha(t.double()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("p", [Betas(steps=7), Sigmas(levels=7)], ids=repr)
def test_index_counts_from_the_smallest_noise(p):
    assert p.index(p.knots).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert p.index(p.knots + 1e-8).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert p.index(torch.ones(())).item() == 7
    with pytest.raises(ConfigError, match="a time lies between two of them; use the grid 'knots'"):
        p.index(tensor(1.0, 0.9))


@pytest.mark.parametrize("p", [Betas(steps=50), Betas(schedule="cosine"), Sigmas(levels=7)], ids=repr)
def test_the_levels_are_those_of_the_table(p):
    alpha, sigma = p.tabulated
    assert_close(p.alpha(p.knots), alpha, rtol=1e-13, atol=0)
    assert_close(p.sigma(p.knots), sigma, rtol=1e-13, atol=0)


def test_a_table_of_betas_ends_in_a_standard_normal():
    assert Betas().prior_std == 1 and Betas(steps=10, end=0.1).prior_std == 1


def test_every_field_changes_the_table():
    def differ(a, b):
        return a.table.shape != b.table.shape or not torch.allclose(a.table, b.table)

    assert differ(Sigmas(), Sigmas(minimum=0.02))
    assert differ(Sigmas(), Sigmas(maximum=20.0))
    assert differ(Sigmas(), Sigmas(levels=10))
    assert differ(Sigmas(), Sigmas(values=(0.1, 0.2)))
    for schedule in ("linear", "scaled-linear"):
        p = Betas(schedule=schedule)
        assert differ(p, Betas(schedule=schedule, start=1e-3))
        assert differ(p, Betas(schedule=schedule, end=0.03))
        assert differ(p, Betas(schedule=schedule, steps=10))
    assert differ(Betas(), Betas(schedule="scaled-linear", start=1e-4, end=0.02))
    assert differ(Betas(), Betas(schedule="cosine"))
    assert differ(Betas(schedule="cosine", steps=10), Betas(schedule="cosine", steps=20))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sigmas(minimum=2.0, maximum=1.0), "Sigmas.maximum must be greater than minimum = 2, got 1."),
        (lambda: Sigmas(levels=1), "Sigmas.levels must be at least 2, got 1."),
        (
            lambda: Sigmas(values=(2.0, 1.0)),
            "Sigmas.values must ascend strictly, smallest noise first; reverse a table that descends.",
        ),
        (lambda: Sigmas(values=(1.0,)), "Sigmas.values must be of length at least 2, got (1.0,)."),
        (lambda: Sigmas(values=(0.0, 1.0)), "Sigmas.values[0] must be greater than 0, got 0.0."),
        (lambda: Sigmas(minimum=0.0), "Sigmas.minimum must be greater than 0, got 0.0."),
        (lambda: Sigmas(maximum=0.0), "Sigmas.maximum must be greater than 0, got 0.0."),
        (lambda: Sigmas(minimum=1.0, maximum=1.0), "Sigmas.maximum must be greater than minimum = 1, got 1."),
        (lambda: Betas(steps=1), "Betas.steps must be at least 2, got 1."),
        (lambda: Betas(start=0.0), "Betas.start must be greater than 0, got 0.0."),
        (lambda: Betas(start=1.0), "Betas.start must be less than 1, got 1.0."),
        (lambda: Betas(end=0.0), "Betas.end must be greater than 0, got 0.0."),
        (lambda: Betas(end=1.0), "Betas.end must be less than 1, got 1.0."),
        (
            lambda: Betas(schedule="quadratic"),
            "Betas.schedule must be one of linear, scaled-linear, cosine, values, got 'quadratic'.",
        ),
        (
            lambda: Betas(schedule="cosine", end=0.02),
            "Betas.end has no meaning with schedule = 'cosine'; leave it out.",
        ),
        (
            lambda: Betas(schedule="values", values=(0.1, 0.2), start=0.1, end=0.2),
            "Betas.start has no meaning with schedule = 'values'; leave it out.",
        ),
        (
            lambda: Betas(values=(0.1, 0.2)),
            "Betas.values and schedule = 'values' go together; give both or neither.",
        ),
        (
            lambda: Betas(schedule="values", values=(0.1, 0.2), steps=3),
            "Betas.steps is 3, but values has 2 entries.",
        ),
        (lambda: Betas(schedule="values", values=(0.1, 0.0)), "Betas.values[1] must be greater than 0, got 0.0."),
        (lambda: Betas(schedule="values", values=(0.1,)), "Betas.values must be of length at least 2, got (0.1,)."),
        (lambda: Betas(schedule="values", values=(0.1, 1.0)), "Betas.values[1] must be less than 1, got 1.0."),
    ],
)
def test_impossible_tables_are_refused_in_one_line(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize("field", [{"minimum": 0.1}, {"maximum": 2.0}, {"levels": 2}], ids=str)
def test_given_sigmas_exclude_every_other_field(field):
    with pytest.raises(ConfigError, match="Sigmas takes either values, or minimum, maximum and levels; got both"):
        Sigmas(values=(0.1, 2.0), **field)


def test_two_equal_levels_are_refused():
    with pytest.raises(ConfigError, match=r"Sigmas\.values must ascend strictly"):
        Sigmas(values=(1.0, 2.0, 2.0))


def test_the_interpolant_passes_through_its_points_and_turns_only_where_they_do():
    t, y = tensor(0.0, 0.1, 0.5, 0.6, 1.0), tensor(0.0, 3.0, 3.5, 9.0, 9.1)
    f = MonotoneCubic(t, y)
    assert_close(f(t), y, rtol=1e-15, atol=0)
    fine = torch.linspace(0, 1, 2001, dtype=D)
    assert bool((f(fine).diff() > 0).all())


def test_the_interpolant_is_exact_to_the_last_bit_on_its_knots():
    t = tensor(0.0, 0.1, 0.5, 1.0)
    for seed in range(50):  # y_i + (y_j - y_i) is not always y_j
        y = torch.rand(4, dtype=D, generator=torch.Generator().manual_seed(seed)).log()
        assert torch.equal(MonotoneCubic(t, y)(t), y)


def test_single_precision_times_are_looked_up_in_double_precision():
    f, t = Betas()._interpolant, torch.linspace(0.001, 1, 999)
    assert torch.equal(f(t), f(t.double()).float())


def test_the_interpolant_reproduces_a_line():
    t = tensor(0.0, 0.3, 0.4, 1.0)
    f = MonotoneCubic(t, 2 - 3 * t)
    fine = torch.linspace(-0.5, 1.5, 41, dtype=D)
    assert_close(f(fine), 2 - 3 * fine)


def test_the_interpolant_approaches_a_smooth_function():
    def error(n):
        t = torch.linspace(0, 1, n, dtype=D)
        fine = torch.linspace(0, 1, 999, dtype=D)
        return (MonotoneCubic(t, t.exp())(fine) - fine.exp()).abs().max().item()

    # second order: the harmonic mean of two secants is within O(h) of the slope
    assert error(100) < error(50) / 3.5
    assert error(100) < 1e-3


@pytest.mark.parametrize("at", [0.0, 0.1, 0.3, 0.55, 1.0])
def test_the_interpolant_s_gradient_is_its_slope_on_the_knots_too(at):
    f = MonotoneCubic(tensor(0.0, 0.1, 0.5, 0.6, 1.0), tensor(0.0, 3.0, 3.5, 9.0, 9.1))
    t = tensor(at).requires_grad_()
    f(t).sum().backward()
    h = 1e-6
    low, high = max(at - h, 0), min(at + h, 1)
    slope = (f(tensor(high)) - f(tensor(low))) / (high - low)
    assert_close(t.grad, slope, rtol=1e-3, atol=0)


class Rounds(TorchFunctionMode):
    """Counts the rounds of Newton's method, each of which chooses four times between two numbers."""

    def __init__(self):
        super().__init__()
        self.choices = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.choices += func is torch.where
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "p",
    [Betas(), Betas(schedule="cosine"), Betas(steps=2), Sigmas(), Sigmas(levels=2), Sigmas(values=(0.1, 0.5, 3.0))],
    ids=repr,
)
def test_the_inverse_is_found_to_the_last_bits_in_few_rounds(p):
    t = torch.linspace(p.knots[0].item(), 1, 4001, dtype=D)
    interpolant = p._interpolant
    y = interpolant(t)
    with Rounds() as rounds:
        found = interpolant.inverse(y)
    assert_close(found, t, rtol=0, atol=1e-13)
    assert rounds.choices <= 4 * 7


def test_the_inverse_beyond_the_ends_is_the_nearest_end():
    t, y = tensor(0.2, 0.3, 0.6, 1.0), tensor(1.0, 3.0, 3.5, 9.0)
    wanted = tensor(-torch.inf, 0.0, 1.0, 9.0, 10.0, torch.inf)
    assert_close(MonotoneCubic(t, y).inverse(wanted), tensor(0.2, 0.2, 0.2, 1.0, 1.0, 1.0), rtol=0, atol=1e-15)
    assert_close(MonotoneCubic(t, -y).inverse(-wanted), tensor(0.2, 0.2, 0.2, 1.0, 1.0, 1.0), rtol=0, atol=1e-15)


def test_the_slopes_are_weighted_harmonic_means_of_the_secants():
    # Fritsch & Butland (1984): w1 = 2 h2 + h1, w2 = h2 + 2 h1
    t, width = tensor(0.0, 1.0, 4.0, 6.0), tensor(1.0, 3.0, 2.0)
    for a, b, c, first, second in (
        (2.0, 4.0, -1.0, 12 / (7 / 2 + 5 / 4), 0.0),
        (0.5, 0.25, 0.5, 12 / (7 / 0.5 + 5 / 0.25), 15 / (7 / 0.25 + 8 / 0.5)),
        (0.5, 0.0, 0.0, 0.0, 0.0),
        (-0.5, 0.5, -0.5, 0.0, 0.0),
    ):
        y = torch.cat([tensor(0.0), (tensor(a, b, c) * width).cumsum(0)])
        assert_close(MonotoneCubic(t, y).slope, tensor(a, first, second, c), rtol=1e-15, atol=0)


def test_the_interpolant_is_the_cubic_of_its_values_and_slopes():
    f = MonotoneCubic(tensor(0.0, 1.0, 4.0, 6.0), tensor(0.0, 2.0, 14.0, 12.0))
    h, left, right = 3.0, f.slope[1].item(), f.slope[2].item()
    for u in (0.0, 0.2, 0.5, 0.9):
        hermite = (
            2 * (1 - u) ** 2 * (1 + 2 * u)
            + 14 * u**2 * (3 - 2 * u)
            + h * left * u * (1 - u) ** 2
            - h * right * u**2 * (1 - u)
        )
        assert f(tensor(1 + h * u)).item() == pytest.approx(hermite, rel=1e-14)
    # beyond the ends it goes on with their slopes
    assert_close(f(tensor(-2.0, 8.0)), tensor(-4.0, 10.0), rtol=1e-15, atol=0)
