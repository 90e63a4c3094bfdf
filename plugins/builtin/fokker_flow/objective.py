"""Flow matching: the velocity of a pair of data and noise, regressed.

    loss = 1/2 |velocity_model(x_t, t) - (alpha' x0 + sigma' z)|^2,    x_t = alpha x0 + sigma z

Its least is the expected velocity given x_t, which is the drift of the probability-flow ODE: flow matching is denoising
score matching with a weight. An error of the velocity is alpha' - alpha sigma' / sigma times that of x0, since errors
of x0 and z given x_t are multiples of each other.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.objective import Objective, weighted_square
from fokker.perturbation import Perturbation
from fokker.weighting import Weighting, WeightingClaims

__all__ = ["FlowMatching", "VelocityError"]


@component
class VelocityError(Weighting):
    """|velocity error|^2, that is (alpha' - alpha sigma' / sigma)^2 on x0 (Lipman et al., 2023, eq. 9)."""

    @property
    def claims(self) -> WeightingClaims:
        """A velocity is one in time, and belongs to a clock."""
        return WeightingClaims(log_snr_alone=False)

    def __call__(self, perturbation: Perturbation, t: Tensor) -> Tensor:
        """The square of the factor between the two errors."""
        d_alpha, d_sigma = perturbation.rates(t)
        return (d_alpha - perturbation.alpha(t) * d_sigma / perturbation.sigma(t)) ** 2


@component
class FlowMatching(Objective):
    """Conditional flow matching (Lipman et al., 2023, eq. 9), the objective of rectified flow too (Liu et al., 2023).

        loss = 1/2 |velocity_model(x_t, t) - (alpha' x0 + sigma' z)|^2

    For any perturbation and parameterization; on `flow`, with a network that gives the `velocity`, it is the sources',
    who write it without 1/2.

    Args:
        times_in: `uniform` spreads t; `logit-normal` draws most of its middle (Esser et al., 2024, eq. 19).
        mean: Mean of log(t / (1 - t)) in `logit-normal`, 0 unless given; above 0, noisier times come more often.
        std: Its standard deviation, 1 unless given.
    """

    times_in: Literal["uniform", "logit-normal"] = "uniform"
    mean: float | None = None
    std: Annotated[float, Gt(0)] | None = None

    def __post_init__(self) -> None:
        """Fill in the law of the logit, or refuse one where there is none."""
        for name, default in (("mean", 0.0), ("std", 1.0)):
            if self.times_in == "logit-normal" and getattr(self, name) is None:
                object.__setattr__(self, name, default)
            if self.times_in == "uniform" and getattr(self, name) is not None:
                raise ConfigError(
                    f"FlowMatching.{name} has no effect on uniform times; leave it out, or set times_in = "
                    "'logit-normal'."
                )

    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """Between t_min and 1."""
        u = u.double()
        if self.mean is not None and self.std is not None:
            u = torch.sigmoid(self.mean + self.std * torch.special.ndtri(u))
        return perturbation.t_min + (1 - perturbation.t_min) * u

    def loss(
        self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """See `Objective.loss`."""
        eps = noise(x0)
        prediction = model(model.perturbation.perturb(x0, t, eps), t, cond)
        return weighted_square(VelocityError(), model.perturbation, prediction, x0, eps, t) / 2
