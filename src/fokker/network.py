"""Networks: a frozen configuration that builds the `nn.Module` behind a learned score.

    output = backbone(x, label, cond)        x (B, *D), label (B,), output (B, *D)

The backbone knows nothing of perturbations: what it is told of the time is the `label` (see `fokker.label`),
and how its output is read is the parameterization (see `fokker.prediction`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fokker.width import Width

__all__ = ["Answer", "Condition", "DataSpec", "Network", "Published"]

Condition: TypeAlias = "Mapping[str, Tensor] | None"
"""What a model is conditioned on: named tensors, batch first; class labels are `cond["label"]`, int64, (B,)."""


Answer: TypeAlias = Literal["data", "classes"]
"""What a network answers with and an objective teaches: `data`, an output of the shape of `x` that a parameterization
reads, or `classes`, the logits of each class, (B, classes)."""


@dataclass(frozen=True)
class DataSpec:
    """What a network must know of the data that it will see.

    Args:
        event_shape: Shape of one example, `*D`; any number of dimensions, at least one.
        classes: Number of classes if examples carry a label in `cond["label"]`, else None.
        condition: Shapes of further conditioning tensors by name, without the batch dimension.
        levels: Number of levels of a tabulated perturbation, None for a continuous one.
        width: Widths of the data in the model's units, where they were measured; no part of what the data is.
    """

    event_shape: tuple[int, ...]
    classes: int | None = None
    condition: Mapping[str, tuple[int, ...]] = dataclass_field(default_factory=dict)
    levels: int | None = None
    width: "Width | None" = dataclass_field(default=None, compare=False)

    @property
    def numel(self) -> int:
        """Number of values in one example."""
        return prod(self.event_shape)

    def told(self, cond: "Mapping[str, Tensor]") -> "dict[str, Tensor] | None":
        """Of what is known of some examples, what a model of the data is told; None where that is nothing.

        Args:
            cond: What `fokker.data.Batch.cond` holds.
        """
        names = [*self.condition, *(["label"] if self.classes is not None else [])]
        return {name: cond[name] for name in names} or None


@dataclass(frozen=True, eq=False)
class Published:
    """What is found in published weights; see `Network.published` and `fokker.format.Format`.

    Args:
        weights: The weights under the names of the network's own backbone. A tensor that the backbone has no place for
            stays among them, under any name, and is refused by that.
        facts: Tables of a plan that follow from the tensors: `network`, and whatever else the file decides, such as the
            `perturbation` or the `parameterization`. They stand over a recipe's.
        defaults: Tables that a recipe may replace, such as `sample`.
        ema: The moving average of the weights under the same names, if the file has one; buffers may be left out.
        condition: Gives the shapes of what the network is told of an example of a shape, besides classes, where the
            data itself is not there to say so.
        shape: Shape of one example, if what is stored tells; it serves where the data is not at hand.
        classes: Number of classes that the network is told apart, likewise.
    """

    weights: "Mapping[str, Tensor]"
    facts: Mapping[str, Any]
    defaults: Mapping[str, Any] = dataclass_field(default_factory=dict)
    ema: "Mapping[str, Tensor] | None" = None
    condition: "Callable[[tuple[int, ...]], Mapping[str, tuple[int, ...]]] | None" = None
    shape: tuple[int, ...] | None = None
    classes: int | None = None


class Network(ABC):
    """A network's configuration; subclasses are components (`@component`)."""

    kind: ClassVar[str] = "network"
    reads_levels: ClassVar[bool] = False
    """Whether its label must be the level of a table, int64, as the label `index` gives it."""
    answers: ClassVar[Answer] = "data"
    """What its output is; a network that answers with classes is told none."""

    @property
    def examples(self) -> "tuple[DataSpec, ...]":
        """Small data that it is made for, which the conformance kit tries first.

        A network that takes none of the usual event shapes, or nothing without a condition, names some here.
        """
        return ()

    @classmethod
    def published(cls, content: Any) -> "Published | None":
        """What there is for this network in a file of published weights, for `fokker convert`.

        Every network is asked in turn; a network without published weights leaves this as it is. No code of the file
        has been run: `content` is made of dictionaries, lists, tensors, numbers and texts alone.

        Args:
            content: What was read: of a .safetensors file a dictionary of its tensors, of a PyTorch file whatever was
                saved.

        Returns:
            The weights under its own names, and what they say of the plan; None if the file is not its own.
        """
        return None

    @abstractmethod
    def build(self, spec: DataSpec) -> "nn.Module":
        """Build the backbone with freshly initialised weights, on the CPU, in float32.

        Initial weights are drawn from torch's global generator, which the caller seeds.

        Args:
            spec: Event shape, number of classes and conditions of the data.

        Returns:
            A module with `forward(x, label, cond=None)`: `x` (B, *D), `label` (B,) floating or int64, `cond` a
            mapping of batch-first tensors or None; the output has the shape of `x`, or is (B, classes), as `answers`
            says. A network that is told classes takes the label `spec.classes` too, and `cond` without labels, both
            for "no label", if it is to be trained with `train.label_dropout`.

        Raises:
            ConfigError: If the network cannot take this event shape, with what would fit.
        """
