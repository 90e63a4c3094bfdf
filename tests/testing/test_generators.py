import random

import numpy as np
import pytest
import torch

from fokker.testing.check import CheckFailed
from fokker.testing.generators import untouched


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("torch", lambda: torch.rand(1)),
        ("torch", lambda: torch.manual_seed(0)),
        ("numpy", lambda: np.random.rand()),
        ("numpy", lambda: np.random.seed(0)),
        ("Python", random.random),
        ("Python", lambda: random.seed(0)),
    ],
    ids=[f"{name}-{how}" for name in ("torch", "numpy", "Python") for how in ("draw", "seed")],
)
def test_draws_and_seeds_are_noticed_and_undone(name, draw):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    with pytest.raises(CheckFailed, match=f"global generator of {name}"), untouched():
        draw()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]


def test_generators_of_its_own_are_its_own_business():
    with untouched():
        torch.rand(1, generator=torch.Generator().manual_seed(0))
        np.random.RandomState(0).rand()
        random.Random(0).random()
