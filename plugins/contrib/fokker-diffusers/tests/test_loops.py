"""A wrapped scheduler against the loop that diffusers' users write, on the same network and the same random numbers."""

import diffusers
import pytest
import torch
from fokker import DataSpec, sample
from fokker.label import CNoise, ThousandTime, Time
from fokker.linear import EDMNoise, Flow
from fokker.model import NetworkModel
from fokker.noise import Recorded
from fokker.parameterization import EDM, X0, Eps, V, Velocity
from fokker.table import Betas
from small import UNET, text

from fokker_diffusers.grids import FlowSigmas, Timesteps
from fokker_diffusers.label import Timestep
from fokker_diffusers.network import Model
from fokker_diffusers.on_ratios import LMS, EDMEuler, EDMMultistep, Euler, EulerAncestral, Heun
from fokker_diffusers.on_tables import DDIM, DDPM, PNDM
from fokker_diffusers.on_the_line import DEIS, DPMMultistep, DPMSinglestep, FlowEuler, FlowHeun, UniPC

SHAPE = (2, 2, 8, 12)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    module = Model(config=text(UNET)).build(DataSpec(SHAPE[1:])).eval().requires_grad_(False)
    for p in module.parameters():
        p.add_(0.02 * torch.randn_like(p))
    module.model = Near(module.model)
    return module


class Near(torch.nn.Module):
    """A network that answers about what a trained one does where there is much noise, the input."""

    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, x, timestep, return_dict=False):
        return (x + 0.1 * self.unet(x, timestep, return_dict=False)[0],)


def draws(n):
    """The numbers that diffusers draws from a generator of this seed, the start first."""
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(SHAPE, generator=generator) for _ in range(n + 1)]


@torch.no_grad()
def plain(scheduler, unet, n, *, draws_noise=False, scale=1.0, **extra):
    """The loop of diffusers' documentation."""
    scheduler.set_timesteps(n)
    x = draws(0)[0] * scale
    generator = torch.Generator().manual_seed(5)
    torch.randn(SHAPE, generator=generator)
    if draws_noise:
        extra["generator"] = generator
    for t in scheduler.timesteps:
        shown = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        out = unet(shown, t, return_dict=False)[0]
        x = scheduler.step(out, t, x, **extra, return_dict=False)[0]
    return x


def ours(backbone, sampler, grid, n, perturbation, parameterization, label, *, final="tweedie", stop=0):
    model = NetworkModel(backbone, perturbation, parameterization, label)
    times = grid.times(perturbation, n - 1 if final == "tweedie" else n - stop)
    return sample(model, sampler, times, Recorded(draws(n + 1)), SHAPE, final=final)


def agree(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * max(1.0, float(expected.abs().max())))


TABLE = [
    (DDPM(), {}, {}),
    (DDPM(variance_type="fixed_large", clip_sample=True), {}, {}),
    (DDPM(thresholding=True, sample_max_value=1.5), {"timestep_spacing": "trailing"}, {}),
    (DDIM(), {}, {}),
    (DDIM(eta=1.0), {"timestep_spacing": "trailing"}, {}),
    (DDIM(eta=0.3, clip_sample=True, use_clipped_model_output=True), {}, {}),
    (DPMMultistep(), {}, {}),
    (DPMMultistep(solver_order=3, solver_type="heun"), {"timestep_spacing": "leading", "steps_offset": 1}, {}),
    (DPMMultistep(algorithm_type="sde-dpmsolver++"), {"timestep_spacing": "trailing"}, {}),
    (DPMMultistep(thresholding=True), {"use_karras_sigmas": True}, {"sigmas": "karras"}),
    (DPMSinglestep(), {"lower_order_final": True}, {}),
    (DPMSinglestep(solver_order=3), {"lower_order_final": True}, {}),
    (UniPC(), {}, {}),
    (UniPC(solver_order=3, disable_corrector=(0, 2)), {"timestep_spacing": "trailing"}, {}),
    (UniPC(), {"use_exponential_sigmas": True}, {"sigmas": "exponential"}),
    (Euler(), {}, {}),
    (Euler(s_churn=1.0, s_tmin=0.1, s_noise=1.01), {"timestep_spacing": "leading"}, {}),
    (Euler(), {"use_karras_sigmas": True}, {"sigmas": "karras"}),
    (EulerAncestral(), {"timestep_spacing": "trailing"}, {}),
    (Heun(), {"beta_start": 1e-4, "beta_end": 0.02}, {}),
    (Heun(clip_sample=True), {"beta_start": 1e-4, "beta_end": 0.02, "use_karras_sigmas": True}, {"sigmas": "karras"}),
    (LMS(), {}, {}),
    (LMS(order=2), {"use_beta_sigmas": True}, {"sigmas": "beta"}),
]


def label_of(sampler, options):
    """What diffusers tells the network of a sigma between two levels."""
    if any(options.get(f"use_{kind}_sigmas") for kind in ("karras", "exponential", "beta")):
        return Timestep({DPMMultistep: "round", UniPC: "floor"}.get(type(sampler), "interpolate"))
    return Timestep("linear")


