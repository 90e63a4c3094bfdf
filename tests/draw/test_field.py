import pytest
import torch
from torch.testing import assert_close

from fokker.draw import score_field
from fokker.draw.field import arrows_of
from fokker.draw.points import Window
from fokker.draw.style import INK, SAMPLES
from fokker.exact import Gaussian
from fokker.model import ScoreModel
from fokker.perturbation import VP

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
