"""Networks with one defect each."""

from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt
from torch import nn
from torch.nn import functional as F

from fokker.component import component
from fokker.errors import ConfigError
from fokker.network import DataSpec, Network, Published
from fokker.perturbation import expand


@component
class Dense(Network):
    """Two linear maps with random features of the label between them.

    Args:
        width: Hidden values.
    """

    width: Annotated[int, Gt(0)] = 8

    def build(self, spec):
        if spec.condition:
            raise ConfigError("Dense takes no conditions; choose data without them.")
        return self.module()(spec, self.width)

    def module(self):
        return Backbone


class Backbone(nn.Module):
    def __init__(self, spec, width):
        super().__init__()
        self.first = nn.Linear(spec.numel, width)
        self.register_buffer("frequencies", self.features(width))
        self.table = nn.Embedding(spec.classes, width) if spec.classes else None
        self.last = nn.Linear(width, spec.numel)
        nn.init.zeros_(self.last.weight)

    def features(self, width):
        return torch.randn(width)

    def forward(self, x, label, cond=None):
        h = self.first(x.flatten(1)) + (label.to(x.dtype)[:, None] * self.frequencies).sin()
        if self.table is not None:
            h = h + self.table(cond["label"])
        return self.last(self.between(h)).view_as(x)

    def between(self, h):
        return F.silu(h)


def mutant(**methods):
    """Dense with a backbone that differs in these methods."""
    backbone = type("Mutant", (Backbone,), methods)
    return type("Mutant", (Dense,), {"__doc__": Dense.__doc__, "module": lambda self: backbone})()


def flat(self, x, label, cond=None):
    return Backbone.forward(self, x, label, cond).flatten(1)


def batch_statistics(self, h):
    # nn.BatchNorm that nobody has put into evaluation mode
    return F.silu(F.batch_norm(h, None, None, training=True) if len(h) > 1 else h)


def first_batch(self, h):
    # made for the first batch that it sees
    if not hasattr(self, "offset"):
        self.register_buffer("offset", torch.linspace(0, 1, len(h), dtype=h.dtype)[:, None], persistent=False)
    return F.silu(h + self.offset)


def always_dropping(self, h):
    return F.dropout(F.silu(h), 0.5)


def in_place(self, x, label, cond=None):
    x /= 1 + x.abs()
    return Backbone.forward(self, x, label, cond)


def own_generator(self, width):
    generator = torch.Generator()
    generator.seed()
    return torch.randn(width, generator=generator)


def never_used(self, spec, width):
    Backbone.__init__(self, spec, width)
    self.extra = nn.Linear(width, width)


def root(self, h):
    # the root of what is not chosen has a gradient too, and it is not a number
    return torch.where(h > 0, h.sqrt(), 0)


def not_saved(self, spec, width):
    Backbone.__init__(self, spec, width)
    self.register_buffer("frequencies", self.frequencies, persistent=False)


def tied(self, spec, width):
    # what is read with a matrix is written with its transpose
    Backbone.__init__(self, spec, width)
    self.last.weight = nn.Parameter(self.first.weight.data.T)


def read_while_built(self, width):
    frequencies = torch.randn(width)
    return frequencies / float(frequencies.abs().max())


def plain_tensor(self, spec, width):
    Backbone.__init__(self, spec, width)
    self.offset = torch.linspace(0, 1, width)


def with_offset(self, h):
    return F.silu(h + self.offset)


def classless(self, x, label, cond=None):
    return Backbone.forward(self, x, label, {"label": torch.zeros(len(x), dtype=torch.int64)})


class Refusing(Dense):
    __doc__ = Dense.__doc__

    def build(self, spec):
        raise ConfigError("Refusing takes nothing.")


class Unconditional(Dense):
    __doc__ = Dense.__doc__

    def build(self, spec):
        return Backbone(spec, self.width)


class Conditional(Dense):
    __doc__ = Dense.__doc__

    def build(self, spec):
        return Told(spec, self.width)


class Told(Backbone):
    def __init__(self, spec, width):
        super().__init__(spec, width)
        self.weights = nn.ParameterDict({name: torch.ones(()) for name in spec.condition})

    def forward(self, x, label, cond=None):
        told = sum(weight * cond[name].flatten(1).mean(1) for name, weight in self.weights.items())
        return Backbone.forward(self, x + expand(told, x) if self.weights else x, label, cond)


