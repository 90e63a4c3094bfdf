"""Mixtures of a file: their draws and their law."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from fokker.data import Chain
from fokker.errors import ConfigError, DataError
from fokker.noise import Zero
from fokker.perturbation import VP
from fokker.testing import checks_for
from fokker.testing.check import NotApplicable
from fokker_data.mixture import MixtureFile, read_mixture
from fokker_data.transforms import Logit, Range, Standardise

WEIGHTS, MEANS = torch.tensor([1.0, 3.0], dtype=torch.float64), torch.tensor([[-2.0, 0.0], [1.0, 4.0]]).double()
FULL = torch.tensor([[[0.5, 0.1], [0.1, 0.2]], [[0.3, -0.1], [-0.1, 0.6]]]).double()


def written(tmp_path, *, suffix=".npz", key="", **parts):
    path = tmp_path / f"m{suffix}"
    parts = {key + name: value for name, value in {"weights": WEIGHTS, "means": MEANS, **parts}.items()}
    if suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in parts.items()})
    else:
        save_file(parts, path)
    return str(path)


def test_it_passes_the_checks_of_a_source(tmp_path):
    came_of = {}
    for check in checks_for(MixtureFile(written(tmp_path, covariances=FULL), n=3000)):
        try:
            check()
            came_of[check.name] = "passed"
        except NotApplicable:
            came_of[check.name] = "not applicable"
    assert {came_of[name] for name in ("law", "indexed", "reproducible[test]", "field[seed]")} == {"passed"}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("key", ["", "two/"])
def test_both_kinds_of_file_and_names(tmp_path, suffix, key):
    path = written(tmp_path, suffix=suffix, key=key, covariances=FULL)
    weights, means, covariances = read_mixture(tmp_path / f"m{suffix}", key.rstrip("/") or None)
    assert torch.equal(weights, WEIGHTS) and torch.equal(means, MEANS) and torch.equal(covariances, FULL)
    assert len(MixtureFile(path, key=key.rstrip("/") or None, n=7).open()) == 7


def test_a_diagonal_with_a_part_of_low_rank(tmp_path):
    u = torch.tensor([[[1.0], [2.0]], [[0.5], [0.0]]]).double()
    written(tmp_path, diag=torch.tensor([0.1, 0.2]).double(), lowrank=u)
    _, _, covariances = read_mixture(tmp_path / "m.npz")
    assert_close(covariances[0], torch.tensor([[1.1, 2.0], [2.0, 4.2]]).double())
    assert_close(covariances[1], torch.tensor([[0.35, 0.0], [0.0, 0.2]]).double())


@pytest.mark.parametrize(
    "covariances", [FULL, FULL.diagonal(dim1=1, dim2=2).contiguous(), torch.tensor([0.5, 0.2]).double()]
)
def test_draws_have_the_moments_of_the_law(tmp_path, covariances):
    source = MixtureFile(written(tmp_path, covariances=covariances), n=40000)
    x = source.open().fetch(range(40000)).x.double()
    full = covariances
    if full.ndim == 1:
        full = full[:, None].expand(2, 2)
    if full.ndim == 2:
        full = torch.diag_embed(full)
    w = WEIGHTS / 4
    mean = w @ MEANS
    second = (w[:, None, None] * (full + MEANS[:, :, None] * MEANS[:, None, :])).sum(0) - torch.outer(mean, mean)
    assert_close(x.mean(0), mean, rtol=0, atol=0.05)
    assert_close(x.T.cov(), second, rtol=0, atol=0.1)


def test_splits_and_seeds_are_independent_draws(tmp_path):
    source = MixtureFile(written(tmp_path, covariances=FULL), n=5)
    first = source.open().fetch(range(5)).x
    assert torch.equal(first, source.open().fetch(range(5)).x)
    assert not torch.equal(first, source.open("test").fetch(range(5)).x)
    assert not torch.equal(first, dataclasses.replace(source, seed=1).open().fetch(range(5)).x)


@pytest.mark.parametrize("covariances", [FULL, torch.tensor([0.5, 0.2]).double()], ids=["full", "one"])
def test_a_density_behind_transforms_is_the_density_over_their_jacobian(tmp_path, covariances):
    source = MixtureFile(written(tmp_path, covariances=covariances), n=20)
    chain = Chain((Standardise(mean=(0.5, -1.0), std=(2.0, 3.0)), Range(low=-2.0, high=5.0)))
    x = source.open().fetch(range(20)).x.double()
    y, log_det = chain.forward_with_log_det(x, Zero())
    behind = dataclasses.replace(source, transforms=chain.transforms).law(VP())
    assert_close(behind.log_prob(y, 0.0) + log_det, source.law(VP()).log_prob(x, 0.0))


def test_behind_a_transform_that_bends_there_is_no_law(tmp_path):
    assert MixtureFile(written(tmp_path, covariances=FULL), transforms=(Logit(),)).law(VP()) is None


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"reads .safetensors and .npz"):
        MixtureFile("m.csv")
    with pytest.raises(DataError, match="cannot be read"):
        MixtureFile(str(tmp_path / "none.npz")).open()
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
    with pytest.raises(DataError, match="is damaged"):
        MixtureFile(str(tmp_path / "bad.safetensors")).open()
    path = written(tmp_path, key="two/", covariances=FULL)
    with pytest.raises(DataError, match="it has mixtures named two"):
        MixtureFile(path).open()
    with pytest.raises(DataError, match="it holds means, weights"):
        MixtureFile(written(tmp_path)).open()
    with pytest.raises(DataError, match="A mixture of 2 components"):
        MixtureFile(written(tmp_path, covariances=torch.ones(3).double())).open()
