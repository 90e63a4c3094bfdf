import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Mixture
from fokker.perturbation import VE, VP
from fokker.vanishing import Vanishing
from fokker_data.roll import roll_curve, roll_distance, roll_law, roll_rms
from fokker_data.toy import SwissRoll

START, END = 1.5 * math.pi, 4.5 * math.pi
angles = st.floats(START, END)


def frame(u):
    """Point, unit tangent and unit normal of the curve at an angle."""
    c = torch.tensor([u * math.cos(u), u * math.sin(u)], dtype=torch.float64) / 10
    tangent = torch.tensor([math.cos(u) - u * math.sin(u), math.sin(u) + u * math.cos(u)], dtype=torch.float64)
    tangent /= tangent.norm()
    return c, tangent, torch.stack([-tangent[1], tangent[0]])


@given(u=angles)
def test_points_of_the_curve_have_distance_0(u):
    assert roll_distance(roll_curve(torch.tensor([u], dtype=torch.float64))).item() < 1e-9


@given(u=angles, d=st.floats(-0.3, 0.3))
def test_points_along_a_normal_have_the_distance_they_were_moved_by(u, d):
    # 0.3 is less than half the distance of neighbouring arms and less than any radius of curvature.
    c, _, normal = frame(u)
    assert_close(roll_distance((c + d * normal)[None])[0].item(), abs(d), rtol=1e-9, atol=1e-9)


@given(d=st.floats(0, 0.25))
def test_points_beyond_an_end_are_measured_to_the_end(d):
    for u, sign in ((START, -1), (END, 1)):
        c, tangent, _ = frame(u)
        assert roll_distance((c + sign * d * tangent)[None]).item() == pytest.approx(d, abs=1e-9)


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_no_point_of_the_curve_is_nearer_and_one_is_as_near(x, y):
    point = torch.tensor([[x, y]], dtype=torch.float64)
    u = torch.linspace(START, END, 100_001, dtype=torch.float64)
    brute = (point - roll_curve(u)).square().sum(1).sqrt().min().item()
    found = roll_distance(point).item()
    assert found <= brute + 1e-12
    assert found >= brute - 1.5e-4  # the brute-force knots are at most that far apart along the curve


def test_distances_do_not_depend_on_the_batch():
    x = SwissRoll(n=5000).open().fetch(range(5000)).x
    together = roll_distance(x)
    assert together.dtype == torch.float64 and together.shape == (5000,)
    assert_close(together[[0, 4095, 4096, 4999]], torch.cat([roll_distance(x[[i]]) for i in (0, 4095, 4096, 4999)]))
    assert roll_distance(x[:0]).shape == (0,)


@pytest.mark.parametrize("noise", [0.25, 0.5, 1.0])
def test_rms_distance_of_the_data_is_its_noise(noise):
    # Across the curve the noise is N(0, (noise/10)^2); curvature, the ends and other arms change a few per cent.
    x = SwissRoll(n=4000, noise=noise).open().fetch(range(4000)).x
    assert roll_rms(x) == pytest.approx(noise / 10, rel=0.05)


def riemann(p, noise, n=40_000):
    """The same law as the mean over evenly spread angles, whose ends alone are not exact."""
    u = START + (torch.arange(n, dtype=torch.float64) + 0.5) / n * (END - START)
    return Mixture(p, torch.ones(n), roll_curve(u), torch.full((n,), (noise / 10) ** 2))


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("p", [Vanishing(), VE(), VP()], ids=lambda p: type(p).__name__)
def test_the_law_of_the_roll_is_the_integral_over_its_angle(p, noise):
    x = SwissRoll(n=6, noise=noise).open("test").fetch(range(6)).x.double()
    for t in (0.0, 0.4) if not isinstance(p, VP) else (0.05, 0.4):
        exact, plain = roll_law(p, noise=noise), riemann(p, noise)
        assert_close(exact.log_prob(x, t), plain.log_prob(x, t), rtol=0, atol=1e-6)
        score = plain.score(x, t)
        assert_close(exact.score(x, t), score, rtol=0, atol=1e-6 * float(score.abs().max()))


def test_explicit_score_matching_of_the_roll_is_least_about_minus_fifty():
    """-E|score|^2 / 2, which one direction of width 0.1 gives -1 / (2 0.01)."""
    x = SwissRoll(n=4000).open("test").fetch(range(4000)).x.double()
    score = torch.cat([roll_law(Vanishing()).score(part, 1.0) for part in x.split(500)])
    loss = -score.square().sum(1) / 2
    assert loss.mean().item() == pytest.approx(-50.05, abs=4 * loss.std().item() / len(x) ** 0.5)


def test_a_thin_roll_has_no_law_here():
    with pytest.raises(ConfigError, match=r"a noise of at least 0\.1, got 0\.05"):
        roll_law(VP(), noise=0.05)