class Classes(Dense):
    __doc__ = Dense.__doc__
    answers: ClassVar[Literal["data", "classes"]] = "classes"

    def build(self, spec):
        if spec.classes is None:
            raise ConfigError("Classes tells classes apart; choose data with some.")
        return self.module()(spec, self.width)

    def module(self):
        return ClassesBackbone


class ClassesBackbone(Backbone):
    def __init__(self, spec, width):
        super().__init__(DataSpec(spec.event_shape), width)
        self.last = nn.Linear(width, spec.classes)

    def forward(self, x, label, cond=None):
        h = self.first(x.flatten(1)) + (label.to(x.dtype)[:, None] * self.frequencies).sin()
        return self.last(self.between(h))


class Peeking(ClassesBackbone):
    def forward(self, x, label, cond=None):
        return super().forward(x + cond["label"].to(x.dtype).mean(), label)


class PositionForPosition(ClassesBackbone):
    def __init__(self, spec, width):
        super().__init__(spec, width)
        self.last = nn.Linear(width, spec.numel)


class OtherNone(Backbone):
    def __init__(self, spec, width):
        super().__init__(spec, width)
        self.table = nn.Embedding(spec.classes + 1, width) if spec.classes else None

    def forward(self, x, label, cond=None):
        return super().forward(x, label, cond or {"label": torch.zeros(len(x), dtype=torch.int64)})


def with_backbone(base, backbone):
    """A network that builds this backbone."""
    return type("Mutant", (base,), {"__doc__": base.__doc__, "module": lambda self: backbone})()


class Greedy(Dense):
    __doc__ = Dense.__doc__

    @classmethod
    def published(cls, content):
        return Published(content, {}) if isinstance(content, dict) else None


class Trusting(Dense):
    __doc__ = Dense.__doc__

    @classmethod
    def published(cls, content):
        return Published(content["model"], {}) if "first.weight" in content["model"] else None


class Narrow(Dense):
    __doc__ = Dense.__doc__

    def build(self, spec):
        return Backbone(spec, 8)


MUTANTS = {
    "takes no data at all": (Dense(), Refusing(), "some-data"),
    "flattens its output": (Dense(), mutant(forward=flat), "event-shape[3x17x23]"),
    "takes batch statistics while sampling": (Dense(), mutant(between=batch_statistics), "batch-independent"),
    "bakes in the size of its first batch": (Dense(), mutant(between=first_batch), "batch-independent"),
    "drops values in evaluation mode": (Dense(), mutant(between=always_dropping), "deterministic"),
    "scales its input in place": (Dense(), mutant(forward=in_place), "input-untouched"),
    "has random features that no seed decides": (Dense(), mutant(features=own_generator), "seeded"),
    "has a layer that is never used": (Dense(), mutant(__init__=never_used), "gradients"),
    "has a gradient that is not a number": (Dense(), mutant(between=root), "gradients"),
    "has random features that are not saved": (Dense(), mutant(__init__=not_saved), "weights-round-trip"),
    "ties two weights": (Dense(), mutant(__init__=tied), "weights-round-trip"),
    "reads a weight while it is built": (Dense(), mutant(features=read_while_built), "meta-device"),
    "keeps a table that is no buffer": (Dense(), mutant(__init__=plain_tensor, between=with_offset), "moves"),
    "ignores classes": (Dense(), mutant(forward=classless), "classes"),
    "has two ways to be told no class": (Dense(), with_backbone(Dense, OtherNone), "classes"),
    "is told the class that it should find": (Classes(), with_backbone(Classes, Peeking), "classes"),
    "has no output for each class": (Classes(), with_backbone(Classes, PositionForPosition), "event-shape[16]"),
    "ignores a condition": (Conditional(), Unconditional(), "conditions"),
    "takes any weights for its own": (Dense(), Greedy(), "published-weights"),
    "expects its own weights in any file": (Dense(), Trusting(), "published-weights"),
    "ignores its width": (Dense(), Narrow(), "field[width]"),
}
