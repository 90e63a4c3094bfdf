"""Objectives: what training minimises.

    loss_i = w(t) / 2 |x0_model(alpha x0 + sigma z, t) - x0|^2,    summed over dimensions

Losses carry the factor 1/2 and are summed over dimensions; an objective that follows a source without 1/2 says so.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.model import ScoreModel
from fokker.network import Answer
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.prediction import Prediction
from fokker.weighting import EDMWeight, Weighting

__all__ = ["Denoising", "Objective", "TimesIn", "spread_times", "weighted_square"]

Cond = Mapping[str, Tensor] | None

TimesIn = Literal["log-snr", "uniform", "levels"]
"""How often each noise level is trained: evenly in log-SNR, evenly in t, or each level of a table as often."""


class Objective(ABC):
    """A loss per example; subclasses are components (`@component`)."""

    kind: ClassVar[str] = "objective"
    without_noise: ClassVar[bool] = False
    """Whether it learns from data without noise too; what is learned from the noise is nothing where that vanishes."""
    differentiates: ClassVar[bool] = False
    """Whether it differentiates the model's answers in the data, so that training differentiates them twice."""
    teaches: ClassVar[Answer] = "data"
    """What the network learns to answer with: `classes` asks the model by `fokker.model.NetworkModel.answer`."""

    def check(self, event_shape: tuple[int, ...]) -> None:
        """Refuse data that it is not made for, before any work; nothing is refused unless a subclass says so.

        Args:
            event_shape: Shape of one example, `*D`.

        Raises:
            ConfigError: With the reason and a way out.
        """
        return

    @abstractmethod
    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """Turn uniform numbers in [0, 1) into the times to train at.

        Args:
            perturbation: The perturbation.
            u: float64 on the host, (B,).

        Returns:
            Times in [t_min, 1], float64 on the host, (B,).

        Raises:
            ConfigError: If the perturbation has no such times.
        """

    @abstractmethod
    def loss(self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Cond = None) -> Tensor:
        """The loss of each example.

        Args:
            model: The model in training.
            x0: Clean data in the model's units, (B, *D); left untouched.
            t: Times from `times`, (B,).
            noise: Source of all randomness.
            cond: Conditions passed on to the model.

        Returns:
            Losses, (B,), differentiable in the model's parameters.
        """


@component
class Denoising(Objective):
    """Denoising score matching over a range of noise levels (Vincent, 2011, eq. 11; Song et al., 2021, eq. 7).

        loss = w(t) / 2 |x0 error|^2,    t from t_min to 1

    Args:
        weighting: The factor w(t) of the squared error of x0.
        times_in: How often each noise level is trained. `log-snr` spreads the log-SNR uniformly, so that the loss does
            not depend on the perturbation's clock (Kingma et al., 2021, section 5.1); `uniform` spreads t, as Score
            SDE does, of which VP gives 6 % to sigma / alpha from 0.03 to 0.2, where detail is decided; `levels` takes
            the levels of a table only.
    """

    weighting: Weighting = EDMWeight()
    times_in: TimesIn = "log-snr"

    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """Uniform in log-SNR or in t, or a level chosen uniformly."""
        return spread_times(perturbation, u, self.times_in, "denoising")

    def loss(self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Cond = None) -> Tensor:
        """See `Objective.loss`."""
        eps = noise(x0)
        prediction = model(model.perturbation.perturb(x0, t, eps), t, cond)
        return weighted_square(self.weighting, model.perturbation, prediction, x0, eps, t) / 2


def spread_times(perturbation: Perturbation, u: Tensor, times_in: TimesIn, name: str) -> Tensor:
    """Times that give each noise level its share.

    Args:
        perturbation: The perturbation.
        u: Uniform numbers in [0, 1), float64 on the host, (B,).
        times_in: What is spread evenly.
        name: The objective's name, for messages.

    Returns:
        Times in [t_min, 1], float64, (B,).

    Raises:
        ConfigError: If the perturbation has no levels, or a log-SNR that cannot be spread.
    """
    if times_in == "uniform":
        return perturbation.t_min + (1 - perturbation.t_min) * u
    if times_in == "levels":
        knots = perturbation.knots
        if knots is None:
            raise ConfigError(
                f"The objective '{name}' trains on the levels of a table; {type(perturbation).__name__} is continuous. "
                "Use the perturbation 'betas' or 'sigmas', or the objective 'denoising' with times_in = 'log-snr'."
            )
        return knots[(u * len(knots)).long()]  # the largest float64 below 1, times L, rounds below L
    ends = torch.tensor([1.0, perturbation.t_min], dtype=torch.float64)
    low, high = perturbation.log_snr(ends).tolist()
    if high == float("inf"):
        raise ConfigError(
            f"The objective '{name}' cannot spread a log-SNR that is infinite at t_min = {perturbation.t_min:g}; raise "
            "t_min, or set times_in = 'uniform'."
        )
    if low == -float("inf"):
        raise ConfigError(
            f"The objective '{name}' cannot spread a log-SNR that is infinite at t = 1, where alpha = 0; set "
            "times_in = 'uniform'."
        )
    # the inverse may round to a time outside by one unit in the last place
    return perturbation.time(low + (high - low) * u).clamp(perturbation.t_min, 1.0)


def weighted_square(
    weighting: Weighting, perturbation: Perturbation, prediction: Prediction, x0: Tensor, eps: Tensor, t: Tensor
) -> Tensor:
    """w(t) |x0 error|^2 summed over dimensions, (B,), without ever forming the difference of two x0.

    Args:
        weighting: The factor w(t).
        perturbation: The perturbation.
        prediction: The model's answer at alpha x0 + sigma eps.
        x0: Clean data, (B, *D).
        eps: The noise, (B, *D).
        t: Times, (B,).
    """
    residual, gain = prediction.residual(x0, eps)
    weight = weighting(perturbation, t.detach().to("cpu", torch.float64)).to(x0.device, x0.dtype)
    # the gain goes with the root the square root of the weight: at small noise the one is huge and the other tiny
    scale = weight.sqrt() * (gain.flatten() if isinstance(gain, Tensor) else gain)
    return (residual.flatten(1).square().sum(1)) * scale.square()
