"""Hugging Face datasets and WebDataset shards as data of fokker."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register the data sources; nothing is imported until one is used."""
    registry.data(
        "hf",
        "fokker_datasets.huggingface:HuggingFace",
        summary="A Hugging Face dataset on disk: Parquet, Arrow, a saved dataset, a folder of pictures.",
    )
    registry.data(
        "webdataset",
        "fokker_datasets.shards:WebDataset",
        summary="Samples in tar shards, as the library webdataset writes them.",
    )
