"""The global generators of torch, numpy and Python: what a component leaves as they were."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from fokker.testing.check import expect

__all__ = ["untouched"]

_SEED = 1905  # a state that no seed a component would choose leads to


@contextmanager
def untouched() -> Iterator[None]:
    """Fail if what happens inside draws from a global generator of torch, numpy or Python, or seeds one.

    Raises:
        CheckFailed: Naming the generator.
    """
    outside = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.manual_seed(_SEED)
    np.random.seed(_SEED)
    random.seed(_SEED)
    try:
        before = _states()
        yield
        after = _states()
    finally:
        torch.set_rng_state(outside[0])
        np.random.set_state(outside[1])
        random.setstate(outside[2])
    for name, state in before.items():
        expect(after[name] == state, f"changes the global generator of {name}; draws belong to a generator of its own")


def _states() -> dict[str, object]:
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": [np.asarray(part).tolist() for part in np.random.get_state()],
        "Python": random.getstate(),
    }
