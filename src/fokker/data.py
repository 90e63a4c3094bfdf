"""Data: indexed sources in their own units, and invertible transforms into the units a model sees.

    y = T_n(... T_1(x))        log p_x(x) = log p_y(y) + sum log |dT_i|

A source has examples with fixed positions: example `i` of a split is the same tensor in every process and on
every day. Shuffling, batching and sharding belong to whoever reads it.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from fokker.draw.picture import Picture
    from fokker.exact import ExactModel
    from fokker.noise import Noise
    from fokker.perturbation import Perturbation

__all__ = ["Batch", "Blocks", "Chain", "DataSource", "Examples", "Split", "Transform", "evenly_spread"]

_SPREAD = 32  # blocks that examples which stand for all are taken from

Split = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some examples.

    Args:
        x: Examples in the source's own units, (B, *D), float32.
        cond: Conditioning tensors, batch first, those that `Examples.condition` names among them; class labels under
            `label`, int64, (B,).
    """

    x: "Tensor"
    cond: dict[str, "Tensor"]


@dataclass(frozen=True)
class Blocks:
    """How examples lie in their files: runs of neighbours that are read together, such as a row group or a shard.

    Whoever reads in random order then mixes the examples of some blocks at a time, instead of going to another block
    for each example.

    Args:
        sizes: Number of examples of each block, in the order of their positions.
        together: Number of blocks whose examples are mixed at a time, at least 1: a reader keeps that many at hand.
    """

    sizes: tuple[int, ...]
    together: int


class Examples(ABC):
    """An opened split: a fixed, indexed sequence of examples."""

    event_shape: tuple[int, ...]
    """Shape of an example."""
    classes: int | None = None
    """Number of classes; None if there are no labels."""
    condition: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    """Shapes of what a model of the data is told besides classes, by name: `fetch` gives it in `cond`, batch first."""
    blocks: Blocks | None = None
    """How examples lie in their files, if reading one alone costs as much as reading its neighbours too; None if any
    example is as near as any other."""
    notes: tuple[str, ...] = ()
    """What a user should know of what was found on opening, such as files left out; one line each."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def fetch(self, index: Sequence[int]) -> Batch:
        """Read the examples at these positions, in this order.

        Args:
            index: Positions in [0, len), repeats allowed.

        Returns:
            Tensors that are the caller's own: what is written into them does not reach the data.

        Raises:
            IndexError: If a position is behind the last example.
            DataError: If an example cannot be read; the message names the file.
        """


def evenly_spread(examples: Examples, count: int) -> list[int]:
    """Positions of examples that stand for all: evenly spread over the split, in increasing order.

    Where examples lie in more than 32 blocks, they are spread over the examples of 32 evenly spread blocks, or of as
    many as hold that many examples.

    Args:
        examples: The opened split.
        count: Number of positions; all of them if there are fewer.
    """
    n = len(examples)
    count = min(n, count)
    if examples.blocks is None or len(examples.blocks.sizes) <= _SPREAD:
        return [i * n // count for i in range(count)]
    sizes = examples.blocks.sizes
    starts = [0, *accumulate(sizes)]
    few = _SPREAD
    while True:
        few = min(few, len(sizes))
        chosen = [k * len(sizes) // few for k in range(few)]
        ends = list(accumulate(sizes[b] for b in chosen))
        if ends[-1] >= count:
            break
        few *= 2
    found = []
    for offset in (i * ends[-1] // count for i in range(count)):
        k = bisect_right(ends, offset)
        found.append(starts[chosen[k] + 1] - (ends[k] - offset))
    return found


class Transform(ABC):
    """An invertible map of examples with a known log-determinant; subclasses are components."""

    kind: ClassVar[str] = "transform"

    @property
    def wants_examples(self) -> bool:
        """Whether `fit` looks at examples, which are read for it: where a subclass overrides it, unless it says no."""
        return type(self).fit is not Transform.fit

    def fit(self, x: "Tensor") -> "Transform":
        """The same transform with every value that depends on the data filled in, from examples (N, *D).

        What is filled in already stays as it is: a fitted transform is that of its run, whatever data it meets.

        Raises:
            DataError: If `forward` cannot map the examples to finite values.
        """
        return self

    @abstractmethod
    def forward(self, x: "Tensor", noise: "Noise") -> "Tensor":
        """Map examples (B, *D) towards the model's units; `noise` serves dequantisation only."""

    @abstractmethod
    def inverse(self, y: "Tensor") -> "Tensor":
        """Map back; exact on values that `forward` has produced."""

    @abstractmethod
    def log_det(self, x: "Tensor") -> "Tensor":
        """`log |det d forward / d x|` at `x`, in nats, summed over dimensions, (B,)."""

    def log_cell(self, x: "Tensor") -> "Tensor | None":
        """Log-volume of the cell around discrete values `x` that `forward` fills with its noise, in nats, (B,).

        In the units of `x`; None, as here, for a transform that takes values as they are. With it a density becomes a
        probability: `log P(x) = log p_x + log_cell`.
        """
        return None


