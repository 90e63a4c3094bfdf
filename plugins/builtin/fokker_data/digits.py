"""The handwritten digits that come with scikit-learn: no download, small enough for a laptop."""

import numpy as np

from fokker.component import component
from fokker.data import DataSource, Examples, Split, Transform
from fokker_data.stored import StoredExamples, split_rows
from fokker_data.transforms import Range

__all__ = ["Digits"]


@component
class Digits(DataSource):
    """Handwritten digits of 8x8 pixels with labels (Alpaydin and Kaynak, 1998), event shape (1, 8, 8).

    The 1,797 pictures of scikit-learn's `load_digits`, their 17 levels divided by 16 into [0, 1]. A fixed fifth,
    spread evenly over the file, is the test split.

    Args:
        transforms: Applied in this order on the way to the model.
    """

    transforms: tuple[Transform, ...] = (Range(-1.0, 1.0),)

    def open(self, split: Split = "train") -> Examples:
        """Open a split."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        return StoredExamples(
            digits.images.astype(np.uint8)[:, None],
            rows=split_rows(len(digits.images), 0.2, split, "digits"),
            scale=16,
            labels=digits.target.astype(np.int64),
            classes=10,
        )
