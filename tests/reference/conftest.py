"""What the comparisons with other implementations share: the recorded numbers, and models that answer as theirs do."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fokker.exact import Mixture
from fokker.model import ScoreModel
from fokker.perturbation import VE, VP, Perturbation, SubVP
from fokker.prediction import Prediction
from fokker.table import Betas, Sigmas

DATA = Path(__file__).parent / "data"


class Record:
    """A file of recorded numbers.

    Args:
        name: Its path below `data`, without a suffix.
    """

    def __init__(self, name: str):
        self.tensors = load_file(DATA / f"{name}.safetensors")
        self.meta: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))

    def __getitem__(self, key: str) -> Tensor:
        """A tensor; real numbers in float64, so that what is compared is the other side's rounding alone."""
        tensor = self.tensors[key]
        return tensor.double() if tensor.is_floating_point() else tensor

    def case(self, name: str) -> dict[str, Any]:
        """The parameters of a case."""
        return self.meta["cases"][name]

    def law(self, p: Perturbation) -> Mixture:
        """The mixture that the samplers of this file were run on."""
        return Mixture(p, self["gmm_weights"], self["gmm_means"], self["gmm_stds"] ** 2)


class Recast(ScoreModel):
    """The score of a law at a time of its own, told as the score at a level of another perturbation.

    Score SDE evaluates its score at a continuous time and takes a step's coefficients from the level of a table that
    the time is truncated to. The two noise levels differ slightly, and its formulas need the score only.

    Args:
        law: Whose score it is.
        perturbation: The table.
        when: The law's time for a time of the table.
    """

    def __init__(self, law: Mixture, perturbation: Perturbation, when: Callable[[float], float]):
        self._law, self._perturbation, self._when = law, perturbation, when

    @property
    def perturbation(self) -> Perturbation:
        return self._perturbation

    def __call__(self, x, t, cond=None):
        alpha, sigma = self._perturbation.scales(t, x)
        return Prediction(x, alpha, sigma, score=self._law.score(x, self._when(float(t))))


class Told(ScoreModel):
    """A model that answers what was recorded, one answer per call.

    Args:
        perturbation: The perturbation of the sampler that is run on it.
        primary: What the answers are, such as `eps`.
        answers: (calls, B, *D).
    """

    def __init__(self, perturbation: Perturbation, primary: str, answers: Tensor):
        self._perturbation, self._primary, self._answers = perturbation, primary, iter(answers)

    @property
    def perturbation(self) -> Perturbation:
        return self._perturbation

    def __call__(self, x, t, cond=None):
        alpha, sigma = self._perturbation.scales(t, x)
        return Prediction(x, alpha, sigma, **{self._primary: next(self._answers)})


def sde_of(kind: str, sigma_min=0.01, sigma_max=50.0, beta_min=0.1, beta_max=20.0, N=1000) -> Perturbation:
    """The SDE of a case of Score SDE."""
    match kind:
        case "VESDE" | "ve":
            return VE(sigma_min=sigma_min, sigma_max=sigma_max)
        case "VPSDE" | "vp":
            return VP(beta_min=beta_min, beta_max=beta_max)
        case "subVPSDE" | "subvp":
            return SubVP(beta_min=beta_min, beta_max=beta_max)
    raise ValueError(kind)


def table_of(kind: str, sigma_min=0.01, sigma_max=50.0, beta_min=0.1, beta_max=20.0, N=1000) -> Perturbation:
    """The table that Score SDE discretises an SDE with N steps by."""
    if kind in ("VESDE", "ve"):
        return Sigmas(minimum=sigma_min, maximum=sigma_max, levels=N)
    return Betas(start=beta_min / N, end=beta_max / N, steps=N)


def assert_agrees(actual: Tensor, expected: Tensor, *, rtol: float, atol: float = 0.0) -> None:
    """Compare in float64.

    Args:
        actual: fokker's.
        expected: The other implementation's.
        rtol: Relative tolerance.
        atol: Absolute tolerance, relative to the largest magnitude of `expected`.
    """
    expected = expected.double()
    torch.testing.assert_close(actual.double(), expected, rtol=rtol, atol=atol * float(expected.abs().max()))


@pytest.fixture(scope="session")
def record():
    return cache(Record)


@pytest.fixture(scope="session")
def agree():
    return assert_agrees


@pytest.fixture(scope="session")
def sde():
    return sde_of


@pytest.fixture(scope="session")
def table():
    return table_of


@pytest.fixture(scope="session")
def recast():
    return Recast


@pytest.fixture(scope="session")
def told():
    return Told
