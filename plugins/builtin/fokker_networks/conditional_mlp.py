"""A multilayer perceptron with a gain for every noise level."""

from itertools import pairwise
from typing import Annotated, ClassVar

from annotated_types import Gt, Interval, Len
from torch import Tensor, nn
from torch.nn.functional import softplus

from fokker.component import component
from fokker.errors import ConfigError
from fokker.network import Condition, DataSpec, Network

__all__ = ["ConditionalMLP", "ConditionalMLPBackbone"]


@component
class ConditionalMLP(Network):
    """Multilayer perceptron whose hidden values are scaled by the noise level (after NCSN; Song & Ermon, 2019).

        h_0 = x,    h_k = softplus(g_k[i] (W_k h_(k-1) + b_k)),    out = W_out h_last + b_out

    with `i` the level of a table, told by the label `index`, and `g_k` one gain per level and hidden value: a level
    chooses which of the hidden values it uses. It is the conditional instance normalisation of the source's pictures,
    for points and without the normalisation.

    Args:
        widths: Widths of the hidden layers, the first one first.
        least_gain: Gains begin uniform between it and 1.
    """

    widths: Annotated[tuple[Annotated[int, Gt(0)], ...], Len(1)] = (128, 128)
    least_gain: Annotated[float, Interval(ge=0, le=1)] = 0.0

    reads_levels: ClassVar[bool] = True

    def build(self, spec: DataSpec) -> "ConditionalMLPBackbone":
        """Build the backbone; see `Network.build`.

        Raises:
            ConfigError: If the perturbation has no levels, or the data carries conditions, class labels among them.
        """
        if spec.levels is None:
            raise ConfigError(
                "The network conditional-mlp has a gain for each level of a table; use the perturbation 'sigmas' or "
                "'betas', or the network 'mlp'."
            )
        told = [*(["class labels"] if spec.classes is not None else []), *sorted(spec.condition)]
        if told:
            raise ConfigError(
                f"The network conditional-mlp is told the level alone, but the data carries {', '.join(told)}; use "
                "'mlp', or set train.labels = false."
            )
        return ConditionalMLPBackbone(self, spec.numel, spec.levels)


class ConditionalMLPBackbone(nn.Module):
    """The module that `ConditionalMLP` builds.

    Args:
        config: The configuration.
        numel: Number of values in one example.
        levels: Number of levels.
    """

    def __init__(self, config: ConditionalMLP, numel: int, levels: int) -> None:
        super().__init__()
        widths = (numel, *config.widths)
        self.hidden = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(widths)])
        self.gains = nn.ModuleList([nn.Embedding(levels, b) for b in config.widths])
        for gain in self.gains:
            nn.init.uniform_(gain.weight, config.least_gain, 1.0)  # type: ignore[arg-type]
        self.last = nn.Linear(widths[-1], numel)

    def forward(self, x: Tensor, label: Tensor, cond: Condition = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: The network's input, (B, *D).
            label: The level, 1 for the smallest noise, int64, (B,).
            cond: Not looked at; there is none.

        Returns:
            The network's output, (B, *D).

        Raises:
            ConfigError: If the label is no level.
        """
        if label.is_floating_point():
            raise ConfigError("The network conditional-mlp is told the level of a table; use the label 'index'.")
        h = x.flatten(1)
        for layer, gain in zip(self.hidden, self.gains, strict=True):
            h = softplus(gain(label - 1) * layer(h))
        out: Tensor = self.last(h)
        return out.view_as(x)
