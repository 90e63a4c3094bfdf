"""What a network is told besides the data: the label of the time, and the class where there is one.

c = silu(W_2 silu(W_1 embedding(label) + b_1) + b_2 + table[class])
"""

import torch
from torch import Tensor, nn

from fokker.errors import ConfigError
from fokker.network import Condition, DataSpec
from fokker_networks.embedding import EmbeddingName, embedding

__all__ = ["Conditioning"]


class Conditioning(nn.Module):
    """Maps the label of the time and the class label to one vector per example.

    The table of classes has one row more than there are classes: the class label `classes` means "no label", and so
    does a condition without labels. Training that replaces some labels by it prepares for classifier-free guidance
    (Ho and Salimans, 2022); until then the row is zero.

    Args:
        spec: The data; only its classes matter here.
        name: Embedding of the label.
        embedding_width: Width of that embedding, at least 1.
        width: Width of the vector, at least 1.
        fourier_scale: Standard deviation of the frequencies of the Fourier embedding.

    Raises:
        ConfigError: If the data carries conditions other than class labels.
    """

    def __init__(
        self, spec: DataSpec, name: EmbeddingName, embedding_width: int, width: int, fourier_scale: float
    ) -> None:
        super().__init__()
        if spec.condition:
            raise ConfigError(
                f"This network takes class labels only, but the data carries {', '.join(sorted(spec.condition))}; "
                "choose a network that takes these conditions, or data without them."
            )
        self.embedding = embedding(name, embedding_width, fourier_scale)
        self.hidden = nn.Linear(embedding_width, width)
        self.out = nn.Linear(width, width)
        self.table = None if spec.classes is None else nn.Embedding(spec.classes + 1, width)
        if self.table is not None:
            with torch.no_grad():
                self.table.weight[-1] = 0

    def forward(self, label: Tensor, cond: Condition = None) -> Tensor:
        """Vector of each example.

        Args:
            label: Labels of the time, (B,), floating or int64.
            cond: Class labels under `label`, int64 in [0, classes], (B,); without them, no label.

        Returns:
            Vectors, (B, width), in the precision of the weights.
        """
        embedded = self.embedding(label).to(self.hidden.weight.dtype)
        vector: Tensor = self.out(nn.functional.silu(self.hidden(embedded)))
        if self.table is not None:
            classes = None if cond is None else cond.get("label")
            if classes is None:
                classes = torch.full_like(label, self.table.num_embeddings - 1, dtype=torch.int64)
            vector = vector + self.table(classes)
        return nn.functional.silu(vector)
