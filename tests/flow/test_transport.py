"""Latents of laws whose probability flow is a formula, and the way back."""

import pytest
import torch

from fokker.flow import decode, encode
from fokker.model import Counted
from fokker.noise import Seeded
from fokker.perturbation import VE, VP
from fokker.testing.worlds import EVENT_SHAPES, PERTURBATIONS, correlated, gaussian, mixture, normal

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_gaussian_is_carried_by_its_flow(name):
    law = gaussian(PERTURBATIONS[name])
    p, x = law.perturbation, law.draw(6, Seeded(0))
    z = encode(law, x, rtol=1e-8, atol=1e-8).x
    atol = 1e-4 if name == "betas" else 1e-6  # the rates of a table of betas have kinks at its levels
    torch.testing.assert_close(z, law.flow(x, p.t_min, 1.0), rtol=1e-6, atol=atol)
    torch.testing.assert_close(decode(law, z, rtol=1e-8, atol=1e-8).x, x, rtol=0, atol=atol)


@pytest.mark.parametrize("shape", EVENT_SHAPES, ids=str)
def test_any_event_shape_comes_back(shape):
    law = correlated(VP(), shape)
    x = law.draw(2, Seeded(0))
    z = encode(law, x)
    assert z.x.shape == x.shape and z.nfe.shape == (2,)
    torch.testing.assert_close(decode(law, z.x).x, x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("p", [VP(), VE()], ids=["vp", "ve"])
def test_the_round_trip_is_as_good_as_the_tolerance(p):
    law = mixture(p)
    x = law.draw(20, Seeded(0))
    off = [
        float((decode(law, encode(law, x, rtol=r, atol=r).x, rtol=r, atol=r).x - x).abs().max()) for r in (1e-5, 1e-8)
    ]
    assert off[0] < 5e-3 and off[1] < 5e-6


def test_latents_of_data_have_the_law_of_the_prior():
    law = mixture(VP())
    z = encode(law, law.draw(4000, Seeded(0))).x
    assert z.mean(0).abs().max() < 0.06
    torch.testing.assert_close(z.T.cov(), torch.eye(2, dtype=z.dtype), rtol=0, atol=0.08)


def test_temperature_scales_latents():
    law, z = mixture(VP()), normal(5, 2)
    torch.testing.assert_close(decode(law, z, temperature=0.5).x, decode(law, z / 2).x)
    cold = decode(law, z, temperature=0.0).x
    torch.testing.assert_close(cold, cold[:1].expand_as(cold))


def test_what_is_given_stays_as_it_is_and_keeps_its_dtype():
    law, x = mixture(VP()), normal(5, 2).float()
    before = x.clone()
    counted = Counted(law)
    found = encode(counted, x)
    assert torch.equal(x, before) and found.x.dtype == torch.float32
    assert int(found.nfe.max()) <= counted.calls
