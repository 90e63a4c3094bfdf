import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.noise import Recorded, Seeded
from fokker.perturbation import VE, VP
from fokker.sampler import Claims, by_step
from fokker_sde.langevin import Langevin

D = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def update(corrector, model, x, t, noise):
    c = by_step(corrector.coefficients(model.perturbation, torch.tensor([t], dtype=D)))[0]
    return corrector.correct(model, x, t, c, noise)


@pytest.mark.parametrize("event", [(5,), (2, 3, 4)], ids=str)
def test_an_update_has_the_norms_of_algorithm_4_for_each_sample(event):
    # Song et al. (2021), algorithm 4: e = 2 (r |z| / |g|)^2, x + e g + sqrt(2 e) z, with |z| its expectation sqrt(d)
    model, x, z = (
        Mixture(VE(), torch.ones(2), normal(2, *event), torch.ones(2)),
        30 * normal(3, *event),
        normal(3, *event, seed=1),
    )
    t = 0.3
    found = update(Langevin(snr=0.2), model, x, t, Recorded([z]))
    _, sigma = VE().scales(t, x)
    for i in range(3):
        g = model(x[i : i + 1], t).score[0]
        d = g.numel()
        a = 2 * (0.2 * d**0.5 / max(float(g.norm()), d**0.5 / sigma)) ** 2
        assert_close(found[i], x[i] + a * g + (2 * a) ** 0.5 * z[i], rtol=1e-12, atol=1e-12)


def test_the_step_stays_bounded_where_the_score_vanishes():
    model = Gaussian(VE(), torch.zeros(3), torch.tensor(1.0))
    z, sigma = normal(1, 3), VE().scales(0.6, torch.zeros(1))[1]
    found = update(Langevin(), model, torch.zeros(1, 3, dtype=D), 0.6, Recorded([z]))
    assert_close(found, 2 * 0.16 * sigma * z, rtol=1e-12, atol=0)


def test_nothing_changes_when_the_data_is_scaled():
    x, z = normal(4, 3), normal(4, 3, seed=1)
    ends = []
    for scale in (1.0, 100.0):
        p = VE(sigma_min=0.01 * scale, sigma_max=50 * scale)
        model = Gaussian(p, torch.zeros(3), torch.tensor(0.25 * scale**2))
        ends.append(update(Langevin(), model, scale * x, 0.3, Recorded([z])) / scale)
    assert_close(*ends, rtol=1e-10, atol=1e-10)


def test_snr_changes_the_step_and_is_checked():
    model, x = Gaussian(VP(), torch.zeros(3), torch.tensor(0.25)), normal(4, 3)
    small, large = (update(Langevin(snr=r), model, x, 0.3, Recorded([torch.zeros(4, 3)])) - x for r in (0.1, 0.2))
    assert_close(large, 4 * small)
    with pytest.raises(ConfigError, match=r"Langevin\.snr must be greater than 0"):
        Langevin(snr=0.0)


@pytest.mark.parametrize(("d", "ratio"), [(1, 2.1), (2, 1.6), (16, 1.09), (64, 1.04)])
def test_the_variance_settles_where_the_documentation_says(d, ratio):
    # where noise is all there is, |score| is sqrt(d) / sigma on the whole, and the step depends on the state
    chains = 4000 if d < 16 else 32_000 // d
    p, noise = VE(sigma_min=1e-4, sigma_max=1.0), Seeded(0)
    model = Gaussian(p, torch.zeros(d), torch.tensor(0.0))
    x, total = normal(chains, d), 0.0
    for k in range(400):
        x = update(Langevin(snr=0.16), model, x, 1.0, noise)
        total += float(x.square().mean()) * (k >= 150)
    # 250 updates are some 12 independent ones
    error = 3 * ratio * (2 / (12 * chains * d)) ** 0.5
    assert total / 250 == pytest.approx(ratio, abs=0.05 * ratio / d**0.5 + error + 0.005)


def test_no_claim_is_missing():
    # the kit measures what is claimed; a claim that is gone would only be skipped
    assert Langevin().claims == Claims(stochastic=True)
