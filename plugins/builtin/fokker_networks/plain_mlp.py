"""The plain multilayer perceptron, which sees the data and nothing else."""

from itertools import pairwise
from typing import Annotated

from annotated_types import Gt, Len
from torch import Tensor, nn

from fokker.component import component
from fokker.errors import ConfigError
from fokker.network import Condition, DataSpec, Network
from fokker_networks.activation import ACTIVATIONS, Activation

__all__ = ["PlainMLP", "PlainMLPBackbone"]


@component
class PlainMLP(Network):
    """Multilayer perceptron that is told nothing of the time.

        h_0 = x,    h_k = act(W_k h_(k-1) + b_k),    out = W_out h_last + b_out

    What the noise level changes is left to the parameterization: `sigma-scaled` divides its output by sigma (Song &
    Ermon, 2020, technique 3). It suits a single level, or small data over few of them; elsewhere `mlp`, which is told
    the time, learns more. Weights begin as torch's linear layers do.

    Args:
        widths: Widths of the hidden layers, the first one first.
        activation: `silu`, `softplus`, `elu`, `relu`, `tanh` or `gelu`; where a method differentiates the score
            (`explicit`, `sliced`), `relu` has no curvature to give, the others have.
    """

    widths: Annotated[tuple[Annotated[int, Gt(0)], ...], Len(1)] = (128, 128)
    activation: Activation = "silu"

    def build(self, spec: DataSpec) -> "PlainMLPBackbone":
        """Build the backbone; see `Network.build`.

        Raises:
            ConfigError: If the data carries conditions, class labels among them.
        """
        told = [*(["class labels"] if spec.classes is not None else []), *sorted(spec.condition)]
        if told:
            raise ConfigError(
                f"The network plain-mlp is told nothing, but the data carries {', '.join(told)}; use mlp, or set "
                "train.labels = false."
            )
        return PlainMLPBackbone(self, spec)


class PlainMLPBackbone(nn.Module):
    """The module that `PlainMLP` builds.

    Args:
        config: The configuration.
        spec: The data.
    """

    def __init__(self, config: PlainMLP, spec: DataSpec) -> None:
        super().__init__()
        widths = (spec.numel, *config.widths)
        self.hidden = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(widths)])
        self.activation = ACTIVATIONS[config.activation]()
        self.last = nn.Linear(widths[-1], spec.numel)

    def forward(self, x: Tensor, label: Tensor, cond: Condition = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: The network's input, (B, *D).
            label: Not looked at.
            cond: Not looked at; there is none.

        Returns:
            The network's output, (B, *D).
        """
        h = x.flatten(1)
        for layer in self.hidden:
            h = self.activation(layer(h))
        out: Tensor = self.last(h)
        return out.view_as(x)
