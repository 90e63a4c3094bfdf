"""Guidance towards a class by one model that knows the data with and without classes."""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.guidance import Guidance, GuidanceClaims
from fokker.model import ScoreModel
from fokker.network import DataSpec
from fokker.perturbation import Perturbation
from fokker.plan import Plan
from fokker.prediction import Prediction

__all__ = ["ClassifierFree"]

Cond = Mapping[str, Tensor] | None


@component
class ClassifierFree(Guidance):
    """Move the model's answer away from that without a class (Ho & Salimans, 2022, eq. 6).

        eps = eps(x) + scale (eps(x, y) - eps(x))

    Scale 0 is the data without a class, 1 the class as the model has it, and more than 1 exaggerates what sets it
    apart; the paper's w is scale - 1. Since eps(x, y) - eps(x) = -sigma d log p_t(y | x) / dx, the score is that of
    p_t(x) p_t(y | x)^scale at each time, but those densities are not one another's marginals: at any other scale than
    0 and 1 the samples are *not* those of p(x) p(y | x)^scale. Where the data does not depend on the class, nothing
    changes.

    Two evaluations. It takes a model that was trained with `train.label_dropout` above 0, and samples with labels.

    Args:
        scale: How far to go; at least 0.
    """

    scale: Annotated[float, Ge(0)] = 2.0

    @property
    def claims(self) -> GuidanceClaims:
        """Two evaluations; the conditional model at scale 1. No law is claimed."""
        return GuidanceClaims(evaluations=2, neutral={"scale": 1.0})

    def check(self, plan: Plan, spec: DataSpec) -> None:
        """Refuse a model that does not know the data both ways.

        Raises:
            ConfigError: If it was trained without labels, or with the label of every example.
        """
        if spec.classes is None:
            raise ConfigError(
                "classifier-free guidance needs a model that knows classes, and this one was trained without; train "
                "one with train.labels=true and train.label_dropout=0.1, or use the guidance 'classifier'."
            )
        if not plan.train.label_dropout:
            raise ConfigError(
                "classifier-free guidance needs a model that knows the data without a class too, and this one was "
                "shown every label; train one with train.label_dropout=0.1."
            )

    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The guided model."""
        return _Free(model, self.scale)


class _Free(ScoreModel):
    def __init__(self, model: ScoreModel, scale: float) -> None:
        self._model, self._scale = model, scale

    @property
    def perturbation(self) -> Perturbation:
        return self._model.perturbation

    def __call__(self, x: Tensor, t: Tensor | float, cond: Cond = None) -> Prediction:
        if cond is None or "label" not in cond:
            raise ConfigError("A model with classifier-free guidance is called with labels.")
        others = {name: value for name, value in cond.items() if name != "label"}
        told, free = self._model(x, t, cond), self._model(x, t, others or None)
        # v exists at both ends of time, and all quantities are affine in it with the same factors
        v = told.v + (self._scale - 1) * (told.v - free.v)
        return Prediction(x, told.alpha, told.sigma, v=v, rates=told.rates, log_var=told.log_var)
