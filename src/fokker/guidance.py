"""Guidance: a score model around a score model.

What steers a sampler towards a class, a measurement or a property changes the score it sees and nothing else, so
every sampler can be guided and guidances can be stacked.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from fokker.model import ScoreModel

__all__ = ["Guidance"]


class Guidance(ABC):
    """A guidance's configuration; subclasses are components (`@component`)."""

    kind: ClassVar[str] = "guidance"

    @abstractmethod
    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The guided model.

        Args:
            model: The model to guide; each of its calls counts as one evaluation of the network.

        Returns:
            A model with the same perturbation.
        """
