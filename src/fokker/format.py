"""Formats: how another program stores a trained model, for `fokker convert` to take in and to write out.

    place  --read-->  Published  -->  a run          a run  --write-->  place

A format says what a file or folder means; making a run of it, checking that every tensor fits, and putting what is
written in its place at once belong to `fokker.run.convert`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fokker.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from fokker.network import DataSpec, Published
    from fokker.plan import Plan
    from fokker.plugins.registry import Registry

__all__ = ["Format"]


class Format(ABC):
    """How another program stores a trained model; subclasses are components (`@component`)."""

    kind: ClassVar[str] = "format"
    writes: ClassVar[bool] = False
    """Whether runs can be written in it, not only made of what is."""
    suffix: ClassVar[str] = ""
    """How the name of what is written ends; empty where it does not matter, as for a folder."""

    @property
    def example(self) -> Mapping[str, Any] | None:
        """Tables of a small plan that can be written, for the conformance kit; None where any plan can."""
        return None

    @abstractmethod
    def recognises(self, place: Path) -> bool:
        """Whether a file or folder is, by its outline, in this format; it need not be there.

        Every format is asked, so that this is quick and opens nothing large.
        """

    @abstractmethod
    def read(self, place: Path, registry: "Registry") -> "Published":
        """What is stored there. No code of it is run.

        Args:
            place: The file or folder.
            registry: The components that there are.

        Raises:
            ConfigError: If it says something that fokker has no place for, naming it.
            RunError: If it cannot be read.
        """

    def write(
        self, place: Path, registry: "Registry", plan: "Plan", spec: "DataSpec", weights: "Mapping[str, Tensor]"
    ) -> None:
        """Store a trained model.

        Args:
            place: The file or folder to make; there is none yet.
            registry: The components that there are.
            plan: The run's plan.
            spec: Shape and classes of its data.
            weights: The network's tensors by the names of its backbone.

        Raises:
            ConfigError: If the format has no place for a part of the plan, naming it.
        """
        raise ConfigError(f"{type(self).__name__} is a format that is taken in alone; runs cannot be written in it.")