class DataSource(ABC):
    """A data source's configuration; subclasses are components (`@component`).

    Every source has a field `transforms: tuple[Transform, ...]`, applied in their order.
    """

    kind: ClassVar[str] = "data"
    transforms: tuple[Transform, ...]

    @abstractmethod
    def open(self, split: Split = "train") -> Examples:
        """Open a split, reading or downloading what is needed.

        Raises:
            DataError: If the data is missing or damaged; the message names the file and what to do.
        """

    @property
    def facts(self) -> Mapping[str, str | int | float | bool]:
        """What a file of samples should say of them, such as a sample rate; nothing, as here.

        Sinks find it in their `about`, see `fokker.sink`.
        """
        return {}

    def picture(
        self, x: "Tensor", *, reference: "Tensor | None" = None, like: "Tensor | None" = None, width: int = 720
    ) -> "Picture | None":
        """Draw samples as what they are, for previews, `fokker draw samples` and .png files.

        Args:
            x: Samples in the source's own units, (N, *D), as many as `fokker.draw.shown` says, or more.
            reference: Examples to compare with, (M, *D), drawn beside them.
            like: Examples whose range of values is drawn; the reference, or else the samples, unless given.
            width: Of one panel, about, in pixels.

        Returns:
            The picture; None, as here, where samples are drawn as what their shape says they are.
        """
        return None

    def law(self, perturbation: "Perturbation") -> "ExactModel | None":
        """The law that the examples are drawn from, in the units of the model, where it is known.

        With it a model's score can be held against the true one, see `fokker.fisher`.

        Args:
            perturbation: The perturbation that it is seen through.

        Returns:
            The law behind the transforms, which are fitted; None, as here, where it has no closed form.
        """
        return None


@dataclass(frozen=True)
class Chain:
    """Transforms applied one after another.

    Args:
        transforms: In the order in which `forward` applies them.
    """

    transforms: tuple[Transform, ...] = ()

    def fit(self, x: "Tensor", noise: "Noise") -> "Chain":
        """Fit each transform on what the ones before it make of the examples (N, *D)."""
        fitted = []
        for transform in self.transforms:
            fitted.append(transform.fit(x))
            x = fitted[-1].forward(x, noise)
        return Chain(tuple(fitted))

    def forward(self, x: "Tensor", noise: "Noise") -> "Tensor":
        """Data's own units to the model's units, (B, *D)."""
        for transform in self.transforms:
            x = transform.forward(x, noise)
        return x

    def inverse(self, y: "Tensor") -> "Tensor":
        """The model's units back to the data's own units, (B, *D)."""
        for transform in reversed(self.transforms):
            y = transform.inverse(y)
        return y

    def forward_with_log_det(self, x: "Tensor", noise: "Noise") -> tuple["Tensor", "Tensor"]:
        """The model's units, and the log-determinants summed along the way in nats, (B,)."""
        total = x.new_zeros(x.shape[0])
        for transform in self.transforms:
            total = total + transform.log_det(x)
            x = transform.forward(x, noise)
        return x, total

    def forward_with_log_volume(self, x: "Tensor", noise: "Noise") -> tuple["Tensor", "Tensor"]:
        """The model's units, and what makes a density there one of the data: log p(x) = log p_y(y) + log_volume.

        Of continuous data that is the sum of the log-determinants. Of discrete data it is the log-volume of the cell
        that a value fills in the model's units, and log p(x) is, in the mean over the noise, a lower bound of the
        value's log-probability (Theis et al., 2016, section 3.1), whatever its units are.

        Returns:
            The model's units, (B, *D), and the log-volume in nats, (B,).
        """
        total = x.new_zeros(x.shape[0])
        for transform in self.transforms:
            cell = transform.log_cell(x)
            # a discrete value keeps its probability under what was done to it before
            total = (total if cell is None else cell) + transform.log_det(x)
            x = transform.forward(x, noise)
        return x, total
