"""The Fisher divergence: how far a model's score is from the true one, where that is known.

    F = 1/2 E |s - grad log p_t|^2,    C = 1/2 E |grad log p_t|^2,    relative: F / C

It is what every kind of score matching makes small, up to a constant that does not depend on the model:

    explicit, sliced    E loss = F - C
    denoising, NCSN     E loss = lambda (F - C + numel / (2 sigma^2)),    lambda the weight of the score's error

so that a loss can be read where nothing but the noise is seen in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from fokker.errors import DataError
from fokker.exact import ExactModel
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation

__all__ = ["FisherDivergence", "fisher_divergence", "levels_of", "score_errors"]

_SPREAD = 5


@dataclass(frozen=True)
class FisherDivergence:
    """What came out at one time.

    Args:
        t: The time.
        sigma: The noise level there.
        half: F, half the mean squared error of the score.
        stderr: The standard error of F, over the examples.
        score: C, half the mean squared norm of the true score: F of the score 0.
    """

    t: float
    sigma: float
    half: float
    stderr: float
    score: float

    @property
    def relative(self) -> float:
        """F / C: 0 for the true score, 1 for the score 0."""
        return self.half / self.score

    @property
    def matching(self) -> float:
        """F - C, the expected loss of explicit score matching; that of denoising is numel / (2 sigma^2) above it."""
        return self.half - self.score


def score_errors(
    model: ScoreModel, law: ExactModel, x: Tensor, t: float, cond: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Half the squared error of a model's score, and half the squared norm of the true one.

    Args:
        model: The model.
        law: The true law, of the same perturbation.
        x: Noisy data, (B, *D).
        t: The time.
        cond: Conditions for the model.

    Returns:
        Two tensors, float64 on the host, (B,).
    """
    with torch.no_grad():
        found = model(x, t, cond).score.to("cpu", torch.float64)
        true = law.score(x.to("cpu", torch.float64), t)
    return (found - true).flatten(1).square().sum(1) / 2, true.flatten(1).square().sum(1) / 2


def fisher_divergence(
    model: ScoreModel,
    law: ExactModel,
    batches: Iterable[tuple[Tensor, Noise, Mapping[str, Tensor] | None]],
    t: float,
) -> FisherDivergence:
    """Measure a model against the true law at one time.

    Args:
        model: The model.
        law: The true law, of the same perturbation, in the model's units.
        batches: Held-out data in the model's units, (B, *D), where the model is; what its noise is drawn from; and
            conditions for the model.
        t: The time, at which the model's score is read.

    Raises:
        DataError: If there is no example.
    """
    p = model.perturbation
    errors, norms = [], []
    for x0, noise, cond in batches:
        x = p.perturb(x0, torch.tensor(t, dtype=torch.float64), noise(x0.cpu()).to(x0.device))
        error, norm = score_errors(model, law, x, t, cond)
        errors.append(error)
        norms.append(norm)
    if not errors:
        raise DataError("A Fisher divergence is a mean over examples, and there are none.")
    error, norm = torch.cat(errors), torch.cat(norms)
    sigma = float(p.sigma(torch.tensor(t, dtype=torch.float64)))
    spread = float(error.std()) / sqrt(len(error)) if len(error) > 1 else float("nan")
    return FisherDivergence(t, sigma, float(error.mean()), spread, float(norm.mean()))


def levels_of(perturbation: Perturbation) -> list[float]:
    """Times that tell of all noise levels, the largest first.

    Those of a table's levels; one where the noise is a formality; five that are evenly spread in log-SNR otherwise.
    """
    if perturbation.vanishing:
        return [0.0]
    if perturbation.knots is not None:
        return [float(t) for t in perturbation.knots.flip(0)]
    ends = perturbation.log_snr(torch.tensor([1.0, perturbation.t_min], dtype=torch.float64))
    times = perturbation.time(torch.linspace(float(ends[0]), float(ends[1]), _SPREAD, dtype=torch.float64))
    return [float(t) for t in times.clamp(perturbation.t_min, 1.0)]
