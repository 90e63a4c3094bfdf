import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.label import Alpha, CNoise, Index, LogSigma, LogSNR, Sigma, ThousandTime, Time
from fokker.perturbation import VE, VP
from fokker.table import Betas, Sigmas

D = torch.float64
T = torch.tensor([0.1, 0.5, 1.0], dtype=D)


@pytest.mark.parametrize("p", [VP(), VE(), Betas(steps=10), Sigmas(levels=11)], ids=lambda p: type(p).__name__)
def test_labels_say_what_their_names_say(p):
    noise = p.sigma(T) / p.alpha(T)
    for label, expected in (
        (Time(), T),
        (ThousandTime(), 1000 * T),
        (Sigma(), noise),
        (LogSigma(), noise.log()),
        (LogSNR(), -2 * noise.log()),
        (CNoise(), noise.log() / 4),
    ):
        assert_close(label(p, T), expected, rtol=1e-10, atol=1e-12)
        assert label(p, T[0]).shape == ()


@pytest.mark.parametrize("p", [VP(), Betas(steps=10)], ids=lambda p: type(p).__name__)
def test_alpha_is_the_scale_of_the_data(p):
    assert torch.equal(Alpha()(p, T), p.alpha(T)) and Alpha()(p, T[0]).shape == ()


@pytest.mark.parametrize("p", [VE(), Sigmas(levels=11)], ids=lambda p: type(p).__name__)
def test_alpha_that_never_changes_tells_a_network_nothing_and_is_refused(p):
    with pytest.raises(ConfigError, match=r"The label 'alpha' says nothing on .*; use another one, such as 'log-snr'"):
        Alpha()(p, T)


def test_index_is_a_whole_number_from_1():
    assert Index()(Betas(steps=10), T).tolist() == [1, 5, 10]
    assert Index()(Sigmas(levels=11), T).tolist() == [2, 6, 11]
    assert Index()(Betas(), T).dtype == torch.int64


def test_index_exists_on_levels_only():
    with pytest.raises(ConfigError, match="VP is continuous and has no levels"):
        Index()(VP(), T)
    with pytest.raises(ConfigError, match=r"use the grid 'knots', .* 'fokker sample --between round'"):
        Index()(Betas(steps=4), T)


def test_between_levels_a_rule_says_what_the_network_is_told():
    p = Betas(steps=10)
    t = torch.tensor([0.1, 0.14, 0.16, 1.0], dtype=D)
    assert Index(between="round")(p, t).tolist() == [1, 1, 2, 10]
    assert Index(between="round")(p, t).dtype == torch.int64
    levels = p.log_snr(p.knots)
    share = (p.log_snr(t[1:3]) - levels[0]) / (levels[1] - levels[0])
    told = Index(between="interpolate")(p, t)
    assert_close(told[1:3], 1 + share)
    assert told[0] == 1 and told[3] == 10
    assert Index(between="interpolate")(p, torch.tensor(0.05, dtype=D)) == 1  # below level 1, level 1
    assert Index(between="interpolate")(p, p.knots).tolist() == list(range(1, 11))
    for rule in ("round", "interpolate"):
        with pytest.raises(ConfigError, match="VP is continuous and has no levels"):
            Index(between=rule)(VP(), T)
