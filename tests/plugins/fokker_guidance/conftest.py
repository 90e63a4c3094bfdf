"""A measured model that tells its event shape, so that samplers can be probed on it without Monte Carlo."""

import pytest
import torch

from fokker.data import Batch, Chain, DataSource, Examples
from fokker.guidance import Subject
from fokker.network import DataSpec
from fokker_guidance.answer import Guided


class Observed(Guided):
    """A guided exact law whose samples all have the measurement of sample `index`."""

    def __init__(self, guidance, prior, index=0, subject=None):
        self.event_shape = prior.event_shape
        self.subject = subject or Subject(DataSpec(prior.event_shape))
        self.cond = dict(guidance.conditions(self.subject, [index]))
        self.posterior = guidance.law(prior, self.cond)
        super().__init__(guidance.wrap(prior))

    def each(self, x):
        return {k: v.expand(len(x), *v.shape[1:]) for k, v in self.cond.items()}

    def __call__(self, x, t, cond=None):
        return self.model(x, t, self.each(x))

    def impute(self, x, t, z, cond):
        return self.model.impute(x, t, z, self.each(x))


class Held(DataSource):
    """Examples that are given, the same in both splits but for their sign."""

    def __init__(self, x, transforms=()):
        self.x, self.transforms = x, transforms

    def open(self, split="train"):
        return _Examples(self.x if split == "test" else -self.x)


class _Examples(Examples):
    def __init__(self, x):
        self.x, self.event_shape = x, tuple(x.shape[1:])

    def __len__(self):
        return len(self.x)

    def fetch(self, index):
        return Batch(self.x[list(index)], {})


@pytest.fixture(scope="session")
def observed():
    return Observed


@pytest.fixture(scope="session")
def subject():
    """The subject of given examples behind given transforms."""

    def make(x, *transforms):
        return Subject(DataSpec(tuple(x.shape[1:])), Chain(tuple(transforms)), Held(x.float(), transforms))

    return make


@pytest.fixture
def saved(tmp_path):
    """The path of a file with an array."""
    import numpy as np

    def make(values, name="array.npy"):
        np.save(tmp_path / name, np.asarray(values))
        return str(tmp_path / name)

    return make


@pytest.fixture(scope="session")
def double():
    return lambda values: torch.tensor(values, dtype=torch.float64)
