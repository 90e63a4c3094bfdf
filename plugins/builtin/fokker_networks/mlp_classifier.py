"""The multilayer perceptron that tells classes of noisy data apart."""

import dataclasses
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from fokker.component import component
from fokker.errors import ConfigError
from fokker.network import Answer, Condition, DataSpec, Network
from fokker_networks.activation import ACTIVATIONS, Activation
from fokker_networks.conditioning import Conditioning
from fokker_networks.embedding import EmbeddingName
from fokker_networks.mlp import MLP, Layer
from fokker_networks.spatial import zero

__all__ = ["MLPClassifier", "MLPClassifierBackbone", "number_of_classes"]


@component
class MLPClassifier(Network):
    """Residual multilayer perceptron with an output for each class, for events of any shape, taken as one vector.

        h_0 = W_in x + b_in,    h_k = h_(k-1) + W'_k act(W_k h_(k-1) + U_k c + b_k) + b'_k
        logits = W_out act(h_depth) + b_out

    with `c` the vector made of the label of the time. It is the body of `mlp` under another head.

    Args:
        width: Width of the hidden layers.
        depth: Number of residual blocks between the first and the last map.
        activation: `silu`, `softplus`, `elu`, `relu`, `tanh` or `gelu`.
        dropout: Probability of dropping a hidden value, in [0, 1).
        embedding: `positional` suits labels in the hundreds (`1000t`), `fourier` labels of the order of 1.
        embedding_width: Width of the embedding of the label and of the vector made from it.
        fourier_scale: Standard deviation of the Fourier embedding's frequencies.
    """

    answers: ClassVar[Answer] = "classes"

    width: Annotated[int, Gt(0)] = 128
    depth: Annotated[int, Gt(0)] = 2
    activation: Activation = "silu"
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    embedding: EmbeddingName = "positional"
    embedding_width: Annotated[int, Gt(0)] = 64
    fourier_scale: Annotated[float, Gt(0)] = 1.0

    def build(self, spec: DataSpec) -> "MLPClassifierBackbone":
        """Build the backbone; see `Network.build`.

        Raises:
            ConfigError: If the data has no classes, or carries other conditions.
        """
        return MLPClassifierBackbone(self, spec, number_of_classes(spec, "mlp-classifier"))


class MLPClassifierBackbone(nn.Module):
    """The module that `MLPClassifier` builds.

    Args:
        config: The configuration.
        spec: The data.
        classes: Its number of classes.
    """

    def __init__(self, config: MLPClassifier, spec: DataSpec, classes: int) -> None:
        super().__init__()
        body = MLP(**{f.name: getattr(config, f.name) for f in dataclasses.fields(config)})
        self.conditioning = Conditioning(
            dataclasses.replace(spec, classes=None),
            config.embedding,
            config.embedding_width,
            config.embedding_width,
            config.fourier_scale,
        )
        self.first = nn.Linear(spec.numel, config.width)
        self.layers = nn.ModuleList([Layer(body) for _ in range(config.depth)])
        self.activation = ACTIVATIONS[config.activation]()
        self.head = nn.Linear(config.width, classes)
        zero(self.head)

    def forward(self, x: Tensor, label: Tensor, cond: Condition = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: The network's input, (B, *D).
            label: What it is told of the time, (B,), floating or int64.
            cond: Not looked at.

        Returns:
            Logits, (B, classes).
        """
        c = self.conditioning(label)
        h = self.first(x.flatten(1))
        for layer in self.layers:
            h = layer(h, c)
        logits: Tensor = self.head(self.activation(h))
        return logits


def number_of_classes(spec: DataSpec, name: str) -> int:
    """The classes of data.

    Raises:
        ConfigError: If there are none.
    """
    if spec.classes is None:
        raise ConfigError(
            f"The network {name} tells classes apart, and is told of none; set train.labels = true, on data with "
            "labels, or use the network 'mlp'."
        )
    return spec.classes
