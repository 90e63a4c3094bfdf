"""What all tests share: one torch thread, one seed, hypothesis profiles, and the reference data beside the project."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# Workers and other processes share few cores: a second thread of a small torch operation waits for milliseconds.
torch.set_num_threads(1)

# What tests draw while they are collected, and below while they run, is the same in every run.
torch.manual_seed(0)

settings.register_profile("dev", max_examples=20, deadline=None)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "nightly", max_examples=2000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test begins with the same state of torch's global generator."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the project: reference numbers of other implementations, and Fashion-MNIST."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the reference data in {folder}, which is not part of the project")
    return folder
