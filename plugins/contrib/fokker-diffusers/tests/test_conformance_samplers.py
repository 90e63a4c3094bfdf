"""What the wrapped schedulers claim, measured by the conformance kit."""

from fokker.testing import conformance

from fokker_diffusers.on_ratios import LMS, EDMEuler, EDMMultistep, Euler, EulerAncestral, Heun
from fokker_diffusers.on_tables import DDIM, DDPM, PNDM
from fokker_diffusers.on_the_line import DEIS, DPMMultistep, DPMSinglestep, FlowEuler, FlowHeun, UniPC


@conformance(DDPM(), DDIM(), PNDM())
def test_on_tables(check):
    check()


@conformance(
    DPMMultistep(),
    DPMMultistep(algorithm_type="sde-dpmsolver++"),
    DPMSinglestep(),
    UniPC(),
    DEIS(),
    FlowEuler(),
    FlowHeun(),
)
def test_on_the_line(check):
    check()


# the integrals of LMS are made anew by scipy at every step, of which order 2 has few
@conformance(Euler(), EulerAncestral(), Heun(), LMS(order=2), EDMEuler(), EDMMultistep())
def test_on_ratios(check):
    check()
