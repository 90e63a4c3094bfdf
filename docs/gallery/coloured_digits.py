"""Write coloured digits, float32 (1797, 3, 8, 8) in [0, 1]: each class of digits has a hue of its own.

    python docs/gallery/coloured_digits.py FILE.npy

The mean of the channels is the grey digit whatever its hue, so that a colour can be told from a shape alone.
"""

import sys

import numpy as np
from sklearn.datasets import load_digits


def colours(classes: int = 10) -> np.ndarray:
    """A colour for each class, (classes, 3): hues evenly around the wheel, of the same mean 1/2."""
    angle = 2 * np.pi * (np.arange(classes)[:, None] / classes + np.arange(3)[None, :] / 3)
    return 0.5 + 0.5 * np.cos(angle)


def main(path: str) -> None:
    """Colour the digits and write them."""
    digits = load_digits()
    grey = digits.images[:, None] / 16
    np.save(path, (grey * colours()[digits.target][:, :, None, None]).astype(np.float32))


if __name__ == "__main__":
    main(sys.argv[1])
