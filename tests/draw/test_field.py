import pytest
import torch
from torch.testing import assert_close

from fokker.draw import score_field, score_fields
from fokker.draw.field import arrows_of, level_name
from fokker.draw.points import Window
from fokker.draw.style import INK, SAMPLES
from fokker.exact import Gaussian
from fokker.model import ScoreModel
from fokker.noise import Seeded
from fokker.perturbation import VE, VP

MEAN = torch.tensor([1.0, -0.5], dtype=torch.float64)
PLACE = Window((-2.0, 2.0), (-1.0, 1.0))


def gaussian(p=None):
    return Gaussian(p or VP(), MEAN, torch.tensor(0.25, dtype=torch.float64))


class Labelled(ScoreModel):
    """A Gaussian whose mean a condition moves."""

    perturbation = VP()

    def __call__(self, x, t, cond=None):
        return gaussian()(x - cond["shift"], t)


def test_arrows_point_towards_the_mean():
    model, t, n = gaussian(), 0.02, 8
    at, arrow = arrows_of(model, t, PLACE, n, like=MEAN)
    assert at.shape == arrow.shape == (64, 2)
    assert_close(at[0], torch.tensor([-2 + 4 / 16, -1 + 2 / 16], dtype=torch.float64))
    assert_close(at[-1], torch.tensor([2 - 4 / 16, 1 - 2 / 16], dtype=torch.float64))
    towards = float(model.perturbation.alpha(torch.tensor(t, dtype=torch.float64))) * MEAN - at
    assert_close(arrow / arrow.norm(dim=1, keepdim=True), towards / towards.norm(dim=1, keepdim=True))


def test_length_is_the_logarithm_of_the_score():
    model, n = gaussian(), 8
    at, arrow = arrows_of(model, 0.02, PLACE, n, like=MEAN)
    gap = torch.tensor([4 / n, 2 / n], dtype=torch.float64)
    length = (arrow / gap).norm(dim=1)
    expected = model(at, 0.02).score.norm(dim=1).log1p()
    assert_close(length, expected / expected.max())
    assert length.max() == pytest.approx(1.0)


def test_conditions_reach_the_model():
    shift = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    _, plain = arrows_of(gaussian(), 0.02, PLACE, 4, like=MEAN)
    _, still = arrows_of(Labelled(), 0.02, PLACE, 4, like=MEAN, cond={"shift": 0 * shift})
    _, moved = arrows_of(Labelled(), 0.02, PLACE, 4, like=MEAN, cond={"shift": shift})
    assert_close(still, plain)
    assert (moved - plain).abs().max() > 0.01


def test_picture_shows_arrows_over_the_data(look, tmp_path):
    generator = torch.Generator().manual_seed(0)
    points = MEAN + 0.5 * torch.randn(5000, 2, generator=generator, dtype=torch.float64)
    picture = score_field(gaussian(), 0.02, tmp_path / "field.png", reference=points, arrows=20, width=500)
    assert (tmp_path / "field.png").read_bytes() == picture.png
    assert picture.size == (500, 500)
    rows, columns = look.coloured(picture, INK, tolerance=60)
    for above in (True, False):
        for left in (True, False):
            assert (((rows < 0.5) == above) & ((columns < 0.5) == left)).sum() > 100
    rows, columns = look.coloured(picture, SAMPLES, tolerance=110)
    assert abs(float((rows - 0.5).mean())) < 0.05


def test_panels_stand_in_the_order_of_the_times(look, tmp_path):
    generator = torch.Generator().manual_seed(0)
    points = MEAN + 0.5 * torch.randn(5000, 2, generator=generator, dtype=torch.float64)
    picture = score_fields(gaussian(), [0.5, 0.02], tmp_path / "f.png", reference=points, arrows=8, width=300)
    assert (tmp_path / "f.png").read_bytes() == picture.png
    assert picture.size == (600, 324)
    swapped = score_fields(gaussian(), [0.02, 0.5], reference=points, arrows=8, width=300)
    assert picture != swapped
    single = score_fields(gaussian(), [0.02], reference=points, arrows=8, width=300)
    assert single.size == (300, 324)
    assert score_fields(gaussian(), [0.02] * 4, reference=points, arrows=8, width=300).size == (600, 648)
    assert score_fields(gaussian(), [0.02] * 4, reference=points, arrows=8, width=300, columns=4).size == (1200, 324)


def test_the_data_below_is_as_noisy_as_the_level(look):
    points = MEAN.expand(20_000, 2)
    sharp, blurred = (
        score_fields(gaussian(), [0.3], reference=points, noise=noise, arrows=2, width=300)
        for noise in (None, Seeded(0))
    )
    shaded = [(look.pixels(p)[..., 2].astype(int) - look.pixels(p)[..., 0] > 20).sum() for p in (sharp, blurred)]
    assert shaded[1] > 20 * shaded[0]


def test_levels_are_called_by_their_sigma():
    assert level_name(VE(sigma_min=0.01, sigma_max=10.0), 1.0) == r"$\sigma$ = 10  (t = 1)"
    assert level_name(VP(), 0.0) == r"$\sigma$ = 0  (t = 0)"
    assert r"$\alpha$ = 0.281" in level_name(VP(), 0.5)
