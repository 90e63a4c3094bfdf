"""The multilayer perceptron: a network for events of any shape, taken as one vector."""

from typing import Annotated

from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from fokker.component import component
from fokker.network import Condition, DataSpec, Network
from fokker_networks.activation import ACTIVATIONS, Activation
from fokker_networks.conditioning import Conditioning
from fokker_networks.embedding import EmbeddingName
from fokker_networks.spatial import zero

__all__ = ["MLP", "MLPBackbone"]


@component
class MLP(Network):
    """Multilayer perceptron that is told the time in every layer (after the residual networks of He et al., 2016).

        h_0 = W_in x + b_in
        h_k = h_(k-1) + W'_k act(W_k h_(k-1) + U_k c + b_k) + b'_k        (residual)
        h_k = act(W_k h_(k-1) + U_k c + b_k)                              (otherwise)
        out = W_out act(h_depth) + b_out

    with `c` the vector made of the label and the class. In the residual form `W_out` reads `act(h)`, otherwise `h`.

    Args:
        width: Width of the hidden layers.
        depth: Number of layers or residual blocks between the first and the last map.
        activation: `silu`, `softplus`, `elu`, `relu`, `tanh` or `gelu`; where a method differentiates the score
            (`explicit`, `sliced`), `relu` has no curvature to give, the others have.
        residual: Add each block's input to its output.
        dropout: Probability of dropping a hidden value, in [0, 1).
        embedding: `positional` suits labels in the hundreds (`1000t`), `fourier` labels of the order of 1.
        embedding_width: Width of the embedding of the label and of the vector made from it.
        fourier_scale: Standard deviation of the Fourier embedding's frequencies.
    """

    width: Annotated[int, Gt(0)] = 128
    depth: Annotated[int, Gt(0)] = 3
    activation: Activation = "silu"
    residual: bool = True
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    embedding: EmbeddingName = "positional"
    embedding_width: Annotated[int, Gt(0)] = 64
    fourier_scale: Annotated[float, Gt(0)] = 1.0

    def build(self, spec: DataSpec) -> "MLPBackbone":
        """Build the backbone; see `Network.build`.

        Raises:
            ConfigError: If the data carries conditions other than class labels.
        """
        return MLPBackbone(self, spec)


class MLPBackbone(nn.Module):
    """The module that `MLP` builds.

    Args:
        config: The configuration.
        spec: The data.
    """

    def __init__(self, config: MLP, spec: DataSpec) -> None:
        super().__init__()
        self.conditioning = Conditioning(
            spec, config.embedding, config.embedding_width, config.embedding_width, config.fourier_scale
        )
        self.first = nn.Linear(spec.numel, config.width)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.depth)])
        self.activation = ACTIVATIONS[config.activation]() if config.residual else nn.Identity()
        self.last = nn.Linear(config.width, spec.numel)
        zero(self.last)

    def forward(self, x: Tensor, label: Tensor, cond: Condition = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: The network's input, (B, *D).
            label: What it is told of the time, (B,), floating or int64.
            cond: Class labels under `label`, int64, (B,), where the data has classes.

        Returns:
            The network's output, (B, *D).
        """
        c = self.conditioning(label, cond)
        h = self.first(x.flatten(1))
        for layer in self.layers:
            h = layer(h, c)
        out: Tensor = self.last(self.activation(h))
        return out.view_as(x)


class Layer(nn.Module):
    """One hidden layer, or one residual block of two maps.

    Args:
        config: The configuration.
    """

    def __init__(self, config: MLP) -> None:
        super().__init__()
        self.inner = nn.Linear(config.width, config.width)
        self.time = nn.Linear(config.embedding_width, config.width, bias=False)
        self.activation = ACTIVATIONS[config.activation]()
        self.dropout = nn.Dropout(config.dropout)
        self.outer = nn.Linear(config.width, config.width) if config.residual else None

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """Hidden values (B, width) and conditioning vectors (B, embedding_width) to hidden values (B, width)."""
        inner: Tensor = self.dropout(self.activation(self.inner(h) + self.time(c)))
        return inner if self.outer is None else h + self.outer(inner)
