"""Mixtures of Gaussians with any covariances, from a file of their parameters.

    x ~ sum_k w_k N(m_k, C_k),    C_k = covariances_k    or    diag(diag) + U_k U_k^T

Of such data everything is known: what a sampler should draw, and the score that it should follow.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Gt, Interval
from torch import Tensor

from fokker.component import component
from fokker.data import DataSource, Examples, Split, Transform
from fokker.errors import ConfigError, DataError
from fokker.exact import Mixture
from fokker.noise import Seeded, Zero, block_seed
from fokker.perturbation import VP, Perturbation
from fokker_data.stored import StoredExamples
from fokker_data.transforms import Range, Standardise

__all__ = ["MixtureFile", "read_mixture"]

_PARTS = ("weights", "means", "covariances", "diag", "lowrank")


@component
class MixtureFile(DataSource):
    """Draws of a mixture of Gaussians whose parameters are in a file (Bishop, 2006, section 9.2).

        x ~ sum_k w_k N(m_k, C_k)

    The file has `weights`, (K,), `means`, (K, d), and either `covariances`, (K,), (K, d) or (K, d, d), or `diag`, (d,)
    or (K, d), to which `lowrank` U, (K, d, r), adds U_k U_k^T. The test split is an independent draw of the same size.

    Args:
        path: File ending in .safetensors or .npz.
        key: Which mixture of the file, where it has several, `key/weights` and so on.
        n: Number of points of each split.
        seed: Seed of the draw.
        transforms: Applied in this order on the way to the model.
    """

    path: str
    key: str | None = None
    n: Annotated[int, Gt(0)] = 10000
    seed: Annotated[int, Interval(ge=0, le=2**32 - 1)] = 0
    transforms: tuple[Transform, ...] = ()

    def __post_init__(self) -> None:
        if Path(self.path).suffix not in (".safetensors", ".npz"):
            raise ConfigError(f"MixtureFile reads .safetensors and .npz files, got {self.path!r}.")

    def open(self, split: Split = "train") -> Examples:
        """Draw a split.

        Raises:
            DataError: If the file is missing or damaged, or does not describe a mixture.
        """
        own = _mixture(self.path, self.key, VP())
        x = own.draw(self.n, Seeded(block_seed(self.seed, 0, 1 if split == "test" else 0)))
        return StoredExamples(x.numpy(), source=self.path)

    def law(self, perturbation: Perturbation) -> Mixture | None:
        """The mixture itself, behind transforms that shift and scale each value."""
        weights, means, covariances = read_mixture(Path(self.path), self.key)
        scale = torch.ones_like(means[0])
        for transform in self.transforms:
            if not isinstance(transform, Range | Standardise):
                return None
            origin = transform.forward(torch.zeros_like(means), Zero())
            by = transform.forward(torch.ones_like(means), Zero()) - origin
            means, scale = origin + by * means, by[0] * scale
        full = covariances.ndim == 3
        if covariances.ndim == 1:
            covariances = covariances.unsqueeze(1).expand_as(means)
        spread = torch.outer(scale, scale) if full else scale.square()
        return Mixture(perturbation, weights, means, spread * covariances)


def read_mixture(path: Path, key: str | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and covariances of a mixture, float64.

    Args:
        path: File ending in .safetensors or .npz.
        key: Which mixture of the file, where it has several.

    Raises:
        DataError: If the file is missing or damaged, or does not describe a mixture.
    """
    parts = _read(path)
    prefix = "" if key is None else f"{key}/"
    found = {part: parts[prefix + part].double() for part in _PARTS if prefix + part in parts}
    lacking = [part for part in ("weights", "means") if part not in found]
    if lacking or not {"covariances", "diag"} & found.keys():
        names = sorted({part.rpartition("/")[0] for part in parts if part.endswith("/weights")})
        there = f"it has mixtures named {', '.join(names)}" if names else f"it holds {', '.join(sorted(parts))}"
        asked = "weights, means and covariances or diag" + ("" if key is None else f" of {key!r}")
        raise DataError(f"{path} lacks {asked}: {there}.")
    weights, means = found["weights"], found["means"]
    covariances = found.get("covariances")
    if covariances is None:
        covariances = found["diag"].expand_as(means)
        if "lowrank" in found:
            u = found["lowrank"]
            covariances = torch.diag_embed(covariances) + u @ u.mT
    return weights, means, covariances


def _mixture(path: str, key: str | None, perturbation: Perturbation) -> Mixture:
    try:
        return Mixture(perturbation, *read_mixture(Path(path), key))
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from None


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".npz":
            with np.load(path) as archive:
                return {part: torch.from_numpy(np.asarray(archive[part], np.float64)) for part in archive.files}
        from safetensors.torch import load_file

        found: dict[str, Any] = load_file(path)
        return found
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # a damaged header raises anything
        raise DataError(f"{path} is damaged or no {path.suffix} file of plain numbers ({error}).") from error
