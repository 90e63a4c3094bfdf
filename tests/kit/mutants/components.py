from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge

from fokker.component import component
from fokker.grid import Grid, Uniform


@dataclass(unsafe_hash=True)
class Mutable(Grid):
    """A grid.

    Args:
        end: Last time.
    """

    end: float = 0.1

    def times(self, perturbation, steps):
        return Uniform(end=self.end).times(perturbation, steps)


@component
class Sound(Grid):
    """A grid.

    Args:
        end: Last time.
    """

    end: Annotated[float, Ge(0)] = 0.1

    def times(self, perturbation, steps):
        return Uniform(end=self.end).times(perturbation, steps)


@component
class Undocumented(Grid):
    """A grid, without a word about its field."""

    end: float = 0.1

    def times(self, perturbation, steps):
        return Uniform(end=self.end).times(perturbation, steps)


@component
class Unwritable(Grid):
    """A grid with a field that is not part of its configuration.

    Args:
        end: Last time.
        start: First time, kept from the constructor.
    """

    end: float = 0.1
    start: float = field(default=1.0, init=False)

    def __post_init__(self):
        object.__setattr__(self, "start", 1.0 - self.end / 10)

    def times(self, perturbation, steps):
        return Uniform(end=self.end).times(perturbation, steps)


MUTANTS = {
    "can be changed after it was made": (Sound(), Mutable(), "frozen"),
    "says nothing of a field": (Sound(), Undocumented(), "documented"),
    "takes nan for a number": (Sound(), Mutable(), "bounds-are-checked"),
    "has a field that no configuration can say": (Sound(), Unwritable(), "round-trip"),
}