@pytest.mark.parametrize("n", [8, 20])
@pytest.mark.parametrize(("sampler", "options", "grid"), TABLE, ids=lambda v: type(v).__name__)
def test_on_a_table_of_betas(backbone, sampler, options, grid, n):
    churn = {name: getattr(sampler, name) for name in sampler.of_steps}
    given = {k: v for k, v in vars(sampler).items() if k not in sampler.of_steps and not k.startswith("_")}
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
    scheduler = getattr(diffusers, sampler.scheduler)(**{**given, **options})
    if isinstance(sampler, Euler):
        churn["s_tmax"] = float("inf")
    scheduler.set_timesteps(n)
    # a state of unit variance, z in units of alpha, where schedulers in sigma begin at sigma z with some spacings
    scale = float((scheduler.sigmas[0] ** 2 + 1) ** 0.5) if sampler.coordinates == "ratio" else 1.0
    expected = plain(scheduler, backbone.model, n, draws_noise=sampler.claims.stochastic, scale=scale, **churn)
    spacing = {k: v for k, v in options.items() if k in ("timestep_spacing", "steps_offset")}
    rule = Timesteps(sampler.timesteps, **spacing, **grid)
    if not (spacing or grid):
        assert rule == sampler.own_grid
    found = ours(backbone, sampler, rule, n, Betas(), Eps(), label_of(sampler, options))
    agree(found, expected)


TO_THE_LAST_LEVEL = [
    (DPMMultistep(euler_at_final=True, final_sigmas_type="sigma_min"), {}),
    (UniPC(solver_type="bh1", final_sigmas_type="sigma_min"), {}),
    (UniPC(solver_order=3, predict_x0=False, final_sigmas_type="sigma_min"), {}),
    (DEIS(), {}),
    (DEIS(solver_order=3), {"timestep_spacing": "trailing"}),
]


@pytest.mark.parametrize("n", [8, 20])
@pytest.mark.parametrize(("sampler", "options"), TO_THE_LAST_LEVEL, ids=lambda v: type(v).__name__)
def test_that_end_with_noise(backbone, sampler, options, n):
    """They end on the first level of the table, where nothing follows: --final none."""
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(sampler).items()}
    scheduler = getattr(diffusers, sampler.scheduler)(**{**given, **options})
    rule = Timesteps(sampler.timesteps, final_sigmas_type="sigma_min", **options)
    times = rule.times(Betas(), n)
    model = NetworkModel(backbone, Betas(), Eps(), Timestep())
    found = sample(model, sampler, times, Recorded(draws(0)), SHAPE, final="none")
    agree(found, plain(scheduler, backbone.model, n))


def test_pndm(backbone):
    """Its last step, from the first level to itself, changes nothing: --final none."""
    expected = plain(diffusers.PNDMScheduler(skip_prk_steps=True), backbone.model, 8)
    model = NetworkModel(backbone, Betas(), Eps(), Timestep())
    times = PNDM().own_grid.times(Betas(), 7)
    agree(sample(model, PNDM(), times, Recorded(draws(0)), SHAPE, final="none"), expected)


@pytest.mark.parametrize(("kind", "read"), [("sample", X0()), ("v_prediction", V())])
@pytest.mark.parametrize("sampler", [DDIM(), DPMMultistep(), UniPC()])
def test_other_predictions(backbone, sampler, kind, read):
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(sampler).items() if k not in sampler.of_steps}
    scheduler = getattr(diffusers, sampler.scheduler)(**given, prediction_type=kind)
    found = ours(backbone, sampler, sampler.own_grid, 8, Betas(), read, Timestep())
    agree(found, plain(scheduler, backbone.model, 8))


def test_a_table_that_ends_without_data(backbone):
    """v-prediction from alpha = 0 (Lin et al., 2024)."""
    options = {"timestep_spacing": "trailing", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    expected = plain(diffusers.DDIMScheduler(clip_sample=False, **options), backbone.model, 8)
    grid, p = Timesteps(timestep_spacing="trailing"), Betas(zero_terminal_snr=True)
    agree(ours(backbone, DDIM(), grid, 8, p, V(), Timestep()), expected)


@pytest.mark.parametrize("sampler", [EDMEuler(), EDMMultistep(), EDMMultistep(solver_order=3, solver_type="heun")])
def test_on_edm_s_levels(backbone, sampler):
    given = {k: v for k, v in vars(sampler).items() if k not in sampler.of_steps}
    scheduler = getattr(diffusers, sampler.scheduler)(**given)
    p = EDMNoise()
    expected = plain(scheduler, backbone.model, 8, scale=p.prior_std)
    agree(ours(backbone, sampler, sampler.own_grid, 8, p, EDM(sigma_data=0.5), CNoise()), expected)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("sampler", [FlowEuler(), FlowEuler(stochastic_sampling=True), FlowHeun()])
def test_on_the_flow(backbone, sampler, shift):
    scheduler = getattr(diffusers, sampler.scheduler)(**vars(sampler), shift=shift)
    expected = plain(scheduler, backbone.model, 8, draws_noise=sampler.claims.stochastic)
    agree(ours(backbone, sampler, FlowSigmas(shift), 8, Flow(log_snr_min=-80.0), Velocity(), ThousandTime()), expected)


@pytest.mark.parametrize("sampler", [DPMMultistep(), UniPC()])
def test_solvers_of_the_log_snr_on_the_flow(backbone, sampler):
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(sampler).items()}
    options = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 2.0}
    scheduler = getattr(diffusers, sampler.scheduler)(**given, **options)
    p = Flow(log_snr_min=-80.0)
    scheduler.set_timesteps(8)
    times = scheduler.sigmas[:8].double()
    label = _Told(times, scheduler.timesteps)
    expected = plain(scheduler, backbone.model, 8, scale=p.prior_at(float(times[0])))
    model = NetworkModel(backbone, p, Velocity(), label)
    agree(sample(model, sampler, times, Recorded(draws(0)), SHAPE), expected)


class _Told(Time):
    """What a scheduler tells at each of these times, cut down to a whole number."""

    def __init__(self, times, timesteps):
        self._told = dict(zip(times.tolist(), timesteps.tolist(), strict=True))

    def __call__(self, perturbation, t):
        return torch.tensor(float(self._told[float(t)]))
