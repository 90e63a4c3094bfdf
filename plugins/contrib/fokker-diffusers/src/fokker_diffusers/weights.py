"""Weights of a model's folder: safetensors alone, whole or in parts."""

import json
from pathlib import Path

from fokker.errors import RunError
from safetensors.torch import load_file
from torch import Tensor

__all__ = ["NAME", "read_weights"]

NAME = "diffusion_pytorch_model.safetensors"
"""The file that `save_pretrained` writes."""


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a model's folder, in the precision that they are stored in.

    Args:
        folder: The folder of one model, with its config.json.

    Raises:
        RunError: If there are none, or only in a file that would have to be unpickled, or if a file is damaged.
    """
    index = folder / f"{NAME}.index.json"
    files = [folder / NAME] if (folder / NAME).is_file() else []
    if not files and index.is_file():
        try:
            parts = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError):
            raise RunError(f"{index} is damaged; restore it.") from None
        files = [folder / Path(part).name for part in parts]
    if not files:
        files = sorted(folder.glob("diffusion_pytorch_model*.safetensors"))[:1]  # a variant, such as fp16
    if not files:
        pickled = sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.ckpt")])
        if pickled:
            raise RunError(
                f"{folder} has its weights in {pickled[0].name}, a pickle, which is not opened; save them again with "
                "save_pretrained(..., safe_serialization=True)."
            )
        raise RunError(f"{folder} has no weights; {NAME} is looked for.")
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            tensors.update(load_file(file))
        except Exception as error:  # the reader stumbles over foreign bytes in any way there is
            raise RunError(f"{file} cannot be read: {' '.join(str(error).split())}; is it whole?") from None
    return tensors
