import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError, SingularError
from fokker.label import CNoise
from fokker.parameterization import EDM, X0, Energy, Eps, Score, SigmaScaled, V, Velocity
from fokker.perturbation import VE, VP
from fokker.weighting import EDMWeight

D = torch.float64
ONE = torch.ones(1, 1, dtype=D)
ZERO = torch.zeros(1, 1, dtype=D)

# Karras et al. (2022), table 1 with sigma_data = 0.5: sigma, c_skip, c_out, c_in, c_noise, loss weight
EDM_NUMBERS = [
    (0.5, 0.5, 0.3535533906, 1.414213562, -0.1732867951, 8.0),
    (1.0, 0.2, 0.4472135955, 0.894427191, 0.0, 5.0),
    (80.0, 3.906097418e-5, 0.4999902347, 0.01249975587, 1.095506659, 4.00015625),
]


@pytest.mark.parametrize(("sigma", "skip", "out", "c_in", "c_noise", "weight"), EDM_NUMBERS)
def test_preconditioning_has_the_numbers_of_karras_et_al(sigma, skip, out, c_in, c_noise, weight):
    read = EDM(sigma_data=0.5)
    assert read.predict(ZERO, ONE, 1.0, sigma).x0.item() == pytest.approx(skip, rel=2e-10)
    assert read.predict(ONE, ZERO, 1.0, sigma).x0.item() == pytest.approx(out, rel=2e-10)
    assert read.inputs(ONE, 1.0, sigma).item() == pytest.approx(c_in, rel=5e-10)
    p = VE(sigma_min=0.5, sigma_max=80.0)
    t = p.time(torch.tensor(-2 * torch.tensor(sigma, dtype=D).log().item(), dtype=D))
    assert CNoise()(p, t).item() == pytest.approx(c_noise, abs=5.1e-10)
    assert EDMWeight(sigma_data=0.5)(p, t).item() == pytest.approx(weight, rel=1e-12)


def test_edm_s_network_sees_and_answers_unit_variance():
    # in every direction of (x0, eps) the input and the target are unit vectors, and orthogonal
    x0, eps = 0.5 * ONE, ONE  # data of standard deviation sigma_data, noise of 1
    for alpha, sigma in ((1.0, 1e-4), (0.3, 2.0), (1e-3, 1.0), (1.0, 80.0)):
        read = EDM(sigma_data=0.5)
        shown = read.inputs(alpha * x0, alpha, sigma).item(), read.inputs(sigma * eps, alpha, sigma).item()
        target = read.target(x0, ZERO, alpha, sigma).item(), read.target(ZERO, eps, alpha, sigma).item()
        assert shown[0] ** 2 + shown[1] ** 2 == pytest.approx(1, rel=1e-12)
        assert target[0] ** 2 + target[1] ** 2 == pytest.approx(1, rel=1e-12)
        assert shown[0] * target[0] + shown[1] * target[1] == pytest.approx(0, abs=1e-12)


def test_edm_with_unit_data_is_minus_v():
    x, output = torch.randn(2, 3, 4, dtype=D, generator=torch.Generator().manual_seed(0)).unbind(0)
    assert_close(EDM(sigma_data=1.0).predict(output, x, 0.6, 0.8).v, -output)
    # whatever the state is: it is not read at all
    assert_close(EDM(sigma_data=1.0).predict(output, torch.full_like(x, torch.nan), 0.6, 0.8).v, -output)


@pytest.mark.parametrize(
    ("read", "primary"),
    [
        (Score(), "score"),
        (Eps(), "eps"),
        (X0(), "x0"),
        (V(), "v"),
        (Velocity(), "velocity"),
        (SigmaScaled(), "eps"),
        (EDM(), "v"),
    ],
    ids=lambda v: str(v),
)
def test_each_reads_its_own_quantity(read, primary):
    prediction = read.predict(2 * ONE, ONE, 0.6, 0.8, lambda: (-1.0, 1.0))
    assert prediction.primary == primary
    if not isinstance(read, (SigmaScaled, EDM)):
        assert prediction.value.item() == 2.0
        assert read.inputs(ONE, 0.6, 0.8) is ONE


def test_sigma_scaled_is_the_score_of_ncsnv2():
    assert SigmaScaled().predict(3 * ONE, ONE, 1.0, 0.5).score.item() == 6.0
    assert SigmaScaled().target(ONE, 3 * ONE, 1.0, 0.5).item() == -3.0


@pytest.mark.parametrize("read", [Score(), Energy()], ids=str)
@pytest.mark.parametrize("sigma", [0.0, torch.tensor([[0.0], [1.0]])])
def test_a_score_network_has_no_target_without_noise(read, sigma):
    with pytest.raises(SingularError, match="does not exist at sigma = 0; raise t_min"):
        read.target(ONE, ONE, 1.0, sigma)


def test_the_slope_of_an_energy_is_minus_the_score():
    assert Energy().predict(3 * ONE, ONE, 1.0, 0.5).score.item() == -3.0
    assert Energy().target(ONE, 3 * ONE, 1.0, 0.5).item() == 6.0
    assert Energy().differentiates and not Score().differentiates


def test_a_velocity_needs_rates():
    with pytest.raises(TypeError, match="needs the rates"):
        Velocity().target(ONE, ONE, 0.6, 0.8)


def test_sigma_data_is_positive_and_changes_the_reading():
    with pytest.raises(ConfigError, match=r"EDM.sigma_data must be greater than 0, got 0\.0"):
        EDM(sigma_data=0.0)
    assert EDM().sigma_data == 0.5  # Karras et al. (2022), table 1
    x = ONE
    assert EDM(0.5).inputs(x, 0.6, 0.8) != EDM(1.0).inputs(x, 0.6, 0.8)
    assert EDM(0.5).predict(x, x, 0.6, 0.8).x0 != EDM(1.0).predict(x, x, 0.6, 0.8).x0


@pytest.mark.parametrize("t", [1e-5, 1e-3, 0.5, 1.0])
def test_edm_is_accurate_in_single_precision(t):
    alpha, sigma = VP().scales(t, ONE)
    x0, eps = torch.randn(2, 1, 1000, dtype=D, generator=torch.Generator().manual_seed(0)).unbind(0)
    x = (alpha * x0 + sigma * eps).float()
    output = EDM().target(x0.float(), eps.float(), alpha, sigma)
    prediction = EDM().predict(output, x, alpha, sigma)
    assert_close(prediction.x0.double(), x0, rtol=0, atol=3e-6)
    assert_close(prediction.eps.double(), eps, rtol=0, atol=3e-6)
