"""Guidance: a score model around a score model.

What steers a sampler towards a class, a measurement or a property changes the score it sees and nothing else, so
every sampler can be guided and guidances can be stacked.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from fokker.data import Chain, DataSource, Examples
from fokker.errors import ConfigError
from fokker.exact import Gaussian
from fokker.model import ScoreModel
from fokker.network import DataSpec

if TYPE_CHECKING:
    from fokker.plan import Plan

__all__ = ["Guidance", "GuidanceClaims", "Subject"]


@dataclass(frozen=True)
class Subject:
    """What is sampled, as far as a measurement of it must know.

    Args:
        spec: Shape and classes of the data.
        chain: The transforms between the data's own units, in which things are measured, and the model's.
        data: Where examples to measure can be had, and what a model with conditions is told; None where there are none.
    """

    spec: DataSpec
    chain: Chain = field(default_factory=Chain)
    data: DataSource | None = None

    def told(self, index: Sequence[int]) -> Mapping[str, Tensor]:
        """What samples are told besides their class: sample `i` what example `i` of the test split is, in turn.

        Args:
            index: Absolute indices of the samples, (B,).

        Returns:
            Tensors by name, batch first; nothing for a model without conditions.

        Raises:
            ConfigError: If there is no data, or if it has other conditions.
            DataError: If it has no test split, or if a file cannot be read.
        """
        wanted = self.spec.condition
        if not wanted:
            return {}
        cond = self._held_out.fetch([i % len(self._held_out) for i in index]).cond
        return {name: cond[name] for name in wanted}

    @cached_property
    def _held_out(self) -> Examples:
        names = ", ".join(sorted(self.spec.condition))
        if self.data is None:
            raise ConfigError(f"This model is told {names} of each sample; give the data that has it.")
        examples = self.data.open("test")
        if dict(examples.condition) != dict(self.spec.condition):
            there = ", ".join(f"{name} {shape}" for name, shape in examples.condition.items()) or "none"
            asked = ", ".join(f"{name} {shape}" for name, shape in self.spec.condition.items())
            raise ConfigError(f"This model is told {asked}; the conditions of this data are: {there}.")
        return examples


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

    def conditions(self, subject: Subject, index: Sequence[int]) -> Mapping[str, Tensor]:
        """What the guided model must know of each sample, such as what was measured of it; nothing, as here.

        The tensors are added to the `cond` of every call, each row beside its sample, so that samples do not depend on
        their batch and a sampler may advance some rows alone. A name that no other guidance uses is `repr(self)` with
        a word.

        Args:
            subject: What is sampled.
            index: Absolute indices of the samples, (B,).

        Returns:
            Tensors by name, batch first; floating ones are cast to the precision of the states.

        Raises:
            ConfigError: If the event shape or the transforms do not fit.
            DataError: If a file cannot be read.
        """
        return {}

    def law(self, prior: Gaussian, cond: Mapping[str, Tensor] | None = None) -> Gaussian | None:
        """The law that guided samples should have where the model is exact for Gaussian data.

        Args:
            prior: The data.
            cond: The conditions of one sample; None where the guidance has none.

        Returns:
            The exact posterior, seen through the same perturbation; None where no law is claimed (`claims.bias`).

        Raises:
            ConfigError: If the event shape does not fit.
        """
        return None
