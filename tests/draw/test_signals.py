import numpy as np
import torch

from fokker.draw.signals import _thinned, signal_plot
from fokker.draw.style import SERIES


def test_signal_is_high_where_its_values_are(look):
    x = torch.full((1, 1, 100), -1.0)
    x[..., 50:] = 1.0
    rows, columns = look.coloured(signal_plot(x), SERIES[0])
    assert rows[columns > 0.52].max() < 0.3
    assert rows[columns < 0.48].min() > 0.6
    assert columns.min() < 0.15 and columns.max() > 0.85


def test_channels_have_their_colours(look):
    x = torch.stack([torch.zeros(1, 50), torch.ones(1, 50)], dim=1)
    picture = signal_plot(x)
    below, above = look.coloured(picture, SERIES[0])[0], look.coloured(picture, SERIES[1])[0]
    assert len(below) > 100 and len(above) > 100
    assert above.max() < below.min()


def test_signals_stand_in_cells(look):
    x = torch.zeros(12, 1, 50)
    rows, columns = look.coloured(signal_plot(x), SERIES[0])
    assert len(np.unique(np.round(np.diff(np.unique(np.round(rows * 1000))) > 20))) > 0
    stripes = np.unique(np.round(rows * 8))  # four rows of cells
    assert len(stripes) == 4
    assert columns.min() < 0.1 and columns.max() > 0.9


def test_range_is_that_of_the_likeness(look):
    x = torch.ones(1, 1, 50)
    rows, _ = look.coloured(signal_plot(x, like=torch.tensor([1.0, 101.0])), SERIES[0])
    assert rows.min() > 0.7
    rows, _ = look.coloured(signal_plot(x, like=torch.tensor([-99.0, 1.0])), SERIES[0])
    assert rows.max() < 0.3


def test_no_more_than_36_signals_are_drawn():
    x = torch.randn(40, 1, 20)
    assert signal_plot(x) == signal_plot(x[:36])
    assert signal_plot(x, like=x) != signal_plot(x[:35], like=x)


def test_long_signals_keep_their_peaks():
    y = np.sin(np.linspace(0, 20, 16_003))
    y[7777] = 9.0
    y[3333] = -9.0
    thin = _thinned(y, 500)
    assert len(thin) <= 500
    assert thin.max() == 9 and thin.min() == -9
    assert np.abs(np.interp(np.linspace(0, 1, 16_003), np.linspace(0, 1, len(thin)), thin) - y).mean() < 0.1
    assert (_thinned(y[:400], 500) == y[:400]).all()


def test_picture_is_saved_where_it_is_asked_for(tmp_path):
    assert signal_plot(torch.rand(4, 1, 8), tmp_path / "a.png").png == (tmp_path / "a.png").read_bytes()
