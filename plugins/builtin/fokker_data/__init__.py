"""Data: toy distributions, embedded and published images, own files, and the transforms between them and a model."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register the data sources and transforms."""
    registry.data("swiss-roll", "fokker_data.toy:SwissRoll", summary="A spiral in the plane with Gaussian noise.")
    registry.data("two-gaussians", "fokker_data.toy:TwoGaussians", summary="Two narrow Gaussians, far apart.")
    registry.data("ring", "fokker_data.toy:Ring", summary="Gaussians on a circle.")
    registry.data("moons", "fokker_data.toy:Moons", summary="Two interleaved half circles with Gaussian noise.")
    registry.data("checkerboard", "fokker_data.toy:Checkerboard", summary="Uniform on every other square of a board.")
    registry.data(
        "mixture",
        "fokker_data.mixture:MixtureFile",
        summary="Gaussians with the weights, means and covariances of a file.",
    )
    registry.data("digits", "fokker_data.digits:Digits", summary="1,797 handwritten digits of 8x8 pixels, embedded.")
    registry.data(
        "fashion-mnist",
        "fokker_data.fashion_mnist:FashionMNIST",
        summary="70,000 grey pictures of clothes, 28x28; downloaded where they are missing.",
    )
    registry.data("idx", "fokker_data.idx:Idx", summary="Own IDX files of any type and rank, such as MNIST's.")
    registry.data("images", "fokker_data.images:Images", summary="A folder tree of pictures, read as they are needed.")
    registry.data("array", "fokker_data.array:Array", summary="An own array of any shape: .npy, .npz or .csv.")

    registry.transform(
        "standardise", "fokker_data.transforms:Standardise", summary="Mean 0 and standard deviation 1, fitted."
    )
    registry.transform("range", "fokker_data.transforms:Range", summary="From [0, 1] to [low, high].")
    registry.transform(
        "dequantise", "fokker_data.transforms:Dequantise", summary="Uniform noise that fills the gaps between levels."
    )
    registry.transform("logit", "fokker_data.transforms:Logit", summary="From [0, 1] to the whole line.")
