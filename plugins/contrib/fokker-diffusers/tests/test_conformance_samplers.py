"""What the wrapped schedulers claim, measured by the conformance kit."""

from fokker.testing import conformance

from fokker_diffusers.on_ratios import LMS, EDMEuler, EDMMultistep, Euler, EulerAncestral, Heun
from fokker_diffusers.on_tables import DDIM, DDPM, PNDM
from fokker_diffusers.on_the_line import DEIS, DPMMultistep, DPMSinglestep, FlowEuler, FlowHeun, UniPC


@conformance(DDPM(), DDPM(variance_type="fixed_large"), DDIM(), DDIM(eta=1.0), DDIM(eta=0.5, clip_sample=True), PNDM())
def test_on_tables(check):
    check()


@conformance(
    DPMMultistep(),
    DPMMultistep(solver_order=3, solver_type="heun"),
    DPMMultistep(algorithm_type="sde-dpmsolver++"),
    DPMMultistep(thresholding=True, final_sigmas_type="sigma_min"),
    DPMSinglestep(),
    DPMSinglestep(solver_order=3, solver_type="heun"),
    UniPC(),
    UniPC(solver_order=3, predict_x0=False),
    DEIS(),
    DEIS(solver_order=3),
    FlowEuler(),
    FlowEuler(stochastic_sampling=True),
    FlowHeun(),
)
def test_on_the_line(check):
    check()


@conformance(
    Euler(),
    Euler(s_churn=2.0),
    EulerAncestral(),
    Heun(),
    LMS(),
    LMS(order=2),
    EDMEuler(),
    EDMMultistep(),
    EDMMultistep(algorithm_type="sde-dpmsolver++", solver_type="heun"),
)
def test_on_ratios(check):
    check()
