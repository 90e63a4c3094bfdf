"""Networks for data of any shape: multilayer perceptrons and a convolutional U-Net."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register the networks of this plugin."""
    registry.network("mlp", "fokker_networks.mlp:MLP", summary="Residual multilayer perceptron for any event shape.")
    registry.network(
        "plain-mlp",
        "fokker_networks.plain_mlp:PlainMLP",
        summary="Multilayer perceptron that is told nothing of the time.",
    )
    registry.network(
        "conditional-mlp",
        "fokker_networks.conditional_mlp:ConditionalMLP",
        summary="Multilayer perceptron with a gain for every noise level.",
    )
    registry.network(
        "unet", "fokker_networks.unet:UNet", summary="Convolutional U-Net in one, two or three spatial dimensions."
    )
    registry.network(
        "mlp-classifier",
        "fokker_networks.mlp_classifier:MLPClassifier",
        summary="Multilayer perceptron that tells classes of noisy data apart.",
    )
    registry.network(
        "conv-classifier",
        "fokker_networks.conv_classifier:ConvClassifier",
        summary="Convolutions that tell classes of noisy data apart, in one to three spatial dimensions.",
    )
