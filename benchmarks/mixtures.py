"""Laws whose score is known: the three that the other packages were measured on, and more, made from seeds.

All are mixtures of Gaussians, standardised per dimension. `CHOSEN` are those that the sampler `auto` and its grid were
chosen on; `HELD_OUT` had no part in that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor

from fokker.compare.solution import solve
from fokker.exact import Mixture
from fokker.linear import EDMNoise
from fokker.model import Counted
from fokker.noise import PerSample, Seeded
from fokker.sampling import Begun
from fokker_metrics.pairs import distances, within

__all__ = ["CHOSEN", "FILE", "HELD_OUT", "SIGMA_MIN", "THREE", "Law", "laws", "recorded"]

FILE = Path(__file__).parents[1] / "tests" / "reference" / "data" / "problems" / "mixtures.safetensors"
THREE = ("mix2", "ring8", "gmm64")
CHOSEN = ("rand20", "roll", "gmm16", "man32", "check", "gmm8")
HELD_OUT = ("spiral3", "grid25", "wide12", "thin24", "uneven5")
SIGMA_MIN = 1e-4

Array = npt.NDArray[np.float64]


@dataclass(eq=False)
class Law:
    """A mixture, latents, and where its probability flow takes them.

    Args:
        name: What the tables call it.
        weights: (K,).
        means: (K, d).
        covariances: (K, d, d).
        z: Standard normal latents, (B, d).
        known: Ends of the flow from `top` times the latents that were recorded elsewhere, by `top`.
    """

    name: str
    weights: Tensor
    means: Tensor
    covariances: Tensor
    z: Tensor
    known: dict[float, Tensor]

    def model(self, top: float) -> Mixture:
        """The law seen through noise from `SIGMA_MIN` to `top`, alpha = 1."""
        return Mixture(EDMNoise(sigma_min=SIGMA_MIN, sigma_max=top), self.weights, self.means, self.covariances)

    def end(self, top: float) -> Tensor:
        """Where the flow takes `top` times the latents, float64, (B, d)."""
        if top not in self.known:
            model = self.model(top)
            begun = Begun(1.0, top * self.z, model, Counted(model), PerSample(0, range(1), (1,)), None, None)
            self.known[top] = solve(begun, tolerance=1e-8).x
        return self.known[top]

    def reference(self, n: int) -> tuple[Tensor, float]:
        """About n exact draws, of each component as many as its weight says, float64, and their mean distance.

        The latter is that of two independent draws of the law: a draw's distance to itself does not count.
        """
        noise, parts = Seeded(7), []
        for w, mean, covariance in zip(self.weights.tolist(), self.means, self.covariances, strict=True):
            values, basis = torch.linalg.eigh(covariance)
            z = noise(torch.empty(max(1, round(n * w)), len(mean), dtype=torch.float64))
            parts.append(mean + (z * values.clamp(min=0).sqrt()) @ basis.T)
        draws = torch.cat(parts)
        shares = [len(part) / len(draws) for part in parts]
        inside = [
            share**2 / len(part) * within(distances, part, distinct=True)
            for share, part in zip(shares, parts, strict=True)
        ]
        return draws, within(distances, draws, distinct=False) + sum(inside)

    def energy(self, x: Tensor, reference: tuple[Tensor, float]) -> float:
        """Square root of the energy distance to draws of `reference`, once each mode has the weight it should have.

        Which mode a sample is of is told by the responsibilities just above clean data. Samples of a mode are then
        weighted alike, to its weight in the law: chance in how many fall to it does not count. A mode that no sample
        is of keeps none, and the others share its weight.
        """
        x = x.double()
        draws, among = reference
        mode = self.model(15.0).log_shares(x, 1e-4).argmax(1)
        per_sample = (self.weights / torch.bincount(mode, minlength=len(self.weights)))[mode]
        per_sample = per_sample / per_sample.sum()
        across = sum(
            float((distances(rows, draws).mean(1) * w).sum())
            for rows, w in zip(x.split(1024), per_sample.split(1024), strict=True)
        )
        own = sum(
            float(w @ distances(rows, x) @ per_sample)
            for rows, w in zip(x.split(1024), per_sample.split(1024), strict=True)
        )
        return max(0.0, 2 * across - own - among) ** 0.5


def recorded() -> Iterator[Law]:
    """The three problems, with the ends of their flows as they were recorded."""
    tensors = load_file(FILE)
    for name in THREE:
        own = {key.split("/")[1]: value for key, value in tensors.items() if key.startswith(f"{name}/")}
        covariances = own["diag"].diag().expand(len(own["weights"]), -1, -1)
        if "lowrank" in own:
            covariances = covariances + own["lowrank"] @ own["lowrank"].mT
        known = {80.0: own["x0_from_80"].double(), 15.0: own["x0_from_15"].double()}
        yield Law(name, own["weights"], own["means"], covariances, own["z"], known)


def laws(count: int) -> Iterator[Law]:
    """The mixtures made here, with `count` latents each."""
    for name, (weights, means, covariances) in {**_chosen(), **_held_out()}.items():
        w = weights / weights.sum()
        mean = w @ means
        std = np.sqrt((w[:, None] * (np.einsum("kii->ki", covariances) + (means - mean) ** 2)).sum(0))
        z = np.random.default_rng(1).normal(size=(count, means.shape[1]))
        parts = (w, (means - mean) / std, covariances / std[:, None] / std[None, :], z)
        yield Law(name, *(torch.from_numpy(np.ascontiguousarray(part)) for part in parts), known={})


def _isotropic(stds: Array | list[float], d: int) -> Array:
    found: Array = np.stack([np.eye(d) * std**2 for std in stds])
    return found


def _chosen() -> dict[str, tuple[Array, Array, Array]]:
    r = np.random.default_rng(5)
    means = r.uniform(-1, 1, (20, 2))
    rand20 = r.uniform(0.5, 1.5, 20), means, _isotropic([r.uniform(0.03, 0.12) for _ in range(20)], 2)
    turn = np.linspace(1.5 * pi, 4.5 * pi, 150)
    roll = np.ones(150), np.stack([turn * np.cos(turn), turn * np.sin(turn)], 1) / 10, _isotropic([0.05] * 150, 2)
    a = r.normal(size=(5, 16, 16)) / 4
    full = np.einsum("kij,klj->kil", a, a) * 0.3 + 0.02 * np.eye(16)
    gmm16 = r.uniform(0.3, 1, 5), r.normal(size=(5, 16)) * 1.5, full
    u = r.normal(size=(12, 32, 3)) * 0.5
    man32 = np.ones(12), r.normal(size=(12, 32)), np.einsum("kir,kjr->kij", u, u) + 1e-3 * np.eye(32)
    squares = np.array([(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0], float)
    check = np.ones(8), squares, _isotropic([0.25] * 8, 2)
    means = r.normal(size=(3, 8)) * 2
    gmm8 = np.array([0.6, 0.3, 0.1]), means, np.stack([np.diag(r.uniform(0.05, 1.5, 8)) for _ in range(3)])
    return dict(zip(CHOSEN, (rand20, roll, gmm16, man32, check, gmm8), strict=True))


def _held_out() -> dict[str, tuple[Array, Array, Array]]:
    r = np.random.default_rng(2026)
    turn = np.linspace(0, 4 * pi, 80)
    helix = np.stack([np.cos(turn), np.sin(turn), turn / 4], 1)
    spiral3 = np.ones(80), helix, _isotropic([0.08] * 80, 3)
    lattice = np.array([(i, j) for i in range(5) for j in range(5)], float)
    grid25 = np.ones(25), lattice, _isotropic([0.1] * 25, 2)
    wide12 = np.ones(4), r.normal(size=(4, 12)), _isotropic([0.8] * 4, 12)
    u = r.normal(size=(8, 24, 2))
    thin24 = np.ones(8), r.normal(size=(8, 24)) * 1.2, np.einsum("kir,kjr->kij", u, u) + 4e-4 * np.eye(24)
    scales = [0.02, 0.1, 0.3, 0.6, 1.0]
    uneven5 = np.array([0.1, 0.4, 0.2, 0.2, 0.1]), r.normal(size=(5, 5)) * 1.5, _isotropic(scales, 5)
    return dict(zip(HELD_OUT, (spiral3, grid25, wide12, thin24, uneven5), strict=True))
