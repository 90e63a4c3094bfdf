"""Guidance: a score model around a score model.

What steers a sampler towards a class, a measurement or a property changes the score it sees and nothing else, so
every sampler can be guided and guidances can be stacked.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fokker.exact import Gaussian
from fokker.model import ScoreModel

if TYPE_CHECKING:
    from fokker.network import DataSpec
    from fokker.plan import Plan

__all__ = ["Guidance", "GuidanceClaims"]


@dataclass(frozen=True)
class GuidanceClaims:
    """What a guidance claims of itself and the tests measure.

    Args:
        evaluations: Evaluations of the model that it wraps, per call; None where it varies.
        neutral: Values of fields with which the guided model is the model itself; None where there are none.
        bias: Largest error of the mean of the guided probability flow at its end, on Gaussian data, in standard
            deviations of the law that it should have; 0 where the guided score is exact, None where no law is claimed.
    """

    evaluations: int | None = 1
    neutral: Mapping[str, Any] | None = None
    bias: float | None = None


class Guidance(ABC):
    """A guidance's configuration; subclasses are components (`@component`)."""

    kind: ClassVar[str] = "guidance"

    @property
    def claims(self) -> GuidanceClaims:
        """What the guidance claims and the tests measure: one evaluation per call unless a subclass says more."""
        return GuidanceClaims()

    @property
    def classes(self) -> int | None:
        """Number of classes that it steers towards by itself, for a model without labels too; None for none.

        Samples then have labels as those of a model with classes do.
        """
        return None

    def check(self, plan: "Plan", spec: "DataSpec") -> None:
        """Refuse a trained model that it cannot guide, before any work; nothing is refused unless a subclass says so.

        Args:
            plan: What the model was trained by, with fitted transforms.
            spec: Shape and classes of the data that the model knows.

        Raises:
            ConfigError: With the reason and a way out.
        """
        return

    @abstractmethod
    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The guided model.

        Args:
            model: The model to guide; each of its calls counts as one evaluation of the network.

        Returns:
            A model with the same perturbation, which answers with a `Prediction` at the state that it was given.

        Raises:
            ConfigError: If the model cannot be guided so; where the event shape does not fit, its calls raise it.
        """

    def law(self, prior: Gaussian) -> Gaussian | None:
        """The law that guided samples should have where the model is exact for Gaussian data.

        Args:
            prior: The data.

        Returns:
            The exact posterior, seen through the same perturbation; None where no law is claimed (`claims.bias`).

        Raises:
            ConfigError: If the event shape does not fit.
        """
        return None
