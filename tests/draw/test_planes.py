import torch

from fokker.draw import plane_histogram
from fokker.draw.style import DENSITY


def cloud(centre, n=4000):
    generator = torch.Generator().manual_seed(0)
    return torch.tensor(centre) + 0.2 * torch.randn(n, 2, generator=generator)


def test_samples_stand_right_of_the_data(look, tmp_path):
    data, x = cloud([-1.0, 0.0]), cloud([1.0, 0.0])
    picture = plane_histogram(x, tmp_path / "p.png", reference=data, like=torch.cat([x, data]), width=400)
    assert (tmp_path / "p.png").read_bytes() == picture.png
    assert picture.size == (890, 400)
    _, columns = look.coloured(picture, DENSITY(0.6)[:3], tolerance=60)
    bar = columns > 0.9
    of_data, of_samples = columns[columns < 0.45], columns[(columns > 0.45) & ~bar]
    assert abs(of_data.mean() - 0.13) < 0.04
    assert abs(of_samples.mean() - 0.78) < 0.06


def test_the_colours_are_on_one_scale(look):
    """The sharper of two clouds is the darker one, whichever side it is on."""
    sharp, wide = 0.3 * cloud([0.0, 0.0]), cloud([0.0, 0.0])

    def dark(picture):
        whole = look.pixels(picture).astype(int).sum(axis=-1)
        half = int(0.45 * whole.shape[1])
        left, right = whole[60:-60, 90:half], whole[60:-60, half + 60 : 2 * half]
        return left.min(), right.min()

    left, right = dark(plane_histogram(wide, reference=sharp, like=wide, width=400))
    assert left < right - 60
    left, right = dark(plane_histogram(sharp, reference=wide, like=wide, width=400))
    assert right < left - 60


def test_density_does_not_depend_on_the_number_of_points(look):
    few, many = cloud([0.0, 0.0], 20_000), cloud([0.0, 0.0], 40_000)
    a, b = (look.pixels(plane_histogram(x, like=few, bins=8, width=300)).astype(int) for x in (few, many))
    assert abs(a[40:-30, 40:240] - b[40:-30, 40:240]).mean() < 6


def test_bins_are_cells():
    x = cloud([0.0, 0.0])
    assert plane_histogram(x, bins=4, width=300) != plane_histogram(x, bins=40, width=300)
    assert plane_histogram(x, bins=4, width=300) == plane_histogram(x, bins=4, width=300)
